//! Backends that follow the same script over every version of HTTP.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, mpsc};

use super::caller::Fed;
use super::{Exit, NAME};
use crate::support::{Authority, Backend, Frames, found, within};

/// What a backend answers early, and has not read the request for.
pub const EARLY: usize = 1 << 20;

/// One for every exit.
pub struct Backends {
    pub h1: Backend,
    pub h2c: Backend,
    pub h2: Backend,
    scene: Arc<Scene>,
}

/// What backends tell a test, and a test tells them.
struct Scene {
    told: mpsc::Sender<Seen>,
    seen: std::sync::Mutex<mpsc::Receiver<Seen>>,
    cue: Notify,
}

/// What a backend has seen of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    /// It began.
    Begun,
    /// Its body came to its end, and was so long.
    Whole(usize),
    /// Its body broke off.
    BrokenOff,
    /// The response is not wanted any more.
    Abandoned,
}

type Reply = Response<UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>>;

impl Backends {
    /// Backends that do what the last part of the path says.
    pub fn scripted(authority: &Authority) -> Self {
        let (told, seen) = mpsc::channel(64);
        let scene = Arc::new(Scene { told, seen: seen.into(), cue: Notify::new() });
        let serve = |exit| serve(exit, authority, Arc::clone(&scene));
        Self { h1: serve(Exit::H1), h2c: serve(Exit::H2c), h2: serve(Exit::H2), scene }
    }

    /// What is seen next.
    pub async fn seen(&self) -> Seen {
        let look = || async { self.scene.seen.lock().expect("nobody panics").try_recv().ok() };
        found(look).await
    }

    /// Lets a backend go on that waits for it.
    pub fn go_on(&self) {
        self.scene.cue.notify_one();
    }
}

/// Serves every connection as the exit's protocol has it.
fn serve(exit: Exit, authority: &Authority, scene: Arc<Scene>) -> Backend {
    let acceptor = authority.issue(&[NAME]).acceptor(&["h2"], None);
    Backend::with(move |wire| {
        let (acceptor, scene) = (acceptor.clone(), Arc::clone(&scene));
        async move {
            match exit {
                Exit::H1 => serve_http1(wire.into_io(), scene).await,
                Exit::H2c => serve_http2(wire.into_io(), scene).await,
                Exit::H2 => {
                    let io = within(acceptor.accept(wire.into_io())).await.expect("a session");
                    serve_http2(io, scene).await;
                }
                Exit::H3 => unreachable!("no server of the script speaks it"),
            }
        }
    })
}

// How a connection ends is the gateway's business.

async fn serve_http1(io: impl AsyncRead + AsyncWrite + Unpin, scene: Arc<Scene>) {
    let service = service_fn(move |request| answer(request, Arc::clone(&scene)));
    let _ = http1::Builder::new().serve_connection(TokioIo::new(io), service).await;
}

async fn serve_http2(io: impl AsyncRead + AsyncWrite + Unpin, scene: Arc<Scene>) {
    let service = service_fn(move |request| answer(request, Arc::clone(&scene)));
    let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(io), service).await;
}

/// Follows the script. An error is a connection that ends, or a stream that is reset.
async fn answer(request: Request<Incoming>, scene: Arc<Scene>) -> io::Result<Reply> {
    let script = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    match &*script {
        "tell" => Ok(tell(request).await),
        "echo" => Ok(echo(request)),
        "200" | "204" | "304" => Ok(empty(script.parse().expect("a status"))),
        "early" => Ok(early(request, scene)),
        "after" => Ok(after(request, &scene).await),
        "watch" => Ok(watch(request, &scene).await),
        "refuse" => Err(io::Error::other("not now")),
        "break" | "break-length" => Ok(broken(script == "break-length", scene)),
        "never" => never(scene).await,
        "quiet" => Ok(unending(scene, false)),
        "endless" => Ok(unending(scene, true)),
        "call" => Ok(call(request).await),
        _ => panic!("`{script}` is not in the script"),
    }
}

fn reply<B>(body: B) -> Reply
where
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    Response::new(body.map_err(Into::into).boxed_unsync())
}

fn empty(status: StatusCode) -> Reply {
    let mut reply = reply(Full::default());
    *reply.status_mut() = status;
    reply
}

/// What came, as far as it says how a body is framed.
async fn tell(request: Request<Incoming>) -> Reply {
    let (head, body) = request.into_parts();
    let is_ended = body.is_end_stream();
    let body = body.collect().await.expect("whole").to_bytes();
    let field = |name: &str| head.headers.get(name).map(|value| value.to_str().expect("text").to_owned());
    let told = json!({
        "method": head.method.as_str(),
        "path": head.uri.path(),
        "version": format!("{:?}", head.version),
        "body": String::from_utf8_lossy(&body),
        "has_body": !is_ended,
        "length": field("content-length"),
        "coding": field("transfer-encoding"),
    });
    reply(Full::from(told.to_string()))
}

/// Gives back what comes, as it comes, trailers included.
fn echo(request: Request<Incoming>) -> Reply {
    let body = request.into_body();
    let length = body.size_hint().exact();
    let mut reply = reply(body);
    if let Some(length) = length {
        reply.headers_mut().insert("content-length", length.into());
    }
    reply
}

/// How long a body is. None where it breaks off.
async fn length(mut body: Incoming) -> Option<usize> {
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        length += frame.ok()?.data_ref().map_or(0, Bytes::len);
    }
    Some(length)
}

