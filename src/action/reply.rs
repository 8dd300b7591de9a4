//! Responses that stand in the document.

use std::fmt;

use bytes::Bytes;
use http::{HeaderName, StatusCode};

use super::FieldValue;

/// An answer instead of a backend's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// 200 to 599.
    pub status: StatusCode,
    /// The rest of it.
    pub content: Content,
}

/// A body and the fields that go with it, `content-type` among them where there is a body.
#[derive(Clone, PartialEq, Eq)]
pub struct Content {
    /// Fields.
    pub headers: Box<[(HeaderName, FieldValue)]>,
    /// The same for every request.
    pub body: Bytes,
}

/// It may hold what must not be shown.
impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content")
            .field("headers", &self.headers)
            .field("body", &format_args!("{} bytes", self.body.len()))
            .finish()
    }
}

/// The media type of a file, by the end of its name.
pub fn content_type(name: &str) -> &'static str {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension).to_ascii_lowercase();
    match extension.as_str() {
        "html" | "htm" => "text/html; charset=utf-8",
        "txt" => "text/plain; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "csv" => "text/csv; charset=utf-8",
        "md" => "text/markdown; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "xml" => "application/xml",
        "pdf" => "application/pdf",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_the_type_of_their_name() {
        for (name, expected) in [
            ("index.html", "text/html; charset=utf-8"),
            ("a.b/ROBOTS.TXT", "text/plain; charset=utf-8"),
            ("x.tar.json", "application/json"),
            ("favicon.ico", "image/x-icon"),
            ("README", "application/octet-stream"),
            ("a.unknown", "application/octet-stream"),
        ] {
            assert_eq!(content_type(name), expected, "{name}");
        }
    }
}
