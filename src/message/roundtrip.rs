//! One request to a backend and its response, over whichever protocol.

use std::task::{Context, Poll};

use super::http1::{Answer, RoundtripError};
use super::{Body, http1, http2, http3};

/// See the module.
#[derive(Debug)]
pub enum Roundtrip {
    /// On a connection of its own for as long as it lasts.
    Http1(Box<http1::Roundtrip>),
    /// On a stream.
    Http2(Box<http2::Roundtrip>),
    /// On a stream of QUIC's.
    Http3(Box<http3::Roundtrip>),
}

impl Roundtrip {
    /// Sends and waits for the next head. After [`Answer::Final`] the body is to be polled, not this.
    pub fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answer, RoundtripError>> {
        match self {
            Self::Http1(roundtrip) => roundtrip.poll_answer(cx),
            Self::Http2(roundtrip) => roundtrip.poll_answer(cx),
            Self::Http3(roundtrip) => roundtrip.poll_answer(cx),
        }
    }

    /// The response's body, after [`Answer::Final`].
    pub fn into_body(self) -> Body {
        match self {
            Self::Http1(roundtrip) => Body::Backend(roundtrip),
            Self::Http2(roundtrip) => Body::Streamed(roundtrip),
            Self::Http3(roundtrip) => Body::Streamed(roundtrip),
        }
    }

    /// The request's body, where not a byte of it was taken yet, so that the request can be sent elsewhere.
    pub fn into_untouched_body(self) -> Option<Body> {
        match self {
            Self::Http1(roundtrip) => roundtrip.into_untouched_body(),
            Self::Http2(roundtrip) => roundtrip.into_untouched_body(),
            Self::Http3(roundtrip) => roundtrip.into_untouched_body(),
        }
    }
}
