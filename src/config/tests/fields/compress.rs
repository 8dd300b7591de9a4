//! The fields of compression.

use super::{Case, case};

#[rustfmt::skip]
pub(super) const CASES: [Case; 11] = [
    case("Http.compress", "/http/compress", "{}", "true",
        "expected an object, found `true`"),
    case("Rule.compress", "/routes/~1game~1*/0/compress", r#"{"enabled": false}"#, "false",
        "expected an object, found `false`"),
    case("Compress.enabled", "/http/compress/enabled", "false", "1",
        "expected `true` or `false`, found `1`"),
    case("Compress.codings", "/http/compress/codings", r#"["gzip"]"#, r#"["deflate"]"#,
        "expected `br`, `zstd` or `gzip`, found `deflate`"),
    case("Compress.types", "/http/compress/types", r#"["text/*", "application/*+json", "Text/HTML"]"#, r#"["*/*"]"#,
        "expected a media type such as `text/html`, `text/*` or `application/*+json`, found `*/*`"),
    case("Compress.minimum_size", "/http/compress/minimum_size", "0", r#""2GiB""#,
        "expected `0B` to `1GiB`, found `2GiB`"),
    case("Compress.level", "/http/compress/level", r#""fast""#, r#""fastest""#,
        "expected `fast`, `default` or `best`, found `fastest`"),
    case("Compress.levels", "/http/compress/levels", "{}", "5",
        "expected an object, found `5`"),
    case("Levels.br", "/http/compress/levels/br", "8", "9",
        "expected 0 to 8, found `9`"),
    case("Levels.zstd", "/http/compress/levels/zstd", "9", "10",
        "expected 1 to 9, found `10`"),
    case("Levels.gzip", "/http/compress/levels/gzip", "1", "0",
        "expected 1 to 9, found `0`"),
];
