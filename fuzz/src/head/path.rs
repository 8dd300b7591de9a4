//! The one spelling of a path that routes match and backends are sent.

use std::borrow::Cow;

use cloud_cup::route::path;

/// Compares a path with the one that it was made of: it has no other spelling, and means the same.
pub(super) fn check(path: &str, asked: &str) {
    assert_eq!(path::normalise(path), Ok(Cow::Borrowed(path)));
    assert!(path.starts_with('/') && !path.contains("//"), "{path:?}");
    assert!(!path.split('/').any(|segment| matches!(segment, "." | "..")), "{path:?}");
    for escape in path.split('%').skip(1) {
        let (digits, byte) = (&escape[..2], unescape(escape.as_bytes()));
        assert_eq!(digits, digits.to_ascii_uppercase());
        let needs_none = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        assert!(!needs_none && !b"/\\\0".contains(&byte), "{path:?}");
    }
    let kept: Vec<_> = path.split('/').skip(1).map(decode).collect();
    assert_eq!(kept, meant(asked), "{asked:?} became {path:?}");
}

/// The decoded segments that are left of a path after those that lead nowhere (RFC 3986, section 5.2.4) and empty ones.
fn meant(path: &str) -> Vec<Vec<u8>> {
    let mut segments = Vec::new();
    let mut is_folder = false;
    for segment in path.split('/').skip(1).map(decode) {
        is_folder = matches!(&*segment, b"" | b"." | b"..");
        if segment == b".." {
            segments.pop().expect("it does not climb above the root");
        }
        if !is_folder {
            segments.push(segment);
        }
    }
    if is_folder {
        segments.push(Vec::new());
    }
    segments
}

fn decode(segment: &str) -> Vec<u8> {
    let mut parts = segment.split('%');
    let mut decoded = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        decoded.push(unescape(part.as_bytes()));
        decoded.extend(&part.as_bytes()[2..]);
    }
    decoded
}

/// The byte that two digits stand for.
fn unescape(digits: &[u8]) -> u8 {
    let digits = digits.get(..2).and_then(|digits| str::from_utf8(digits).ok());
    digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).expect("an escape has two digits")
}
