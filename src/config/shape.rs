//! Whether a document has the shape that its JSON Schema says: known fields, the right types, numbers in range.
//!
//! What does not fit is reported and set to null, which every type of [`document`](super::document) takes for absent, so
//! that the rest of the document can be read and checked in the same run. What is inside a text (a duration, an address,
//! a name) is not judged here: the `pattern`s of the schema are for editors, and the parsers have better words.

use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::Value;

use super::diagnostic::{Part, Problem};
use super::report::Report;
use super::wording::quote;
use super::{path, schema};

mod fault;

use fault::Fault;

static SCHEMA: LazyLock<Value> = LazyLock::new(schema::schema);
static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| {
    jsonschema::validator_for(&SCHEMA).expect("the schema made from our types is a JSON Schema")
});

/// Reports all that does not fit, and removes it from the value.
pub(super) fn check(value: &mut Value, report: &mut Report) {
    let mut faults = Vec::new();
    VALIDATOR.iter_errors(value).for_each(|error| fault::collect(&error, report, &mut faults));
    // A field that is missing under its name may be there under a mistyped one: those first.
    faults.sort_by_key(|fault| !matches!(fault, Fault::Unknown { .. }));
    faults.into_iter().for_each(|fault| report_and_remove(fault, value, report));
}

fn report_and_remove(fault: Fault, value: &mut Value, report: &mut Report) {
    match fault {
        Fault::Unknown { object, name, meant } => {
            if let Some(Value::Object(fields)) = value.pointer_mut(&object) {
                fields.remove(&name);
            }
            match &meant {
                Some(meant) => report.add_pruned(path::join(&object, meant)),
                None => report.add_misnamed(object.clone()),
            }
            let hint = meant.map(|meant| format!("did you mean `{meant}`?"));
            let message = format!("unknown field {}", quote(&name));
            report.add(Problem::error(object, message).maybe_hint(hint).part(Part::FieldName(name)));
        }
        Fault::Missing { object, name } => {
            if !report.is_pruned(&path::join(&object, &name)) {
                report.error(object, format!("missing field `{name}`"));
            }
        }
        Fault::Wrong { pointer, message, hint } => {
            if let Some(value) = value.pointer_mut(&pointer) {
                *value = Value::Null;
            }
            report.add_pruned(pointer.clone());
            report.add(Problem::error(pointer, message).maybe_hint(hint));
        }
    }
}
