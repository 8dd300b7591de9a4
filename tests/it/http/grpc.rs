//! gRPC and gRPC-Web.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Frame, Incoming};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::with;
use crate::support::{
    Answer, Backend, Client, Feed, Frames, Gateway, Port, document, eventually, feed, request, within,
};

/// A message in its frame.
fn message(text: &str) -> Vec<u8> {
    [&[0][..], &(text.len() as u32).to_be_bytes(), text.as_bytes()].concat()
}

fn status(code: &'static str, message: &'static str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(code));
    trailers.insert("grpc-message", HeaderValue::from_static(message));
    trailers
}

/// Gives every message back, then says that all is well.
async fn echo(request: Request<Incoming>) -> Response<Frames> {
    assert_eq!(request.headers()["te"], "trailers");
    assert_eq!(request.headers()["content-type"], "application/grpc+proto");
    let messages = request.into_body().collect().await.expect("whole").to_bytes();
    let frames = [Ok(Frame::data(messages)), Ok(Frame::trailers(status("0", "")))];
    Response::builder()
        .header("content-type", "application/grpc+proto")
        .body(Frames::of(frames))
        .expect("a response")
}

fn through(backend: Value, fields: Value) -> Value {
    let upstreams = json!({ "calls": { "backends": [backend], "protocol": "h2c" } });
    let rule = with(json!({ "upstream": "calls" }), fields);
    with(document(json!({ "*": rule })), json!({ "upstreams": upstreams }))
}

async fn before(backend: &Backend, fields: Value) -> Gateway {
    Gateway::start(through(backend.host(), fields)).await
}

/// A call of this content type.
fn call(content_type: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post("/shop.Cart/Add")
        .header("content-type", content_type)
        .header("te", "trailers")
        .body(Full::from(body.into()))
        .expect("a request")
}

async fn send(gateway: &Gateway, call: Request<Full<Bytes>>) -> Answer {
    let mut client = Client::http2(gateway.address()).await.expect("a connection");
    client.send(call).await.expect("a response")
}

/// That a call ended by this status, without a message of the service.
fn failed_with(answer: &Answer, code: &str) {
    assert_eq!((answer.status.as_u16(), answer.header("grpc-status")), (200, Some(code)), "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/grpc"));
    assert!(answer.header("grpc-message").is_some_and(|message| !message.is_empty()));
    assert!(answer.body.is_empty());
}

#[tokio::test]
async fn a_call_passes_with_its_trailers() {
    let backend = Backend::serve_h2c(echo);
    let gateway = before(&backend, json!({})).await;
    let answer = send(&gateway, call("application/grpc+proto", message("hello"))).await;
    assert_eq!(answer.body, message("hello"));
    assert_eq!(answer.trailers.expect("trailers")["grpc-status"], "0");
}

#[tokio::test]
async fn messages_pass_one_by_one_in_both_directions() {
    let backend = Backend::serve_h2c(|request: Request<Incoming>| async {
        let (sender, frames) = mpsc::channel(1);
        tokio::spawn(async move {
            let mut body = request.into_body();
            while let Some(Ok(frame)) = body.frame().await {
                sender.send(frame).await.expect("it is read");
            }
            sender.send(Frame::trailers(status("0", ""))).await.expect("it is read");
        });
        Response::builder().header("content-type", "application/grpc").body(Feed::from(frames)).expect("one")
    });
    let gateway = before(&backend, json!({})).await;
    let (sender, mut request) = feed("/chat");
    request.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    let mut client = Client::http2(gateway.address()).await.expect("a connection");
    let mut answers = client.begin(request).await.expect("a response").into_body();
    for text in ["one", "two", "three"] {
        sender.send(Frame::data(message(text).into())).await.expect("it is read");
        let frame = within(answers.frame()).await.expect("a frame").expect("no reset");
        assert_eq!(frame.into_data().expect("a message"), message(text));
    }
    drop(sender);
    let frame = within(answers.frame()).await.expect("a frame").expect("no reset");
    assert_eq!(frame.into_trailers().expect("trailers")["grpc-status"], "0");
}

