//! One request to a backend and its response, on one HTTP/1.1 connection.
//!
//! The request's body and the response's body move at the same time, so a backend may answer before it has read
//! everything. There is no task behind it: whoever polls the response also drives what is left of the request.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Weak;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header};
use http_body::{Body as _, Frame, SizeHint};
use thiserror::Error;
use tokio::time::Instant;

use super::head::{self, HeadError, HeadLimits};
use super::stream::ReadHeadError;
use super::write::write_request_head;
use super::{BodyEncoding, Decoded, Decoder, Framing, Stream, encode_data, encode_end};
use crate::message::{Body, BodyError, ResponseHead, Upgrade};

/// Where a connection goes when its response has ended, with the moment from which it is unused.
#[derive(Debug, Default)]
pub struct IdleConnections {
    waiting: RefCell<VecDeque<(Box<Stream>, Instant)>>,
    most: Cell<usize>,
}

/// The head of a request on its way to a backend.
#[derive(Debug)]
pub struct SentRequest<'a> {
    /// The method.
    pub method: &'a Method,
    /// Path and query are sent.
    pub uri: &'a Uri,
    /// The `host` to send instead of the one among the headers.
    pub host: Option<&'a HeaderValue>,
    /// With `host`, without hop-by-hop and framing fields.
    pub headers: &'a HeaderMap,
    /// More fields, as lines.
    pub lines: &'a [u8],
    /// The protocol that is asked for.
    pub upgrade: Option<&'a Upgrade>,
}

/// What holds for requests to a backend.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// How large a response's head may be.
    pub head: HeadLimits,
    /// How long the backend may be silent.
    pub idle: Duration,
    /// How long a tunnel may be silent both ways.
    pub tunnel_idle: Duration,
}

/// See the module.
#[derive(Debug)]
pub struct Roundtrip {
    /// Gone once nothing more is to come over it.
    stream: Option<Box<Stream>>,
    method: Method,
    bounds: Bounds,
    request: Sending,
    response: Decoder,
    is_reusable: bool,
    /// An interim response came, so whatever happens now, the backend has answered.
    has_begun: bool,
    upgrade: Option<Upgrade>,
    home: Weak<IdleConnections>,
}

/// What is left of the request.
#[derive(Debug)]
struct Sending {
    body: Body,
    encoding: BodyEncoding,
    is_untouched: bool,
    is_done: bool,
    tunnel: Tunnel,
    /// The backend takes no more of it. It may have said why, so that is no answer yet.
    failure: Option<io::Error>,
    /// The body failed while nobody asked for the response.
    broken: Option<BodyError>,
}

/// Whether the bytes behind the request's head are another protocol's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tunnel {
    /// They are the request's body.
    No,
    /// They are, once the backend has agreed.
    Awaited,
    /// They are.
    Open,
    /// They have come to their end, and the backend was told.
    Ended,
}

/// Why there is no response.
#[derive(Debug, Error)]
pub enum RoundtripError {
    /// The backend closed or reset the connection before the first byte of a response.
    #[error("the backend closed the connection before it answered: {0}")]
    Unanswered(io::Error),
    /// The backend did not look at the request, and says so (RFC 9113, section 8.7).
    #[error("the backend takes no more requests on this connection")]
    Refused,
    /// The backend gave the stream up before it answered.
    #[error("the backend reset the stream before it answered")]
    Reset,
    /// The backend was silent for too long.
    #[error("the backend did not answer in time")]
    Timeout,
    /// What the backend sent is not an HTTP/1.1 response.
    #[error("the backend's response is invalid: {0}")]
    Invalid(HeadError),
    /// The backend closed in the middle of the response's head.
    #[error("the backend closed the connection in the middle of its response")]
    Truncated,
    /// The client's body failed while it was being sent.
    #[error("the request's body failed: {0}")]
    RequestBody(BodyError),
}

/// The next head from the backend.
#[derive(Debug)]
pub enum Answer {
    /// 1xx: something on the way to the response.
    Interim(Response<()>),
    /// The response; its body is in the roundtrip.
    Final(ResponseHead),
}

impl IdleConnections {
    /// Keeps at most so many from now on.
    pub fn keep(&self, most: usize) {
        self.most.set(most);
    }

    /// Takes the connection that was used last, unless the backend has ended it meanwhile.
    pub fn take(&self, oldest: Instant) -> Option<Box<Stream>> {
        while let Some((mut stream, since)) = self.waiting.borrow_mut().pop_back() {
            if since >= oldest && stream.is_quiet() {
                return Some(stream);
            }
        }
        None
    }

