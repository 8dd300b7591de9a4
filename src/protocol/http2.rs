//! HTTP/2 from clients, by hyper. One task per connection and one per stream, all on this worker.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io::Cursor;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tracing::debug;

use super::Session;
use crate::base::timer::Timer;
use crate::message::http1::HeadError;
use crate::message::{Body, BodyError};
use crate::proxy::{Connection, ResponseBody, Settings};

/// Streams that a client may reset before they were served, pending at one time (CVE-2023-44487).
const PENDING_RESETS: usize = 20;

/// Spawns hyper's tasks on the worker that they belong to.
#[derive(Clone)]
struct OnWorker;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for OnWorker {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// Serves a connection, of which `read` was read already, until it ends.
pub(super) async fn serve(io: TcpStream, read: Bytes, connection: Connection, session: Session) {
    let (keep_alive, most_fields, builder) = {
        let view = session.proxy.view();
        let settings = &view.snapshot.settings;
        (settings.timeouts.keep_alive, settings.head.fields, builder(settings))
    };
    let streams = Rc::new(Cell::new(0));
    let finished = Finished::default();
    let connection = Rc::new(connection);
    let service = service_fn({
        let (proxy, streams, finished) = (session.proxy.clone(), Rc::clone(&streams), Rc::clone(&finished));
        move |request| {
            let (proxy, connection, open) = (proxy.clone(), Rc::clone(&connection), Open::new(&streams));
            let finished = Rc::clone(&finished);
            async move {
                let is_head = request.method() == Method::HEAD;
                let response = if request.headers().len() > most_fields {
                    proxy.refuse(&HeadError::TooManyFields.into(), &connection)
                } else {
                    proxy.handle(begin(request), &connection).await
                };
                let (response, is_ended) = end(response, is_head);
                let stream = |body| StreamBody { body: Some(body), is_ended, finished, _open: open };
                Ok::<_, Infallible>(response.map(stream))
            }
        }
    });
    let (reader, writer) = io.into_split();
    let io = TokioIo::new(tokio::io::join(Cursor::new(read).chain(reader), writer));
    let mut serving = pin!(builder.serve_connection(io, service));
    let mut idle = Idle { streams, keep_alive, timer: Timer::default(), was_idle: false };
    let mut is_ending = false;
    let served = poll_fn(|cx| {
        if let Poll::Ready(served) = serving.as_mut().poll(cx) {
            return Poll::Ready(served);
        }
        drop(finished.take());
        if !is_ending && (session.drain.is_draining() || idle.poll_expired(cx).is_ready()) {
            is_ending = true;
            serving.as_mut().graceful_shutdown();
            return serving.as_mut().poll(cx);
        }
        Poll::Pending
    })
    .await;
    if let Err(error) = served {
        debug!(%error, "HTTP/2 connection ended");
    }
}

fn builder(settings: &Settings) -> http2::Builder<OnWorker> {
    let mut builder = http2::Builder::new(OnWorker);
    builder
        .max_concurrent_streams(settings.h2_streams)
        .max_header_list_size(settings.head.bytes as u32)
        .max_pending_accept_reset_streams(PENDING_RESETS);
    builder
}

/// Takes away what HTTP/2 has of its own for framing, so that nothing downstream sees which version it was.
fn begin(request: Request<Incoming>) -> Request<Body> {
    let (mut head, body) = request.into_parts();
    for name in [header::CONTENT_LENGTH, header::TE, header::TRAILER, header::EXPECT] {
        head.headers.remove(name);
    }
    join_cookies(&mut head.headers);
    Request::from_parts(head, Body::Http2(body))
}

/// Completes a response's head. True when no body follows it: hyper would send that of a HEAD, and it asks no body that
/// is at its end for its end.
fn end(mut response: Response<ResponseBody>, is_head: bool) -> (Response<ResponseBody>, bool) {
    if let Some(lines) = response.body_mut().take_lines() {
        lines.parse_into(response.headers_mut());
    }
    let is_bodiless = matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let is_ended = is_head || is_bodiless || response.body().is_end_stream();
    if is_head && !is_bodiless {
        let length = response.body().size_hint().exact().filter(|length| *length > 0);
        if let Some(length) = length {
            response.headers_mut().entry(header::CONTENT_LENGTH).or_insert_with(|| length.into());
        }
    }
    if is_ended {
        response.body_mut().complete();
    }
    (response, is_ended)
}

/// Clients split `cookie` for compression; outside of HTTP/2 it is one field (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<_> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() < 2 {
        return;
    }
    if let Ok(cookie) = HeaderValue::from_maybe_shared(Bytes::from(crumbs.join(&b"; "[..]))) {
        headers.insert(header::COOKIE, cookie);
    }
}

/// Counts a stream for as long as it is open.
struct Open(Rc<Cell<usize>>);

impl Open {
    fn new(streams: &Rc<Cell<usize>>) -> Self {
        streams.set(streams.get() + 1);
        Self(Rc::clone(streams))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Ends a connection that has had no stream for a while.
struct Idle {
    streams: Rc<Cell<usize>>,
    keep_alive: Duration,
    timer: Timer,
    was_idle: bool,
}

impl Idle {
    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let is_idle = self.streams.get() == 0;
        if !std::mem::replace(&mut self.was_idle, is_idle) {
            self.timer.set(self.keep_alive);
        }
        if is_idle { self.timer.poll_expired(cx) } else { Poll::Pending }
    }
}

/// Bodies that hyper has taken the last piece of. It drops a body before it writes that piece, and what is done at the
/// end of a request would keep the client waiting for it, so their end waits until the connection has written.
type Finished = Rc<RefCell<Vec<ResponseBody>>>;

struct StreamBody {
    /// There until it is dropped.
    body: Option<ResponseBody>,
    is_ended: bool,
    finished: Finished,
    _open: Open,
}

impl Drop for StreamBody {
    fn drop(&mut self) {
        self.finished.borrow_mut().extend(self.body.take());
    }
}

impl http_body::Body for StreamBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_ended || self.body.as_ref().is_none_or(ResponseBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, ResponseBody::size_hint)
    }
}
