//! Heads of requests and responses: from bytes to typed values (RFC 9112, sections 2 to 6).

mod fields;

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::header::{self, HeaderMap};
use http::{Method, StatusCode, Uri, Version};
use httparse::Header;
use thiserror::Error;

use super::Framing;
use crate::message::Upgrade;
pub use fields::FieldLines;
use fields::{Control, collect};

/// How large a head may be.
#[derive(Debug, Clone, Copy)]
pub struct HeadLimits {
    /// Bytes, from the first of the start line to the empty line.
    pub bytes: usize,
    /// Fields.
    pub fields: usize,
}

/// Why a head was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HeadError {
    /// It could be read in more than one way, or in none.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// More bytes than allowed.
    #[error("the head is larger than allowed")]
    TooLarge,
    /// More fields than allowed.
    #[error("the head has more fields than allowed")]
    TooManyFields,
    /// Not HTTP/1.0 or HTTP/1.1.
    #[error("the HTTP version is not supported")]
    Version,
    /// A transfer coding other than `chunked`.
    #[error("the transfer coding is not supported")]
    TransferCoding,
    /// An expectation other than `100-continue`.
    #[error("the expectation is not supported")]
    Expectation,
}

impl HeadError {
    /// The status that tells a client of it.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge | Self::TooManyFields => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::TransferCoding => StatusCode::NOT_IMPLEMENTED,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
        }
    }
}

