//! Responses before the response: 100 Continue, and what a backend says on its way (1xx).

use std::future::poll_fn;

use http::Request;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::{before, before_with};
use crate::support::{Backend, Gateway, Wire, document, get, request, within};

const EXPECTING: &str = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n";

#[tokio::test]
async fn tells_a_client_to_continue_when_its_body_is_wanted() {
    let backend = Backend::echo("a");
    let gateway = before(&backend).await;
    let mut wire = Wire::connect(gateway.address()).await;
    // Twice, since the connection goes on.
    for framing in ["content-length: 5", "transfer-encoding: chunked"] {
        wire.send(format!("POST / HTTP/1.1\r\nhost: a\r\n{framing}\r\nexpect: 100-Continue\r\n\r\n")).await;
        let head = wire.read_head().await;
        assert_eq!(head.start, "HTTP/1.1 100 Continue");
        assert_eq!(head.fields, []);
        wire.send(if framing.starts_with('c') { "hello" } else { "5\r\nhello\r\n0\r\n\r\n" }).await;
        let head = wire.read_head().await;
        assert_eq!(head.status(), 200);
        let told: Value =
            serde_json::from_slice(&wire.read_body(&head).await.expect("whole")).expect("an echo");
        assert_eq!(told["body"], "hello");
        let fields = told["headers"].as_array().expect("pairs");
        assert!(
            fields.iter().all(|pair| pair[0] != "expect"),
            "the gateway has met the expectation: {fields:?}"
        );
    }
}

#[tokio::test]
async fn sends_no_100_to_a_client_that_does_not_wait_for_it() {
    let backend = Backend::echo("a");
    let gateway = before(&backend).await;
    for request in [
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello",
        "GET / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n",
        "POST / HTTP/1.0\r\nhost: a\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\nhello",
    ] {
        let mut wire = Wire::connect(gateway.address()).await;
        wire.send(request).await;
        assert_eq!(wire.read_head().await.status(), 200, "{request:?}");
    }
}

/// Expects this response to a client that waits for 100, without 100 before it.
async fn check_refused(gateway: &Gateway, request: &str, status: u16, code: Option<&str>) {
    let mut wire = Wire::connect(gateway.address()).await;
    wire.send(request).await;
    let head = wire.read_head().await;
    assert_eq!(head.status(), status, "{request:?}");
    // The body may come or not, so nothing behind it can be read.
    assert_eq!(head.field("connection"), Some("close"), "{request:?}");
    let body = wire.read_body(&head).await.expect("a whole response");
    if let Some(code) = code {
        let told: Value = serde_json::from_slice(&body).expect("the gateway's own response is JSON");
        assert_eq!(told["code"], code);
    }
    wire.expect_eof().await;
}

#[tokio::test]
async fn sends_no_100_for_a_body_that_nobody_wants() {
    let backend = Backend::echo("a");
    let guarded = json!({ "use": "require-header", "config": { "name": "x-key" } });
    let routes = json!({
        "GET /get": { "backends": [backend.host()] },
        "/guarded": { "backends": [backend.host()], "plugins": [guarded] },
    });
    let gateway = Gateway::start(document(routes)).await;
    let to = |path: &str| EXPECTING.replace("POST /", &format!("POST {path}"));
    check_refused(&gateway, &to("/none"), 404, Some("no-route")).await;
    check_refused(&gateway, &to("/get"), 405, Some("method-not-allowed")).await;
    check_refused(&gateway, &to("/guarded"), 401, None).await;
    check_refused(&gateway, &to("/%00"), 400, Some("bad-path")).await;
    assert_eq!(backend.requests(), 0);
}

#[tokio::test]
async fn sends_no_100_for_a_body_that_is_too_large() {
    let backend = Backend::echo("a");
    let gateway = before_with(&backend, json!({ "limits": { "request_body": 4 } })).await;
    check_refused(&gateway, EXPECTING, 413, Some("body-too-large")).await;
    assert_eq!(backend.requests(), 0);
}

#[tokio::test]
async fn sends_no_100_when_no_backend_can_be_reached() {
    let port = crate::support::Port::reserve();
    let gateway = Gateway::start(document(json!({ "*": { "backends": [port.host()] } }))).await;
    check_refused(&gateway, EXPECTING, 502, Some("backend-connect-failed")).await;
}

