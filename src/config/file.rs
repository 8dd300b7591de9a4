//! Files that a document names and that the check reads.

use std::fs::{self, File};
use std::io::{Error, Read, Result};
use std::path::Path;

/// Secrets, keys and pages are smaller.
const LARGEST: u64 = 1 << 20;

/// Reads a file of UTF-8 text.
pub(super) fn read(path: &Path) -> Result<String> {
    let mut content = String::new();
    open(path)?.read_to_string(&mut content)?;
    check_size(content.len())?;
    Ok(content)
}

/// Reads a file of any bytes.
pub(super) fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    open(path)?.read_to_end(&mut content)?;
    check_size(content.len())?;
    Ok(content)
}

/// Pipes and devices are refused, since they may never end.
fn open(path: &Path) -> Result<impl Read> {
    if !fs::metadata(path)?.is_file() {
        return Err(Error::other("it is not a file"));
    }
    Ok(File::open(path)?.take(LARGEST + 1))
}

fn check_size(bytes: usize) -> Result<()> {
    if bytes as u64 > LARGEST {
        return Err(Error::other("it is larger than 1 MiB"));
    }
    Ok(())
}
