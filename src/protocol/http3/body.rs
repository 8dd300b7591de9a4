//! The body of a request that comes over HTTP/3.

use std::fmt;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use h3::error::Code;
use h3::server::RequestStream;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::{Frame, SizeHint};

use super::quic::{self, Flow};
use crate::base::timer::Silence;
use crate::message::BodyError;
use crate::message::body::Streamed;
use crate::message::http1::FramingError;

/// The receiving half of a request's stream.
pub(super) type Receiving = RequestStream<quic::Receiving, Bytes>;

/// See the module.
pub(super) struct ReceivedBody {
    stream: Receiving,
    flow: Rc<Flow>,
    /// How many bytes are to come, where the head told.
    left: Option<u64>,
    /// What came with the head.
    first: Option<Result<Frame<Bytes>, BodyError>>,
    state: State,
    idle: Duration,
    silence: Silence,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Data,
    Trailers,
    Over,
}

impl fmt::Debug for ReceivedBody {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ReceivedBody").field("left", &self.left).finish_non_exhaustive()
    }
}

impl ReceivedBody {
    /// The body behind a request's head, of which it takes `content-length`. The client may be silent for `idle`.
    pub fn new(
        headers: &mut HeaderMap,
        stream: Receiving,
        flow: Rc<Flow>,
        idle: Duration,
    ) -> Result<Self, FramingError> {
        let length = headers.remove(CONTENT_LENGTH);
        let left = length.map(|length| length.to_str().ok()?.parse().ok().filter(|_| is_digits(&length)));
        if left == Some(None) {
            return Err(FramingError::Length);
        }
        let (left, state, silence) = (left.flatten(), State::Data, Silence::default());
        let mut body = Self { stream, flow, left, first: None, state, idle, silence };
        // Where there is no body, the end has come with the head, and that is told to nobody as a body without a length.
        let mut cx = Context::from_waker(Waker::noop());
        if let Poll::Ready(first) = body.poll_next(&mut cx) {
            body.first = first;
        }
        Ok(body)
    }

    /// A length that was told is the length (RFC 9114, section 4.1.2), whoever frames the rest of the way by it.
    fn count(&mut self, size: usize) -> Result<(), BodyError> {
        let Some(left) = &mut self.left else { return Ok(()) };
        *left = left.checked_sub(size as u64).ok_or(FramingError::Length)?;
        Ok(())
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.state == State::Data {
            match ready!(self.stream.poll_recv_data(cx)) {
                Ok(Some(mut data)) => {
                    let data = data.copy_to_bytes(data.remaining());
                    self.flow.take(data.len());
                    return Poll::Ready(Some(self.count(data.len()).map(|()| Frame::data(data))));
                }
                Ok(None) => self.state = State::Trailers,
                Err(error) => return Poll::Ready(Some(Err(failed(error)))),
            }
        }
        if self.state == State::Trailers {
            let trailers = ready!(self.stream.poll_recv_trailers(cx)).map_err(failed);
            self.state = State::Over;
            if self.left.is_some_and(|left| left > 0) {
                return Poll::Ready(Some(Err(FramingError::Length.into())));
            }
            return Poll::Ready(trailers.transpose().map(|trailers| trailers.map(Frame::trailers)));
        }
        Poll::Ready(None)
    }
}

impl Drop for ReceivedBody {
    /// A body that nobody wants is no error of the client's (RFC 9114, section 4.1).
    fn drop(&mut self) {
        if self.state != State::Over {
            self.stream.stop_sending(Code::H3_NO_ERROR);
        }
    }
}

fn is_digits(value: &http::HeaderValue) -> bool {
    value.as_bytes().iter().all(u8::is_ascii_digit)
}

fn failed(error: h3::error::StreamError) -> BodyError {
    BodyError::Stream(Box::new(error))
}

impl Streamed for ReceivedBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
        if let Poll::Ready(frame) = self.poll_next(cx) {
            self.silence.end();
            return Poll::Ready(frame);
        }
        self.silence.poll(cx, self.idle).map(|()| Some(Err(BodyError::Idle)))
    }

    fn is_end_stream(&self) -> bool {
        self.state == State::Over && self.first.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().and_then(|first| first.as_ref().ok()?.data_ref());
        let first = first.map_or(0, |data| data.len() as u64);
        match self.left {
            Some(left) => SizeHint::with_exact(left + first),
            None if self.is_end_stream() => SizeHint::with_exact(0),
            None => SizeHint::default(),
        }
    }
}
