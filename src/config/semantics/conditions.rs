//! What a rule asks of a request, beside its pattern: `match`.

use http::Method;

use super::values::{self, Kind, Star};
use super::written::{Match, Rule};
use crate::config::path::Path;
use crate::config::report::Report;
use crate::route::{Condition, HostPattern};

const FIELDS: [&str; 5] = ["methods", "hosts", "headers", "query", "cookies"];

/// The conditions of the rule at a place.
pub(super) fn check(at: &Path<'_>, rule: &Rule, report: &mut Report) -> Vec<Condition> {
    let Some(Match { methods, hosts, headers, query, cookies }) = &rule.matches else { return Vec::new() };
    let at = at.field("match");
    let mut conditions = Vec::new();
    if let Some(methods) = methods {
        conditions.push(Condition::Method(texts(&at.field("methods"), methods, report, method)));
    }
    if let Some(hosts) = hosts {
        conditions.push(Condition::Host(texts(&at.field("hosts"), hosts, report, host)));
    }
    let mut named = |field, written: &Option<_>, kind| {
        conditions.extend(values::check(&at.field(field), written.as_ref(), kind, Star::Itself, report));
    };
    named("headers", headers, Kind::Header);
    named("query", query, Kind::Query);
    named("cookies", cookies, Kind::Cookie);
    conditions
}

/// Whether the rule at a place takes every request, and was meant to.
pub(super) fn take_everything(at: &Path<'_>, rule: &Rule, report: &Report) -> bool {
    let Some(Match { methods, hosts, headers, query, cookies }) = &rule.matches else {
        return !report.has_lost(at, "match");
    };
    let at_match = at.field("match");
    let maps = [headers, query, cookies];
    methods.is_none()
        && hosts.is_none()
        && maps.iter().all(|map| map.as_ref().is_none_or(|map| map.is_empty()))
        && !FIELDS.iter().any(|field| report.has_lost(&at_match, field))
}

/// What could be made of the texts of a list.
pub(super) fn texts<T>(
    at: &Path<'_>,
    written: &[Option<String>],
    report: &mut Report,
    read: impl Fn(&Path<'_>, &str, &mut Report) -> Option<T>,
) -> Vec<T> {
    let written = written.iter().enumerate();
    written.filter_map(|(index, text)| read(&at.item(index), text.as_ref()?, report)).collect()
}

pub(super) fn method(at: &Path<'_>, text: &str, report: &mut Report) -> Option<Method> {
    let method = Method::from_bytes(text.as_bytes()).ok();
    if method.is_none() {
        report.unexpected(at, "expected a method like `GET`", text);
    }
    method
}

pub(super) fn host(at: &Path<'_>, text: &str, report: &mut Report) -> Option<HostPattern> {
    let hint = match HostPattern::parse(text) {
        Ok(HostPattern::Any) => None,
        Ok(pattern) => return Some(pattern),
        Err(_) if text.contains("://") => Some("leave the scheme out".to_owned()),
        Err(error) => Some(error.to_string()),
    };
    report.unexpected_with(at, "expected a host like `api.example.com` or `*.example.com`", text, hint);
    None
}
