//! Holds a plugin's four accounts of its options to one another: its code, config.schema.json, README.md and tests.json.
//!
//! For the unit tests of the plugins here:
//!
//! ```text
//! #[test]
//! fn code_schema_readme_and_tests_agree() {
//!     agreement::check("cors", env!("CARGO_MANIFEST_DIR"), |text| {
//!         Policy::new(parse_config(text)?).map(drop).map_err(|error| error.to_string())
//!     });
//! }
//! ```

#![cfg(not(target_family = "wasm"))]

mod readme;
mod tests_json;

use std::{collections::BTreeSet, fs, path::Path};

use jsonschema::Validator;
use serde_json::Value;

use tests_json::TestsFile;

/// What a plugin says of a config text: nothing, or why it is refused.
type Accept<'a> = &'a dyn Fn(&str) -> Result<(), String>;

/// `name` is what a document calls the plugin; `dir` is its folder.
///
/// # Panics
///
/// At the first thing that does not fit together.
pub fn check(name: &str, dir: &str, accept: impl Fn(&str) -> Result<(), String>) {
    let dir = Path::new(dir);
    let schema: Value = serde_json::from_str(&read(dir, "config.schema.json")).expect("the schema is JSON");
    let plugin = Plugin {
        validator: jsonschema::draft202012::new(&schema).expect("the schema is a schema"),
        accept: &accept,
    };
    check_schema(&schema, &plugin);
    check_readme(name, &read(dir, "README.md"), &schema, &plugin);
    check_tests(&read(dir, "tests.json"), &plugin);
}

struct Plugin<'a> {
    validator: Validator,
    accept: Accept<'a>,
}

impl Plugin<'_> {
    fn accepts(&self, config: &Value, place: &str) {
        if let Some(refusal) = self.refusal(config) {
            panic!("{place}: {config} is refused: {refusal}");
        }
    }

    /// As the gateway does: what does not fit the schema never comes to the plugin.
    fn refusal(&self, config: &Value) -> Option<String> {
        let misfit = |error: jsonschema::ValidationError<'_>| format!("{}: {error}", error.instance_path());
        let misfits: Vec<String> = self.validator.iter_errors(config).map(misfit).collect();
        if misfits.is_empty() { (self.accept)(&config.to_string()).err() } else { Some(misfits.join("; ")) }
    }
}

fn check_schema(schema: &Value, plugin: &Plugin) {
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    check_objects(schema, "");
    for example in schema["examples"].as_array().expect("the schema has `examples`") {
        plugin.accepts(example, "config.schema.json");
    }
    let told = (plugin.accept)(r#"{"": 0}"#).expect_err("an unknown option is refused");
    let expected = told.split_once("expected ").expect("the refusal lists what is known").1;
    let known: BTreeSet<&str> = expected.split('`').skip(1).step_by(2).collect();
    assert_eq!(known, properties(schema).collect(), "what the code knows, and what the schema knows");
}

/// Every object says all of its fields, and every field what it is for.
fn check_objects(schema: &Value, pointer: &str) {
    let fields = schema["properties"].as_object();
    if fields.is_some() {
        assert_eq!(schema["additionalProperties"], false, "additionalProperties of {pointer:?}");
    }
    for (name, field) in fields.into_iter().flatten() {
        assert!(field["description"].is_string(), "the field {pointer}/{name} has no description");
    }
    let inner = schema.as_object().into_iter().flatten();
    for (key, value) in
        inner.filter(|(key, _)| !matches!(key.as_str(), "examples" | "default" | "enum" | "const"))
    {
        check_objects(value, &format!("{pointer}/{key}"));
    }
    for (index, value) in schema.as_array().into_iter().flatten().enumerate() {
        check_objects(value, &format!("{pointer}/{index}"));
    }
}

fn check_readme(name: &str, readme: &str, schema: &Value, plugin: &Plugin) {
    let examples = readme::configs(readme, name);
    assert!(!examples.is_empty(), "the README has no document that uses `{name}`");
    for example in examples {
        plugin.accepts(&example, "README.md");
    }
    let listed: BTreeSet<&str> = readme::options(readme).collect();
    assert_eq!(
        listed,
        properties(schema).collect(),
        "what the README's table lists, and what the schema has"
    );
}

fn check_tests(text: &str, plugin: &Plugin) {
    let tests: TestsFile = serde_json::from_str(text).expect("tests.json has the form that the runner reads");
    for case in &tests.cases {
        let place = format!("tests.json, `{}`", case.name);
        assert!(case.refused.is_some() == case.steps.is_empty(), "{place}: either `steps` or `refused`");
        let Some(refused) = &case.refused else {
            plugin.accepts(&case.config, &place);
            continue;
        };
        let message = plugin.refusal(&case.config).expect(&place);
        assert!(message.contains(refused), "{place}: the message is {message:?}");
    }
}

fn properties(schema: &Value) -> impl Iterator<Item = &str> {
    schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.as_str())
}

fn read(dir: &Path, name: &str) -> String {
    let path = dir.join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}
