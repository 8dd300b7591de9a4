//! One request to a backend and its response, on one stream of an HTTP/2 connection.
//!
//! As over HTTP/1.1, both bodies move at the same time, and whoever polls the response drives the request.

use std::any::Any;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::ext::Protocol;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderValue, Method, Request, Response, StatusCode, header, response};
use http_body::{Body as _, Frame, SizeHint};

use super::received::Receiving;
use crate::base::timer::Silence;
use crate::message::body::Streamed;
use crate::message::exchange::field_value;
use crate::message::http1::{Answer, Bounds, HeadError, RoundtripError};
use crate::message::{Body, BodyError, ResponseHead};

/// See the module. Dropping it resets the stream if it is not at its end.
#[derive(Debug)]
pub struct Roundtrip {
    request: Sending,
    awaited: ResponseFuture,
    response: Option<Receiving>,
    is_head: bool,
    /// The protocol that is asked for.
    upgrade: Option<HeaderValue>,
    bounds: Bounds,
    silence: Silence,
    /// An interim response came, so whatever happens now, the backend has answered.
    has_begun: bool,
    /// What the stream is counted by.
    _place: Box<dyn Any>,
}

/// What is left of the request.
#[derive(Debug)]
struct Sending {
    body: Body,
    stream: SendStream<Bytes>,
    is_untouched: bool,
    is_done: bool,
    /// Nothing of the body is sent before the backend has agreed to another protocol.
    awaits_switch: bool,
    is_tunnel: bool,
    /// The client is the one to do something next.
    awaits_client: bool,
    has_moved: bool,
}

impl Roundtrip {
    /// Opens a stream. `sender` must be ready; `place` is kept for as long as the stream is. The body
    /// comes back where no stream could be opened.
    pub fn open(
        mut sender: SendRequest<Bytes>,
        request: Request<()>,
        body: Body,
        bounds: Bounds,
        place: Box<dyn Any>,
    ) -> Result<Self, (RoundtripError, Body)> {
        let protocol = request.extensions().get::<Protocol>();
        let upgrade = protocol.map(|protocol| field_value(protocol.as_str()));
        let (is_head, is_done) = (request.method() == Method::HEAD, body.is_end_stream());
        match sender.send_request(request, is_done) {
            Err(error) => Err((unanswered(error), body)),
            Ok((awaited, stream)) => Ok(Self {
                request: Sending::new(body, stream, is_done, upgrade.is_some()),
                awaited,
                response: None,
                is_head,
                upgrade,
                bounds,
                silence: Silence::default(),
                has_begun: false,
                _place: place,
            }),
        }
    }

    /// Sends and waits for the next head. After [`Answer::Final`] the body is to be polled, not this.
    pub fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answer, RoundtripError>> {
        if let Poll::Ready(Err(error)) = self.request.poll_send(cx) {
            return Poll::Ready(Err(RoundtripError::RequestBody(error)));
        }
        if let Poll::Ready(Some(Ok(interim))) = self.awaited.poll_informational(cx) {
            // 100 is about the request, not a part of what the client is sent.
            self.has_begun |= interim.status() != StatusCode::CONTINUE;
            self.silence.end();
            return Poll::Ready(Ok(Answer::Interim(interim)));
        }
        match Pin::new(&mut self.awaited).poll(cx) {
            Poll::Ready(Ok(response)) => Poll::Ready(Ok(Answer::Final(self.accept(response)))),
            Poll::Ready(Err(_)) if self.has_begun => Poll::Ready(Err(RoundtripError::Truncated)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(unanswered(error))),
            Poll::Pending => self.poll_silence(cx).map(|()| Err(RoundtripError::Timeout)),
        }
    }

    fn accept(&mut self, response: Response<RecvStream>) -> ResponseHead {
        self.silence.end();
        let (mut head, stream) = response.into_parts();
        if let Some(upgrade) = self.upgrade.take() {
            self.request.awaits_switch = false;
            if head.status.is_success() {
                return self.switch(head, stream, upgrade);
            }
            self.request.is_done = true;
        }
        // A length that describes what a GET would have had is information; elsewhere it is framing.
        let describes_another = self.is_head || head.status == StatusCode::NOT_MODIFIED;
        let told = head.headers.get(header::CONTENT_LENGTH).filter(|_| describes_another).cloned();
        self.response = Some(Receiving::new(&mut head.headers, stream));
        head.headers.extend(told.map(|length| (header::CONTENT_LENGTH, length)));
        ResponseHead { status: head.status, headers: head.headers, lines: None }
    }

