//! One request to a backend and its response, on one stream of an HTTP/3 connection.
//!
//! As over HTTP/1.1, both bodies move at the same time, and whoever polls the response drives the request.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h3::client::RequestStream;
use h3::error::{Code, StreamError};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::{Body as _, Frame, SizeHint};

use super::client::{Opened, Sender};
use super::quic;
use super::received::{FromBackend, Receiving};
use crate::base::timer::Silence;
use crate::message::body::Streamed;
use crate::message::http1::{Answer, Bounds, HeadError, RoundtripError};
use crate::message::{Body, BodyError, ResponseHead};

type ToBackend = RequestStream<quic::Sending, Bytes>;

/// See the module. Dropping it resets the stream if it is not at its end.
pub struct Roundtrip {
    request: Sending,
    response: Option<Receiving<FromBackend>>,
    is_head: bool,
    bounds: Bounds,
    silence: Silence,
    /// An interim response came, so whatever happens now, the backend has answered.
    has_begun: bool,
    /// To be set when the connection takes no more requests.
    is_gone: Rc<Cell<bool>>,
    /// What the stream is counted by.
    _place: Box<dyn Any>,
}

/// What is left of the request.
struct Sending {
    body: Body,
    state: State,
    is_untouched: bool,
    /// The client is the one to do something next.
    awaits_client: bool,
    has_moved: bool,
}

enum State {
    /// The stream opens, and the head is sent.
    Opening(Pin<Box<dyn Future<Output = Result<Opened, StreamError>>>>),
    /// The next piece of the body is to be sent.
    Open(Box<ToBackend>),
    /// A piece is on its way. The stream comes back if there may be another.
    Busy(Pin<Box<dyn Future<Output = Option<Box<ToBackend>>>>>),
    Done,
}

impl Roundtrip {
    /// Begins to send a request, of which there is only a head so far. `place` is kept for as long as the stream is, and
    /// `is_gone` set when the connection turns out to take no more requests.
    pub fn new(
        sender: Sender,
        request: Request<()>,
        body: Body,
        bounds: Bounds,
        is_gone: Rc<Cell<bool>>,
        place: Box<dyn Any>,
    ) -> Self {
        let is_head = request.method() == Method::HEAD;
        let state = State::Opening(Box::pin(sender.open(request)));
        let request = Sending { body, state, is_untouched: true, awaits_client: false, has_moved: false };
        let silence = Silence::default();
        Self { request, response: None, is_head, bounds, silence, has_begun: false, is_gone, _place: place }
    }

    /// Sends and waits for the next head. After [`Answer::Final`] the body is to be polled, not this.
    pub fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answer, RoundtripError>> {
        let answered = self.poll_head(cx);
        if let Poll::Ready(Ok(response)) = answered {
            self.silence.end();
            if !response.status().is_informational() {
                return Poll::Ready(self.accept(response).map(Answer::Final));
            }
            // 100 is about the request, not a part of what the client is sent.
            self.has_begun |= response.status() != StatusCode::CONTINUE;
            return Poll::Ready(Ok(Answer::Interim(response)));
        }
        match answered {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => self.poll_silence(cx).map(|()| Err(RoundtripError::Timeout)),
        }
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Response<()>, RoundtripError>> {
        if let State::Opening(opening) = &mut self.request.state {
            let (stream, flow) = ready!(opening.as_mut().poll(cx)).map_err(|error| self.failed(&error))?;
            let (sending, receiving) = stream.split();
            self.request.state = State::Open(Box::new(sending));
            self.request.has_moved = true;
            self.response = Some(Receiving::new(receiving, flow));
        }
        if let Poll::Ready(Err(error)) = self.request.poll_send(cx) {
            return Poll::Ready(Err(RoundtripError::RequestBody(error)));
        }
        let Some(response) = &mut self.response else { return Poll::Pending };
        // One that is dropped has taken nothing.
        let head = ready!(pin!(response.half.recv_response()).poll(cx));
        Poll::Ready(head.map_err(|error| self.failed(&error)))
    }

    fn accept(&mut self, response: Response<()>) -> Result<ResponseHead, RoundtripError> {
        let (mut head, ()) = response.into_parts();
        // A length that describes what a GET would have had is information; elsewhere it is framing.
        let describes_another = self.is_head || head.status == StatusCode::NOT_MODIFIED;
        let told = if describes_another { head.headers.remove(header::CONTENT_LENGTH) } else { None };
        if let Some(response) = &mut self.response {
            let begun = response.begin(&mut head.headers);
            begun.map_err(|_| RoundtripError::Invalid(HeadError::Malformed("bad content-length")))?;
        }
        head.headers.extend(told.map(|length: HeaderValue| (header::CONTENT_LENGTH, length)));
        Ok(ResponseHead { status: head.status, headers: head.headers, lines: None })
    }

    /// The request's body, where not a byte of it was taken yet, so that the request can be sent elsewhere.
    pub fn into_untouched_body(self) -> Option<Body> {
        self.request.is_untouched.then_some(self.request.body)
    }

    /// While the client is the slow one, the backend cannot be blamed for its silence.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let awaits_client = self.request.awaits_client;
        if std::mem::take(&mut self.request.has_moved) || awaits_client {
            self.silence.end();
        }
        if awaits_client {
            return Poll::Pending;
        }
        self.silence.poll(cx, self.bounds.idle)
    }

