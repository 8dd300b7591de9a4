//! Edits of header fields and of queries.

use std::collections::BTreeMap;

use http::{HeaderName, header};

use super::{Around, templates};
use crate::action::{FieldValue, HeaderEdits, QueryEdits, Scope, Template, is_reserved};
use crate::config::diagnostic::{Part, Problem};
use crate::config::document as written;
use crate::config::path::Path;
use crate::config::report::Report;
use crate::config::semantics::values::{header_name, header_value};
use crate::config::wording::quote;

/// Whose fields.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Head {
    Request,
    Response,
}

type Texts = BTreeMap<String, Option<String>>;

/// The edits of a query at a place. None is that there is nothing to do.
pub(super) fn query(
    at: &Path<'_>,
    written: &written::Edits,
    around: &Around<'_>,
    report: &mut Report,
) -> Option<QueryEdits> {
    report_contradictions(at, written, report);
    let scope = &around.request();
    let mut templates = |field, written: &Option<Texts>| -> Box<[(String, Template)]> {
        let at = at.field(field);
        let texts = written.iter().flatten();
        let template = |(name, text): (&String, &Option<String>)| {
            let template = templates::template(&at.field(name), text.as_ref()?, scope, report)?;
            Some((name.clone(), template))
        };
        texts.filter_map(template).collect()
    };
    let (set, add) = (templates("set", &written.set), templates("add", &written.add));
    let remove = written.remove.iter().flatten().flatten().cloned().collect();
    Some(QueryEdits { remove, set, add }).filter(|edits| *edits != QueryEdits::default())
}

/// The edits of a head at a place. None is that there is nothing to do.
pub(super) fn headers(
    at: &Path<'_>,
    written: &written::Edits,
    around: &Around<'_>,
    head: Head,
    report: &mut Report,
) -> Option<HeaderEdits> {
    report_contradictions(at, written, report);
    let scope = match head {
        Head::Request => around.request(),
        Head::Response => around.response(),
    };
    let set = fields(&at.field("set"), written.set.as_ref(), head, &scope, report);
    let add = fields(&at.field("add"), written.add.as_ref(), head, &scope, report);
    let at = at.field("remove");
    let mut remove = Vec::new();
    for (index, text) in written.remove.iter().flatten().enumerate() {
        let at = at.item(index);
        let Some(text) = text else { continue };
        match text.parse::<HeaderName>() {
            Ok(name) if is_changeable(&at, &name, head, Part::Value, report) => remove.push(name),
            Ok(_) => {}
            Err(_) => report.unexpected(at, "expected the name of a header", text),
        }
    }
    let edits = HeaderEdits { remove: remove.into(), set, add };
    (!edits.is_empty()).then_some(edits)
}

/// The fields at a place, with values that may have variables.
pub(super) fn fields(
    at: &Path<'_>,
    written: Option<&Texts>,
    head: Head,
    scope: &Scope<'_>,
    report: &mut Report,
) -> Box<[(HeaderName, FieldValue)]> {
    let mut fields: Vec<(HeaderName, FieldValue)> = Vec::new();
    for (text, value) in written.into_iter().flatten() {
        let at = at.field(text);
        let name = header_name(&at, text, report);
        let name = name.filter(|name| is_changeable(&at, name, head, Part::Name, report));
        let value = value.as_ref().and_then(|value| field_value(&at, value, scope, report));
        let (Some(name), Some(value)) = (name, value) else { continue };
        if fields.iter().any(|(known, _)| *known == name) {
            let message = format!("header {} is repeated: upper and lower case are the same", quote(text));
            report.add(Problem::error(at.pointer(), message).part(Part::Name));
            continue;
        }
        fields.push((name, value));
    }
    fields.into()
}

fn field_value(at: &Path<'_>, text: &str, scope: &Scope<'_>, report: &mut Report) -> Option<FieldValue> {
    let template = templates::template(at, text, scope, report)?;
    header_value(at, &template.sample(), report)?;
    Some(FieldValue::new(template))
}

/// Whether a field is nobody else's business; otherwise that is reported.
fn is_changeable(at: &Path<'_>, name: &HeaderName, head: Head, part: Part, report: &mut Report) -> bool {
    let (message, hint) = match (name, head) {
        (name, _) if is_reserved(name) => {
            (format!("the gateway writes `{name}` itself, as the connection and the body need it"), None)
        }
        (&header::HOST, Head::Request) => {
            ("`host` is not edited like other fields".to_owned(), Some("give it to `rewrite`".to_owned()))
        }
        _ => return true,
    };
    report.add(Problem::error(at.pointer(), message).part(part).maybe_hint(hint));
    false
}

/// A name that is set has no other value: to remove it too would say something else.
fn report_contradictions(at: &Path<'_>, written: &written::Edits, report: &mut Report) {
    let at = at.field("remove");
    for (index, name) in written.remove.iter().flatten().enumerate() {
        let Some(name) = name else { continue };
        if written.set.iter().flatten().any(|(set, _)| set.eq_ignore_ascii_case(name)) {
            let at = at.item(index);
            let message = format!("{} is set and removed", report.quote(at, name));
            let problem = Problem::error(at.pointer(), message);
            report.add(problem.hint("what is set has this one value; it need not be removed before"));
        }
    }
}
