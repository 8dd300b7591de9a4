//! What a rule asks of a request, beside its pattern: `match`.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};

use super::written::{Match, Rule};
use crate::config::checked::Conditions;
use crate::config::diagnostic::{Part, Problem};
use crate::config::path::Path;
use crate::config::report::Report;
use crate::config::wording::quote;

/// The conditions of the rule at a place.
pub(super) fn check(at: &Path<'_>, rule: &Rule, report: &mut Report) -> Conditions {
    let Some(written) = &rule.matches else { return Conditions::default() };
    let at = at.field("match");
    let headers =
        written.headers.as_ref().map(|headers| self::headers(&at.field("headers"), headers, report));
    let query = written.query.iter().flatten();
    let query = query.filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect();
    Conditions { headers: headers.unwrap_or_default(), query }
}

/// Whether the rule at a place takes every request, and was meant to.
pub(super) fn take_everything(at: &Path<'_>, rule: &Rule, report: &Report) -> bool {
    let at_match = at.field("match");
    let is_absent = |map: &Option<BTreeMap<_, _>>, field| {
        map.as_ref().is_none_or(BTreeMap::is_empty) && !report.has_lost(&at_match, field)
    };
    match &rule.matches {
        Some(Match { headers, query }) => is_absent(headers, "headers") && is_absent(query, "query"),
        None => !report.has_lost(at, "match"),
    }
}

type Header = (HeaderName, HeaderValue);

fn headers(at: &Path<'_>, written: &BTreeMap<String, Option<String>>, report: &mut Report) -> Vec<Header> {
    let mut headers: Vec<Header> = Vec::new();
    for (text, value) in written {
        let at = at.field(text);
        let Some(name) = header_name(&at, text, report) else { continue };
        if headers.iter().any(|(known, _)| *known == name) {
            let message = format!("header {} is repeated: upper and lower case are the same", quote(text));
            report.add(Problem::error(at.pointer(), message).part(Part::Name));
        } else if let Some(value) = value.as_ref().and_then(|value| header_value(&at, value, report)) {
            headers.push((name, value));
        }
    }
    headers
}

pub(super) fn header_name(at: &Path<'_>, text: &str, report: &mut Report) -> Option<HeaderName> {
    let name = text.parse().ok();
    if name.is_none() {
        let message = format!("expected the name of a header, found {}", quote(text));
        report.add(Problem::error(at.pointer(), message).part(Part::Name));
    }
    name
}

/// White space around a value is not part of it (RFC 9110, section 5.5), so that no request could match one with it.
pub(super) fn header_value(at: &Path<'_>, text: &str, report: &mut Report) -> Option<HeaderValue> {
    let value = HeaderValue::from_bytes(text.as_bytes()).ok().filter(|_| text.trim_ascii() == text);
    if value.is_none() {
        report.unexpected(
            at,
            "expected a header value without control characters and white space around it",
            text,
        );
    }
    value
}
