//! What a rule does with its requests: what answers them, and what is changed on the way.

mod edits;
mod pages;
mod redirect;
mod reply;
mod rewrite;
mod templates;

use edits::Head;

use super::routes::Routes;
use super::{traffic, written};
use crate::action::{Action, Edits, Scope};
use crate::config::checked::Strategy;
use crate::config::diagnostic::{Part, Problem};
use crate::config::path::Path;
use crate::config::report::Report;
use crate::route::Pattern;

/// What answers requests. A rule has one of them.
const ANSWERS: [&str; 5] = ["backends", "upstream", "split", "redirect", "reply"];
/// Those of them with which requests go to backends.
const WITH_BACKENDS: [&str; 3] = ["backends", "upstream", "split"];

pub(super) use pages::check as error_pages;
pub(super) use reply::Files;

/// What a rule's texts may refer to.
pub(super) struct Around<'a> {
    /// None where it was reported.
    pub pattern: Option<&'a Pattern>,
    pub parameters: Vec<&'a str>,
}

impl<'a> Around<'a> {
    pub fn new(pattern: Option<&'a Pattern>) -> Self {
        Self { pattern, parameters: pattern.into_iter().flat_map(Pattern::parameter_names).collect() }
    }

    /// What texts may name that are needed before there is a response.
    fn request(&self) -> Scope<'_> {
        Scope { parameters: &self.parameters, has_response: false }
    }

    fn response(&self) -> Scope<'_> {
        Scope { parameters: &self.parameters, has_response: true }
    }
}

impl Routes<'_, '_> {
    /// What answers the requests of the rule at a place.
    pub(super) fn action(
        &mut self,
        at: &Path<'_>,
        written: &written::Rule,
        around: &Around<'_>,
        own_name: String,
    ) -> Option<Action> {
        let given = [
            written.backends.is_some(),
            written.upstream.is_some(),
            written.split.is_some(),
            written.redirect.is_some(),
            written.reply.is_some(),
        ];
        let mut names = ANSWERS.iter().zip(given).filter(|(_, is_given)| *is_given).map(|(name, _)| *name);
        let Some(first) = names.next() else {
            if !ANSWERS.iter().any(|field| self.report.has_lost(at, field)) {
                let message = "expected `backends`, `upstream`, `split`, `redirect` or `reply`, found none";
                self.report.error(at, message);
            }
            return None;
        };
        if let Some(second) = names.next() {
            let message = format!("`{second}` beside `{first}`");
            let problem = Problem::error(at.field(second).pointer(), message).part(Part::Name);
            self.report.add(problem.hint("a rule has one of them"));
            return None;
        }
        if !WITH_BACKENDS.contains(&first) {
            refuse_without_backend(at, written, first, self.report);
        }
        let at_answer = at.field(first);
        match written {
            written::Rule { backends: Some(backends), strategy, .. } => {
                Some(Action::Forward(self.upstreams.add(at, own_name, backends, *strategy, self.report)))
            }
            written::Rule { upstream: Some(name), strategy, .. } => {
                refuse_strategy(at, *strategy, first, self.report);
                self.upstreams.find(&at_answer, name, self.report).map(Action::Forward)
            }
            written::Rule { split: Some(written), strategy, .. } => {
                refuse_strategy(at, *strategy, first, self.report);
                let split = traffic::split(&at_answer, written, self.upstreams, self.report)?;
                Some(Action::Split(Box::new(split)))
            }
            written::Rule { redirect: Some(written), .. } => {
                let redirect = redirect::check(&at_answer, written, around, self.report)?;
                Some(Action::Redirect(Box::new(redirect)))
            }
            written::Rule { reply: Some(written), .. } => {
                let reply = reply::check(&at_answer, written, around, self.files, self.report)?;
                Some(Action::Reply(Box::new(reply)))
            }
            _ => None,
        }
    }
}

/// Reports a strategy beside upstreams, which have their own.
fn refuse_strategy(at: &Path<'_>, strategy: Option<Strategy>, beside: &str, report: &mut Report) {
    if strategy.is_some() {
        let message = format!("`strategy` beside `{beside}`");
        let problem = Problem::error(at.field("strategy").pointer(), message);
        report.add(problem.part(Part::Name).hint("give it to the upstream"));
    }
}

/// What a rule changes on the way, at a place. None is nothing.
pub(super) fn edits(
    at: &Path<'_>,
    written: &written::Rule,
    around: &Around<'_>,
    files: &mut Files<'_>,
    report: &mut Report,
) -> Option<Box<Edits>> {
    let written::Rule { rewrite, query, headers, error_pages, .. } = written;
    let rewrite =
        rewrite.as_ref().and_then(|written| rewrite::check(&at.field("rewrite"), written, around, report));
    let query = query.as_ref().and_then(|written| edits::query(&at.field("query"), written, around, report));
    let error_pages = error_pages
        .as_ref()
        .map(|written| pages::check(&at.field("error_pages"), written, around, files, report));
    let at = at.field("headers");
    let mut fields = |field, written: Option<&written::Edits>, head| {
        edits::headers(&at.field(field), written?, around, head, report)
    };
    let headers = headers.as_ref();
    let request = fields("request", headers.and_then(|headers| headers.request.as_ref()), Head::Request);
    let response = fields("response", headers.and_then(|headers| headers.response.as_ref()), Head::Response);
    let edits = Edits { rewrite, query, request, response, error_pages };
    (edits != Edits::default()).then(|| Box::new(edits))
}

/// Reports what is for backends in a rule that has none.
fn refuse_without_backend(at: &Path<'_>, written: &written::Rule, answer: &str, report: &mut Report) {
    let has_request_edits = written.headers.as_ref().is_some_and(|headers| headers.request.is_some());
    let for_backends = [
        ("strategy", written.strategy.is_some()),
        ("upgrades", written.upgrades.is_some()),
        ("grpc_web", written.grpc_web.is_some()),
        ("rewrite", written.rewrite.is_some()),
        ("query", written.query.is_some()),
        ("mirror", written.mirror.is_some()),
        ("fault", written.fault.is_some()),
    ];
    let mut refuse = |at: &Path<'_>, field: &str| {
        let message = format!("`{field}` beside `{answer}`, with which no backend gets the request");
        report.add(Problem::error(at.field(field).pointer(), message).part(Part::Name));
    };
    for (field, _) in for_backends.iter().filter(|(_, is_given)| *is_given) {
        refuse(at, field);
    }
    if has_request_edits {
        refuse(&at.field("headers"), "request");
    }
}
