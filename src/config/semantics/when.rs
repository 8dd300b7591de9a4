//! Which requests a plugin sees: `when`.

use std::collections::BTreeMap;

use http::Method;

use super::conditions::{header_name, header_value};
use super::written::When;
use crate::config::path::Path;
use crate::config::report::Report;
use crate::route::{Condition, HostPattern, Pattern};

/// Stands for any value.
const ANY: &str = "*";

/// The condition at a place.
pub(super) fn check(at: &Path<'_>, written: &When, report: &mut Report) -> Condition {
    let mut conditions = Vec::new();
    if let Some(all) = &written.all {
        conditions.push(Condition::All(list(&at.field("all"), all, report)));
    }
    if let Some(any) = &written.any {
        conditions.push(Condition::Any(list(&at.field("any"), any, report)));
    }
    if let Some(not) = &written.not {
        conditions.push(Condition::Not(Box::new(check(&at.field("not"), not, report))));
    }
    if let Some(methods) = &written.methods {
        conditions.push(Condition::Method(texts(&at.field("methods"), methods, report, method)));
    }
    if let Some(paths) = &written.paths {
        conditions.push(Condition::Path(texts(&at.field("paths"), paths, report, path)));
    }
    conditions.extend(headers(&at.field("headers"), written.headers.iter().flatten(), report));
    conditions.extend(pairs(written.query.as_ref(), Condition::Query));
    conditions.extend(pairs(written.attributes.as_ref(), Condition::Attribute));
    match conditions.len() {
        1 => conditions.remove(0),
        _ => Condition::All(conditions),
    }
}

fn list(at: &Path<'_>, written: &[Option<When>], report: &mut Report) -> Vec<Condition> {
    let written = written.iter().enumerate();
    written.filter_map(|(index, when)| Some(check(&at.item(index), when.as_ref()?, report))).collect()
}

fn texts<T>(
    at: &Path<'_>,
    written: &[Option<String>],
    report: &mut Report,
    read: impl Fn(&Path<'_>, &str, &mut Report) -> Option<T>,
) -> Vec<T> {
    let written = written.iter().enumerate();
    written.filter_map(|(index, text)| read(&at.item(index), text.as_ref()?, report)).collect()
}

fn method(at: &Path<'_>, text: &str, report: &mut Report) -> Option<Method> {
    let method = Method::from_bytes(text.as_bytes()).ok();
    if method.is_none() {
        report.unexpected(at, "expected a method like `GET`", text);
    }
    method
}

fn path(at: &Path<'_>, text: &str, report: &mut Report) -> Option<Pattern> {
    match Pattern::parse(text) {
        Ok(pattern) if pattern.methods().is_empty() && *pattern.host() == HostPattern::Any => {
            return Some(pattern);
        }
        Ok(_) => report.unexpected(at, "expected a path without methods and host, like `/users/*`", text),
        // The error would quote a text that came through a reference.
        Err(_) => report.unexpected(at, "expected a path like `/users/{id}` or `/static/*`", text),
    }
    None
}

type Pairs = BTreeMap<String, Option<String>>;

fn headers<'w>(
    at: &Path<'_>,
    written: impl Iterator<Item = (&'w String, &'w Option<String>)>,
    report: &mut Report,
) -> Vec<Condition> {
    let mut conditions = Vec::new();
    for (text, value) in written {
        let at = at.field(text);
        let (Some(name), Some(value)) = (header_name(&at, text, report), value) else { continue };
        if value == ANY {
            conditions.push(Condition::Header(name, None));
        } else if let Some(value) = header_value(&at, value, report) {
            conditions.push(Condition::Header(name, Some(value)));
        }
    }
    conditions
}

fn pairs(written: Option<&Pairs>, make: fn(String, Option<String>) -> Condition) -> Vec<Condition> {
    let pairs = written.into_iter().flatten();
    pairs
        .filter_map(|(name, value)| {
            let value = value.as_ref()?;
            Some(make(name.clone(), (value != ANY).then(|| value.clone())))
        })
        .collect()
}
