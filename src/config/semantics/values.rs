//! What values have to be, in `match` and in `when`.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};

use super::written::{ValueForm, ValueMatch as Written};
use crate::config::diagnostic::{Part, Problem};
use crate::config::path::Path;
use crate::config::report::Report;
use crate::config::wording::quote;
use crate::route::{Condition, Regex, ValueMatch};

const FORMS: &str = "`exact`, `prefix`, `regex`, `present` or `not`";

/// What names are.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Header,
    Query,
    Cookie,
    Attribute,
}

/// What a text alone stands for.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Star {
    /// `*` is a text like any other.
    Itself,
    /// `*` is any value.
    Any,
}

type Named = BTreeMap<String, Option<Written>>;

/// The conditions of a map from names.
pub(super) fn check(
    at: &Path<'_>,
    written: Option<&Named>,
    kind: Kind,
    star: Star,
    report: &mut Report,
) -> Vec<Condition> {
    let mut conditions: Vec<Condition> = Vec::new();
    for (name, value) in written.into_iter().flatten() {
        let at = at.field(name);
        let named = named(&at, name, kind, report);
        let value = value.as_ref().and_then(|value| self::value(&at, value, kind, star, report));
        let (Some(named), Some(value)) = (named, value) else { continue };
        let condition = named(value);
        if let Condition::Header(name, _) = &condition
            && conditions.iter().any(|known| matches!(known, Condition::Header(known, _) if known == name))
        {
            let text = quote(name.as_str());
            let message = format!("header {text} is repeated: upper and lower case are the same");
            report.add(Problem::error(at.pointer(), message).part(Part::Name));
            continue;
        }
        conditions.push(condition);
    }
    conditions
}

/// What makes a condition of a name, where it can be one.
fn named(
    at: &Path<'_>,
    name: &str,
    kind: Kind,
    report: &mut Report,
) -> Option<Box<dyn FnOnce(ValueMatch) -> Condition>> {
    let owned = name.to_owned();
    Some(match kind {
        Kind::Header => {
            let name = header_name(at, name, report)?;
            Box::new(move |value| Condition::Header(name, value))
        }
        Kind::Query => Box::new(move |value| Condition::Query(owned, value)),
        // It is written as the names of headers are (RFC 6265, section 4.1.1), but keeps its case.
        Kind::Cookie if HeaderName::from_bytes(name.as_bytes()).is_err() => {
            let message = format!("expected the name of a cookie, found {}", quote(name));
            report.add(Problem::error(at.pointer(), message).part(Part::Name));
            return None;
        }
        Kind::Cookie => Box::new(move |value| Condition::Cookie(owned, value)),
        Kind::Attribute => Box::new(move |value| Condition::Attribute(owned, value)),
    })
}

fn value(
    at: &Path<'_>,
    written: &Written,
    kind: Kind,
    star: Star,
    report: &mut Report,
) -> Option<ValueMatch> {
    match written {
        Written::Exact(text) if text == "*" && star == Star::Any => Some(ValueMatch::Present),
        Written::Exact(text) => literal(at, text, kind, report).map(ValueMatch::Exact),
        Written::Form(form) => self::form(at, form, kind, star, report),
    }
}

fn form(at: &Path<'_>, form: &ValueForm, kind: Kind, star: Star, report: &mut Report) -> Option<ValueMatch> {
    let ValueForm { exact, prefix, regex, present, not } = form;
    let given = [
        ("exact", exact.is_some()),
        ("prefix", prefix.is_some()),
        ("regex", regex.is_some()),
        ("present", present.is_some()),
        ("not", not.is_some()),
    ];
    let mut names = given.iter().filter(|(_, is_given)| *is_given).map(|(name, _)| *name);
    let Some(first) = names.next() else {
        if !given.iter().any(|(name, _)| report.has_lost(at, name)) {
            report.error(at, format!("expected {FORMS}, found none"));
        }
        return None;
    };
    if let Some(second) = names.next() {
        let problem = Problem::error(at.field(second).pointer(), format!("`{second}` beside `{first}`"))
            .part(Part::Name);
        report.add(problem.hint(format!("a value has one of {FORMS}")));
        return None;
    }
    let at = at.field(first);
    match form {
        ValueForm { exact: Some(text), .. } => literal(&at, text, kind, report).map(ValueMatch::Exact),
        ValueForm { prefix: Some(text), .. } => literal(&at, text, kind, report).map(ValueMatch::Prefix),
        ValueForm { regex: Some(text), .. } => {
            self::regex(&at, text, Regex::whole, report).map(ValueMatch::Regex)
        }
        ValueForm { present: Some(true), .. } => Some(ValueMatch::Present),
        ValueForm { present: Some(false), .. } => Some(ValueMatch::Absent),
        ValueForm { not: Some(inner), .. } => {
            Some(ValueMatch::Not(Box::new(value(&at, inner, kind, star, report)?)))
        }
        _ => None,
    }
}

/// A text that a value can be.
fn literal(at: &Path<'_>, text: &str, kind: Kind, report: &mut Report) -> Option<Box<[u8]>> {
    match kind {
        Kind::Header => _ = header_value(at, text, report)?,
        Kind::Cookie if !is_cookie_value(text) => {
            let expected =
                "expected the value of a cookie, without `;`, control characters and white space around it";
            report.unexpected(at, expected, text);
            return None;
        }
        Kind::Cookie | Kind::Query | Kind::Attribute => {}
    }
    Some(text.as_bytes().into())
}

fn is_cookie_value(text: &str) -> bool {
    !text.contains(|c: char| c == ';' || c.is_ascii_control()) && text.trim_ascii() == text
}

pub(super) fn regex(
    at: &Path<'_>,
    text: &str,
    read: impl FnOnce(&str) -> Result<Regex, crate::route::RegexError>,
    report: &mut Report,
) -> Option<Regex> {
    let error = match read(text) {
        Ok(regex) => return Some(regex),
        Err(error) => error,
    };
    report.unexpected_with(at, "expected a regular expression", text, Some(error.to_string()));
    None
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
