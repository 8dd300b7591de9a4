//! Sending a response.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode, Version, header};
use http_body::{Body as _, Frame};

use super::{Bounds, Http1};
use crate::message::BodyError;
use crate::message::http1::{
    BodyEncoding, Decoder, Framing, SentResponse, Stream, encode_data, encode_end, write_response_head,
};
use crate::proxy::ResponseBody;

/// A response whose head was written.
struct Sending<'a> {
    http1: &'a Http1,
    body: ResponseBody,
    encoding: BodyEncoding,
    idle: Duration,
    is_ended: bool,
    /// Another protocol follows, whose client may end its half first.
    is_tunnel: bool,
    /// The body broke off: what there is of it is still sent.
    failure: Option<BodyError>,
}

/// In which state a response leaves its connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// Another one can follow.
    Reusable,
    /// It was the last one.
    Last,
    /// It was not sent whole, and its framing shows that.
    Broken,
    /// It was not sent whole, and only a reset can show that.
    Cut,
}

impl Http1 {
    /// Sends a response to its end.
    pub(super) async fn respond(
        &self,
        response: Response<ResponseBody>,
        method: &Method,
        version: Version,
        keep_alive: bool,
        bounds: &Bounds,
    ) -> Sent {
        let (head, mut body) = response.into_parts();
        let lines = body.take_lines().unwrap_or_default();
        let encoding = encoding(method, version, head.status, &head.headers, &body);
        let is_tunnel = head.status == StatusCode::SWITCHING_PROTOCOLS;
        let keep_alive = keep_alive
            && encoding != BodyEncoding::Close
            && !body.breaks_connection()
            && !self.inbound.borrow().awaits_continue
            && !self.session.drain.is_draining();
        let connection = match (keep_alive, version) {
            _ if is_tunnel => Some("upgrade"),
            (false, _) => Some("close"),
            (true, Version::HTTP_10) => Some("keep-alive"),
            (true, _) => None,
        };
        {
            let mut inbound = self.inbound.borrow_mut();
            // From here on the final status is what a waiting client gets.
            inbound.awaits_continue = false;
            if std::mem::take(&mut inbound.awaits_switch) {
                match is_tunnel {
                    true => inbound.idle = bounds.timeouts.tunnel_idle,
                    // The next request follows.
                    false => inbound.decoder = Decoder::new(Framing::Length(0), bounds.head.bytes),
                }
            }
            let output = &mut inbound.stream.output;
            let sent = SentResponse { status: head.status, headers: &head.headers, lines: lines.as_bytes() };
            write_response_head(output, version, &sent, encoding, connection);
        }
        let is_ended = *method == Method::HEAD || encoding == BodyEncoding::None;
        let idle = bounds.timeouts.client_idle;
        let mut sending = Sending { http1: self, body, encoding, idle, is_ended, is_tunnel, failure: None };
        let sent = poll_fn(|cx| sending.poll_send(cx)).await;
        if sent.is_err() || sending.failure.is_some() {
            sending.body.abort();
            return if encoding == BodyEncoding::Close { Sent::Cut } else { Sent::Broken };
        }
        if is_ended {
            sending.body.complete();
        }
        if keep_alive { Sent::Reusable } else { Sent::Last }
    }
}

impl Sending<'_> {
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.is_ended || self.http1.inbound.borrow().stream.output.is_full() {
                let flushed = self.poll_flush(cx);
                if flushed.is_pending() {
                    self.body.drive(cx);
                }
                ready!(flushed)?;
                if self.is_ended {
                    return Poll::Ready(Ok(()));
                }
            }
            // The body may read from this very connection, so nothing of it is borrowed here.
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => self.encode(Some(frame)),
                Poll::Ready(None) => self.encode(None),
                // The head cannot be taken back: a connection that breaks off says that something is missing.
                Poll::Ready(Some(Err(error))) => {
                    self.failure = Some(error);
                    self.is_ended = true;
                }
                Poll::Pending => {
                    ready!(self.poll_flush(cx))?;
                    if self.is_tunnel {
                        return Poll::Pending;
                    }
                    return self.http1.poll_gone(cx).map(|()| Err(io::ErrorKind::ConnectionAborted.into()));
                }
            }
        }
    }

    fn encode(&mut self, frame: Option<Frame<Bytes>>) {
        let output = &mut self.http1.inbound.borrow_mut().stream.output;
        match frame.map(Frame::into_data) {
            Some(Ok(data)) => {
                encode_data(output, self.encoding, data);
                let is_sized = matches!(self.encoding, BodyEncoding::Length(_));
                self.is_ended = is_sized && self.body.is_end_stream();
            }
            Some(Err(frame)) => {
                encode_end(output, self.encoding, frame.trailers_ref());
                self.is_ended = true;
            }
            None => {
                encode_end(output, self.encoding, None);
                self.is_ended = true;
            }
        }
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        poll_flush(&mut self.http1.inbound.borrow_mut().stream, cx, self.idle)
    }
}

/// Writes what waits; fails when the client takes nothing for `idle`.
fn poll_flush(stream: &mut Stream, cx: &mut Context<'_>, idle: Duration) -> Poll<io::Result<()>> {
    match stream.poll_flush(cx) {
        Poll::Pending => stream.poll_silence(cx, idle).map(|()| Err(io::ErrorKind::TimedOut.into())),
        flushed => flushed,
    }
}

/// RFC 9112, section 6.3, from the sender's side.
fn encoding(
    method: &Method,
    version: Version,
    status: StatusCode,
    headers: &HeaderMap,
    body: &ResponseBody,
) -> BodyEncoding {
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return BodyEncoding::Close;
    }
    let describes_another = headers.contains_key(header::CONTENT_LENGTH);
    if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) || describes_another {
        return BodyEncoding::None;
    }
    match body.size_hint().exact() {
        Some(0) if *method == Method::HEAD => BodyEncoding::None,
        Some(length) => BodyEncoding::Length(length),
        None if version == Version::HTTP_10 => BodyEncoding::Close,
        None => BodyEncoding::Chunked,
    }
}