    /// From here on both bodies are the other protocol's, in the form of HTTP/1.1.
    fn switch(
        &mut self,
        mut head: response::Parts,
        stream: RecvStream,
        upgrade: HeaderValue,
    ) -> ResponseHead {
        self.request.is_tunnel = true;
        self.bounds.idle = self.bounds.tunnel_idle;
        self.response = Some(Receiving::new(&mut head.headers, stream));
        head.headers.insert(header::UPGRADE, upgrade);
        ResponseHead { status: StatusCode::SWITCHING_PROTOCOLS, headers: head.headers, lines: None }
    }

    /// The request's body, where not a byte of it was taken yet, so that the request can be sent elsewhere.
    pub fn into_untouched_body(self) -> Option<Body> {
        self.request.is_untouched.then_some(self.request.body)
    }

    /// While the client is the slow one, the backend cannot be blamed for its silence.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let request = &self.request;
        let awaits_client = !request.is_done && !request.is_tunnel && request.awaits_client;
        if std::mem::take(&mut self.request.has_moved) || awaits_client {
            self.silence.end();
        }
        if awaits_client {
            return Poll::Pending;
        }
        self.silence.poll(cx, self.bounds.idle)
    }
}

impl Streamed for Roundtrip {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(response) = &mut self.response else { return Poll::Ready(None) };
        if response.is_end_stream() {
            return Poll::Ready(None);
        }
        if let Poll::Ready(Err(error)) = self.request.poll_send(cx) {
            return Poll::Ready(Some(Err(BodyError::Request(Box::new(error)))));
        }
        match response.poll_frame(cx) {
            Poll::Ready(frame) => {
                self.silence.end();
                Poll::Ready(frame.map(|frame| frame.map_err(BodyError::from)))
            }
            Poll::Pending => self.poll_silence(cx).map(|()| Some(Err(BodyError::Idle))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.response.as_ref().is_some_and(Receiving::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.response.as_ref().map_or_else(SizeHint::default, Receiving::size_hint)
    }

    fn drive(&mut self, cx: &mut Context<'_>) {
        // Neither is there anything to wait for, nor is an error lost: the stream keeps it.
        let _ = self.request.poll_send(cx);
    }
}

impl Sending {
    fn new(body: Body, stream: SendStream<Bytes>, is_done: bool, awaits_switch: bool) -> Self {
        Self {
            body,
            stream,
            is_untouched: true,
            is_done,
            awaits_switch,
            is_tunnel: false,
            awaits_client: false,
            has_moved: false,
        }
    }

    /// Moves the request on. Pending when the client or the backend has to do something first; an error is that of the
    /// request's own body.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        if self.awaits_switch {
            return Poll::Pending;
        }
        while !self.is_done {
            self.awaits_client = false;
            self.stream.reserve_capacity(1);
            while self.stream.capacity() == 0 {
                match ready!(self.stream.poll_capacity(cx)) {
                    Some(Ok(_)) => {}
                    // A backend that takes no more of it has said why, or will have no answer.
                    Some(Err(_)) | None => {
                        self.is_done = true;
                        return Poll::Ready(Ok(()));
                    }
                }
            }
            self.is_untouched = false;
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Err(error))) => {
                    self.is_done = true;
                    self.stream.send_reset(Reason::CANCEL);
                    return Poll::Ready(Err(error));
                }
                Poll::Ready(frame) => self.send(frame.and_then(Result::ok)),
                Poll::Pending => {
                    self.awaits_client = true;
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn send(&mut self, frame: Option<Frame<Bytes>>) {
        let (sent, is_last) = match frame.map(Frame::into_data) {
            Some(Ok(data)) => {
                let is_last = self.body.is_end_stream();
                (self.stream.send_data(data, is_last), is_last)
            }
            Some(Err(frame)) => (self.stream.send_trailers(frame.into_trailers().unwrap_or_default()), true),
            None => (self.stream.send_data(Bytes::new(), true), true),
        };
        // A stream that takes nothing any more tells its own end.
        self.is_done = is_last || sent.is_err();
        self.has_moved = true;
    }
}

/// A stream that failed before there was a response.
fn unanswered(error: h2::Error) -> RoundtripError {
    // The backend has said that it has not looked at the request (RFC 9113, section 8.7).
    let is_refused = error.reason() == Some(Reason::REFUSED_STREAM)
        || (error.is_go_away() && error.is_remote() && error.reason() == Some(Reason::NO_ERROR));
    if is_refused {
        return RoundtripError::Refused;
    }
    if error.is_remote() {
        return RoundtripError::Reset;
    }
    match error.into_io() {
        Some(error) => RoundtripError::Unanswered(error),
        None => RoundtripError::Invalid(HeadError::Malformed("the stream failed")),
    }
}
