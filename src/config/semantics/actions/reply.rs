//! Responses that stand in the document, and the files that some are read from.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};

use super::Around;
use super::edits::{self, Head};
use crate::action::{Content, ErrorPage, FieldValue, Reply, Scope, content_type};
use crate::config::diagnostic::{Part, Problem};
use crate::config::path::Path;
use crate::config::report::Report;
use crate::config::{Environment, document as written, file};

/// Where files are, and which were read.
pub(in crate::config::semantics) struct Files<'e> {
    environment: &'e Environment<'e>,
    pub read: BTreeSet<PathBuf>,
}

impl<'e> Files<'e> {
    pub fn new(environment: &'e Environment<'e>) -> Self {
        Self { environment, read: BTreeSet::new() }
    }

    fn read(&mut self, at: &Path<'_>, name: &str, report: &mut Report) -> Option<Vec<u8>> {
        let path = self.environment.directory.join(name);
        let content = file::read_bytes(&path).map_err(|error| {
            let shown = report.quote(at, &path.display().to_string());
            report.error(at, format!("cannot read {shown}: {error}"));
        });
        self.read.insert(fs::canonicalize(&path).unwrap_or(path));
        content.ok()
    }
}

/// The reply at a place.
pub(super) fn check(
    at: &Path<'_>,
    written: &written::Reply,
    around: &Around<'_>,
    files: &mut Files<'_>,
    report: &mut Report,
) -> Option<Reply> {
    let content = content(at, written, &around.request(), files, report)?;
    let status = written.status.and_then(|status| StatusCode::from_u16(status).ok());
    Some(Reply { status: status.unwrap_or(StatusCode::OK), content })
}

/// The same for an error.
pub(super) fn page(
    at: &Path<'_>,
    written: &written::Reply,
    around: &Around<'_>,
    files: &mut Files<'_>,
    report: &mut Report,
) -> Option<ErrorPage> {
    let content = content(at, written, &around.response(), files, report)?;
    let status = written.status.and_then(|status| StatusCode::from_u16(status).ok());
    Some(ErrorPage { status, content })
}

/// Its body and the fields that go with it.
fn content(
    at: &Path<'_>,
    written: &written::Reply,
    scope: &Scope<'_>,
    files: &mut Files<'_>,
    report: &mut Report,
) -> Option<Content> {
    let written::Reply { status, headers, body, json, file } = written;
    let given = [("body", body.is_some()), ("json", json.is_some()), ("file", file.is_some())];
    let mut names = given.iter().filter(|(_, is_given)| *is_given).map(|(name, _)| *name);
    let first = names.next();
    if let (Some(first), Some(second)) = (first, names.next()) {
        let problem = Problem::error(at.field(second).pointer(), format!("`{second}` beside `{first}`"));
        report.add(problem.part(Part::Name).hint("a reply has one of `body`, `json` and `file`"));
        return None;
    }
    if let (Some(first), Some(status @ (204 | 205 | 304))) = (first, *status) {
        let problem =
            Problem::error(at.field(first).pointer(), format!("a response with status {status} has no body"));
        report.add(problem.part(Part::Name));
        return None;
    }
    let (body, kind) = match (body, json, file) {
        (Some(text), ..) => (Bytes::from(text.clone()), Some("text/plain; charset=utf-8")),
        (_, Some(json), _) => (Bytes::from(json.to_string()), Some("application/json")),
        (.., Some(name)) => (files.read(&at.field("file"), name, report)?.into(), Some(content_type(name))),
        _ => (Bytes::new(), None),
    };
    let mut fields =
        edits::fields(&at.field("headers"), headers.as_ref(), Head::Response, scope, report).into_vec();
    let is_typed = fields.iter().any(|(name, _)| *name == header::CONTENT_TYPE);
    fields.extend(kind.filter(|_| !is_typed).map(content_type_field));
    Some(Content { headers: fields.into(), body })
}

fn content_type_field(kind: &'static str) -> (HeaderName, FieldValue) {
    (header::CONTENT_TYPE, FieldValue::Constant(HeaderValue::from_static(kind)))
}
