//! Reading the files that a document names.

use std::path::PathBuf;

use crate::base::files::{FileContent, read_bounded};
use crate::config::{Problem, Secrets};

/// Bytes of a file with certificates or a key. A bundle of all public authorities has a quarter of it.
const LARGEST: u64 = 1 << 20;

/// What a file holds; none where that is one of the problems. The file has its place in the document.
pub(super) fn read(
    (path, pointer): &(PathBuf, String),
    secrets: &Secrets,
    problems: &mut Vec<Problem>,
) -> Option<FileContent> {
    let content = read_bounded(path, LARGEST).map_err(|error| {
        let message = format!("cannot read `{}`: {error}", path.display());
        problems.push(Problem::error(pointer, secrets.redact(&message)));
    });
    content.ok().map(FileContent)
}