    /// A stream that failed before there was a response.
    fn failed(&self, error: &StreamError) -> RoundtripError {
        if matches!(error, StreamError::RemoteClosing | StreamError::ConnectionError(_)) {
            self.is_gone.set(true);
        }
        match error {
            _ if self.has_begun => RoundtripError::Truncated,
            // The backend has said that it has not looked at the request (RFC 9114, sections 4.1.1 and 5.2).
            StreamError::RemoteClosing
            | StreamError::RemoteTerminate { code: Code::H3_REQUEST_REJECTED, .. } => RoundtripError::Refused,
            StreamError::RemoteTerminate { .. } => RoundtripError::Reset,
            StreamError::ConnectionError(error) => {
                RoundtripError::Unanswered(std::io::Error::other(error.clone()))
            }
            StreamError::HeaderTooBig { .. } => RoundtripError::Invalid(HeadError::TooLarge),
            _ => RoundtripError::Invalid(HeadError::Malformed("the stream failed")),
        }
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
                Poll::Ready(frame)
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

impl fmt::Debug for Roundtrip {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Roundtrip").field("response", &self.response).finish_non_exhaustive()
    }
}

impl Sending {
    /// Moves the request on. Pending when the client or the backend has to do something first; an error is that of the
    /// request's own body.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        loop {
            self.awaits_client = false;
            match std::mem::replace(&mut self.state, State::Done) {
                State::Done => return Poll::Ready(Ok(())),
                state @ State::Opening(_) => {
                    self.state = state;
                    return Poll::Pending;
                }
                State::Busy(mut sending) => match sending.as_mut().poll(cx) {
                    Poll::Ready(stream) => {
                        self.has_moved = true;
                        self.state = stream.map_or(State::Done, State::Open);
                    }
                    Poll::Pending => {
                        self.state = State::Busy(sending);
                        return Poll::Pending;
                    }
                },
                State::Open(stream) => {
                    // Where there is none, the end is all that is sent, and that can be sent elsewhere as well.
                    self.is_untouched &= self.body.is_end_stream();
                    match Pin::new(&mut self.body).poll_frame(cx) {
                        Poll::Ready(Some(Err(error))) => {
                            // Dropping the stream resets it.
                            return Poll::Ready(Err(error));
                        }
                        Poll::Ready(frame) => {
                            let is_last = self.body.is_end_stream();
                            let sending = send(stream, frame.and_then(Result::ok), is_last);
                            self.state = State::Busy(Box::pin(sending));
                        }
                        Poll::Pending => {
                            self.awaits_client = true;
                            self.state = State::Open(stream);
                            return Poll::Pending;
                        }
                    }
                }
            }
        }
    }
}

/// Sends a piece, or the end. A backend that takes no more of it has said why, or will have no answer.
async fn send(
    mut stream: Box<ToBackend>,
    frame: Option<Frame<Bytes>>,
    is_last: bool,
) -> Option<Box<ToBackend>> {
    let is_end = match frame.map(Frame::into_data) {
        Some(Ok(data)) => {
            stream.send_data(data).await.ok()?;
            is_last
        }
        Some(Err(frame)) => {
            stream.send_trailers(frame.into_trailers().unwrap_or_default()).await.ok()?;
            true
        }
        None => true,
    };
    if !is_end {
        return Some(stream);
    }
    stream.finish().await.ok()?;
    None
}