    /// Closes those that are unused since before `oldest` and those that the backend has ended.
    pub fn sweep(&self, oldest: Instant) {
        self.waiting.borrow_mut().retain_mut(|(stream, since)| *since >= oldest && stream.is_quiet());
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.borrow().len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn put(&self, mut stream: Box<Stream>) {
        let now = Instant::now();
        if stream.expires.is_some_and(|expires| expires <= now) {
            return;
        }
        stream.release();
        let mut waiting = self.waiting.borrow_mut();
        waiting.push_back((stream, now));
        let surplus = waiting.len().saturating_sub(self.most.get());
        waiting.drain(..surplus);
    }
}

impl Roundtrip {
    /// Prepares a request on a connection; nothing is sent before the first poll.
    pub fn new(
        mut stream: Box<Stream>,
        request: &SentRequest<'_>,
        body: Body,
        bounds: Bounds,
        home: Weak<IdleConnections>,
    ) -> Self {
        let (encoding, tunnel) = match request.upgrade {
            Some(_) => (BodyEncoding::Close, Tunnel::Awaited),
            None => (request_encoding(request.method, &body), Tunnel::No),
        };
        write_request_head(&mut stream.output, request, encoding);
        let is_done = body.is_end_stream();
        Self {
            stream: Some(stream),
            method: request.method.clone(),
            bounds,
            request: Sending {
                body,
                encoding,
                is_untouched: true,
                is_done,
                tunnel,
                failure: None,
                broken: None,
            },
            response: Decoder::new(Framing::UntilClose, bounds.head.bytes),
            is_reusable: false,
            has_begun: false,
            upgrade: request.upgrade.cloned(),
            home,
        }
    }

