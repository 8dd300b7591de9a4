//! Which requests a plugin sees: `when`.

use super::conditions::{host, method, texts};
use super::values::{self, Kind, Star};
use super::written::When;
use crate::config::path::Path;
use crate::config::report::Report;
use crate::route::{Condition, HostPattern, Pattern};

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
    if let Some(hosts) = &written.hosts {
        conditions.push(Condition::Host(texts(&at.field("hosts"), hosts, report, host)));
    }
    if let Some(paths) = &written.paths {
        conditions.push(Condition::Path(texts(&at.field("paths"), paths, report, path)));
    }
    let mut named = |field, written: &Option<_>, kind| {
        conditions.extend(values::check(&at.field(field), written.as_ref(), kind, Star::Any, report));
    };
    named("headers", &written.headers, Kind::Header);
    named("query", &written.query, Kind::Query);
    named("cookies", &written.cookies, Kind::Cookie);
    named("attributes", &written.attributes, Kind::Attribute);
    match conditions.len() {
        1 => conditions.remove(0),
        _ => Condition::All(conditions),
    }
}

fn list(at: &Path<'_>, written: &[Option<When>], report: &mut Report) -> Vec<Condition> {
    let written = written.iter().enumerate();
    written.filter_map(|(index, when)| Some(check(&at.item(index), when.as_ref()?, report))).collect()
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
