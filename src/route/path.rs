//! Path safety: every request path is brought to one spelling before it is matched, and that spelling is what the
//! gateway forwards. The backend sees the path that was matched, so a plugin on `/admin/*` cannot be walked around by
//! spelling `/admin` another way.
//!
//! The rule, in the order in which it is applied to each segment of the path:
//!
//! 1. An escape of an unreserved character is decoded (`%61` is `a`), the hexadecimal digits of every other escape
//!    become upper case (RFC 3986 sections 6.2.2.1 and 6.2.2.2). `[`, `]`, `^` and `|`, which RFC 3986 section 3.3
//!    does not allow in a path but browsers send, become escapes.
//! 2. Refused, because backends disagree about them: an escaped slash, backslash or control character (`%2F`, `%5C`,
//!    `%00`), a broken escape (`%zz`), every other byte that section 3.3 does not allow (a backslash, a space, raw
//!    non-ASCII), escapes that do not decode to UTF-8, and a segment that would be a dot segment, or empty and not the
//!    last, without its parameters (`/..;x/`, `/;x/`).
//! 3. Repeated slashes become one, as in nginx: most backends merge them.
//! 4. Dot segments are removed, however they were escaped (section 5.2.4). Unlike section 5.2.4, a path that climbs
//!    above the root is refused, since no honest client sends it.
//!
//! An empty path is `/` (section 6.2.3). Normalising a normalised path changes nothing.
//!
//! Two spellings are forwarded as they came, since they can mean different things to a backend (sections 2.2 and 3.3),
//! but match the same, since they need not: a delimiter and its escape (`+` and `%2B`), and a segment with and without
//! parameters (`/admin;x/` is below `/admin/*`).
//!
//! Not covered: a double escape (`%252e`) denotes the text `%2e` and stays as it is. A backend that decodes twice sees
//! another path than the one that was matched.

use std::borrow::Cow;

/// Why a path was refused. A client gets 400 for its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each is described by its message")]
pub enum PathError {
    #[error("path does not start with `/`")]
    NotAbsolute,
    #[error("`%` is not followed by two hexadecimal digits")]
    BrokenEscape,
    #[error("escape `%{0:02X}` is not allowed in a path")]
    ForbiddenEscape(u8),
    #[error("byte `0x{0:02X}` is not allowed in a path")]
    ForbiddenByte(u8),
    #[error("escapes do not decode to UTF-8")]
    NotUtf8,
    #[error("an empty segment or a dot segment has parameters")]
    DisguisedSegment,
    #[error("path climbs above the root")]
    AboveRoot,
    #[error("path has a dot segment")]
    DotSegment,
}

/// Brings the path of a request target, without its query, to its one spelling. Borrowed when nothing changed.
pub fn normalise(raw: &str) -> Result<Cow<'_, str>, PathError> {
    if is_plain(raw) {
        return Ok(Cow::Borrowed(raw));
    }
    if raw.is_empty() {
        return Ok(Cow::Borrowed("/"));
    }
    let path = normalise_segments(raw.strip_prefix('/').ok_or(PathError::NotAbsolute)?)?;
    Ok(if path == raw { Cow::Borrowed(raw) } else { Cow::Owned(path) })
}

/// The same for a path that the gateway has put together itself. Its parts had no dot segments, so that one which they
/// make together is refused: `/files` by `/data/` would lead `/files../x` out of `/data`.
pub fn normalise_rewritten(raw: &str) -> Result<Cow<'_, str>, PathError> {
    if !is_plain(raw) {
        for segment in raw.split('/') {
            if matches!(&*normalise_segment(segment)?, "." | "..") {
                return Err(PathError::DotSegment);
            }
        }
    }
    normalise(raw)
}

/// The path of nearly every request: one pass proves that there is nothing to do.
fn is_plain(raw: &str) -> bool {
    let mut previous = 0;
    for &byte in raw.as_bytes() {
        let starts_odd_segment = previous == b'/' && matches!(byte, b'/' | b'.' | b';');
        if !is_plain_byte(byte) || starts_odd_segment {
            return false;
        }
        previous = byte;
    }
    raw.starts_with('/')
}

fn normalise_segments(relative: &str) -> Result<String, PathError> {
    let mut path = String::with_capacity(relative.len() + 1);
    let mut ends_with_slash = false;
    for raw in relative.split('/') {
        let start = path.len();
        path.push('/');
        push_segment(&mut path, raw)?;
        let segment = &path[start + 1..];
        ends_with_slash = matches!(segment, "" | "." | "..");
        let climbs = segment == "..";
        if ends_with_slash {
            path.truncate(start);
        }
        if climbs {
            path.truncate(path.rfind('/').ok_or(PathError::AboveRoot)?);
        }
    }
    if ends_with_slash {
        path.push('/');
    }
    match path.find("/;") {
        Some(slash) if path[slash + 1..].contains('/') => Err(PathError::DisguisedSegment),
        _ => Ok(path),
    }
}

