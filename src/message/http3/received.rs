//! Bodies that come over HTTP/3.

use std::fmt;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use h3::error::{Code, StreamError};
use h3::{client, server};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue};
use http_body::{Frame, SizeHint};

use super::quic::{self, Flow};
use crate::base::timer::Silence;
use crate::message::BodyError;
use crate::message::body::Streamed;
use crate::message::http1::FramingError;

/// The receiving half of a request's stream, on the side of whoever serves it.
pub type FromClient = server::RequestStream<quic::Receiving, Bytes>;
/// The same on the side of whoever has sent it.
pub(super) type FromBackend = client::RequestStream<quic::Receiving, Bytes>;

/// What h3 has twice, for each side.
pub(super) trait Half {
    /// What the peer is told when nobody wants the rest.
    const UNWANTED: Code;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamError>>;
    fn poll_trailers(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<HeaderMap>, StreamError>>;
    fn stop(&mut self, code: Code);
}

macro_rules! impl_half {
    ($half:ty, $unwanted:expr) => {
        impl Half for $half {
            const UNWANTED: Code = $unwanted;

            fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamError>> {
                let data = self.poll_recv_data(cx);
                data.map_ok(|data| data.map(|mut data| data.copy_to_bytes(data.remaining())))
            }

            fn poll_trailers(
                &mut self,
                cx: &mut Context<'_>,
            ) -> Poll<Result<Option<HeaderMap>, StreamError>> {
                self.poll_recv_trailers(cx)
            }

            fn stop(&mut self, code: Code) {
                self.stop_sending(code);
            }
        }
    };
}

// A request that is not needed to its end is no error of the client's (RFC 9114, section 4.1).
impl_half!(FromClient, Code::H3_NO_ERROR);
// RFC 9114, section 4.1.1.
impl_half!(FromBackend, Code::H3_REQUEST_CANCELLED);

/// The receiving half of a stream.
pub(super) struct Receiving<H: Half> {
    /// The stream itself, for its head.
    pub half: H,
    flow: Rc<Flow>,
    /// How many bytes are to come, where the head told.
    left: Option<u64>,
    /// What came with the head.
    first: Option<Result<Frame<Bytes>, BodyError>>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Data,
    Trailers,
    Over,
}

impl<H: Half> Receiving<H> {
    pub fn new(half: H, flow: Rc<Flow>) -> Self {
        Self { half, flow, left: None, first: None, state: State::Data }
    }

    /// Goes on from the head to the body, by the `content-length` that it takes from there.
    pub fn begin(&mut self, headers: &mut HeaderMap) -> Result<(), FramingError> {
        if let Some(length) = headers.remove(CONTENT_LENGTH) {
            self.left = Some(number(&length).ok_or(FramingError::Length)?);
        }
        // Where there is no body, the end has come with the head, and that is told to nobody as a body without a length.
        let mut cx = Context::from_waker(Waker::noop());
        if let Poll::Ready(first) = self.poll_next(&mut cx) {
            self.first = first;
        }
        Ok(())
    }

    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(first)),
            None => self.poll_next(cx),
        }
    }

    pub fn is_end_stream(&self) -> bool {
        self.state == State::Over && self.first.is_none()
    }

    pub fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().and_then(|first| first.as_ref().ok()?.data_ref());
        let first = first.map_or(0, |data| data.len() as u64);
        match self.left {
            Some(left) => SizeHint::with_exact(left + first),
            None if self.is_end_stream() => SizeHint::with_exact(0),
            None => SizeHint::default(),
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.state == State::Data {
            match ready!(self.half.poll_data(cx)) {
                Ok(Some(data)) => {
                    self.flow.take(data.len());
                    return Poll::Ready(Some(self.count(data.len()).map(|()| Frame::data(data))));
                }
                Ok(None) => self.state = State::Trailers,
                Err(error) => return Poll::Ready(Some(Err(failed(error)))),
            }
        }
        if self.state == State::Trailers {
            let trailers = ready!(self.half.poll_trailers(cx)).map_err(failed);
            self.state = State::Over;
            if self.left.is_some_and(|left| left > 0) {
                return Poll::Ready(Some(Err(FramingError::Length.into())));
            }
            return Poll::Ready(trailers.transpose().map(|trailers| trailers.map(Frame::trailers)));
        }
        Poll::Ready(None)
    }

    /// A length that was told is the length (RFC 9114, section 4.1.2), whoever frames the rest of the way by it.
    fn count(&mut self, size: usize) -> Result<(), BodyError> {
        let Some(left) = &mut self.left else { return Ok(()) };
        *left = left.checked_sub(size as u64).ok_or(FramingError::Length)?;
        Ok(())
    }
}

impl<H: Half> Drop for Receiving<H> {
    fn drop(&mut self) {
        if self.state != State::Over {
            self.half.stop(H::UNWANTED);
        }
    }
}

impl<H: Half> fmt::Debug for Receiving<H> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Receiving").field("left", &self.left).finish_non_exhaustive()
    }
}

fn number(value: &HeaderValue) -> Option<u64> {
    let is_digits = value.as_bytes().iter().all(u8::is_ascii_digit);
    value.to_str().ok()?.parse().ok().filter(|_| is_digits)
}

fn failed(error: StreamError) -> BodyError {
    BodyError::Stream(Box::new(error))
}

/// The body of a client's request.
#[derive(Debug)]
pub struct ReceivedBody {
    receiving: Receiving<FromClient>,
    idle: Duration,
    silence: Silence,
}

impl ReceivedBody {
    /// The body behind a request's head, of which it takes `content-length`. The client may be silent for `idle`.
    pub fn new(
        headers: &mut HeaderMap,
        stream: FromClient,
        flow: Rc<Flow>,
        idle: Duration,
    ) -> Result<Self, FramingError> {
        let mut receiving = Receiving::new(stream, flow);
        receiving.begin(headers)?;
        Ok(Self { receiving, idle, silence: Silence::default() })
    }
}

impl Streamed for ReceivedBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Poll::Ready(frame) = self.receiving.poll_frame(cx) {
            self.silence.end();
            return Poll::Ready(frame);
        }
        self.silence.poll(cx, self.idle).map(|()| Some(Err(BodyError::Idle)))
    }

    fn is_end_stream(&self) -> bool {
        self.receiving.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.receiving.size_hint()
    }
}
