//! Changing protocols (RFC 9110, section 7.8), in one form for all versions of HTTP: a GET that asks for a protocol, and
//! a response with 101 whose body, like the request's, is whatever that protocol is made of. Extended CONNECT (RFC 8441,
//! RFC 9220) is put into this form where it comes in, and back where it goes out.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{self, HeaderMap, HeaderValue};

use super::exchange::field_value;

/// What a WebSocket's key is hashed with (RFC 6455, section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The protocol that a request asks for. It travels in the extensions of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgrade(HeaderValue);

impl Upgrade {
    /// A protocol by its name, which is compared without regard to case.
    pub fn new(token: HeaderValue) -> Self {
        Self(token)
    }

    /// As it was written.
    pub fn token(&self) -> &HeaderValue {
        &self.0
    }

    /// Whether it is this one.
    pub fn is(&self, token: &str) -> bool {
        self.0.as_bytes().eq_ignore_ascii_case(token.as_bytes())
    }

    /// Whether it is WebSocket.
    pub fn is_websocket(&self) -> bool {
        self.is("websocket")
    }
}

/// Makes of the fields of an extended CONNECT for a WebSocket those of a GET: with a key and the version.
pub fn complete_websocket(headers: &mut HeaderMap) {
    let mut key = [0; 16];
    // The key proves that the other side speaks WebSocket; it need not be a secret.
    if getrandom::fill(&mut key).is_ok() {
        headers.insert(header::SEC_WEBSOCKET_KEY, field_value(STANDARD.encode(key)));
    }
    headers.entry(header::SEC_WEBSOCKET_VERSION).or_insert(HeaderValue::from_static("13"));
}

/// What a server that speaks WebSocket answers to a key (RFC 6455, section 4.2.2).
pub fn websocket_accept(key: &HeaderValue) -> HeaderValue {
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key.as_bytes(), GUID].concat());
    field_value(STANDARD.encode(hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_a_key_as_the_rfc_does() {
        let accept = websocket_accept(&HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
        assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_completed_handshake_has_a_key_of_16_bytes() {
        let mut headers = HeaderMap::new();
        complete_websocket(&mut headers);
        let key = STANDARD.decode(&headers[header::SEC_WEBSOCKET_KEY]).unwrap();
        assert_eq!(
            (key.len(), &headers[header::SEC_WEBSOCKET_VERSION]),
            (16, &HeaderValue::from_static("13"))
        );
    }
}
