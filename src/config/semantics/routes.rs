//! Routes: patterns, their rules, and where they lead.

use std::collections::HashMap;

use http::uri::Authority;
use http::{HeaderName, HeaderValue};

use super::actions::{self, Around, Files};
use super::compress::Everywhere;
use super::plugins::Plugins;
use super::upstreams::Upstreams;
use super::written::{self, Document};
use super::{conditions, retry, traffic};
use crate::action::Action;
use crate::config::checked::{GrpcWeb, Route, Rule};
use crate::config::diagnostic::{Part, Problem};
use crate::config::path::Path;
use crate::config::report::Report;
use crate::config::wording::quote;
use crate::route::Pattern;

/// Nobody writes longer ones, and pointers that are longer help nobody.
const LONGEST_PATTERN: usize = 2048;
/// The protocol that every route may change to unless it says otherwise.
const WEBSOCKET: &str = "websocket";

/// What routes are checked against.
pub(super) struct Routes<'a, 'e> {
    pub upstreams: &'a mut Upstreams,
    pub plugins: &'a mut Plugins<'e>,
    pub files: &'a mut Files<'e>,
    pub compress: Everywhere,
    pub report: &'a mut Report,
}

impl Routes<'_, '_> {
    pub(super) fn check(mut self, document: &Document) -> Vec<Route> {
        let Some(written) = &document.routes else { return Vec::new() };
        let at = Path::ROOT.field("routes");
        if written.is_empty() {
            self.report.add(Problem::warning(at.pointer(), "no routes: every request is answered with 404"));
        }
        let routes = written.iter();
        let routes: Vec<Route> =
            routes.filter_map(|(text, route)| self.route(&at.field(text), text, route.as_ref())).collect();
        report_conflicts(&at, &routes, self.report);
        routes
    }

    fn route(&mut self, at: &Path<'_>, text: &str, written: Option<&written::Route>) -> Option<Route> {
        if text.len() > LONGEST_PATTERN {
            self.report
                .error("/routes", format!("pattern {} has more than {LONGEST_PATTERN} bytes", quote(text)));
            return None;
        }
        let pattern = pattern(at, text, self.report);
        let around = &Around::new(pattern.as_ref());
        let rules = match written? {
            written::Route::Rule(rule) => Vec::from_iter(self.rule(at, rule, around, upstream_name(text, 0))),
            written::Route::Rules(rules) => self.rules(at, text, rules, around),
        };
        Some(Route { pattern: pattern?, text: text.to_owned(), rules })
    }

    fn rules(
        &mut self,
        at: &Path<'_>,
        text: &str,
        written: &[Option<written::Rule>],
        around: &Around<'_>,
    ) -> Vec<Rule> {
        report_unreachable(at, written, self.report);
        let rules = written.iter().enumerate();
        rules
            .filter_map(|(index, rule)| {
                self.rule(&at.item(index), rule.as_ref()?, around, upstream_name(text, index))
            })
            .collect()
    }

    fn rule(
        &mut self,
        at: &Path<'_>,
        written: &written::Rule,
        around: &Around<'_>,
        upstream_name: String,
    ) -> Option<Rule> {
        let matches = conditions::check(at, written, self.report);
        let action = self.action(at, written, around, upstream_name);
        let sticky = traffic::sticky(at, written, self.report);
        let mirrors = written.mirror.as_deref().unwrap_or_default();
        let mirrors = traffic::mirrors(&at.field("mirror"), mirrors, self.upstreams, self.report);
        let fault = written.fault.as_ref();
        let fault = fault.and_then(|fault| traffic::fault(&at.field("fault"), fault, self.report));
        let edits = actions::edits(at, written, around, self.files, self.report);
        let own = written.plugins.as_deref().unwrap_or_default();
        let attachments = self.plugins.attach_to_rule(&at.field("plugins"), own, self.report);
        let upgrades = match &action {
            Some(Action::Redirect(_) | Action::Reply(_)) => Vec::new(),
            Some(Action::Forward(_) | Action::Split(_)) | None => {
                self.upgrades(&at.field("upgrades"), written.upgrades.as_deref())
            }
        };
        let grpc_web = written.grpc_web.as_ref().map(|web| self.grpc_web(&at.field("grpc_web"), web));
        let retry =
            written.retry.as_ref().map(|written| retry::retry(&at.field("retry"), written, self.report));
        let compress = self.compress.of_rule(&at.field("compress"), written.compress.as_deref(), self.report);
        Some(Rule {
            matches,
            action: action?,
            sticky,
            mirrors,
            fault,
            edits,
            upgrades,
            grpc_web,
            takes_early_data: written.early_data.unwrap_or_default(),
            retry,
            timeouts: retry::timeouts(&at.field("timeouts"), written.timeouts.as_ref(), self.report),
            max_requests: written.max_requests,
            compress,
            attachments,
        })
    }

