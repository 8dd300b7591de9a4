//! The JSON Schema of the document, for editors and for the check of its shape.

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use serde_json::{Map, Value};

use super::document::Document;

/// The JSON Schema (draft 2020-12) of the document.
pub fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with_transform(Polish);
    settings.into_generator().into_root_schema_for::<Document>().to_value()
}

/// What the schema says that the Rust types cannot, and what they say that is no business of the reader's.
#[derive(Clone)]
struct Polish;

impl Transform for Polish {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        if let Some(schema) = schema.as_object_mut() {
            refuse_null(schema);
            join_lines(schema);
            if schema.get("format").is_some_and(|format| format == "uint32") {
                schema.remove("format");
            }
        }
    }
}

/// `Option` in the types means that a field may be absent or that the check has removed its value. Null in the text is
/// neither.
fn refuse_null(schema: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = &mut types[..] {
            let only = only.take();
            schema.insert("type".to_owned(), only);
        }
    }
    let is_null = |alternative: &Value| alternative.get("type").is_some_and(|kind| kind == "null");
    if let Some(Value::Array(alternatives)) = schema.get_mut("anyOf") {
        alternatives.retain(|alternative| !is_null(alternative));
        if let [Value::Object(only)] = &mut alternatives[..] {
            let only = std::mem::take(only);
            schema.remove("anyOf");
            only.into_iter().for_each(|(keyword, value)| _ = schema.entry(keyword).or_insert(value));
        }
    }
}

/// The line breaks of the source are not those of the reader.
fn join_lines(schema: &mut Map<String, Value>) {
    if let Some(Value::String(description)) = schema.get_mut("description") {
        *description = description.replace("\n\n", "\r").replace('\n', " ").replace('\r', "\n\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It is printed by `cupctl schema`.
    #[test]
    fn file_is_current() {
        let file: Value = serde_json::from_str(include_str!("../../config/schema.json")).unwrap();
        assert!(file == schema(), "run `cargo run --bin cupctl schema > config/schema.json`");
    }

    #[test]
    fn has_no_null() {
        let text = schema().to_string();
        assert!(!text.contains("null\""), "{text}");
    }

    #[test]
    fn describes_every_field() {
        fn check(schema: &Value, pointer: &str) {
            for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                let is_described = property.get("description").is_some() || property.get("$ref").is_some();
                assert!(is_described, "{pointer}/{name} has no description");
            }
        }
        let schema = schema();
        check(&schema, "");
        for (name, definition) in schema["$defs"].as_object().unwrap() {
            check(definition, name);
        }
    }
}
