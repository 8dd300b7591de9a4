//! Whatever a document holds, the check ends with an answer.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{FULL, check_in, folder, pointers, refuse, schema};
use crate::base::units::{ByteSize, parse_duration};

/// Values as a document may have them, with the names that it knows.
fn values() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[a-z0-9:./*\\[\\]{}$-]{0,12}",
        prop::sample::select(vec![
            "$env:NONE",
            "$$env:X",
            "h1",
            "10s",
            "1KiB",
            "round-robin",
            "a:1",
            ":80",
            "games",
            "\u{0}",
            "ä"
        ])
        .prop_map(str::to_owned),
    ];
    let number = prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0..300_i32).prop_map(Value::from),
        Just(json!(1e300)),
        Just(json!(u64::MAX)),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number,
        text.prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let name = prop_oneof![prop::sample::select(names()), "[a-z/~*]{0,4}"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name, inner, 0..4)
                .prop_map(|fields| Value::from(Map::from_iter(fields))),
        ]
    })
}

/// The names of all fields in the schema.
fn names() -> Vec<String> {
    let schema = schema();
    let definitions = schema["$defs"].as_object().unwrap().values().chain([&schema]);
    definitions
        .flat_map(|definition| {
            definition["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone())
        })
        .collect()
}

/// The schema and the types agree: what the schema lets through can be read.
fn check_answer(text: &str) -> Result<(), TestCaseError> {
    let folder = folder();
    if let Err(errors) = check_in(folder.path(), text) {
        prop_assert!(!errors.is_empty());
        for error in errors {
            prop_assert!(!error.message.contains("cannot be read"), "{}", error);
            prop_assert!(error.line <= text.lines().count().max(1), "{}", error);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_text_has_an_answer(text: String) {
        check_answer(&text)?;
    }

    #[test]
    fn any_value_has_an_answer(value in values()) {
        check_answer(&value.to_string())?;
    }

    #[test]
    fn any_document_with_a_foreign_value_has_an_answer(value in values(), place: prop::sample::Index) {
        let mut document: Value = serde_json::from_str(FULL).unwrap();
        let places = pointers(&document);
        *document.pointer_mut(place.get::<String>(&places)).unwrap() = value;
        check_answer(&document.to_string())?;
    }

    /// The patterns of the schema, which editors use, and our parsers take the same texts.
    #[test]
    fn patterns_take_what_parsers_take(text in "[0-9]{0,3}[a-zA-Z]{0,3}|[0-9]{1,2}(ms|s|m|h|B|KB|KiB|MiB|GB)") {
        let takes = |definition: &str, field: &str| {
            let property = schema()["$defs"][definition]["properties"][field].clone();
            jsonschema::is_valid(&property, &text.as_str().into())
        };
        prop_assert_eq!(takes("Timeouts", "connect"), parse_duration(&text).is_ok());
        prop_assert_eq!(takes("Limits", "head_size"), text.parse::<ByteSize>().is_ok());
    }
}

#[test]
fn deep_and_large_values_have_an_answer() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(refuse(&nested(100_000)).contains("more than 127"));
    let config = |value: &str| {
        format!(r#"{{"root": ":80", "routes": {{}}, "plugins": {{"headers": {{"config": {value}}}}}}}"#)
    };
    for value in [
        nested(120),
        "9".repeat(400),
        "1e308".to_owned(),
        "-0.0".to_owned(),
        format!("\"{}\"", "x".repeat(1 << 20)),
    ] {
        let _ = check_in(std::path::Path::new("/folder"), &config(&value));
    }
    let long = "/x".repeat(100_000);
    assert!(
        refuse(&format!(r#"{{"root": ":80", "routes": {{"{long}": {{}}}}}}"#))
            .contains("more than 2048 bytes")
    );
}
