//! Reading files that somebody else names.

use std::path::Path;
use std::{fs, io};

/// Reads a regular file of at most `limit` bytes: a pipe would block, and a device would never end.
pub fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    if metadata.len() > limit {
        return Err(io::Error::other(format!("it is larger than {limit} bytes")));
    }
    fs::read(path)
}
