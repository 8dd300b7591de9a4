//! What backends are asked for.

use super::{Around, templates};
use crate::action::{PathRewrite, Replacement, Rewrite};
use crate::config::diagnostic::{Part, Problem};
use crate::config::document as written;
use crate::config::path::Path;
use crate::config::report::Report;
use crate::config::semantics::values;
use crate::route::Regex;

const FIELDS: [&str; 4] = ["path", "prefix", "regex", "host"];

/// The rewriting at a place.
pub(super) fn check(
    at: &Path<'_>,
    written: &written::Rewrite,
    around: &Around<'_>,
    report: &mut Report,
) -> Option<Rewrite> {
    let written::Rewrite { path, prefix, regex, host } = written;
    let target = target(at, path.as_deref(), prefix.as_deref(), regex.as_ref(), around, report)?;
    let host = host.as_ref();
    if target.is_none() && host.is_none() {
        if !FIELDS.iter().any(|field| report.has_lost(at, field)) {
            report.error(at, "expected `path`, `prefix`, `regex` or `host`, found none");
        }
        return None;
    }
    let host = match host {
        Some(text) => Some(templates::host(&at.field("host"), text, true, &around.request(), report)?),
        None => None,
    };
    Some(Rewrite { path: target, host })
}

/// How the path becomes another one: not at all, or by one of these fields. None is that something was reported.
pub(super) fn target(
    at: &Path<'_>,
    path: Option<&str>,
    prefix: Option<&str>,
    regex: Option<&written::RegexRewrite>,
    around: &Around<'_>,
    report: &mut Report,
) -> Option<Option<PathRewrite>> {
    let given = [("path", path.is_some()), ("prefix", prefix.is_some()), ("regex", regex.is_some())];
    let mut names = given.iter().filter(|(_, is_given)| *is_given).map(|(name, _)| *name);
    if let (Some(first), Some(second)) = (names.next(), names.next()) {
        let message = format!("`{second}` beside `{first}`");
        report.add(Problem::error(at.field(second).pointer(), message).part(Part::Name));
        return None;
    }
    let scope = &around.request();
    if let Some(text) = path {
        return Some(Some(PathRewrite::Whole(templates::path(&at.field("path"), text, scope, report)?)));
    }
    if let Some(text) = prefix {
        let at = at.field("prefix");
        let by = templates::prefix(&at, text, scope, report);
        let pattern = around.pattern?;
        if !pattern.is_prefix() {
            let message = "`prefix` needs a route whose pattern ends with `/*`";
            report.add(Problem::error(at.pointer(), message).part(Part::Name).hint("write the whole `path`"));
            return None;
        }
        return Some(Some(PathRewrite::Prefix { segments: pattern.segments().len(), by: by? }));
    }
    let Some(written) = regex else { return Some(None) };
    let at = at.field("regex");
    let pattern = written.pattern.as_ref()?;
    let pattern = values::regex(&at.field("pattern"), pattern, Regex::anywhere, report)?;
    let at = at.field("replacement");
    let text = written.replacement.as_ref()?;
    let replacement = Replacement::parse(text, &pattern).map_err(|error| {
        let hint = format!("{error}; {}", error.hint());
        report.unexpected_with(at, "expected a text with groups of `pattern`", text, Some(hint));
    });
    let replacement = replacement.ok()?;
    Some(Some(PathRewrite::Regex { pattern, replacement }))
}