#[tokio::test]
async fn errors_of_the_gateway_are_statuses() {
    let backend = Backend::serve_h2c(echo);
    let gateway = Gateway::start(with(
        through(backend.host(), json!({})),
        json!({
            "routes": { "/known": { "upstream": "calls" } },
            "limits": { "request_body": 4 },
        }),
    ))
    .await;
    failed_with(&send(&gateway, call("application/grpc", "")).await, "12");
    let mut large = call("application/grpc", message("hello"));
    *large.uri_mut() = "/known".parse().expect("a path");
    failed_with(&send(&gateway, large).await, "8");
    let mut logged: Vec<_> =
        gateway.logged(2).await.iter().map(|line| line["status"].as_u64().expect("a status")).collect();
    logged.sort_unstable();
    assert_eq!(logged, [404, 413], "the log speaks HTTP");

    let nobody = Port::reserve();
    let gateway = Gateway::start(through(nobody.host(), json!({}))).await;
    failed_with(&send(&gateway, call("application/grpc", "")).await, "14");
    // Who does not speak gRPC is told in the usual way.
    assert_eq!(send(&gateway, call("application/json", "")).await.code(), "backend-connect-failed");
}

#[tokio::test]
async fn a_deadline_ends_a_call_that_has_no_answer() {
    let backend = Backend::serve_h2c(|_: Request<Incoming>| std::future::pending::<Response<Frames>>());
    let gateway = before(&backend, json!({})).await;
    let mut asked = call("application/grpc", message("hello"));
    asked.headers_mut().insert("grpc-timeout", HeaderValue::from_static("100m"));
    let started = Instant::now();
    failed_with(&send(&gateway, asked).await, "4");
    assert!(started.elapsed() >= Duration::from_millis(100));
    assert_eq!(gateway.logged(1).await[0]["reason"], "deadline-exceeded");
}

#[tokio::test]
async fn a_deadline_ends_a_call_in_the_middle() {
    let backend = Backend::serve_h2c(|_: Request<Incoming>| async {
        let (sender, frames) = mpsc::channel(1);
        tokio::spawn(async move {
            sender.send(Frame::data(message("first").into())).await.expect("it is read");
            sender.closed().await;
        });
        Response::builder().header("content-type", "application/grpc").body(Feed::from(frames)).expect("one")
    });
    let gateway = before(&backend, json!({})).await;
    let mut asked = call("application/grpc", message("hello"));
    asked.headers_mut().insert("grpc-timeout", HeaderValue::from_static("200m"));
    let answer = send(&gateway, asked).await;
    assert_eq!(answer.body, message("first"));
    assert_eq!(answer.trailers.expect("trailers")["grpc-status"], "4");
}

#[tokio::test]
async fn a_backend_comes_back_when_its_service_says_that_it_serves() {
    let (serving, is_serving) = tokio::sync::watch::channel(false);
    let backend = Backend::serve_h2c(move |request: Request<Incoming>| {
        let is_serving = is_serving.clone();
        async move {
            let is_probe = request.uri().path() == "/grpc.health.v1.Health/Check";
            let asked = request.into_body().collect().await.expect("whole").to_bytes();
            if is_probe {
                assert_eq!(&asked[..], b"\0\0\0\0\x07\x0a\x05carts");
            }
            let status = if *is_serving.borrow() { 1 } else { 2 };
            let frames =
                [Ok(Frame::data(vec![0, 0, 0, 0, 2, 8, status].into())), Err(std::io::Error::other("x"))];
            let whole = is_probe || status == 1;
            Response::builder()
                .header("content-type", "application/grpc")
                .body(Frames::of(frames.into_iter().take(if whole { 1 } else { 2 })))
                .expect("a response")
        }
    });
    let fields = json!({ "protocol": "h2c", "grpc_probe": "carts" });
    let upstream = with(json!({ "backends": [with(backend.host(), json!({ "max_failure": 1 }))] }), fields);
    let routes = json!({ "*": { "upstream": "carts" } });
    let gateway = Gateway::start(with(document(routes), json!({ "upstreams": { "carts": upstream } }))).await;
    // A response that breaks off takes the backend out.
    let answer = send(&gateway, call("application/json", "")).await;
    assert_eq!(answer.code(), "backend-closed");
    let healthy = format!("cloudcup_backend_healthy{{upstream=\"carts\",backend=\"{}\"}}", backend.address());
    eventually(|| async { gateway.metric(&healthy).await == 0.0 }).await;
    let known = backend.requests();
    eventually(|| async { backend.requests() > known }).await;
    assert_eq!(gateway.metric(&healthy).await, 0.0, "it says that it does not serve");
    serving.send(true).expect("somebody listens");
    eventually(|| async { gateway.metric(&healthy).await == 1.0 }).await;
}

