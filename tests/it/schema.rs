//! The published JSON Schema: current, valid, and true of the documents in this repository.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn published() -> Value {
    let path = root().join("config/schema.json");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!("config/schema.json cannot be read ({error}): cargo run --bin cupctl -- schema > config/schema.json")
    });
    serde_json::from_str(&text).expect("config/schema.json is JSON")
}

/// Every JSON file in a folder and below that looks like a document: that has routes.
fn documents(folder: &Path) -> Vec<(PathBuf, Value)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.ends_with("target") {
            found.extend(documents(&path));
        } else if path.extension().is_some_and(|extension| extension == "json") {
            let text = fs::read_to_string(&path).expect("a JSON file is text");
            let value: Value = serde_json::from_str(&text).expect("a JSON file is JSON");
            if value.get("routes").is_some() {
                found.push((path, value));
            }
        }
    }
    found
}

#[test]
fn the_published_schema_is_that_of_the_types() {
    let is_current = published() == cloud_cup::config::schema();
    assert!(
        is_current,
        "config/schema.json is not current: cargo run --bin cupctl -- schema > config/schema.json"
    );
}

#[test]
fn the_schema_is_valid_2020_12() {
    let schema = cloud_cup::config::schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    if let Err(error) = jsonschema::draft202012::meta::validate(&schema) {
        panic!("at {}: {error}", error.instance_path());
    }
}

#[test]
fn the_schema_accepts_every_document_in_the_repository() {
    let validator = jsonschema::draft202012::new(&cloud_cup::config::schema()).expect("a schema");
    let documents = [documents(&root().join("config")), documents(&root().join("examples"))].concat();
    assert!(!documents.is_empty(), "config/main_config.json at least is one");
    for (path, document) in documents {
        let errors: Vec<_> = validator
            .iter_errors(&document)
            .map(|error| format!("at {}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{}: {}", path.display(), errors.join("; "));
    }
}

#[test]
fn the_schema_refuses_what_the_check_refuses() {
    let validator = jsonschema::draft202012::new(&cloud_cup::config::schema()).expect("a schema");
    let good = json!({ "root": ":8080", "routes": { "/": { "backends": [{ "host": "127.0.0.1:8081" }] } } });
    let check = |pointer: &str, value: Value| {
        let mut document = good.clone();
        let (parent, field) = pointer.rsplit_once('/').expect("a pointer");
        document.pointer_mut(parent).expect("a parent")[field.replace("~1", "/")] = value;
        assert!(!validator.is_valid(&document), "{document} should not be valid");
    };
    assert!(validator.is_valid(&good));
    check("/root", json!(8080));
    check("/root", Value::Null);
    check("/rootes", json!({}));
    check("/workers", json!(0));
    check("/routes/~1/backends/0/hots", json!("a:1"));
    check("/routes/~1/backends", json!([]));
    check("/routes/~1/strategy", json!("fastest"));
    check("/routes/~1/plugins", json!([{ "config": {} }]));
    check("/timeouts", json!({ "connect": "soon" }));
}