/// Says that the request has begun, and then what has become of it.
async fn watch(request: Request<Incoming>, scene: &Scene) -> Reply {
    scene.tell(Seen::Begun);
    let length = length(request.into_body()).await;
    scene.tell(length.map_or(Seen::BrokenOff, Seen::Whole));
    reply(Full::from("seen"))
}

/// Begins to answer when the request has ended and the test says so.
async fn after(request: Request<Incoming>, scene: &Scene) -> Reply {
    let length = length(request.into_body()).await.expect("whole");
    scene.tell(Seen::Whole(length));
    scene.cue.notified().await;
    reply(Frames::of(["one, ", "two, ", "three"].map(|piece| Ok(Frame::data(piece.into())))))
}

/// Answers at once, and reads the request when the test says so. Closing with a request unread would make the system
/// throw the response away.
fn early(request: Request<Incoming>, scene: Arc<Scene>) -> Reply {
    tokio::spawn(async move {
        scene.cue.notified().await;
        length(request.into_body()).await;
    });
    reply(Full::from(vec![b'x'; EARLY]))
}

/// Breaks off behind its first piece when the test says so.
fn broken(has_length: bool, scene: Arc<Scene>) -> Reply {
    let (sender, frames) = mpsc::channel(1);
    tokio::spawn(async move {
        sender.send(Ok(Frame::data("hello".into()))).await.expect("it is wanted");
        scene.cue.notified().await;
        sender.send(Err(io::Error::other("no more"))).await.expect("it is wanted");
    });
    let mut reply = reply(Fed::from(frames));
    if has_length {
        reply.headers_mut().insert("content-length", HeaderValue::from_static("50"));
    }
    reply
}

/// Has one piece, or one after the other, until nobody wants more.
fn unending(scene: Arc<Scene>, is_busy: bool) -> Reply {
    let (sender, frames) = mpsc::channel(1);
    tokio::spawn(async move {
        let piece = Bytes::from(vec![b'x'; if is_busy { 16 << 10 } else { 1 }]);
        let mut is_wanted = true;
        while is_wanted {
            is_wanted = sender.send(Ok(Frame::data(piece.clone()))).await.is_ok();
            if !is_busy {
                sender.closed().await;
            }
        }
        scene.tell(Seen::Abandoned);
    });
    reply(Fed::from(frames))
}

/// Does not answer, and says when nobody waits any more.
async fn never(scene: Arc<Scene>) -> io::Result<Reply> {
    struct Waiting(Arc<Scene>);
    impl Drop for Waiting {
        fn drop(&mut self) {
            self.0.tell(Seen::Abandoned);
        }
    }
    scene.tell(Seen::Begun);
    let _waiting = Waiting(scene);
    std::future::pending().await
}

/// A call of gRPC: every message goes back, and all is well.
async fn call(request: Request<Incoming>) -> Reply {
    assert_eq!(request.headers()["te"], "trailers");
    let content_type = request.headers()["content-type"].clone();
    let messages = request.into_body().collect().await.expect("whole").to_bytes();
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let mut reply = reply(Frames::of([Ok(Frame::data(messages)), Ok(Frame::trailers(trailers))]));
    reply.headers_mut().insert("content-type", content_type);
    reply
}

impl Scene {
    fn tell(&self, seen: Seen) {
        self.told.try_send(seen).expect("tests listen");
    }
}

/// What the script has no words for in hyper: gives back a chunked body with its trailers, over HTTP/1.1. hyper sends
/// trailers only to those who say that they take them, and `te` is for one hop.
pub fn echo_by_hand() -> Backend {
    Backend::with(|mut wire| async move {
        while wire.try_read_head().await.is_some() {
            wire.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
            let mut is_last = false;
            while let Some(line) = wire.read_line().await {
                wire.send(format!("{line}\r\n")).await;
                if is_last && line.is_empty() {
                    break;
                }
                is_last |= line == "0";
            }
        }
    })
}

/// Backends that give two hints before they answer.
pub fn hinting(authority: &Authority) -> Backends {
    let mut backends = Backends::scripted(authority);
    let acceptor = authority.issue(&[NAME]).acceptor(&["h2"], None);
    backends.h1 = Backend::with(|mut wire| async move {
        while wire.try_read_head().await.is_some() {
            for hint in HINTS {
                wire.send(format!("HTTP/1.1 103 Early Hints\r\nlink: {hint}\r\n\r\n")).await;
            }
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        }
    });
    backends.h2c = Backend::with(|wire| hint_http2(wire.into_io()));
    backends.h2 = Backend::with(move |wire| {
        let acceptor = acceptor.clone();
        async move {
            let io = within(acceptor.accept(wire.into_io())).await.expect("a session");
            hint_http2(io).await;
        }
    });
    backends
}

async fn hint_http2(io: impl AsyncRead + AsyncWrite + Unpin) {
    let mut connection = h2::server::handshake(io).await.expect("it speaks HTTP/2");
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        for hint in HINTS {
            let head = Response::builder().status(103).header("link", hint).body(()).expect("a head");
            respond.send_informational(head).expect("it is taken");
        }
        let mut stream = respond.send_response(Response::new(()), false).expect("it is taken");
        stream.send_data("ok".into(), true).expect("it is taken");
    }
}

/// The links of early hints.
pub const HINTS: [&str; 2] = ["</a.css>", "</b.css>"];