    fn grpc_web(&mut self, at: &Path<'_>, written: &written::GrpcWeb) -> GrpcWeb {
        let mut origins = Vec::new();
        for (index, text) in written.origins.iter().flatten().enumerate() {
            let Some(text) = text else { continue };
            match HeaderValue::from_str(text) {
                Ok(value) if text == "*" || is_origin(text) => origins.push(value),
                _ => {
                    let expected = "expected an origin such as `https://app.example.com`, or `*`";
                    self.report.unexpected(at.field("origins").item(index), expected, text);
                }
            }
        }
        GrpcWeb { origins }
    }

    fn upgrades(&mut self, at: &Path<'_>, written: Option<&[Option<String>]>) -> Vec<String> {
        let Some(written) = written else { return vec![WEBSOCKET.to_owned()] };
        let mut upgrades = Vec::new();
        for (index, token) in written.iter().enumerate() {
            let Some(token) = token else { continue };
            let is_token = HeaderName::from_bytes(token.as_bytes()).is_ok() && !token.starts_with("h2");
            if is_token {
                upgrades.push(token.to_ascii_lowercase());
            } else {
                let expected = "expected the name of a protocol other than HTTP/2, such as `websocket`";
                self.report.unexpected(at.item(index), expected, token);
            }
        }
        upgrades
    }
}

/// A scheme, a host and perhaps a port, as browsers write it (RFC 6454, section 6.2).
fn is_origin(text: &str) -> bool {
    let authority = text.split_once("://").filter(|(scheme, _)| matches!(*scheme, "http" | "https"));
    authority.is_some_and(|(_, authority)| {
        authority.parse::<Authority>().is_ok()
            && !authority.contains('@')
            && !text.contains(char::is_uppercase)
    })
}

/// The name of the upstream that a rule has for itself.
fn upstream_name(pattern: &str, rule: usize) -> String {
    if rule == 0 { format!("routes:{pattern}") } else { format!("routes:{pattern}#{rule}") }
}

fn pattern(at: &Path<'_>, text: &str, report: &mut Report) -> Option<Pattern> {
    Pattern::parse(text)
        .map_err(|error| report.add(Problem::error(at.pointer(), error.to_string()).part(Part::Name)))
        .ok()
}

/// Two patterns that some request matches equally well.
fn report_conflicts(at: &Path<'_>, routes: &[Route], report: &mut Report) {
    let mut known = HashMap::new();
    for route in routes {
        let other = route.pattern.conflict_keys().find_map(|key| known.insert(key, &route.text));
        if let Some(other) = other {
            let message = format!("conflicts with {}", quote(other));
            let problem = Problem::error(at.field(&route.text).pointer(), message).part(Part::Name);
            report.add(problem.hint("some requests match both, and neither is more specific"));
        }
    }
}

fn report_unreachable(at: &Path<'_>, rules: &[Option<written::Rule>], report: &mut Report) {
    let takes_everything = |(index, rule): (usize, &Option<written::Rule>)| {
        rule.as_ref().is_some_and(|rule| conditions::take_everything(&at.item(index), rule, report))
    };
    let Some(last) = rules.iter().enumerate().position(takes_everything) else { return };
    if last + 1 < rules.len() {
        let message = format!("no request gets here: rule {last} has no `match` and takes them all");
        report.add(
            Problem::error(at.item(last + 1).pointer(), message).hint("put the rule without `match` last"),
        );
    }
}
