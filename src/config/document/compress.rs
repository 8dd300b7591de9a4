//! Compressing responses.

use schemars::JsonSchema;
use serde::Deserialize;

use super::SizeText;

/// Compresses responses for clients that accept it (`Accept-Encoding`), as they pass. Left as they are: what is encoded
/// already, part of something (206), gRPC, tunnels, and what says `Cache-Control: no-transform`. Bodies of requests are
/// never decompressed. What is not said in a rule is as in `compress` of `http`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Compress {
    /// `false` switches it off. Default: true wherever `compress` is written.
    #[schemars(extend("default" = true))]
    pub enabled: Option<bool>,
    /// What may be used, and which of several that a client likes alike. Default: `["zstd", "br", "gzip"]`.
    #[schemars(length(min = 1), extend("default" = ["zstd", "br", "gzip"]))]
    pub codings: Option<Vec<Option<Coding>>>,
    /// The media types that are worth it, with at most one `*` for anything behind the `/`. Default: text, and what else is
    /// known to become smaller: `["text/*", "application/json", "application/*+json", "application/javascript",
    /// "application/xml", "application/*+xml", "application/wasm", "image/svg+xml", ...]`.
    #[schemars(length(min = 1))]
    pub types: Option<Vec<Option<String>>>,
    /// Responses that are known to be shorter stay as they are, `0B` to `1GiB`. Default: `1KiB`.
    #[schemars(extend("default" = "1KiB"))]
    pub minimum_size: Option<SizeText>,
    /// How much time to spend on it. Default: `default`.
    #[schemars(extend("default" = "default"))]
    pub level: Option<Level>,
    /// The same by the numbers of each coding, where they are to differ from what `level` stands for.
    pub levels: Option<Levels>,
}

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Coding {
    /// Brotli (RFC 7932).
    Br,
    /// Zstandard (RFC 8878).
    Zstd,
    /// What every client has understood for decades.
    Gzip,
}

/// How much time to spend on making a body small.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Level {
    /// As little as possible: `br` 1, `zstd` 1, `gzip` 1.
    Fast,
    /// What a client does not notice: `br` 4, `zstd` 3, `gzip` 6.
    #[default]
    Default,
    /// As much as a client may be made to wait for: `br` 6, `zstd` 7, `gzip` 9.
    Best,
}

/// Levels as the codings number them. Higher ones than these are for files that are compressed once and kept.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Levels {
    /// 0 to 8.
    #[schemars(range(min = 0, max = 8))]
    pub br: Option<u32>,
    /// 1 to 9.
    #[schemars(range(min = 1, max = 9))]
    pub zstd: Option<u32>,
    /// 1 to 9.
    #[schemars(range(min = 1, max = 9))]
    pub gzip: Option<u32>,
}
