//! Reading and checking the document.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{env, fs};

use thiserror::Error;

use crate::base::files::read_bounded;
use crate::config::{self, Checked, Diagnostic, Environment, Problem};
use crate::plugin::shipped;

/// Bytes of a document.
const LARGEST_DOCUMENT: u64 = 64 << 20;

/// A document that passed its check.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// As it stands in the file.
    pub text: Arc<str>,
    /// What it says.
    pub checked: Arc<Checked>,
    /// What its author may have meant otherwise.
    pub warnings: Vec<Diagnostic>,
}

/// Why there is no document.
#[derive(Debug, Error)]
pub enum SourceError {
    /// The file cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// The document is wrong, in all these places.
    #[error("the document is rejected")]
    Rejected(Vec<Diagnostic>),
}

/// Reads and checks a document. Blocks.
pub fn load(path: &Path) -> Result<Loaded, SourceError> {
    check(&read(path)?, path)
}

/// Reads a document. Blocks.
pub(super) fn read(path: &Path) -> Result<String, SourceError> {
    let bytes = read_bounded(path, LARGEST_DOCUMENT).map_err(|error| unreadable(path, &error))?;
    let text = config::text(&bytes).map_err(|error| SourceError::Rejected(vec![error]))?;
    Ok(text.to_owned())
}

/// Checks a document that stands, or could stand, in this file. Blocks.
pub fn check(text: &str, path: &Path) -> Result<Loaded, SourceError> {
    let folder = folder(path).map_err(|error| unreadable(path, &error))?;
    let names = shipped::names();
    let environment = Environment { shipped: &names, directory: &folder, variable: &|name| env::var(name) };
    let (checked, warnings) = config::check(text, &environment).map_err(SourceError::Rejected)?;
    Ok(Loaded { text: text.into(), checked: Arc::new(checked), warnings })
}

/// Where the document's paths begin: the folder of the file, or of what it links to. It may be missing by now.
fn folder(path: &Path) -> std::io::Result<PathBuf> {
    let place = match fs::canonicalize(path) {
        Ok(path) => path,
        Err(_) => std::path::absolute(path)?,
    };
    fs::canonicalize(place.parent().unwrap_or(Path::new("/")))
}

fn unreadable(path: &Path, error: &std::io::Error) -> SourceError {
    SourceError::Unreadable(format!("cannot read the document {}: {error}", path.display()))
}

impl Loaded {
    /// What was found wrong with it later.
    pub fn reject(&self, problems: &[Problem]) -> SourceError {
        SourceError::Rejected(config::locate(&self.text, problems.to_vec()))
    }
}
