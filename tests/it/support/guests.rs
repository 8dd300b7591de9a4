//! The fixtures under plugins/fixtures, as components. `cargo xtask test` builds them; a test that needs one has
//! `guest_` in its name, so that it can be left out where they cannot be built.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

/// The component of a fixture.
pub fn guest(name: &str) -> PathBuf {
    let Some(folder) = std::env::var_os("CLOUDCUP_GUESTS") else {
        panic!(
            "CLOUDCUP_GUESTS names no folder with guests: run `cargo xtask test`, or skip them by `-- --skip guest_`"
        );
    };
    let path = PathBuf::from(folder).join(format!("{name}.wasm"));
    assert!(path.is_file(), "{} is not there: `cargo xtask guests` builds it", path.display());
    path
}

/// The `plugins` of a document that names these fixtures, each with the permissions that need no more than to be granted.
pub fn guests(names: &[&str]) -> Value {
    guests_with(names, &json!({ "permissions": ["log", "clock", "random"] }))
}

/// The same, each with these `permissions`, `quotas` and whatever else a plugin of the document has.
pub fn guests_with(names: &[&str], granted: &Value) -> Value {
    let define = |name: &&str| {
        let mut plugin = granted.clone();
        plugin["source"] = json!(guest(name));
        ((*name).to_owned(), plugin)
    };
    Value::Object(names.iter().map(define).collect::<Map<_, _>>())
}