/// Answers each request with some interim responses and then with 200.
fn hinting(interim: &'static str) -> Backend {
    Backend::with(move |mut wire| async move {
        while wire.try_read_head().await.is_some() {
            wire.send(interim).await;
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        }
    })
}

const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\nkeep-alive: x\r\n\r\n\
                     HTTP/1.1 103 Early Hints\r\nlink: </b.css>\r\n\r\n";

#[tokio::test]
async fn passes_early_hints_on_to_http11() {
    let backend = hinting(HINTS);
    let gateway = before(&backend).await;
    let mut wire = Wire::connect(gateway.address()).await;
    for _ in 0..2 {
        wire.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        for link in ["</a.css>", "</b.css>"] {
            let head = wire.read_head().await;
            assert_eq!(head.status(), 103);
            assert_eq!(head.fields, [("link".to_owned(), link.to_owned())]);
        }
        let head = wire.read_head().await;
        assert_eq!(head.status(), 200);
        assert_eq!(wire.read_body(&head).await.expect("whole"), b"ok");
    }
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn passes_early_hints_on_before_there_is_a_response() {
    let (seen, answer) = (std::sync::Arc::new(tokio::sync::Notify::new()), "HTTP/1.1 204 No Content\r\n\r\n");
    let go_on = std::sync::Arc::clone(&seen);
    let backend = Backend::with(move |mut wire| {
        let go_on = std::sync::Arc::clone(&go_on);
        async move {
            wire.read_head().await;
            wire.send("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n").await;
            go_on.notified().await;
            wire.send(answer).await;
        }
    });
    let gateway = before(&backend).await;
    let mut wire = Wire::connect(gateway.address()).await;
    wire.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(wire.read_head().await.status(), 103);
    seen.notify_one();
    assert_eq!(wire.read_head().await.status(), 204);
}

#[tokio::test]
async fn spares_http10_the_interim_responses() {
    let backend = hinting(HINTS);
    let gateway = before(&backend).await;
    let mut wire = Wire::connect(gateway.address()).await;
    wire.send("GET / HTTP/1.0\r\nhost: a\r\n\r\n").await;
    assert_eq!(wire.read_head().await.start, "HTTP/1.0 200 OK");
}

#[tokio::test]
async fn keeps_a_backends_100_to_itself() {
    let backend = hinting("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n");
    let gateway = before(&backend).await;
    let mut wire = Wire::connect(gateway.address()).await;
    wire.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(wire.read_head().await.status(), 102);
    assert_eq!(wire.read_head().await.status(), 200);
}

#[tokio::test]
async fn refuses_a_switch_of_protocols_that_nobody_asked_for() {
    let backend =
        Backend::respond("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n");
    let gateway = before(&backend).await;
    let mut asking = get("/");
    for (name, value) in [("connection", "upgrade"), ("upgrade", "x")] {
        asking.headers_mut().insert(name, value.parse().expect("a value"));
    }
    let answer = request(gateway.address(), asking).await;
    assert_eq!((answer.status.as_u16(), &*answer.code()), (502, "backend-invalid-response"));
}

#[tokio::test]
async fn interim_responses_reach_http2_clients() {
    let backend = Backend::with(|mut wire| async move {
        let head = wire.read_head().await;
        wire.send("HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n").await;
        assert_eq!(wire.read_body(&head).await.expect("whole"), b"hello");
        wire.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    });
    let gateway = before(&backend).await;
    let io = within(TcpStream::connect(gateway.address())).await.expect("a connection");
    let (sender, connection) = within(h2::client::handshake(io)).await.expect("it speaks HTTP/2");
    tokio::spawn(connection);
    let mut sender = within(sender.ready()).await.expect("it takes requests");
    let asked = Request::post("http://a/").header("expect", "100-continue").body(()).expect("a request");
    let (mut response, mut body) = sender.send_request(asked, false).expect("it is taken");
    let mut interim = Vec::new();
    while interim.len() < 2 {
        let next =
            within(poll_fn(|cx| response.poll_informational(cx))).await.expect("one more").expect("no reset");
        interim.push(next.status().as_u16());
    }
    assert_eq!(interim, [100, 103]);
    body.send_data("hello".into(), true).expect("it is taken");
    assert_eq!(within(response).await.expect("a response").status(), 200);
}
