//! Files that a document names and that the check reads.

use std::fs::{self, File};
use std::io::{Error, Read, Result};
use std::path::Path;

/// Secrets and certificates are smaller.
const LARGEST: u64 = 1 << 20;

/// Reads a file of UTF-8 text. Pipes and devices are refused, since they may never end.
pub(super) fn read(path: &Path) -> Result<String> {
    if !fs::metadata(path)?.is_file() {
        return Err(Error::other("it is not a file"));
    }
    let mut content = String::new();
    File::open(path)?.take(LARGEST + 1).read_to_string(&mut content)?;
    if content.len() as u64 > LARGEST {
        return Err(Error::other("it is larger than 1 MiB"));
    }
    Ok(content)
}
