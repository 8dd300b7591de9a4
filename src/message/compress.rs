//! Compressing responses on their way to the client: whether, by which coding, and what that changes in the header.
//! [`encoder`] does the work.

use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

pub mod accept;
pub mod encoder;

/// What can be told of a representation only as long as its bytes stay the same.
const OF_THE_BYTES: [HeaderName; 6] = [
    CONTENT_LENGTH,
    ACCEPT_RANGES,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

/// A content coding of RFC 9110, section 8.4.1, RFC 7932 and RFC 8878.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coding {
    /// What every client has understood for decades.
    Gzip,
    /// The smallest for text.
    Brotli,
    /// The fastest.
    Zstd,
}

/// What the document says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The codings that may be used. The first is preferred where the client has no preference.
    pub codings: Vec<Coding>,
    /// Media types that are worth it, without parameters: `text/html`, or with one `*` for anything, `text/*` and
    /// `application/*+json`.
    pub types: Vec<String>,
    /// Shorter responses stay as they are, in bytes, where the length is known beforehand.
    pub minimum_size: u64,
}

/// How much time is spent on each coding, as it numbers that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as the codings are")]
pub struct Levels {
    pub gzip: u32,
    pub brotli: u32,
    pub zstd: u32,
}

/// What becomes of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Nothing: it would be the same for every client.
    Leave,
    /// Its body stays as it is, but only for this client; caches must know.
    Vary,
    /// Its body is encoded.
    Encode(Coding),
}

impl Coding {
    /// Its name in header fields.
    pub fn token(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }
}

impl Levels {
    /// That of a coding.
    pub fn of(self, coding: Coding) -> u32 {
        match coding {
            Coding::Gzip => self.gzip,
            Coding::Brotli => self.brotli,
            Coding::Zstd => self.zstd,
        }
    }
}

/// What should become of a response to this request. `length` is that of its body where it is known; a response that
/// describes another one's body, as one to HEAD does, says so in its header.
pub fn decide(
    method: &Method,
    request: &HeaderMap,
    status: StatusCode,
    response: &HeaderMap,
    length: Option<u64>,
    settings: &Settings,
) -> Decision {
    if !is_compressible(method, request, status, response, length, settings) {
        return Decision::Leave;
    }
    // The answer to HEAD describes the one to GET, but has no body that could be encoded.
    if method == Method::HEAD {
        return Decision::Vary;
    }
    let fields = request.get_all(ACCEPT_ENCODING).iter().map(HeaderValue::as_bytes);
    accept::negotiate(fields, &settings.codings).map_or(Decision::Vary, Decision::Encode)
}

impl Decision {
    /// Changes a response's header to what was decided.
    pub fn apply(self, response: &mut HeaderMap) {
        if self != Self::Leave && !lists(response, &VARY, "*") && !lists(response, &VARY, "accept-encoding") {
            response.append(VARY, HeaderValue::from_static("accept-encoding"));
        }
        if let Self::Encode(coding) = self {
            response.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.token()));
            OF_THE_BYTES.iter().for_each(|name| _ = response.remove(name));
            weaken(response);
        }
    }
}

/// Whether the response may be compressed for a client that wants it.
fn is_compressible(
    method: &Method,
    request: &HeaderMap,
    status: StatusCode,
    response: &HeaderMap,
    body_length: Option<u64>,
    settings: &Settings,
) -> bool {
    let length = length(response).or(body_length);
    // After a CONNECT there follows no body but a tunnel.
    method != Method::CONNECT
        && has_whole_body(status)
        && !response.contains_key(CONTENT_ENCODING)
        // RFC 9111, sections 5.2.1.6 and 5.2.2.6.
        && !lists(request, &CACHE_CONTROL, "no-transform")
        && !lists(response, &CACHE_CONTROL, "no-transform")
        && length.is_none_or(|length| length > 0 && length >= settings.minimum_size)
        && response.get(CONTENT_TYPE).is_some_and(|value| is_listed(essence(value), &settings.types))
}

fn has_whole_body(status: StatusCode) -> bool {
    let has_none_or_part = [
        StatusCode::NO_CONTENT,
        StatusCode::RESET_CONTENT,
        StatusCode::PARTIAL_CONTENT,
        StatusCode::NOT_MODIFIED,
    ];
    !status.is_informational() && !has_none_or_part.contains(&status)
}

fn length(response: &HeaderMap) -> Option<u64> {
    response.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A media type without its parameters.
fn essence(content_type: &HeaderValue) -> &[u8] {
    content_type.as_bytes().split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii()
}

/// gRPC, and gRPC-Web, compress their messages by themselves where they want to, and say so by fields of their own.
fn is_listed(essence: &[u8], types: &[String]) -> bool {
    !is_like(essence, "application/grpc", "")
        && types.iter().any(|listed| match listed.split_once('*') {
            Some((start, end)) => is_like(essence, start, end),
            None => essence.eq_ignore_ascii_case(listed.as_bytes()),
        })
}

fn is_like(essence: &[u8], start: &str, end: &str) -> bool {
    let Some(rest) = essence.len().checked_sub(end.len()).filter(|rest| *rest >= start.len()) else {
        return false;
    };
    essence[..start.len()].eq_ignore_ascii_case(start.as_bytes())
        && essence[rest..].eq_ignore_ascii_case(end.as_bytes())
}

/// Whether a field, which is a list, has this member, without an argument.
fn lists(headers: &HeaderMap, name: &HeaderName, member: &str) -> bool {
    let mut members =
        headers.get_all(name).iter().flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    members.any(|one| one.trim_ascii().eq_ignore_ascii_case(member.as_bytes()))
}

/// Other bytes, the same meaning: RFC 9110, section 8.8.1. A backend still recognises it in `if-none-match`, which it
/// has to compare weakly.
fn weaken(response: &mut HeaderMap) {
    let Some(strong) = response.get(ETAG).filter(|tag| !tag.as_bytes().starts_with(b"W/")) else { return };
    match HeaderValue::from_bytes(&[b"W/", strong.as_bytes()].concat()) {
        Ok(weak) => _ = response.insert(ETAG, weak),
        Err(_) => _ = response.remove(ETAG),
    }
}

#[cfg(test)]
mod tests;
