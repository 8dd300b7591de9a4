//! Secrets of the document. Permission: `secrets`, with the names that are granted.

use crate::bindings::cloudcup::filter::secrets as host;

/// The value. None where no secret of that name is granted. It belongs in no log, no metric and no error.
#[must_use]
pub fn get(name: &str) -> Option<String> {
    host::get(name)
}
