//! The document: from text to values that the rest of the gateway can trust.
//!
//! A document goes through these stages, and each reports all that it finds before the next begins:
//!
//! 1. `read`: bytes to a JSON value; only here the first error is the last.
//! 2. `reference`: `$env:` and `$file:` become what they stand for.
//! 3. `shape`: what the JSON Schema refuses is reported and taken out, so that the rest can be read on.
//! 4. `document`: the value becomes the document as it is written, typed.
//! 5. `semantics`: the document becomes a [`Checked`] one.
//!
//! The check looks at nothing but the document, the environment that it is given, and the files that `$file:`, `ssl`,
//! key sets and replies name. Whether an address is free or a plugin loads is found out by those who open and load, and said in the same
//! form: a [`Problem`] at a JSON pointer, that [`locate()`] puts into the text.

use std::env::VarError;
use std::path::Path as FilePath;

use serde::Deserialize;
use serde_json::Value;

mod checked;
mod diagnostic;
mod difference;
mod document;
pub mod edit;
mod file;
mod locate;
mod path;
mod read;
mod reference;
mod report;
mod schema;
mod semantics;
mod shape;
mod syntax;
mod wording;

#[cfg(test)]
mod tests;

pub use checked::*;
pub use diagnostic::{Diagnostic, Problem, Severity};
pub use difference::{Change, Difference, Differences, redact};
pub use locate::locate;
pub use read::text;
pub use schema::schema;

use document::Document;
use report::Report;

/// What a document may refer to.
#[derive(Clone, Copy)]
pub struct Environment<'e> {
    /// The names of the plugins in the gateway's binary.
    pub shipped: &'e [&'e str],
    /// The folder of the document, as an absolute path. The document's paths begin here.
    pub directory: &'e FilePath,
    /// Reads an environment variable, as [`std::env::var`] does.
    pub variable: &'e dyn Fn(&str) -> Result<String, VarError>,
}

/// Checks the text of a document. A good one may come with warnings; of a bad one every error is given, in the order of
/// the text, though no more than a person can use.
pub fn check(
    text: &str,
    environment: &Environment<'_>,
) -> Result<(Checked, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut report = Report::default();
    let mut value = read::value(text, &mut report).map_err(|error| vec![error])?;
    let secrets = reference::resolve(&mut value, environment, &mut report);
    shape::check(&mut value, &mut report);
    let document = typed(value, &secrets, &mut report);
    let checked = semantics::check(&document, environment, secrets, &mut report);
    report.finish(text).map(|warnings| (checked, warnings))
}

/// What has the shape of the schema has the type too. If the two should differ in some corner, it is an error like any
/// other.
fn typed(value: Value, secrets: &Secrets, report: &mut Report) -> Document {
    Option::deserialize(value).map(Option::unwrap_or_default).unwrap_or_else(|error| {
        report.error("", secrets.redact(&format!("the document cannot be read: {error}")));
        report.add_pruned(String::new());
        Document::default()
    })
}
