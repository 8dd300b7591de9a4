//! Texts with variables.

use crate::action::{HostTemplate, Scope, Template, is_host};
use crate::config::diagnostic::Problem;
use crate::config::path::Path;
use crate::config::report::Report;
use crate::route::path::normalise_rewritten;

/// The template at a place. What a reference stands for is taken as it is: a secret may have a `$` in it.
pub(super) fn template(
    at: &Path<'_>,
    text: &str,
    scope: &Scope<'_>,
    report: &mut Report,
) -> Option<Template> {
    if report.is_reference(at) {
        return Some(Template::secret(text));
    }
    let read = Template::parse(text, scope);
    read.map_err(|error| report.add(Problem::error(at.pointer(), error.to_string()).hint(error.hint()))).ok()
}

/// The same for a path. What a variable adds is judged with each request, the rest now.
pub(super) fn path(at: &Path<'_>, text: &str, scope: &Scope<'_>, report: &mut Report) -> Option<Template> {
    let template = template(at, text, scope, report)?;
    let sample = template.sample();
    let hint = match normalise_rewritten(&sample) {
        Ok(_) if !sample.contains("//") => return Some(template),
        Ok(_) => "repeated slashes are merged into one".to_owned(),
        Err(_) if sample.contains('?') => "a path has no query".to_owned(),
        Err(error) => error.to_string(),
    };
    report.unexpected_with(at, "expected a path such as `/v2/users`", text, Some(hint));
    None
}

/// The same for what takes the place of the beginning of a path, which may be nothing.
pub(super) fn prefix(at: &Path<'_>, text: &str, scope: &Scope<'_>, report: &mut Report) -> Option<Template> {
    match text {
        "" => template(at, text, scope, report),
        text => path(at, text, scope, report),
    }
}

/// The same for a host.
pub(super) fn host(
    at: &Path<'_>,
    text: &str,
    takes_port: bool,
    scope: &Scope<'_>,
    report: &mut Report,
) -> Option<HostTemplate> {
    let template = template(at, text, scope, report)?;
    let sample = template.sample();
    if is_host(&sample, takes_port) {
        return Some(HostTemplate::new(template));
    }
    let hint = match sample.split_once("://") {
        Some(_) => Some("leave the scheme out".to_owned()),
        None if is_host(&sample, true) => Some("the port has a field of its own: `port`".to_owned()),
        None => None,
    };
    let expected = match takes_port {
        true => "expected a host such as `api.internal` or `api.internal:8080`",
        false => "expected a host such as `www.example.com`",
    };
    report.unexpected_with(at, expected, text, hint);
    None
}
