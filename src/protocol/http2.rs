//! HTTP/2 from clients, by hyper. One task per connection and one per stream, all on this worker.

mod watch;

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
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
use tracing::debug;

use super::Session;
use crate::base::transport::Transport;
use crate::message::body::Http2Body;
use crate::message::http1::HeadError;
use crate::message::{Body, BodyError};
use crate::proxy::{Connection, ResponseBody, Settings};
use watch::{Activity, Expired, Watch, Watched};

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
pub(super) async fn serve(io: Transport, read: Bytes, connection: Connection, session: Session) {
    let (timeouts, most_fields, builder) = {
        let view = session.proxy.view();
        let settings = &view.snapshot.settings;
        (settings.timeouts.clone(), settings.head.fields, builder(settings))
    };
    let activity = Rc::new(Activity::default());
    let finished = Finished::default();
    let connection = Rc::new(connection);
    let idle = timeouts.client_idle;
    let service = service_fn({
        let (proxy, activity, finished) = (session.proxy.clone(), Rc::clone(&activity), Rc::clone(&finished));
        move |request| {
            let (proxy, connection) = (proxy.clone(), Rc::clone(&connection));
            let (open, finished) = (Open::new(&activity), Rc::clone(&finished));
            async move {
                let is_head = request.method() == Method::HEAD;
                let response = if request.headers().len() > most_fields {
                    proxy.refuse(&HeadError::TooManyFields.into(), &connection)
                } else {
                    proxy.handle(begin(request, idle), &connection).await
                };
                let (response, is_ended) = end(response, is_head);
                let stream = |body| StreamBody { body: Some(body), is_ended, finished, open };
                Ok::<_, Infallible>(response.map(stream))
            }
        }
    });
    let io = TokioIo::new(Watched { io, read, activity: Rc::clone(&activity) });
    let mut serving = pin!(builder.serve_connection(io, service));
    let mut watch = Watch::new(activity, timeouts);
    let mut is_ending = false;
    let served = poll_fn(|cx| {
        loop {
            if let Poll::Ready(served) = serving.as_mut().poll(cx) {
                return Poll::Ready(served);
            }
            drop(finished.take());
            let expired = watch.poll_expired(cx);
            if expired == Poll::Ready(Expired::Now) {
                return Poll::Ready(Ok(()));
            }
            if is_ending || (expired.is_pending() && !session.drain.is_draining()) {
                return Poll::Pending;
            }
            is_ending = true;
            watch.end();
            serving.as_mut().graceful_shutdown();
        }
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
fn begin(request: Request<Incoming>, idle: Duration) -> Request<Body> {
    let (mut head, body) = request.into_parts();
    for name in [header::CONTENT_LENGTH, header::TE, header::TRAILER, header::EXPECT] {
        head.headers.remove(name);
    }
    join_cookies(&mut head.headers);
    let body =
        if body.is_end_stream() { Body::Empty } else { Body::Http2(Box::new(Http2Body::new(body, idle))) };
    Request::from_parts(head, body)
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

/// A stream, for as long as it is open.
struct Open {
    activity: Rc<Activity>,
    is_stalled: bool,
}

impl Open {
    fn new(activity: &Rc<Activity>) -> Self {
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
            _ => {}
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.set_stalled(false);
        self.activity.open.set(self.activity.open.get() - 1);
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
    open: Open,
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
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        // hyper asks for the next frame when the client has room for it.
        let frame = Pin::new(body).poll_frame(cx);
        self.open.set_stalled(matches!(frame, Poll::Ready(Some(Ok(_)))));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.is_ended || self.body.as_ref().is_none_or(ResponseBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, ResponseBody::size_hint)
    }
}
