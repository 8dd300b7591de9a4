//! What a gateway has to know of gRPC: its content type, status codes and timeouts.
//!
//! Implements the header parts of `doc/PROTOCOL-HTTP2.md` and `doc/http-grpc-status-mapping.md` of the grpc
//! repository. Messages are absent on purpose: a gateway passes them on unread.

use std::time::Duration;

use http::StatusCode;
use http::header::{self, AsHeaderName, HeaderMap, HeaderName, HeaderValue};

/// The media type of gRPC, without a `+suffix`.
pub(super) const MEDIA_TYPE: &str = "application/grpc";

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Digits that a timeout may have.
const TIMEOUT_DIGITS: usize = 8;

/// A gRPC status code (`doc/statuscodes.md` of the grpc repository).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Code {
    /// Success.
    Ok = 0,
    /// Cancelled, typically by the caller.
    Cancelled = 1,
    /// An error of which nothing more is known.
    Unknown = 2,
    /// An argument that is wrong whatever the state of the system.
    InvalidArgument = 3,
    /// The deadline passed before the end.
    DeadlineExceeded = 4,
    /// Something requested does not exist.
    NotFound = 5,
    /// Something to be created exists.
    AlreadyExists = 6,
    /// The caller is known and may not do this.
    PermissionDenied = 7,
    /// A quota or some other resource is used up.
    ResourceExhausted = 8,
    /// The system is not in the state that the operation needs.
    FailedPrecondition = 9,
    /// Aborted, typically because of a conflict between concurrent operations.
    Aborted = 10,
    /// Beyond the valid range.
    OutOfRange = 11,
    /// Not implemented or not enabled.
    Unimplemented = 12,
    /// An invariant is broken.
    Internal = 13,
    /// Currently unavailable; a retry may help.
    Unavailable = 14,
    /// Data is lost or corrupt beyond recovery.
    DataLoss = 15,
    /// The caller is not known.
    Unauthenticated = 16,
}

impl Code {
    /// The number that `grpc-status` carries, 0 to 16.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The code for an HTTP response that carries no `grpc-status` (`doc/http-grpc-status-mapping.md`).
    ///
    /// Success is `Unknown` too, since a real success says so in `grpc-status`.
    pub fn from_http(status: StatusCode) -> Self {
        match status.as_u16() {
            400 | 431 => Self::Internal,
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            404 => Self::Unimplemented,
            429 | 502 | 503 | 504 => Self::Unavailable,
            _ => Self::Unknown,
        }
    }
}

/// Whether the message is gRPC by its content type: `application/grpc` or `application/grpc+suffix`, in any
/// case, with any parameters.
///
/// False for gRPC-Web, and for a repeated content type, which two readers could read differently.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    sole(headers, header::CONTENT_TYPE).is_some_and(|value| suffix(value, MEDIA_TYPE).is_some())
}

/// The `grpc-status` and `grpc-message` of a response (`doc/PROTOCOL-HTTP2.md`, Responses).
///
/// The message is percent-encoded, so it may be any text; it grows to at most three times its bytes and is
/// not cut. An empty message gives an empty `grpc-message`.
pub fn status_headers(code: Code, message: &str) -> [(HeaderName, HeaderValue); 2] {
    // Only 0x20..=0x7E is left, which is always a header value; an unreadable message would be an empty one.
    let message =
        HeaderValue::try_from(percent_encode(message)).unwrap_or_else(|_| HeaderValue::from_static(""));
    [(GRPC_STATUS, HeaderValue::from(u16::from(code.number()))), (GRPC_MESSAGE, message)]
}

/// How long the client wants to wait, from `grpc-timeout` (`doc/PROTOCOL-HTTP2.md`, Requests): 1 to 8 digits
/// and one unit of `H M S m u n`.
///
/// None where it is absent, malformed or repeated. At most 99,999,999 hours, so add it to an instant with
/// `checked_add`. Zero, which the grammar forbids, is kept as a deadline that has passed: a client that has
/// no time left must not get all the time there is.
pub fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let (unit, digits) = sole(headers, "grpc-timeout")?.as_bytes().split_last()?;
    if digits.is_empty() || digits.len() > TIMEOUT_DIGITS || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let amount = digits.iter().fold(0u64, |amount, &digit| amount * 10 + u64::from(digit - b'0'));
    match unit {
        b'H' => Some(Duration::from_secs(amount * 3600)),
        b'M' => Some(Duration::from_secs(amount * 60)),
        b'S' => Some(Duration::from_secs(amount)),
        b'm' => Some(Duration::from_millis(amount)),
        b'u' => Some(Duration::from_micros(amount)),
        b'n' => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

/// A header's value, where there is exactly one.
pub(super) fn sole(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// What a content type has behind `media_type`: nothing, or a suffix with its `+`; none for other types.
///
/// Parameters are skipped. The suffix is of RFC 6838 (section 4.2) characters, so it can be copied to another
/// content type.
pub(super) fn suffix<'a>(content_type: &'a HeaderValue, media_type: &str) -> Option<&'a str> {
    let written = content_type.as_bytes().split(|&byte| byte == b';').next()?.trim_ascii();
    let (start, rest) = written.split_at_checked(media_type.len())?;
    let rest = std::str::from_utf8(rest).ok()?;
    (start.eq_ignore_ascii_case(media_type.as_bytes()) && is_suffix(rest)).then_some(rest)
}

