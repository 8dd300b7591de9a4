//! Translates between gRPC-Web, which browsers speak, and gRPC, which backends speak.
//!
//! Implements `doc/PROTOCOL-WEB.md` of the grpc repository. Both protocols frame messages alike, so bodies
//! pass through unread: text mode takes base64 off or puts it on, and a response ends in its trailers as one
//! more frame. Absent on purpose: compressed trailer frames, which a gateway has no reason to send.

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderValue};

use super::grpc::{self, sole, suffix};

mod text;

pub use text::{GrpcWebError, TextDecoder, encode_text};

/// A trailer frame's first byte; a message's has the high bit unset.
const TRAILERS_FLAG: u8 = 0x80;

/// How a gRPC-Web body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Frames as they are: `application/grpc-web`.
    Binary,
    /// Frames in base64: `application/grpc-web-text`.
    Text,
}

impl Mode {
    const fn media_type(self) -> &'static str {
        match self {
            Self::Binary => "application/grpc-web",
            Self::Text => "application/grpc-web-text",
        }
    }
}

/// The mode of a gRPC-Web request by its content type, with any `+suffix` and parameters.
///
/// None where it is not gRPC-Web, or the content type is repeated.
pub fn mode(headers: &HeaderMap) -> Option<Mode> {
    mode_and_suffix(headers).map(|(mode, _)| mode)
}

/// Makes a gRPC-Web request's headers those of a gRPC request; others stay as they are.
///
/// - `content-type` becomes `application/grpc` with the same suffix, without parameters.
/// - `x-grpc-web` and `accept` go: they speak of the client's leg only.
/// - `content-length` goes in text mode, where the decoded body is shorter.
/// - `user-agent` is taken from `x-user-agent` where it is missing; `x-user-agent` stays.
///
/// The caller adds `te: trailers`, as it does for every request that it sends to a gRPC backend.
pub fn translate_request(headers: &mut HeaderMap) {
    let Some((mode, suffix)) = mode_and_suffix(headers) else { return };
    let content_type = content_type(grpc::MEDIA_TYPE, suffix);
    // Neither write may panic on a map that is full, as `insert` does.
    if let Some(value) = headers.get_mut(header::CONTENT_TYPE) {
        *value = content_type;
    }
    headers.remove("x-grpc-web");
    headers.remove(header::ACCEPT);
    if mode == Mode::Text {
        headers.remove(header::CONTENT_LENGTH);
    }
    let user_agent = headers.get("x-user-agent").cloned();
    if let Some(user_agent) = user_agent.filter(|_| !headers.contains_key(header::USER_AGENT)) {
        // Where it does not fit, the request goes without: it only describes the client.
        let _ = headers.try_insert(header::USER_AGENT, user_agent);
    }
}

/// The content type of the response to a request of that mode, with the suffix of the backend's.
///
/// Without a suffix where the backend's has none, is absent or is not gRPC.
pub fn response_content_type(request_mode: Mode, grpc_content_type: Option<&HeaderValue>) -> HeaderValue {
    let suffix = grpc_content_type.and_then(|value| suffix(value, grpc::MEDIA_TYPE));
    content_type(request_mode.media_type(), suffix.unwrap_or_default())
}

/// The frame that ends a response's body: flag 0x80, the length in 32 bits big-endian, and a line
/// `name: value\r\n` for every trailer, names in lower case.
///
/// Header values hold no line ends, so a trailer cannot forge another.
pub fn trailers_frame(trailers: &HeaderMap) -> Bytes {
    let length: usize = trailers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let mut frame = BytesMut::with_capacity(1 + 4 + length);
    frame.put_u8(TRAILERS_FLAG);
    // The limit on a backend's trailer section keeps this many orders of magnitude below 4 GiB.
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    for (name, value) in trailers {
        frame.put_slice(name.as_str().as_bytes());
        frame.put_slice(b": ");
        frame.put_slice(value.as_bytes());
        frame.put_slice(b"\r\n");
    }
    frame.freeze()
}

fn mode_and_suffix(headers: &HeaderMap) -> Option<(Mode, &str)> {
    let written = sole(headers, header::CONTENT_TYPE)?;
    [Mode::Binary, Mode::Text]
        .into_iter()
        .find_map(|mode| suffix(written, mode.media_type()).map(|suffix| (mode, suffix)))
}

