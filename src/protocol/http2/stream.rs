//! One request and its response, on a stream.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::ext::Protocol;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Method, Request, Response, header, request};
use http_body::Body as _;

use super::Streams;
use super::watch::Activity;
use crate::message::exchange::field_value;
use crate::message::http1::HeadError;
use crate::message::http2::ReceivedBody;
use crate::message::upgrade::complete_websocket;
use crate::message::{Body, Upgrade};
use crate::protocol::streams::{
    PADDED_VALUE, awaits_continue, complete, go_on, has_padded_value, join_cookies, take_framing,
};
use crate::proxy::{Interim, ResponseBody};

/// Serves a stream until it ends.
pub(super) async fn exchange(
    streams: Rc<Streams>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    open: Open,
) {
    let is_head = request.method() == Method::HEAD;
    let response = match check(request.headers(), streams.most_fields) {
        Err(error) => Some(streams.proxy.refuse(&error.into(), &streams.connection)),
        Ok(()) => answer(&streams, request, &mut respond).await,
    };
    let Some(response) = response.filter(|response| !response.body().is_for_nobody()) else { return };
    let (response, is_ended) = complete(response, is_head);
    let (head, mut body) = response.into_parts();
    match respond.send_response(Response::from_parts(head, ()), is_ended) {
        Err(_) => body.abort(),
        Ok(_) if is_ended => {}
        Ok(stream) => {
            let mut sending = Sending { body, stream, waiting: Bytes::new(), open };
            poll_fn(|cx| sending.poll_send(cx)).await;
            body = sending.body;
        }
    }
    // What is done at the end of a request would keep the client waiting for the last piece of it.
    tokio::task::yield_now().await;
    drop(body);
}

/// What `h2` leaves to whoever uses it.
fn check(headers: &HeaderMap, most_fields: usize) -> Result<(), HeadError> {
    if headers.len() > most_fields {
        return Err(HeadError::TooManyFields);
    }
    if has_padded_value(headers) { Err(PADDED_VALUE) } else { Ok(()) }
}

/// Lets the proxy answer, passing interim responses on meanwhile. None when the client gave the stream up.
async fn answer(
    streams: &Streams,
    request: Request<RecvStream>,
    respond: &mut SendResponse<Bytes>,
) -> Option<Response<ResponseBody>> {
    if awaits_continue(request.headers()) {
        // A stream that takes nothing is about to tell why.
        let _ = respond.send_informational(go_on());
    }
    let interim = Interim::default();
    let mut handling = pin!(streams.proxy.handle(begin(request, streams), &streams.connection, &interim));
    poll_fn(|cx| {
        let answered = handling.as_mut().poll(cx);
        for response in interim.take() {
            // A stream that takes none is about to tell why.
            let _ = respond.send_informational(response);
        }
        match answered {
            Poll::Ready(response) => Poll::Ready(Some(response)),
            Poll::Pending => respond.poll_reset(cx).map(|_| None),
        }
    })
    .await
}

/// Takes away what HTTP/2 has of its own for framing, so that nothing downstream sees which version it was.
fn begin(request: Request<RecvStream>, streams: &Streams) -> Request<Body> {
    let (mut head, stream) = request.into_parts();
    let protocol = head.extensions.remove::<Protocol>();
    if let Some(protocol) = protocol.filter(|_| head.method == Method::CONNECT) {
        return connect(head, stream, &protocol, streams);
    }
    let body = if stream.is_end_stream() {
        head.headers.remove(header::CONTENT_LENGTH);
        Body::Empty
    } else {
        Body::Streamed(Box::new(ReceivedBody::new(&mut head.headers, stream, streams.idle)))
    };
    take_framing(&mut head.headers);
    join_cookies(&mut head.headers);
    Request::from_parts(head, body)
}

