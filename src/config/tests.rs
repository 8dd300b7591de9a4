//! The check as a whole: one document in, all that is to be said of it out.

use std::fs;
use std::path::Path as FilePath;

use tempfile::TempDir;

use super::path::Path;
use super::*;

mod actions;
mod fields;
mod matching;
mod messages;
mod properties;
mod references;
mod results;

const SHIPPED: &[&str] = &["headers", "jwt-auth", "rate-limit"];

/// A document that has every field.
const FULL: &str = include_str!("tests/full.json");

/// A folder with the files that [`FULL`] names and the check reads.
fn folder() -> TempDir {
    let folder = TempDir::new().expect("a folder for temporary files");
    let block = |label: &str| format!("-----BEGIN {label}-----\nAA==\n-----END {label}-----\n");
    fs::write(folder.path().join("certificate.pem"), block("CERTIFICATE")).unwrap();
    fs::write(folder.path().join("key.pem"), block("PRIVATE KEY")).unwrap();
    fs::write(folder.path().join("page.html"), "<p>a page</p>").unwrap();
    fs::write(folder.path().join("keys.json"), r#"{"keys": []}"#).unwrap();
    folder
}

fn check_in(directory: &FilePath, text: &str) -> Result<(Checked, Vec<Diagnostic>), Vec<Diagnostic>> {
    check(
        text,
        &Environment { shipped: SHIPPED, directory, variable: &|_| Err(std::env::VarError::NotPresent) },
    )
}

/// The result of a good document, without warnings.
#[track_caller]
fn accept(text: &str) -> Checked {
    match check_in(FilePath::new("/folder"), text) {
        Ok((checked, warnings)) if warnings.is_empty() => checked,
        Ok((_, diagnostics)) | Err(diagnostics) => panic!("{}", show(&diagnostics)),
    }
}

/// What is said of a bad document.
#[track_caller]
fn refuse(text: &str) -> String {
    show(&check_in(FilePath::new("/folder"), text).expect_err("the document is bad"))
}

/// The JSON pointers of a value and of all values in it.
fn pointers(value: &Value) -> Vec<String> {
    fn visit(value: &Value, at: &Path<'_>, found: &mut Vec<String>) {
        found.push(at.pointer());
        match value {
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(index, item)| visit(item, &at.item(index), found));
            }
            Value::Object(fields) => {
                fields.iter().for_each(|(name, field)| visit(field, &at.field(name), found));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut found = Vec::new();
    visit(value, &Path::ROOT, &mut found);
    found
}

fn show(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(Diagnostic::to_string).collect::<Vec<_>>().join("\n")
}
