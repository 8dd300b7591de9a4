//! The file of one revision.
//!
//! ```json
//! {"format":1,"revision":{"number":42,…},"checksum":"9f86…","document":"…"}
//! ```
//!
//! The hash in the revision covers the document and the checksum the revision as it is written, so every byte is covered
//! and a later version may add fields to it.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::{LARGEST_DOCUMENT, LARGEST_NOTE, Revision};
use crate::base::files::read_bounded;

const FORMAT: u32 = 1;

/// A byte takes six at most, `\u0000`.
pub(super) const LARGEST: u64 = 6 * (LARGEST_DOCUMENT + 4 * LARGEST_NOTE) as u64;

#[derive(Serialize)]
struct Written<'a> {
    format: u32,
    revision: &'a RawValue,
    checksum: String,
    document: &'a str,
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

#[derive(Deserialize)]
struct Found<'a> {
    #[serde(borrow)]
    revision: &'a RawValue,
    checksum: String,
    document: String,
}

/// Why a file gives no revision.
#[derive(Debug)]
pub(super) enum Unusable {
    /// It is not what was written, and never will be.
    Broken(String),
    /// It may be good, but not now or not for this version.
    Unreadable(String),
}

impl Unusable {
    pub(super) fn reason(&self) -> &str {
        match self {
            Self::Broken(reason) | Self::Unreadable(reason) => reason,
        }
    }
}

/// The SHA-256 of a document's bytes, as lower-case hexadecimal digits.
pub fn hash(document: &str) -> String {
    hexadecimal(document.as_bytes())
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes the whole record, without waiting for the disk.
pub(super) fn write(file: &File, revision: &Revision, document: &str) -> io::Result<()> {
    let revision = to_raw_value(revision)?;
    let checksum = hash(revision.get());
    let mut file = BufWriter::new(file);
    serde_json::to_writer(&mut file, &Written { format: FORMAT, revision: &revision, checksum, document })?;
    file.flush()
}

/// Reads and checks the record of a revision.
pub(super) fn read(path: &Path, number: u64) -> Result<(Revision, String), Unusable> {
    let bytes = read_bounded(path, LARGEST).map_err(|error| match error.raw_os_error() {
        Some(_) => Unusable::Unreadable(error.to_string()),
        None => Unusable::Broken(error.to_string()),
    })?;
    parse(&bytes, number)
}

pub(super) fn parse(bytes: &[u8], number: u64) -> Result<(Revision, String), Unusable> {
    let torn = |error| Unusable::Broken(format!("it is not a record of a revision: {error}"));
    let Format { format } = serde_json::from_slice(bytes).map_err(torn)?;
    if format != FORMAT {
        let reason = format!("it has format {format}, and this version of the gateway reads format {FORMAT}");
        return Err(Unusable::Unreadable(reason));
    }
    let found: Found = serde_json::from_slice(bytes).map_err(torn)?;
    let altered = |what| Err(Unusable::Broken(format!("{what} is not what was written")));
    if hash(found.revision.get()) != found.checksum {
        return altered("what it says about the revision");
    }
    let revision: Revision = serde_json::from_str(found.revision.get()).map_err(torn)?;
    if revision.hash != hash(&found.document) {
        return altered("the document");
    }
    if revision.number != number {
        return Err(Unusable::Broken(format!("it is the record of revision {}", revision.number)));
    }
    Ok((revision, found.document))
}
