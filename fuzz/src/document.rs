//! The document, from its bytes to what the gateway is built of.

use std::env::VarError;
use std::path::Path;

use cloud_cup::config::{self, Diagnostic, Environment, Severity};

/// What every variable stands for.
const SECRET: &str = "pa55-w0rd";

/// Takes the input for a document.
///
/// It is accepted with warnings or refused with errors, the same ones each time. Each is at a place that the text has, and
/// none shows what a reference stood for. What the schema lets through can be read.
pub fn check(input: &[u8]) {
    let text = match config::text(input) {
        Ok(text) => text,
        Err(error) => return check_place(&String::from_utf8_lossy(input), &error),
    };
    let outcome = config::check(text, &environment());
    assert!(outcome == config::check(text, &environment()), "the second check comes to something else");
    let (diagnostics, severity) = match &outcome {
        Ok((_, warnings)) => (warnings, Severity::Warning),
        Err(errors) => (errors, Severity::Error),
    };
    assert!(outcome.is_ok() || !diagnostics.is_empty(), "refused without a reason");
    for diagnostic in diagnostics {
        assert_eq!(diagnostic.severity, severity, "{diagnostic}");
        check_place(text, diagnostic);
        let shown = diagnostic.to_string();
        assert!(!shown.contains(SECRET) || text.contains(SECRET), "a secret is shown: {shown}");
        // Where it begins like this: names in the document may be anything, these words too.
        let is_of_types = diagnostic.message.starts_with("the document cannot be read");
        assert!(!is_of_types, "schema and types differ: {shown}");
    }
}

fn environment() -> Environment<'static> {
    let variable = &|name: &str| match name {
        "NONE" => Err(VarError::NotPresent),
        _ => Ok(SECRET.to_owned()),
    };
    Environment {
        shipped: &["headers", "jwt-auth", "rate-limit"],
        directory: Path::new("/nowhere"),
        variable,
    }
}

/// A diagnostic is at a character of the text or right behind its line, and at a value by a JSON pointer.
fn check_place(text: &str, diagnostic: &Diagnostic) {
    let line = diagnostic.line.checked_sub(1).and_then(|line| text.split('\n').nth(line));
    let columns = line.map(|line| 1..=line.chars().count() + 1);
    assert!(
        columns.is_some_and(|columns| columns.contains(&diagnostic.column)),
        "no such place: {diagnostic}"
    );
    let pointer = &diagnostic.pointer;
    assert!(pointer.is_empty() || pointer.starts_with('/'), "no such pointer: {diagnostic}");
    assert_eq!(diagnostic.message, diagnostic.message.trim(), "{diagnostic}");
}
