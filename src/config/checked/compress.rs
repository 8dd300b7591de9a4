//! Compressing responses.

use crate::base::units::ByteSize;
pub use crate::config::document::Coding;

/// Which responses are compressed, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compress {
    /// What may be used, the preferred one first.
    pub codings: Vec<Coding>,
    /// Media types without parameters, with at most one `*` for anything.
    pub types: Vec<String>,
    /// Responses that are known to be shorter stay as they are.
    pub minimum_size: ByteSize,
    /// How much time is spent on it.
    pub levels: Levels,
}

/// As the codings number them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as in header fields")]
pub struct Levels {
    pub br: u32,
    pub zstd: u32,
    pub gzip: u32,
}
