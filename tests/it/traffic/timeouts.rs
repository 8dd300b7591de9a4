//! How long requests may take, and what is said when they took longer.
//!
//! The values are short so that the tests are, and the bounds that are asserted are far above them.

use std::net::SocketAddr;
use std::time::Duration;

use cloud_cup::message::upgrade::websocket_accept;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::Instant;

use super::{hosts, pool_load, ruled, with};
use crate::support::{Backend, Client, Gateway, Wire, eventually, get, post, request, within};

const SHORT: &str = "150ms";
const SHORTLY: Duration = Duration::from_millis(150);
/// Before this, what has a short timeout has ended; what has not would take at least the default.
const SOON: Duration = Duration::from_secs(4);

/// Reads a request and never answers.
fn silent() -> Backend {
    Backend::with(|mut wire: Wire| async move {
        wire.read_head().await;
        wire.read_to_end().await;
    })
}

/// Both places where a timeout can be said: in the document, and in the rule before a longer one in the document.
fn both(field: &str) -> [(Value, Value); 2] {
    [
        (json!({ "timeouts": { field: SHORT } }), json!({})),
        (json!({ "timeouts": { field: "1h" } }), json!({ "timeouts": { field: SHORT } })),
    ]
}

fn document(fields: &Value, rule: &Value, more: &Value) -> Value {
    with(ruled(fields.clone(), rule.clone()), more.clone())
}

/// What is answered, with its code, a short time after it began.
async fn shortly(gateway: &Gateway, status: u16, code: &str) {
    let began = Instant::now();
    let answer = within(request(gateway.address(), get("/"))).await;
    let took = began.elapsed();
    assert_eq!((answer.status.as_u16(), &*answer.code()), (status, code));
    assert!((SHORTLY..SOON).contains(&took), "it took {took:?}");
    let log = gateway.logged(1).await;
    let line = log.last().expect("a line");
    assert_eq!((&line["status"], &line["reason"]), (&json!(status), &json!(code)));
    let count = format!("cloudcup_gateway_responses_total{{reason=\"{code}\"}}");
    assert!(gateway.metric(&count).await >= 1.0);
    eventually(|| async { pool_load(gateway).await[..2] == [0.0, 0.0] }).await;
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_a_504() {
    let backend = silent();
    for (more, rule) in both("request") {
        let fields = json!({ "backends": hosts([&backend]) });
        let gateway = Gateway::start(document(&fields, &rule, &more)).await;
        shortly(&gateway, 504, "request-timeout").await;
        let answer = within(request(gateway.address(), post("/", "hello"))).await;
        assert_eq!((answer.status.as_u16(), &*answer.code()), (504, "request-timeout"));
    }
}

#[tokio::test]
async fn retries_and_their_waits_count_to_a_request() {
    let backend = Backend::respond("HTTP/1.1 503 Told\r\ncontent-length: 0\r\n\r\n");
    let backoff = json!({ "base": "1m", "max": "1m" });
    let rule = json!({
        "retry": { "on": ["5xx"], "attempts": 10, "backoff": backoff }, "timeouts": { "request": SHORT },
    });
    let gateway = Gateway::start(ruled(json!({ "backends": hosts([&backend]) }), rule)).await;
    shortly(&gateway, 504, "request-timeout").await;
    assert_eq!(pool_load(&gateway).await[3], 0.0);
}

#[tokio::test]
async fn a_response_that_takes_too_long_is_cut_off() {
    let backend = Backend::with(|mut wire: Wire| async move {
        wire.read_head().await;
        wire.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        // It is never silent for long.
        while wire.try_send("5\r\nhello\r\n").await.is_ok() {
            tokio::time::sleep(SHORTLY / 5).await;
        }
    });
    let fields = json!({ "backends": hosts([&backend]) });
    let gateway = Gateway::start(ruled(fields, json!({ "timeouts": { "request": SHORT } }))).await;
    let mut wire = Wire::connect(gateway.address()).await;
    let began = Instant::now();
    wire.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let head = wire.read_head().await;
    assert_eq!((head.status(), wire.read_body(&head).await), (200, None), "it has no end");
    let took = began.elapsed();
    assert!((SHORTLY..SOON).contains(&took), "it took {took:?}");
    let log = gateway.logged(1).await;
    assert_eq!((&log[0]["status"], &log[0]["complete"]), (&json!(200), &json!(false)));
    let mut client: Client = Client::http2(gateway.address()).await.expect("it speaks HTTP/2");
    assert!(within(client.send(get("/"))).await.is_err(), "nor over HTTP/2");
    eventually(|| async { pool_load(&gateway).await == [0.0; 4] }).await;
}

#[tokio::test]
async fn an_attempt_that_takes_too_long_is_a_504_when_there_is_no_other() {
    let backend = silent();
    let fields = json!({ "backends": hosts([&backend]) });
    for (retry, expected) in
        [(json!({ "on": [] }), 1), (json!({ "attempts": 2, "backoff": { "base": "1ms" } }), 3)]
    {
        let rule = json!({ "retry": with(json!({ "per_try_timeout": SHORT }), retry) });
        let gateway = Gateway::start(ruled(fields.clone(), rule)).await;
        shortly(&gateway, 504, "per-try-timeout").await;
        assert_eq!(gateway.access_log()[0]["attempts"], expected);
    }
}

/// An address that neither accepts nor refuses: its queue is full.
async fn full() -> (SocketAddr, TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    let listener = socket.listen(1).expect("it is bound");
    let address = listener.local_addr().expect("it is bound");
    let mut waiting = Vec::new();
    while let Ok(connected) =
        tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(address)).await
    {
        waiting.push(connected.expect("it is in the queue"));
        assert!(waiting.len() < 16, "the queue is never full here");
    }
    (address, listener, waiting)
}