/// A request's head. Hop-by-hop fields have been acted on and are no longer among the headers.
#[derive(Debug)]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// The target, in the form that the client wrote.
    pub uri: Uri,
    /// 1.0 or 1.1.
    pub version: Version,
    /// End-to-end fields, with `host`, without `content-length`.
    pub headers: HeaderMap,
    /// The body.
    pub framing: Framing,
    /// Whether the client will send another request.
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue`.
    pub expects_continue: bool,
    /// The protocol that the client would rather speak. Only requests without a body can ask for one.
    pub upgrade: Option<Upgrade>,
}

/// A response's head, as a backend sent it; hop-by-hop fields removed.
#[derive(Debug)]
pub(super) struct ResponseHead {
    pub status: StatusCode,
    /// Those that are not among `lines`.
    pub headers: HeaderMap,
    /// End-to-end fields as they came. Most responses pass through without anybody's looking at these.
    pub lines: FieldLines,
    pub framing: Framing,
    pub keep_alive: bool,
    /// The protocol that a response with 101 agrees on.
    pub upgrade: Option<Upgrade>,
}

/// Finds the end of the head at the front of `buffer`: the position behind the empty line. `scanned` remembers how far
/// earlier calls have looked.
pub(super) fn find_end(buffer: &[u8], scanned: &mut usize) -> Result<Option<usize>, HeadError> {
    while let Some(offset) = memchr::memchr(b'\n', &buffer[*scanned..]) {
        let line_feed = *scanned + offset;
        let line = &buffer[..line_feed];
        if !line.ends_with(b"\r") {
            return Err(HeadError::Malformed("a line ends without CR"));
        }
        *scanned = line_feed + 1;
        if line.ends_with(b"\r\n\r") {
            return Ok(Some(line_feed + 1));
        }
    }
    *scanned = buffer.len();
    Ok(None)
}

/// Parses a request's head, from its first byte to its empty line.
pub fn parse_request(head: &Bytes, limits: HeadLimits) -> Result<RequestHead, HeadError> {
    with_fields(limits.fields, |fields| {
        let mut request = httparse::Request::new(&mut []);
        let parsed =
            request.parse_with_uninit_headers(head, fields).map_err(|error| match parse_error(error) {
                HeadError::Version if !has_three_parts(head) => HeadError::Malformed("bad start line"),
                error => error,
            })?;
        if parsed.is_partial() {
            return Err(HeadError::Malformed("incomplete"));
        }
        let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version)
        else {
            return Err(HeadError::Malformed("incomplete"));
        };
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| HeadError::Malformed("bad method"))?;
        let uri = Uri::from_maybe_shared(head.slice_ref(target.as_bytes()))
            .map_err(|_| HeadError::Malformed("bad request target"))?;
        let version = version(minor)?;
        let control = Control::read(request.headers)?;
        if control.has_other_expectation {
            return Err(HeadError::Expectation);
        }
        let headers = collect(head, request.headers, &control)?;
        if control.hosts > 1 || (control.hosts == 0 && version == Version::HTTP_11) {
            return Err(HeadError::Malformed("not exactly one host field"));
        }
        let framing = match control.framing(version)? {
            Some(framing) => framing,
            None => Framing::Length(0),
        };
        Ok(RequestHead {
            method,
            uri,
            version,
            headers,
            framing,
            keep_alive: control.keep_alive(version),
            expects_continue: control.expects_continue && version == Version::HTTP_11,
            upgrade: control
                .upgrade(head, request.headers, version)
                .filter(|_| framing == Framing::Length(0)),
        })
    })
}

/// Parses a response's head. `to` is the request's method, which decides whether there is a body.
pub(super) fn parse_response(
    head: &Bytes,
    limits: HeadLimits,
    to: &Method,
) -> Result<ResponseHead, HeadError> {
    with_fields(limits.fields, |fields| {
        let mut response = httparse::Response::new(&mut []);
        let parsed = httparse::ParserConfig::default()
            .parse_response_with_uninit_headers(&mut response, head, fields)
            .map_err(parse_error)?;
        if parsed.is_partial() {
            return Err(HeadError::Malformed("incomplete"));
        }
        let (Some(code), Some(minor)) = (response.code, response.version) else {
            return Err(HeadError::Malformed("incomplete"));
        };
        let status = StatusCode::from_u16(code).map_err(|_| HeadError::Malformed("bad status"))?;
        let version = version(minor)?;
        let control = Control::read(response.headers)?;
        let (mut headers, lines) = if control.nominates {
            (collect(head, response.headers, &control)?, FieldLines::default())
        } else {
            (HeaderMap::new(), FieldLines::of(response.headers, head.len()))
        };
        let framing = control.framing(version)?;
        let bodiless = to == Method::HEAD || is_bodiless(status);
        // A length that describes what a GET would have had is information; elsewhere it is framing.
        if let Some(Framing::Length(length)) = framing
            && (to == Method::HEAD || status == StatusCode::NOT_MODIFIED)
        {
            headers.insert(header::CONTENT_LENGTH, length.into());
        }
        let framing = if bodiless { Framing::Length(0) } else { framing.unwrap_or(Framing::UntilClose) };
        let keep_alive = control.keep_alive(version) && framing != Framing::UntilClose;
        let upgrade = control.upgrade(head, response.headers, version);
        Ok(ResponseHead { status, headers, lines, framing, keep_alive, upgrade })
    })
}

/// RFC 9110, section 6.4.1: responses that never have a body.
fn is_bodiless(status: StatusCode) -> bool {
    status.is_informational() || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED
}

/// Lends room for `count` fields, from the stack where that is enough.
fn with_fields<'head, T>(
    count: usize,
    parse: impl FnOnce(&mut [MaybeUninit<Header<'head>>]) -> Result<T, HeadError>,
) -> Result<T, HeadError> {
    const ON_STACK: usize = 128;
    if count <= ON_STACK {
        parse(&mut [const { MaybeUninit::uninit() }; ON_STACK][..count])
    } else {
        parse(&mut vec![MaybeUninit::uninit(); count])
    }
}

fn version(minor: u8) -> Result<Version, HeadError> {
    match minor {
        0 => Ok(Version::HTTP_10),
        1 => Ok(Version::HTTP_11),
        _ => Err(HeadError::Version),
    }
}

/// A request line is three words, of which the last is the version: with more, there is no telling which one is what.
fn has_three_parts(head: &[u8]) -> bool {
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let words: Vec<_> = line.split(|&byte| byte == b' ').collect();
    words.len() == 3 && words[2].starts_with(b"HTTP/")
}

fn parse_error(error: httparse::Error) -> HeadError {
    match error {
        httparse::Error::TooManyHeaders => HeadError::TooManyFields,
        httparse::Error::Version => HeadError::Version,
        httparse::Error::HeaderName => HeadError::Malformed("bad field name"),
        httparse::Error::HeaderValue => HeadError::Malformed("bad field value"),
        httparse::Error::NewLine => HeadError::Malformed("bad line end"),
        httparse::Error::Status => HeadError::Malformed("bad status"),
        httparse::Error::Token => HeadError::Malformed("bad start line"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;

    const LIMITS: HeadLimits = HeadLimits { bytes: 8192, fields: 4 };

    fn parse(text: &str) -> Result<RequestHead, HeadError> {
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        match find_end(&bytes, &mut 0)? {
            Some(end) => parse_request(&bytes.slice(..end), LIMITS),
            None => Err(HeadError::Malformed("incomplete")),
        }
    }

    /// The status that a client is told; 200 stands for an accepted head.
    fn check(text: &str, expected: u16) {
        let status = parse(text).map_or_else(|error| error.status().as_u16(), |_| 200);
        assert_eq!(status, expected, "{text:?}");
    }

    #[test]
    fn reads_what_can_be_read_in_one_way() {
        check("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200);
        check("GET / HTTP/1.0\r\n\r\n", 200);
        check("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 200);
        check("GET http://a/x HTTP/1.1\r\nHost: a\r\n\r\n", 200);
        check("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n", 200);
        check("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n", 200);
    }

    #[test]
    fn refuses_what_could_be_read_in_two() {
        for head in [
            "GET / HTTP/1.1\nHost: a\n\n",
            "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
            "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: host\r\n\r\n",
        ] {
            check(head, 400);
        }
        check("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501);
        check("GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n", 417);
        check("GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 1\r\nC: 1\r\nD: 1\r\n\r\n", 431);
    }

    #[test]
    fn keeps_hop_by_hop_fields_to_itself() {
        let head = parse(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, x-secret\r\nX-Secret: 1\r\nKeep-Alive: 5\r\n\r\n",
        )
        .unwrap();
        assert_eq!(head.headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["host"]);
        assert!(!head.keep_alive);
    }
}
