//! `$env:` and `$file:`, and that what they stand for is shown nowhere.

use std::env::VarError;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::{FULL, SHIPPED, folder, pointers, show};
use crate::config::{Checked, Environment, check};

fn check_with(text: &str, secret: &str, directory: &Path) -> Result<Checked, String> {
    let variable =
        |name: &str| if name == "SECRET" { Ok(secret.to_owned()) } else { Err(VarError::NotPresent) };
    let environment = Environment { shipped: SHIPPED, directory, variable: &variable };
    check(text, &environment).map(|(checked, _)| checked).map_err(|errors| show(&errors))
}

#[test]
fn references_stand_for_values() {
    let folder = folder();
    fs::write(folder.path().join("token"), "t0ken\r\n").unwrap();
    let text = r#"{
        "root": "$env:SECRET",
        "routes": {"/": {
            "backends": [{"host": "$env:SECRET"}],
            "plugins": [{"use": "headers", "config": {"a": ["$file:token"], "b": "$$env:SECRET", "$env:SECRET": 1}}]
        }}
    }"#;
    let checked = check_with(text, "127.0.0.1:80", folder.path()).unwrap();
    assert_eq!(checked.listeners[0].address.to_string(), "127.0.0.1:80");
    let backend = &checked.upstreams[0].endpoints[0];
    assert_eq!(
        (backend.host.as_str(), backend.address.to_string().as_str()),
        ("$env:SECRET", "127.0.0.1:80")
    );
    let attachment = &checked.routes[0].rules[0].attachments[0];
    assert_eq!(attachment.config, json!({"a": ["t0ken"], "b": "$env:SECRET", "$env:SECRET": 1}));
    assert!(!format!("{attachment:?}").contains("t0ken"));
    assert_eq!(checked.secrets.redact("bad token t0ken"), "bad token $file:token");
}

#[test]
fn a_reference_to_nothing_is_an_error() {
    let folder = folder();
    fs::write(folder.path().join("large"), vec![b'a'; (1 << 20) + 1]).unwrap();
    fs::write(folder.path().join("binary"), b"\xff").unwrap();
    let check = |reference: &str, expected: &str| {
        let document = json!({"root": ":80", "access_log": reference, "routes": {}}).to_string();
        let errors = check_with(&document, "", folder.path()).unwrap_err();
        let errors = errors.replace(&folder.path().display().to_string(), "FOLDER");
        assert_eq!(errors, format!("error at /access_log, line 1, column 28: {expected}"));
    };
    check("$env:OTHER", "environment variable `OTHER` is not set");
    check("$env:", "expected the name of a variable behind `$env:`");
    check("$file:none", "cannot read `FOLDER/none`: No such file or directory (os error 2)");
    check("$file:.", "cannot read `FOLDER/.`: it is not a file");
    check("$file:large", "cannot read `FOLDER/large`: it is larger than 1 MiB");
    check("$file:binary", "cannot read `FOLDER/binary`: stream did not contain valid UTF-8");
    check("$env:SECRET", "expected a string that is not empty, found the string `$env:SECRET`");
}

/// Puts a secret in the place of every string of the full document, one after another: whatever is said of it, it is
/// never shown.
#[test]
fn no_message_shows_what_a_reference_stands_for() {
    let folder = folder();
    for secret in ["s3cr3t", "https://s3cr3t/", "10.0.0.s3cr3t", "s3cr3t:x", " s3cr3t"] {
        let document: Value = serde_json::from_str(FULL).unwrap();
        let is_string = |pointer: &String| document.pointer(pointer).is_some_and(Value::is_string);
        for pointer in pointers(&document).into_iter().filter(is_string) {
            let mut document = document.clone();
            *document.pointer_mut(&pointer).unwrap() = "$env:SECRET".into();
            if let Err(errors) = check_with(&document.to_string(), secret, folder.path()) {
                assert!(!errors.contains("s3cr3t"), "{errors}");
            }
        }
    }
}