/// An extended CONNECT (RFC 8441) as the GET that it would be in HTTP/1.1.
fn connect(
    mut head: request::Parts,
    stream: RecvStream,
    protocol: &Protocol,
    streams: &Streams,
) -> Request<Body> {
    let upgrade = Upgrade::new(field_value(protocol.as_str()));
    if upgrade.is_websocket() {
        complete_websocket(&mut head.headers);
    }
    head.headers.remove(header::CONTENT_LENGTH);
    head.method = Method::GET;
    head.extensions.insert(upgrade);
    let body = ReceivedBody::new(&mut head.headers, stream, streams.tunnel_idle);
    Request::from_parts(head, Body::Streamed(Box::new(body)))
}

/// A stream, for as long as it is open.
pub(super) struct Open {
    activity: Rc<Activity>,
    is_stalled: bool,
}

impl Open {
    pub fn new(activity: &Rc<Activity>) -> Self {
        activity.open.set(activity.open.get() + 1);
        activity.has_begun.set(true);
        Self { activity: Rc::clone(activity), is_stalled: false }
    }

    /// Whether the client has something to take before anything else happens.
    fn set_stalled(&mut self, is_stalled: bool) {
        let stalled = &self.activity.stalled;
        match (std::mem::replace(&mut self.is_stalled, is_stalled), is_stalled) {
            (false, true) => stalled.set(stalled.get() + 1),
            (true, false) => stalled.set(stalled.get() - 1),
            _ => return,
        }
        self.activity.tell();
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.set_stalled(false);
        self.activity.open.set(self.activity.open.get() - 1);
        self.activity.tell();
    }
}

/// A response whose head was sent.
struct Sending {
    body: ResponseBody,
    stream: SendStream<Bytes>,
    /// What the client has no room for yet.
    waiting: Bytes,
    open: Open,
}

impl Sending {
    /// Ready when the last piece was handed over, or when there is no use in sending more.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if !self.waiting.is_empty() {
                let Some(room) = self.room(cx) else {
                    self.body.drive(cx);
                    return self.poll_gone(cx);
                };
                let piece = self.waiting.split_to(self.waiting.len().min(room));
                let is_last = self.waiting.is_empty() && self.body.is_end_stream();
                if self.send(piece, is_last) {
                    return Poll::Ready(());
                }
                continue;
            }
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) if data.is_empty() && self.body.is_end_stream() => {
                        self.send(data, true);
                        return Poll::Ready(());
                    }
                    Ok(data) => self.waiting = data,
                    Err(frame) => {
                        if self.stream.send_trailers(frame.into_trailers().unwrap_or_default()).is_err() {
                            self.body.abort();
                        }
                        return Poll::Ready(());
                    }
                },
                Poll::Ready(None) => {
                    self.send(Bytes::new(), true);
                    return Poll::Ready(());
                }
                // The head cannot be taken back: a reset says that something is missing.
                Poll::Ready(Some(Err(_))) => {
                    self.stream.send_reset(Reason::INTERNAL_ERROR);
                    return Poll::Ready(());
                }
                Poll::Pending => return self.poll_gone(cx),
            }
        }
    }

    /// Bytes that the client has room for; none when it has to make room first, or has given the stream up.
    fn room(&mut self, cx: &mut Context<'_>) -> Option<usize> {
        self.stream.reserve_capacity(self.waiting.len());
        while self.stream.capacity() == 0 {
            match self.stream.poll_capacity(cx) {
                Poll::Ready(Some(Ok(_))) => {}
                // What has become of the stream shows in its reset.
                Poll::Ready(_) => return None,
                Poll::Pending => {
                    self.open.set_stalled(true);
                    return None;
                }
            }
        }
        self.open.set_stalled(false);
        Some(self.stream.capacity())
    }

    /// True when nothing more is to be sent.
    fn send(&mut self, piece: Bytes, is_last: bool) -> bool {
        let is_refused = self.stream.send_data(piece, is_last).is_err();
        self.open.activity.progressed();
        if is_refused {
            self.body.abort();
        }
        is_last || is_refused
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.poll_reset(cx).map(|_| self.body.abort())
    }
}