/// One segment by rules 1 and 2. A pattern's segments pass through here too, so that what is written matches what
/// comes in.
pub(super) fn normalise_segment(raw: &str) -> Result<String, PathError> {
    let mut segment = String::with_capacity(raw.len());
    push_segment(&mut segment, raw)?;
    Ok(segment)
}

fn push_segment(path: &mut String, raw: &str) -> Result<(), PathError> {
    let start = path.len();
    for unit in units(raw) {
        match unit? {
            Unit::Escaped(byte @ (b'/' | b'\\' | 0x00..0x20 | 0x7F)) => {
                return Err(PathError::ForbiddenEscape(byte));
            }
            Unit::Escaped(byte) if is_unreserved(byte) => path.push(char::from(byte)),
            Unit::Escaped(byte) => push_escape(path, byte),
            Unit::Plain(byte @ (b'[' | b']' | b'^' | b'|')) => push_escape(path, byte),
            Unit::Plain(byte) if is_plain_byte(byte) => path.push(char::from(byte)),
            Unit::Plain(byte) => return Err(PathError::ForbiddenByte(byte)),
        }
    }
    check_segment(&path[start..])
}

/// What can be seen only in a whole segment: that its escapes are UTF-8, and that it does not hide a dot segment.
fn check_segment(segment: &str) -> Result<(), PathError> {
    let name = segment.split(';').next().and_then(|name| name.split("%3B").next());
    if matches!(name, Some("." | "..")) && name != Some(segment) {
        return Err(PathError::DisguisedSegment);
    }
    if !segment.contains('%') {
        return Ok(());
    }
    let decoded: Vec<u8> = units(segment).map_while(Result::ok).map(Unit::byte).collect();
    std::str::from_utf8(&decoded).map(drop).map_err(|_| PathError::NotUtf8)
}

/// The form in which segments are compared: without parameters, and with every delimiter decoded but `;`, which would
/// start parameters. `segment` is normalised. The form of a form is the form itself.
pub(super) fn matching_form(segment: &str) -> Cow<'_, str> {
    if !segment.contains([';', '%']) {
        return Cow::Borrowed(segment);
    }
    let mut form = String::with_capacity(segment.len());
    for unit in units(segment).map_while(Result::ok) {
        match unit {
            Unit::Plain(b';') => break,
            Unit::Plain(byte) => form.push(char::from(byte)),
            Unit::Escaped(byte) if is_delimiter(byte) && byte != b';' => form.push(char::from(byte)),
            Unit::Escaped(byte) => push_escape(&mut form, byte),
        }
    }
    Cow::Owned(form)
}

/// What a path is made of: bytes as they stand, and escapes by the byte that they denote.
#[derive(Clone, Copy)]
enum Unit {
    Plain(u8),
    Escaped(u8),
}

impl Unit {
    fn byte(self) -> u8 {
        match self {
            Unit::Plain(byte) | Unit::Escaped(byte) => byte,
        }
    }
}

fn units(text: &str) -> impl Iterator<Item = Result<Unit, PathError>> {
    let mut bytes = text.bytes();
    std::iter::from_fn(move || match bytes.next()? {
        b'%' => Some(escaped(bytes.next(), bytes.next())),
        byte => Some(Ok(Unit::Plain(byte))),
    })
}

fn escaped(high: Option<u8>, low: Option<u8>) -> Result<Unit, PathError> {
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    let (Some(high), Some(low)) = (digit(high), digit(low)) else {
        return Err(PathError::BrokenEscape);
    };
    Ok(Unit::Escaped((high * 16 + low) as u8))
}

fn push_escape(path: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    path.push('%');
    path.push(char::from(DIGITS[usize::from(byte >> 4)]));
    path.push(char::from(DIGITS[usize::from(byte & 0xF)]));
}

/// `unreserved` of RFC 3986 section 2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// What stands in a normalised path as itself: `pchar` of RFC 3986 section 3.3 without escapes, and the slash.
const fn is_plain_byte(byte: u8) -> bool {
    const PLAIN: [bool; 256] = {
        let mut plain = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            plain[byte] = is_unreserved(byte as u8) || is_delimiter(byte as u8) || byte == b'/' as usize;
            byte += 1;
        }
        plain
    };
    PLAIN[byte as usize]
}

/// `sub-delims` of RFC 3986 section 2.2, and the two other delimiters that a segment may hold.
const fn is_delimiter(byte: u8) -> bool {
    matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@')
}

#[cfg(test)]
mod tests;
