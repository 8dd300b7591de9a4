//! The body of a message: one concrete type, streamed, with back-pressure.

use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::http1::{FramingError, ReceivedBody, Roundtrip};

/// Where a body comes from. Polling it pulls the bytes from there; dropping it abandons what is left.
#[derive(Debug, Default)]
pub enum Body {
    /// No bytes.
    #[default]
    Empty,
    /// Bytes at hand.
    Full(Bytes),
    /// From a client that speaks HTTP/1.1.
    Received(ReceivedBody),
    /// From a client or a backend that speaks something newer.
    Streamed(Box<dyn Streamed>),
    /// Another one, counted on its way.
    Metered(Box<Body>, Rc<Meter>),
    /// From a backend, together with the rest of the request that is still on its way there.
    Backend(Box<Roundtrip>),
}

/// A body by a protocol that gives every message a stream of its own.
pub trait Streamed: fmt::Debug {
    /// See [`http_body::Body`].
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>>;

    /// See [`http_body::Body`].
    fn is_end_stream(&self) -> bool;

    /// See [`http_body::Body`].
    fn size_hint(&self) -> SizeHint;

    /// See [`Body::drive`].
    fn drive(&mut self, _: &mut Context<'_>) {}
}

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The sender broke the framing.
    #[error("the body is malformed: {0}")]
    Malformed(#[from] FramingError),
    /// The sender went away before the end.
    #[error("the connection closed before the end of the body")]
    Closed,
    /// The sender was silent for longer than allowed.
    #[error("no byte of the body came in time")]
    Idle,
    /// The body is larger than allowed.
    #[error("the body is larger than allowed")]
    TooLarge,
    /// The gateway waits no longer for the rest of it.
    #[error("the message took longer than it may")]
    Late,
    /// The transport failed.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// The request's body failed while the response's was on its way.
    #[error("the request's body failed: {0}")]
    Request(Box<BodyError>),
    /// The stream failed, of those that a connection has several of.
    #[error("the stream failed: {0}")]
    Stream(Box<dyn Error + Send + Sync>),
}

/// Counts the bytes of a body and holds it to a limit.
#[derive(Debug)]
pub struct Meter {
    bytes: Cell<u64>,
    limit: Option<u64>,
}

impl Meter {
    /// The body, counted from now on.
    pub fn install(body: Body, limit: Option<u64>) -> (Body, Rc<Self>) {
        let meter = Rc::new(Self { bytes: Cell::new(0), limit });
        (Body::Metered(Box::new(body), Rc::clone(&meter)), meter)
    }

    /// How many came so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    fn count(&self, frame: &Frame<Bytes>) -> Result<(), BodyError> {
        let more = frame.data_ref().map_or(0, |data| data.len() as u64);
        self.bytes.set(self.bytes.get() + more);
        match self.limit {
            Some(limit) if self.bytes.get() > limit => Err(BodyError::TooLarge),
            _ => Ok(()),
        }
    }
}

impl Body {
    /// Bytes at hand, or none.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        if bytes.is_empty() { Self::Empty } else { Self::Full(bytes) }
    }

    /// Moves the request on that this body answers, while nobody has room for more of the answer. What goes wrong
    /// shows when the body is polled next.
    pub fn drive(&mut self, cx: &mut Context<'_>) {
        match self {
            Self::Backend(roundtrip) => roundtrip.drive(cx),
            Self::Streamed(body) => body.drive(cx),
            Self::Metered(body, _) => body.drive(cx),
            Self::Empty | Self::Full(_) | Self::Received(_) => {}
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            body @ Self::Full(_) => {
                let Self::Full(bytes) = std::mem::take(body) else { return Poll::Ready(None) };
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Self::Received(body) => body.poll_frame(cx),
            Self::Streamed(body) => body.poll_frame(cx),
            Self::Metered(body, meter) => {
                let frame = ready!(Pin::new(&mut **body).poll_frame(cx));
                Poll::Ready(frame.map(|frame| frame.and_then(|frame| meter.count(&frame).map(|()| frame))))
            }
            Self::Backend(roundtrip) => roundtrip.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Received(body) => body.is_end_stream(),
            Self::Streamed(body) => body.is_end_stream(),
            Self::Metered(body, _) => body.is_end_stream(),
            Self::Backend(roundtrip) => roundtrip.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Received(body) => body.size_hint(),
            Self::Streamed(body) => body.size_hint(),
            Self::Metered(body, _) => body.size_hint(),
            Self::Backend(roundtrip) => roundtrip.size_hint(),
        }
    }
}