/// What a trailers frame says.
fn trailers(frame: &[u8]) -> &str {
    assert_eq!(frame[0], 0x80);
    assert_eq!(u32::from_be_bytes(frame[1..5].try_into().expect("four")) as usize, frame.len() - 5);
    std::str::from_utf8(&frame[5..]).expect("text")
}

#[tokio::test]
async fn pages_call_by_grpc_web() {
    let backend = Backend::serve_h2c(echo);
    let gateway = before(&backend, json!({ "grpc_web": { "origins": ["https://app.example.com"] } })).await;
    let sent = message("hello");
    for (content_type, body) in [
        ("application/grpc-web+proto", sent.clone()),
        ("application/grpc-web-text+proto", STANDARD.encode(&sent).into_bytes()),
    ] {
        let mut asked = call(content_type, body);
        asked.headers_mut().insert("origin", HeaderValue::from_static("https://app.example.com"));
        let answer = request(gateway.address(), asked).await;
        assert_eq!(answer.header("content-type"), Some(content_type));
        assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example.com"));
        assert!(
            answer.header("access-control-expose-headers").is_some_and(|names| names.contains("grpc-status"))
        );
        let body = match content_type.contains("text") {
            false => answer.body.to_vec(),
            // Each piece is base64 of its own.
            true => answer
                .body
                .chunk_by(|one, other| *one != b'=' || *other == b'=')
                .flat_map(|piece| STANDARD.decode(piece).expect("base64"))
                .collect(),
        };
        assert_eq!(body[..sent.len()], sent[..]);
        assert_eq!(trailers(&body[sent.len()..]), "grpc-status: 0\r\ngrpc-message: \r\n");
    }
}

#[tokio::test]
async fn a_page_that_may_not_call_is_not_encouraged() {
    let backend = Backend::serve_h2c(echo);
    for (origins, origin, allowed) in [
        (json!(["https://app.example.com"]), "https://app.example.com", Some("https://app.example.com")),
        (json!(["https://app.example.com"]), "https://evil.example.com", None),
        (json!(["*"]), "https://evil.example.com", Some("*")),
    ] {
        let gateway = before(&backend, json!({ "grpc_web": { "origins": origins } })).await;
        let asked = Request::options("/shop.Cart/Add")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "x-grpc-web,content-type")
            .body(Full::<Bytes>::default())
            .expect("a request");
        let answer = request(gateway.address(), asked).await;
        assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (204, allowed));
        let headers = allowed.map(|_| "x-grpc-web,content-type");
        assert_eq!(answer.header("access-control-allow-headers"), headers);
        assert_eq!(answer.header("access-control-allow-methods"), allowed.map(|_| "POST"));
    }
    assert_eq!(backend.requests(), 0);
}

#[tokio::test]
async fn errors_reach_pages_too() {
    let nobody = Port::reserve();
    let gateway = Gateway::start(through(nobody.host(), json!({ "grpc_web": { "origins": ["*"] } }))).await;
    let mut asked = call("application/grpc-web+proto", message("hello"));
    asked.headers_mut().insert("origin", HeaderValue::from_static("https://app.example.com"));
    let answer = request(gateway.address(), asked).await;
    assert_eq!((answer.status.as_u16(), answer.header("grpc-status")), (200, Some("14")));
    assert_eq!(answer.header("content-type"), Some("application/grpc-web"));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));

    let backend = Backend::serve_h2c(echo);
    let gateway = before(&backend, json!({ "grpc_web": {} })).await;
    let answer = request(gateway.address(), call("application/grpc-web-text", "no base64!")).await;
    assert_eq!(answer.header("grpc-status"), Some("13"), "{answer:?}");
}