fn is_suffix(rest: &str) -> bool {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
    match rest.strip_prefix('+') {
        Some(name) => !name.is_empty() && name.bytes().all(is_name),
        None => rest.is_empty(),
    }
}

fn percent_encode(message: &str) -> Vec<u8> {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = Vec::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b' '..=b'$' | b'&'..=b'~' => encoded.push(byte),
            _ => encoded.extend([b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0xf)]]),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn headers(name: &'static str, values: &[&[u8]]) -> HeaderMap {
        let name = HeaderName::from_static(name);
        values.iter().map(|value| (name.clone(), HeaderValue::from_bytes(value).unwrap())).collect()
    }

    #[test]
    fn recognises_grpc_by_its_content_type() {
        let check = |values: &[&[u8]], expected| {
            assert_eq!(is_grpc(&headers("content-type", values)), expected, "{values:?}");
        };
        check(&[b"application/grpc"], true);
        check(&[b"Application/GRPC+Proto"], true);
        check(&[b"application/grpc+json; charset=utf-8"], true);
        check(&[b"application/grpc ;x=\xff"], true);
        check(&[], false);
        check(&[b""], false);
        check(&[b"application/grp"], false);
        check(&[b"application/grpc+"], false);
        check(&[b"application/grpc+a, text/html"], false);
        check(&[b"application/grpc+\xff"], false);
        check(&[b"application/grpcx"], false);
        check(&[b"application/grpc-web"], false);
        check(&[b"application/grpc-web-text+proto"], false);
        check(&[b"application/json; a=application/grpc"], false);
        check(&[b"application/grpc", b"application/grpc"], false);
    }

    #[test]
    fn maps_http_statuses_as_the_table_says() {
        let check =
            |status, expected| assert_eq!(Code::from_http(StatusCode::from_u16(status).unwrap()), expected);
        check(400, Code::Internal);
        check(431, Code::Internal);
        check(401, Code::Unauthenticated);
        check(403, Code::PermissionDenied);
        check(404, Code::Unimplemented);
        [429, 502, 503, 504].into_iter().for_each(|status| check(status, Code::Unavailable));
        let others = [200, 204, 302, 405, 408, 418, 500, 501, 505, 999];
        others.into_iter().for_each(|status| check(status, Code::Unknown));
    }

    #[test]
    fn writes_status_and_encoded_message() {
        let check = |code, message, number: &str, encoded: &str| {
            let [(status_name, status), (message_name, message)] = status_headers(code, message);
            assert_eq!((status_name.as_str(), message_name.as_str()), ("grpc-status", "grpc-message"));
            assert_eq!((status.to_str().unwrap(), message.to_str().unwrap()), (number, encoded));
        };
        check(Code::Ok, "", "0", "");
        check(Code::Unavailable, "no backend: a~b", "14", "no backend: a~b");
        check(Code::Unauthenticated, "100% é\r\n\x7f\0", "16", "100%25 %C3%A9%0D%0A%7F%00");
    }

    #[test]
    fn reads_timeouts() {
        let check = |values: &[&[u8]], expected| {
            assert_eq!(timeout(&headers("grpc-timeout", values)), expected, "{values:?}");
        };
        check(&[b"1H"], Some(Duration::from_secs(3600)));
        check(&[b"2M"], Some(Duration::from_secs(120)));
        check(&[b"003S"], Some(Duration::from_secs(3)));
        check(&[b"250m"], Some(Duration::from_millis(250)));
        check(&[b"7u"], Some(Duration::from_micros(7)));
        check(&[b"99999999n"], Some(Duration::from_nanos(99_999_999)));
        check(&[b"99999999H"], Some(Duration::from_secs(99_999_999 * 3600)));
        check(&[b"0S"], Some(Duration::ZERO));
        let malformed =
            ["", "S", "1", "100000000n", "1s", "1h", "-1S", "+1S", "1.5S", "1 S", "1S,2S", "\u{b2}S"];
        malformed.into_iter().for_each(|value| check(&[value.as_bytes()], None));
        check(&[], None);
        check(&[b"1S", b"1S"], None);
    }

    fn percent_decode(encoded: &[u8]) -> Vec<u8> {
        match encoded {
            [] => Vec::new(),
            [b'%', high, low, rest @ ..] => {
                let digits = [*high, *low];
                let byte = u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap();
                [vec![byte], percent_decode(rest)].concat()
            }
            [byte, rest @ ..] => [vec![*byte], percent_decode(rest)].concat(),
        }
    }

    proptest! {
        #[test]
        fn message_survives_encoding(message in any::<String>()) {
            let [_, (_, value)] = status_headers(Code::Internal, &message);
            prop_assert!(value.as_bytes().iter().all(|byte| (b' '..=b'~').contains(byte)));
            prop_assert_eq!(percent_decode(value.as_bytes()), message.into_bytes());
        }

        #[test]
        fn no_header_panics(
            value in "[ -~]{0,24}|(application/grpc)?[+; \u{e9}\u{2200}a-z]{0,9}|[0-9]{0,9}[HMSmun]",
        ) {
            let value: &[&[u8]] = &[value.as_bytes()];
            is_grpc(&headers("content-type", value));
            timeout(&headers("grpc-timeout", value));
        }
    }
}