/// `suffix` has only characters that a header may have, so the fallback is never taken.
fn content_type(media_type: &'static str, suffix: &str) -> HeaderValue {
    HeaderValue::try_from(format!("{media_type}{suffix}"))
        .unwrap_or_else(|_| HeaderValue::from_static(media_type))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::HeaderName;

    fn map(fields: &[(&'static str, &str)]) -> HeaderMap {
        let field = |&(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        fields.iter().map(field).collect()
    }

    #[test]
    fn reads_mode_from_content_type() {
        let check = |value, expected| assert_eq!(mode(&map(&[("content-type", value)])), expected, "{value}");
        check("application/grpc-web", Some(Mode::Binary));
        check("application/grpc-web+proto", Some(Mode::Binary));
        check("Application/gRPC-Web+json;charset=utf-8", Some(Mode::Binary));
        check("application/grpc-web-text", Some(Mode::Text));
        check("application/grpc-web-text+proto ; a=b", Some(Mode::Text));
        check("application/grpc", None);
        check("application/grpc+proto", None);
        check("application/grpc-web-texts", None);
        check("application/grpc-web, text/plain", None);
        assert_eq!(mode(&HeaderMap::new()), None);
        let repeated =
            [("content-type", "application/grpc-web"), ("content-type", "application/grpc-web-text")];
        assert_eq!(mode(&map(&repeated)), None);
    }

    #[test]
    fn translates_request_headers() {
        let check = |fields: &[_], expected: &[_]| {
            let mut headers = map(fields);
            translate_request(&mut headers);
            assert_eq!(headers, map(expected));
        };
        check(
            &[
                ("content-type", "application/grpc-web-text+proto; charset=utf-8"),
                ("content-length", "8"),
                ("accept", "application/grpc-web-text"),
                ("x-grpc-web", "1"),
                ("x-user-agent", "grpc-web-javascript/0.1"),
                ("grpc-timeout", "1S"),
            ],
            &[
                ("content-type", "application/grpc+proto"),
                ("x-user-agent", "grpc-web-javascript/0.1"),
                ("user-agent", "grpc-web-javascript/0.1"),
                ("grpc-timeout", "1S"),
            ],
        );
        check(
            &[
                ("content-type", "application/grpc-web"),
                ("content-length", "5"),
                ("x-user-agent", "a"),
                ("user-agent", "b"),
            ],
            &[
                ("content-type", "application/grpc"),
                ("content-length", "5"),
                ("x-user-agent", "a"),
                ("user-agent", "b"),
            ],
        );
        let other = [("content-type", "text/html"), ("accept", "*/*"), ("x-grpc-web", "1")];
        check(&other, &other);
    }

    #[test]
    fn translates_headers_of_a_full_map() {
        let mut headers = map(&[("content-type", "application/grpc-web"), ("x-user-agent", "a")]);
        let name = |number: u32| HeaderName::try_from(format!("x-{number}")).unwrap();
        (0..).find(|&number| headers.try_insert(name(number), HeaderValue::from(number)).is_err());
        translate_request(&mut headers);
        assert_eq!(headers["content-type"], "application/grpc");
    }

    #[test]
    fn answers_in_the_requests_mode_and_the_backends_suffix() {
        let check = |mode, backend: Option<&'static str>, expected: &str| {
            let backend = backend.map(HeaderValue::from_static);
            assert_eq!(response_content_type(mode, backend.as_ref()), expected);
        };
        check(Mode::Binary, Some("application/grpc+proto"), "application/grpc-web+proto");
        check(Mode::Binary, Some("application/grpc"), "application/grpc-web");
        check(Mode::Text, Some("application/grpc+json; a=b"), "application/grpc-web-text+json");
        check(Mode::Text, Some("text/html"), "application/grpc-web-text");
        check(Mode::Text, None, "application/grpc-web-text");
    }

    #[test]
    fn frames_trailers() {
        assert_eq!(trailers_frame(&HeaderMap::new()), &b"\x80\0\0\0\0"[..]);
        let trailers = map(&[("grpc-status", "0"), ("a-bin", "AA"), ("a-bin", "")]);
        assert_eq!(
            trailers_frame(&trailers),
            &b"\x80\0\0\0\x24grpc-status: 0\r\na-bin: AA\r\na-bin: \r\n"[..]
        );
    }
}