    /// Sends and waits for the next head. After [`Answer::Final`] the body is to be polled, not this.
    pub fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answer, RoundtripError>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(Err(RoundtripError::Truncated)) };
        if let Poll::Ready(Err(error)) = self.request.poll_send(stream, cx) {
            return Poll::Ready(Err(RoundtripError::RequestBody(error)));
        }
        let has_begun = self.has_begun;
        let closed = |sending: &mut Sending, error: io::Error| match has_begun {
            true => RoundtripError::Truncated,
            false => RoundtripError::Unanswered(sending.failure.take().unwrap_or(error)),
        };
        match stream.poll_head(cx, self.bounds.head.bytes) {
            Poll::Ready(Ok(Some(head))) => Poll::Ready(self.accept_head(&head)),
            Poll::Ready(Ok(None)) => {
                Poll::Ready(Err(closed(&mut self.request, io::ErrorKind::UnexpectedEof.into())))
            }
            Poll::Ready(Err(ReadHeadError::Io(error))) if stream.input.is_empty() => {
                Poll::Ready(Err(closed(&mut self.request, error)))
            }
            Poll::Ready(Err(ReadHeadError::Head(error))) => Poll::Ready(Err(RoundtripError::Invalid(error))),
            Poll::Ready(Err(_)) => Poll::Ready(Err(RoundtripError::Truncated)),
            Poll::Pending if self.request.awaits_client(stream) => Poll::Pending,
            Poll::Pending => stream.poll_silence(cx, self.bounds.idle).map(|()| Err(RoundtripError::Timeout)),
        }
    }

    fn accept_head(&mut self, head: &Bytes) -> Result<Answer, RoundtripError> {
        let head =
            head::parse_response(head, self.bounds.head, &self.method).map_err(RoundtripError::Invalid)?;
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return self.switch(head).map(Answer::Final);
        }
        let mut response =
            ResponseHead { status: head.status, headers: head.headers, lines: Some(head.lines) };
        if head.status.is_informational() {
            // 100 is about the request, not a part of what the client is sent.
            self.has_begun |= head.status != StatusCode::CONTINUE;
            response.complete_headers();
            let mut interim = Response::new(());
            *interim.status_mut() = response.status;
            *interim.headers_mut() = response.headers;
            return Ok(Answer::Interim(interim));
        }
        if self.request.tunnel == Tunnel::Awaited {
            (self.request.tunnel, self.request.is_done) = (Tunnel::No, true);
        }
        self.response = Decoder::new(head.framing, self.bounds.head.bytes);
        self.is_reusable = head.keep_alive;
        self.release_if_done();
        Ok(Answer::Final(response))
    }

    /// From here on both bodies are the other protocol's, until both ends are closed.
    fn switch(&mut self, head: head::ResponseHead) -> Result<ResponseHead, RoundtripError> {
        let asked = self.upgrade.take().filter(|_| self.request.tunnel == Tunnel::Awaited);
        let agreed = head.upgrade.zip(asked).filter(|(agreed, asked)| {
            asked.token().as_bytes().eq_ignore_ascii_case(agreed.token().as_bytes())
        });
        let Some((agreed, _)) = agreed else {
            return Err(RoundtripError::Invalid(HeadError::Malformed("unasked switch of protocols")));
        };
        self.request.tunnel = Tunnel::Open;
        self.bounds.idle = self.bounds.tunnel_idle;
        let mut headers = head.headers;
        headers.insert(header::UPGRADE, agreed.token().clone());
        Ok(ResponseHead { status: head.status, headers, lines: Some(head.lines) })
    }

    /// The request's body, where not a byte of it was taken yet, so that the request can be sent elsewhere.
    pub fn into_untouched_body(self) -> Option<Body> {
        self.request.is_untouched.then_some(self.request.body)
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(None) };
        let frame = match self.request.poll_send(stream, cx) {
            Poll::Ready(Err(error)) => Some(Err(BodyError::Request(Box::new(error)))),
            _ => ready!(self.poll_response(cx)),
        };
        if matches!(frame, Some(Err(_))) {
            self.stream = None;
        }
        self.release_if_done();
        Poll::Ready(frame)
    }

    fn poll_response(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(None) };
        loop {
            match self.response.decode(&mut stream.input) {
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
                Ok(Decoded::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(Decoded::Trailers(trailers)) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                Ok(Decoded::End) => return Poll::Ready(None),
                Ok(Decoded::Incomplete) => {}
            }
            match stream.poll_fill(cx) {
                Poll::Ready(Ok(0)) if self.response.end_of_input() => return Poll::Ready(None),
                Poll::Ready(Ok(0)) => return Poll::Ready(Some(Err(BodyError::Closed))),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                Poll::Pending if self.request.awaits_client(stream) => return Poll::Pending,
                Poll::Pending => {
                    ready!(stream.poll_silence(cx, self.bounds.idle));
                    return Poll::Ready(Some(Err(BodyError::Idle)));
                }
            }
        }
    }

    /// Gives the connection back, or closes it, as soon as the response has ended.
    fn release_if_done(&mut self) {
        if !self.response.is_done() {
            return;
        }
        let Some(stream) = self.stream.take() else { return };
        let is_sent = self.request.is_done && self.request.failure.is_none() && !stream.has_unsent();
        if is_sent
            && self.is_reusable
            && stream.input.is_empty()
            && let Some(home) = self.home.upgrade()
        {
            home.put(stream);
        }
    }

    /// Moves the request on while nobody takes the response. A failure shows when the response is taken.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(stream) = &mut self.stream
            && !self.request.is_done
            && let Poll::Ready(Err(error)) = self.request.poll_send(stream, cx)
        {
            self.request.broken = Some(error);
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.stream.is_none()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.response.remaining().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Sending {
    /// Moves the request on. Pending when the client or the backend has to do something first; an error is that of the
    /// request's own body.
    fn poll_send(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Err(error));
        }
        if self.tunnel == Tunnel::Awaited {
            ready!(self.poll_flush(stream, cx));
            return Poll::Pending;
        }
        loop {
            if self.is_done || stream.output.is_full() {
                ready!(self.poll_flush(stream, cx));
                if self.is_done {
                    return self.poll_end(stream, cx).map(Ok);
                }
            }
            self.is_untouched = false;
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending => {
                    ready!(self.poll_flush(stream, cx));
                    return Poll::Pending;
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(frame) => self.encode(stream, frame.and_then(Result::ok)),
            }
        }
    }

    /// Whoever speaks another protocol is told of its end by the end of the bytes.
    fn poll_end(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<()> {
        if self.tunnel == Tunnel::Open {
            // A backend that is gone already shows in the response.
            let _ = ready!(stream.poll_shutdown(cx));
            self.tunnel = Tunnel::Ended;
        }
        Poll::Ready(())
    }

    /// A backend that refuses a body answers and stops reading: what it says counts for more than our failed write, so
    /// that only ends the sending.
    fn poll_flush(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<()> {
        if let Err(error) = ready!(stream.poll_flush(cx)) {
            stream.discard_unsent();
            self.failure = Some(error);
            self.is_done = true;
        }
        Poll::Ready(())
    }

    fn encode(&mut self, stream: &mut Stream, frame: Option<Frame<Bytes>>) {
        match frame.map(Frame::into_data) {
            Some(Ok(data)) => {
                encode_data(&mut stream.output, self.encoding, data);
                self.is_done = matches!(self.encoding, BodyEncoding::Length(_)) && self.body.is_end_stream();
            }
            Some(Err(frame)) => {
                encode_end(&mut stream.output, self.encoding, frame.trailers_ref());
                self.is_done = true;
            }
            None => {
                encode_end(&mut stream.output, self.encoding, None);
                self.is_done = true;
            }
        }
    }

    /// While the client is the slow one, the backend cannot be blamed for its silence.
    fn awaits_client(&self, stream: &mut Stream) -> bool {
        let awaits = !self.is_done && self.tunnel == Tunnel::No && !stream.has_unsent();
        if awaits {
            stream.progressed();
        }
        awaits
    }
}

/// A body of unknown length is chunked; the absence of one is only said for methods that are expected to have one.
fn request_encoding(method: &Method, body: &Body) -> BodyEncoding {
    match body.size_hint().exact() {
        Some(0) if !matches!(*method, Method::POST | Method::PUT | Method::PATCH) => BodyEncoding::None,
        Some(length) => BodyEncoding::Length(length),
        None => BodyEncoding::Chunked,
    }
}