#[tokio::test]
async fn a_connection_that_does_not_open_is_a_504() {
    let (address, _listener, _waiting) = full().await;
    for (more, rule) in both("connect") {
        let fields = json!({ "backends": [{ "host": address.to_string() }] });
        let gateway = Gateway::start(document(&fields, &rule, &more)).await;
        shortly(&gateway, 504, "backend-connect-timeout").await;
    }
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_a_504() {
    // It accepts, reads, and says nothing.
    let backend = Backend::with(|mut wire: Wire| async move { while wire.io().read_u8().await.is_ok() {} });
    for (more, rule) in both("tls") {
        let folder = TempDir::new().expect("a folder");
        let fields = json!({ "backends": hosts([&backend]), "tls": { "verify": false } });
        let gateway =
            Gateway::try_start_in(folder, document(&fields, &rule, &more)).await.expect("it starts");
        shortly(&gateway, 504, "backend-tls-timeout").await;
    }
}

#[tokio::test]
async fn who_waits_too_long_for_a_connection_is_answered_with_503() {
    let backend = silent();
    for (more, rule) in both("queue") {
        let fields = json!({ "backends": hosts([&backend]), "limits": { "connections": 1 } });
        let document = with(document(&fields, &rule, &more), json!({ "workers": 1 }));
        let gateway = Gateway::start(document).await;
        let before = backend.requests();
        let mut first = Wire::connect(gateway.address()).await;
        first.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        eventually(|| async { backend.requests() == before + 1 }).await;
        let began = Instant::now();
        let answer = within(request(gateway.address(), get("/"))).await;
        assert!((SHORTLY..SOON).contains(&began.elapsed()));
        assert_eq!((answer.status.as_u16(), &*answer.code()), (503, "queue-timeout"));
        assert!(answer.header("retry-after").is_some());
        eventually(|| async { pool_load(&gateway).await == [1.0, 0.0, 1.0, 0.0] }).await;
    }
}

#[tokio::test]
async fn a_backend_that_is_silent_for_too_long_is_a_504() {
    let backend = silent();
    for (more, rule) in both("backend_idle") {
        let fields = json!({ "backends": hosts([&backend]) });
        let gateway = Gateway::start(document(&fields, &rule, &more)).await;
        shortly(&gateway, 504, "backend-timeout").await;
    }
}

#[tokio::test]
async fn the_rule_counts_where_the_document_allows_less() {
    let slow = Backend::with(|mut wire: Wire| async move {
        wire.read_head().await;
        tokio::time::sleep(3 * SHORTLY).await;
        wire.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    });
    let all = json!({ "timeouts": { "request": SHORT, "backend_idle": SHORT } });
    let longer = json!({ "timeouts": { "request": "1m", "backend_idle": "1m" } });
    let gateway = Gateway::start(document(&json!({ "backends": hosts([&slow]) }), &longer, &all)).await;
    assert_eq!(within(request(gateway.address(), get("/"))).await.status, 200);
}

/// Agrees to a WebSocket and gives back whatever comes.
fn websockets() -> Backend {
    Backend::with(|mut wire: Wire| async move {
        let Some(head) = wire.try_read_head().await else { return };
        let key = head.field("sec-websocket-key").expect("a key").parse().expect("a value");
        let accept = websocket_accept(&key);
        let accept = accept.to_str().expect("text");
        wire.send(format!(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
             sec-websocket-accept: {accept}\r\n\r\n"
        ))
        .await;
        loop {
            let some = wire.read_some().await;
            if some.is_empty() || wire.try_send(some).await.is_err() {
                return;
            }
        }
    })
}

#[tokio::test]
async fn a_websocket_that_lasts_too_long_is_closed_with_1001() {
    let backend = websockets();
    for (more, rule) in both("tunnel") {
        let fields = json!({ "backends": hosts([&backend]) });
        // A request's time is over when its connection was changed.
        let more = with(
            json!({ "timeouts": with(more["timeouts"].clone(), json!({ "request": "1s" })) }),
            json!({}),
        );
        let gateway = Gateway::start(document(&fields, &rule, &more)).await;
        let mut wire = Wire::connect(gateway.address()).await;
        let began = Instant::now();
        wire.send(
            "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .await;
        assert_eq!(wire.read_head().await.status(), 101);
        // However much is said.
        let message = [0x82, 0x85, 0, 0, 0, 0, b'h', b'e', b'l', b'l', b'o'];
        let mut told = Vec::new();
        while !told.ends_with(&[0x88, 0x02, 0x03, 0xe9]) {
            if wire.try_send(message).await.is_err() {
                break;
            }
            let some = wire.read_some().await;
            if some.is_empty() {
                break;
            }
            told.extend(some);
            tokio::time::sleep(SHORTLY / 10).await;
        }
        assert!(told.ends_with(&[0x88, 0x02, 0x03, 0xe9]), "no goodbye: {told:02x?}");
        assert!((SHORTLY..SOON).contains(&began.elapsed()));
        eventually(|| async { gateway.metric("cloudcup_tunnels").await == 0.0 }).await;
        eventually(|| async { pool_load(&gateway).await == [0.0; 4] }).await;
    }
}

#[tokio::test]
async fn a_websocket_outlasts_the_time_of_a_request() {
    let backend = websockets();
    let rule = json!({ "timeouts": { "request": SHORT } });
    let gateway = Gateway::start(ruled(json!({ "backends": hosts([&backend]) }), rule)).await;
    let mut wire = Wire::connect(gateway.address()).await;
    wire.send(
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    )
    .await;
    assert_eq!(wire.read_head().await.status(), 101);
    tokio::time::sleep(3 * SHORTLY).await;
    assert_eq!(pool_load(&gateway).await[0], 1.0, "it is a request of its upstream");
    wire.send("hello").await;
    assert_eq!(wire.read_exact(5).await, b"hello");
}
