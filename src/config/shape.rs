//! Whether a document has the shape that its JSON Schema says: known fields, the right types, numbers in range.
//!
//! What does not fit is reported and set to null, which every type of [`document`](super::document) takes for absent, so
//! that the rest of the document can be read and checked in the same run. What is inside a text (a duration, an address,
//! a name) is not judged here: the `pattern`s of the schema are for editors, and the parsers have better words.

use std::collections::HashSet;
use std::sync::LazyLock;

use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::{JsonType, ValidationError, Validator};
use serde_json::Value;

use super::diagnostic::{Part, Problem};
use super::report::Report;
use super::schema;
use super::wording::{nearest, one_of, quote};

static SCHEMA: LazyLock<Value> = LazyLock::new(schema::schema);
static VALIDATOR: LazyLock<Validator> =
    LazyLock::new(|| jsonschema::validator_for(&SCHEMA).expect("the schema made from our types is a JSON Schema"));

/// Reports all that does not fit, and removes it from the value.
pub(super) fn check(value: &mut Value, report: &mut Report) {
    let mut faults = Vec::new();
    VALIDATOR.iter_errors(value).for_each(|error| collect(&error, report, &mut faults));
    let meant: HashSet<(String, String)> = faults.iter().filter_map(Fault::field_meant).collect();
    for fault in faults {
        match fault {
            Fault::Missing { object, name } if meant.contains(&(object.clone(), name.clone())) => {}
            fault => report_and_remove(fault, value, report),
        }
    }
}

enum Fault {
    /// A field that the object does not have, and the one that was probably meant.
    Unknown { object: String, name: String, meant: Option<String> },
    Missing { object: String, name: String },
    /// A value of the wrong type or out of range.
    Wrong { pointer: String, message: String, hint: Option<String> },
}

impl Fault {
    /// The object and the field that a mistyped name stands for.
    fn field_meant(&self) -> Option<(String, String)> {
        match self {
            Self::Unknown { object, meant: Some(meant), .. } => Some((object.clone(), meant.clone())),
            _ => None,
        }
    }
}

fn report_and_remove(fault: Fault, value: &mut Value, report: &mut Report) {
    match fault {
        Fault::Unknown { object, name, meant } => {
            let hint = meant.map(|meant| format!("did you mean `{meant}`?"));
            let message = format!("unknown field {}", quote(&name));
            remove_field(value, &object, &name);
            report.add_misnamed(object.clone());
            report.add(Problem::error(object, message).maybe_hint(hint).part(Part::FieldName(name)));
        }
        Fault::Missing { object, name } => report.error(object, format!("missing field `{name}`")),
        Fault::Wrong { pointer, message, hint } => {
            if let Some(value) = value.pointer_mut(&pointer) {
                *value = Value::Null;
            }
            report.add_pruned(pointer.clone());
            report.add(Problem::error(pointer, message).maybe_hint(hint));
        }
    }
}

fn remove_field(value: &mut Value, object: &str, name: &str) {
    if let Some(Value::Object(fields)) = value.pointer_mut(object) {
        fields.remove(name);
    }
}

/// Translates what the validator found. A value that an earlier stage has reported is passed over.
fn collect(error: &ValidationError<'_>, report: &Report, faults: &mut Vec<Fault>) {
    let pointer = error.instance_path().as_str();
    if report.is_pruned(pointer) {
        return;
    }
    match error.kind() {
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => alternatives(error, context, report, faults),
        Kind::AdditionalProperties { unexpected } => {
            let unknown = |name: &String| Fault::Unknown {
                object: pointer.to_owned(),
                name: name.clone(),
                meant: nearest(name, known_fields(error)).map(str::to_owned),
            };
            faults.extend(unexpected.iter().map(unknown));
        }
        Kind::Required { property: Value::String(name) } => {
            faults.push(Fault::Missing { object: pointer.to_owned(), name: name.clone() });
        }
        Kind::Pattern { .. } | Kind::PropertyNames { .. } => {}
        kind => {
            let found = report.describe(error.instance_path(), error.instance());
            faults.push(wrong(error, &expected(error, kind), &found));
        }
    }
}

/// A value for which the schema has alternatives. They differ by JSON type, or they are constants.
fn alternatives(
    error: &ValidationError<'_>,
    alternatives: &[Vec<ValidationError<'static>>],
    report: &Report,
    faults: &mut Vec<Fault>,
) {
    let types = |errors: &[ValidationError<'static>]| {
        errors.iter().filter(|inner| inner.instance_path() == error.instance_path()).find_map(expected_type)
    };
    let fitting: Vec<_> = alternatives.iter().filter(|errors| types(errors).is_none()).collect();
    match fitting[..] {
        [] => {
            let mut types: Vec<_> = alternatives.iter().filter_map(|errors| types(errors)).collect();
            types.dedup();
            faults.push(wrong(error, &one_of(&types), &report.describe(error.instance_path(), error.instance())));
        }
        [errors] if errors.iter().all(|inner| constant(inner).is_none()) => {
            errors.iter().for_each(|inner| collect(inner, report, faults));
        }
        _ => {
            let constants: Vec<_> = fitting.into_iter().flatten().filter_map(constant).collect();
            let found = report.quote(error.instance_path(), error.instance().as_str().unwrap_or_default());
            faults.push(wrong(error, &one_of(&constants), &found));
        }
    }
}

fn wrong(error: &ValidationError<'_>, expected: &str, found: &str) -> Fault {
    let examples = schema_around(error).and_then(|schema| schema["examples"].as_array());
    let hint = examples.and_then(|examples| examples.first()).map(|example| format!("for example `{example}`"));
    let message = format!("expected {expected}, found {found}");
    Fault::Wrong { pointer: error.instance_path().as_str().to_owned(), message, hint }
}

fn expected(error: &ValidationError<'_>, kind: &Kind) -> String {
    match kind {
        Kind::Minimum { .. } | Kind::Maximum { .. } => range(error),
        Kind::MinItems { .. } => "at least one item".to_owned(),
        Kind::MinLength { .. } => "a string that is not empty".to_owned(),
        _ => expected_type(error).or_else(|| constant(error)).unwrap_or_else(|| format!("what the schema's `{}` says", kind.keyword())),
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

fn known_fields<'s>(error: &ValidationError<'_>) -> impl Iterator<Item = &'s str> {
    let properties = schema_around(error).and_then(|schema| schema["properties"].as_object());
    properties.into_iter().flat_map(|properties| properties.keys().map(String::as_str))
}

/// The part of the schema that has the keyword that was not met.
fn schema_around<'s>(error: &ValidationError<'_>) -> Option<&'s Value> {
    let (around, _keyword) = error.schema_path().as_str().rsplit_once('/')?;
    SCHEMA.pointer(around)
}
