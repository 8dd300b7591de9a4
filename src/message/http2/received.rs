//! Bodies that come over HTTP/2.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::{Frame, SizeHint};

use crate::base::timer::Silence;
use crate::message::BodyError;
use crate::message::body::Streamed;

/// The receiving half of a stream. The peer may send more as soon as a piece was taken.
#[derive(Debug)]
pub(super) struct Receiving {
    stream: RecvStream,
    /// How many bytes are to come, where the head told; `h2` holds the peer to it.
    left: Option<u64>,
    has_trailers_next: bool,
    is_over: bool,
}

/// The body of a client's request.
#[derive(Debug)]
pub struct ReceivedBody {
    receiving: Receiving,
    idle: Duration,
    silence: Silence,
}

impl Receiving {
    /// The body behind a head, of which it takes `content-length`: what the length is shows in the size hint.
    pub fn new(headers: &mut HeaderMap, stream: RecvStream) -> Self {
        let length = headers.remove(CONTENT_LENGTH);
        let left = length.and_then(|length| length.to_str().ok()?.parse().ok());
        let is_over = stream.is_end_stream();
        Self { stream, left, has_trailers_next: false, is_over }
    }

    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if !self.has_trailers_next {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    // Only a stream that is gone refuses, and then nothing waits for room.
                    let _ = self.stream.flow_control().release_capacity(data.len());
                    self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                    self.is_over = self.stream.is_end_stream();
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.has_trailers_next = true,
            }
        }
        let trailers = ready!(self.stream.poll_trailers(cx));
        self.is_over = true;
        Poll::Ready(trailers.map(|trailers| trailers.map(Frame::trailers)).transpose())
    }

    pub fn is_end_stream(&self) -> bool {
        self.is_over
    }

    pub fn size_hint(&self) -> SizeHint {
        match self.left {
            _ if self.is_over => SizeHint::with_exact(0),
            Some(left) => SizeHint::with_exact(left),
            None => SizeHint::default(),
        }
    }
}

impl ReceivedBody {
    /// The body behind a request's head, of which it takes `content-length`. The client may be silent for `idle`.
    pub fn new(headers: &mut HeaderMap, stream: RecvStream, idle: Duration) -> Self {
        Self { receiving: Receiving::new(headers, stream), idle, silence: Silence::default() }
    }
}

impl Streamed for ReceivedBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Poll::Ready(frame) = self.receiving.poll_frame(cx) {
            self.silence.end();
            return Poll::Ready(frame.map(|frame| frame.map_err(BodyError::from)));
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

impl From<h2::Error> for BodyError {
    fn from(error: h2::Error) -> Self {
        Self::Stream(Box::new(error))
    }
}
