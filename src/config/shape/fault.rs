//! What the validator finds, in the words and with the distinctions that a report needs.

use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::{JsonType, ValidationError};
use serde_json::Value;

use super::SCHEMA;
use crate::config::report::Report;
use crate::config::wording::{nearest, one_of};

/// Something that does not fit the schema. Places are JSON pointers.
pub(super) enum Fault {
    /// A field that the object cannot have, and the one that was probably meant.
    Unknown {
        object: String,
        name: String,
        meant: Option<String>,
    },
    Missing {
        object: String,
        name: String,
    },
    /// A value of the wrong type or out of range.
    Wrong {
        pointer: String,
        message: String,
        hint: Option<String>,
    },
}

/// Translates an error of the validator. A value that an earlier stage has reported is passed over.
pub(super) fn collect(error: &ValidationError<'_>, report: &Report, faults: &mut Vec<Fault>) {
    let pointer = error.instance_path().as_str();
    if report.is_pruned(pointer) {
        return;
    }
    match error.kind() {
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
            collect_alternatives(error, context, report, faults);
        }
        Kind::AdditionalProperties { unexpected } => {
            faults.extend(unexpected.iter().map(|name| unknown(error, name)));
        }
        Kind::Required { property: Value::String(name) } => {
            faults.push(Fault::Missing { object: pointer.to_owned(), name: name.clone() });
        }
        Kind::Enum { options } => {
            let text = |option: &Value| match option.as_str() {
                Some(text) => format!("`{text}`"),
                None => format!("`{option}`"),
            };
            let options: Vec<_> = options
                .as_array()
                .into_iter()
                .flatten()
                .filter(|option| !option.is_null())
                .map(text)
                .collect();
            let found = match error.instance().as_str() {
                Some(text) => report.quote(error.instance_path(), text),
                None => found(error, report),
            };
            faults.push(wrong(error, &one_of(&options), &found));
        }
        Kind::Pattern { .. } | Kind::PropertyNames { .. } => {}
        _ => faults.push(wrong(error, &expected(error), &found(error, report))),
    }
}

/// A value for which the schema has alternatives. They differ by JSON type, or they are constants.
fn collect_alternatives(
    error: &ValidationError<'_>,
    alternatives: &[Vec<ValidationError<'static>>],
    report: &Report,
    faults: &mut Vec<Fault>,
) {
    let wanted_type = |errors: &Vec<ValidationError<'static>>| {
        errors.iter().filter(|inner| inner.instance_path() == error.instance_path()).find_map(expected_type)
    };
    let fitting: Vec<_> = alternatives.iter().filter(|errors| wanted_type(errors).is_none()).collect();
    let constants: Vec<_> = fitting.iter().copied().flatten().filter_map(constant).collect();
    match fitting[..] {
        [] => {
            let mut types: Vec<_> = alternatives.iter().filter_map(wanted_type).collect();
            types.dedup();
            faults.push(wrong(error, &one_of(&types), &found(error, report)));
        }
        [errors] if constants.is_empty() => errors.iter().for_each(|inner| collect(inner, report, faults)),
        _ => {
            let text = error.instance().as_str().unwrap_or_default();
            faults.push(wrong(error, &one_of(&constants), &report.quote(error.instance_path(), text)));
        }
    }
}

fn unknown(error: &ValidationError<'_>, name: &str) -> Fault {
    let known = schema_around(error).and_then(|schema| schema["properties"].as_object());
    let known = known.into_iter().flat_map(|properties| properties.keys().map(String::as_str));
    let meant = nearest(name, known).map(str::to_owned);
    Fault::Unknown { object: error.instance_path().as_str().to_owned(), name: name.to_owned(), meant }
}

fn wrong(error: &ValidationError<'_>, expected: &str, found: &str) -> Fault {
    let examples = schema_around(error).and_then(|schema| schema["examples"].as_array());
    let example = examples.and_then(|examples| examples.first());
    Fault::Wrong {
        pointer: error.instance_path().as_str().to_owned(),
        message: format!("expected {expected}, found {found}"),
        hint: example.map(|example| format!("for example `{example}`")),
    }
}

fn found(error: &ValidationError<'_>, report: &Report) -> String {
    report.describe(error.instance_path(), error.instance())
}

fn expected(error: &ValidationError<'_>) -> String {
    match error.kind() {
        Kind::Minimum { .. } | Kind::Maximum { .. } => range(error),
        Kind::MinItems { .. } => "at least one item".to_owned(),
        Kind::MinLength { .. } => "a string that is not empty".to_owned(),
        kind => {
            expected_type(error).unwrap_or_else(|| format!("what the schema's `{}` says", kind.keyword()))
        }
    }
}

/// The types that a value should have had.
fn expected_type(error: &ValidationError<'_>) -> Option<String> {
    match error.kind() {
        Kind::Type { kind: TypeKind::Single(kind) } => Some(type_name(*kind).to_owned()),
        Kind::Type { kind: TypeKind::Multiple(kinds) } => {
            Some(one_of(&kinds.iter().map(|kind| type_name(kind).to_owned()).collect::<Vec<_>>()))
        }
        _ => None,
    }
}

fn type_name(kind: JsonType) -> &'static str {
    match kind {
        JsonType::Array => "an array",
        JsonType::Boolean => "`true` or `false`",
        JsonType::Integer => "a whole number",
        JsonType::Null => "null",
        JsonType::Number => "a number",
        JsonType::Object => "an object",
        JsonType::String => "a string",
    }
}

/// The text that a value should have been.
fn constant(error: &ValidationError<'_>) -> Option<String> {
    match error.kind() {
        Kind::Constant { expected_value } => expected_value.as_str().map(|text| format!("`{text}`")),
        _ => None,
    }
}

fn range(error: &ValidationError<'_>) -> String {
    let bound = |keyword| schema_around(error).and_then(|schema| schema.get(keyword));
    match (bound("minimum"), bound("maximum")) {
        (Some(minimum), Some(maximum)) => format!("{minimum} to {maximum}"),
        (Some(minimum), None) => format!("at least {minimum}"),
        (None, Some(maximum)) => format!("at most {maximum}"),
        (None, None) => "a number in range".to_owned(),
    }
}

/// The part of the schema that has the keyword that was not met.
fn schema_around<'s>(error: &ValidationError<'_>) -> Option<&'s Value> {
    let (around, _keyword) = error.schema_path().as_str().rsplit_once('/')?;
    SCHEMA.pointer(around)
}
