//! WebSocket and other protocols that a request changes its connection to.

use std::time::Duration;

use bytes::Bytes;
use cloud_cup::message::upgrade::websocket_accept;
use h2::ext::Protocol;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::{before, before_with, with};
use crate::support::{Backend, Gateway, Wire, document, eventually, within};

/// The key of RFC 6455, and what is answered to it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// A close frame with the status 1001 from a server.
const GOING_AWAY: &[u8] = &[0x88, 2, 3, 0xe9];

fn handshake(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nhost: a\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: {KEY}\r\n\r\n"
    )
}

/// Agrees to a WebSocket and gives back whatever comes.
async fn echo(mut wire: Wire) {
    while let Some(head) = wire.try_read_head().await {
        assert_eq!((head.field("upgrade"), head.field("connection")), (Some("websocket"), Some("upgrade")));
        assert_eq!(head.field("sec-websocket-version"), Some("13"));
        let key = head.field("sec-websocket-key").expect("a key").parse().expect("a value");
        let accept = websocket_accept(&key);
        let accept = accept.to_str().expect("text");
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nconnection: Upgrade\r\n\
             sec-websocket-accept: {accept}\r\n\r\n"
        );
        wire.send(answer).await;
        give_back(wire.io()).await;
    }
}

async fn give_back(io: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin)) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(size @ 1..) = io.read(&mut buffer).await {
        if io.write_all(&buffer[..size]).await.is_err() {
            return;
        }
    }
    // Whoever is gone needs no goodbye.
    let _ = io.shutdown().await;
}

/// The same over HTTP/2.
async fn echo_h2(mut request: Request<Incoming>) -> Response<Full<Bytes>> {
    assert_eq!(request.method(), Method::CONNECT);
    let protocol = request.extensions().get::<hyper::ext::Protocol>().expect("an extended CONNECT");
    assert_eq!(protocol.as_str(), "websocket");
    assert_eq!(request.headers().get("sec-websocket-key"), None);
    let upgrading = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let mut io = TokioIo::new(upgrading.await.expect("a tunnel"));
        give_back(&mut io).await;
    });
    Response::new(Full::default())
}

/// Opens a WebSocket over HTTP/1.1.
async fn open(gateway: &Gateway, path: &str) -> Wire {
    let mut wire = Wire::connect(gateway.address()).await;
    wire.send(handshake(path)).await;
    let head = wire.read_head().await;
    assert_eq!(head.status(), 101);
    assert_eq!(head.field("sec-websocket-accept"), Some(ACCEPT));
    assert_eq!(head.field("connection"), Some("upgrade"));
    assert!(head.field("upgrade").is_some_and(|token| token.eq_ignore_ascii_case("websocket")));
    wire
}

/// A tunnel over a stream of HTTP/2, with its connection.
struct Stream {
    sending: h2::SendStream<Bytes>,
    receiving: h2::RecvStream,
}

impl Stream {
    /// Asks for one; the response's head where it is none.
    async fn ask(gateway: &Gateway, protocol: &str) -> Result<Self, Response<h2::RecvStream>> {
        let io = within(TcpStream::connect(gateway.address())).await.expect("a connection");
        let (sender, mut connection) = within(h2::client::handshake(io)).await.expect("it speaks HTTP/2");
        let settled = std::future::poll_fn(|cx| {
            if std::pin::Pin::new(&mut connection).poll(cx).is_ready()
                || sender.is_extended_connect_protocol_enabled()
            {
                return std::task::Poll::Ready(());
            }
            std::task::Poll::Pending
        });
        within(settled).await;
        tokio::spawn(connection);
        let mut sender = within(sender.ready()).await.expect("it takes requests");
        let mut request = Request::new(());
        *request.method_mut() = Method::CONNECT;
        *request.uri_mut() = "https://a/socket?x".parse().expect("a target");
        request.extensions_mut().insert(Protocol::from(protocol));
        request.headers_mut().insert("sec-websocket-version", HeaderValue::from_static("13"));
        let (response, sending) = sender.send_request(request, false).expect("it takes CONNECT");
        let response = within(response).await.expect("a response");
        if response.status() != 200 {
            return Err(response);
        }
        assert_eq!(response.headers().get("sec-websocket-accept"), None);
        assert_eq!(response.headers().get("upgrade"), None);
        Ok(Self { sending, receiving: response.into_body() })
    }

    async fn exchange(&mut self, text: &'static [u8]) {
        self.sending.send_data(Bytes::from_static(text), false).expect("it is open");
        let mut got = Vec::new();
        while got.len() < text.len() {
            got.extend(self.receive().await.expect("bytes"));
        }
        assert_eq!(got, text);
    }

    async fn receive(&mut self) -> Option<Bytes> {
        loop {
            let data = within(self.receiving.data()).await?.expect("no reset");
            self.receiving.flow_control().release_capacity(data.len()).expect("it was there");
            if !data.is_empty() {
                return Some(data);
            }
        }
    }
}

async fn tunnels(gateway: &Gateway) -> f64 {
    gateway.metric("cloudcup_tunnels").await
}

#[tokio::test]
async fn bytes_pass_both_ways_once_both_sides_agree() {
    let backend = Backend::with(echo);
    let gateway = before(&backend).await;
    let mut wire = open(&gateway, "/socket").await;
    for text in ["hello", "again"] {
        wire.send(text).await;
        assert_eq!(wire.read_exact(5).await, text.as_bytes());
    }
    assert_eq!(tunnels(&gateway).await, 1.0);
    wire.finish().await;
    wire.expect_eof().await;
    let log = gateway.logged(1).await;
    assert_eq!((&log[0]["status"], &log[0]["complete"]), (&101.into(), &true.into()));
    assert_eq!((&log[0]["request_bytes"], &log[0]["response_bytes"]), (&10.into(), &10.into()), "{}", log[0]);
    eventually(|| async { tunnels(&gateway).await == 0.0 }).await;
    assert_eq!(gateway.metric("cloudcup_tunnels_opened_total").await, 1.0);
}

#[tokio::test]
async fn every_version_reaches_every_backend() {
    let over_h1 = Backend::with(echo);
    let over_h2 = Backend::serve_h2c(echo_h2);
    for (backend, protocol) in [(&over_h1, "h1"), (&over_h2, "h2c")] {
        let upstream = json!({ "backends": [backend.host()], "protocol": protocol });
        let routes = json!({ "*": { "upstream": "all" } });
        let gateway =
            Gateway::start(with(document(routes), json!({ "upstreams": { "all": upstream } }))).await;
        let mut wire = open(&gateway, "/socket").await;
        wire.send("hello").await;
        assert_eq!(wire.read_exact(5).await, b"hello", "{protocol}");
        let mut stream = Stream::ask(&gateway, "websocket").await.expect("a tunnel");
        stream.exchange(b"hello").await;
        stream.sending.send_data(Bytes::new(), true).expect("it is open");
        assert_eq!(stream.receive().await, None, "{protocol}: the end passes as well");
    }
}

#[tokio::test]
async fn what_a_client_sends_early_waits_for_the_agreement() {
    let backend = Backend::with(|mut wire| async move {
        wire.read_head().await;
        assert!(tokio::time::timeout(Duration::from_millis(50), wire.read_some()).await.is_err());
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
             sec-websocket-accept: {ACCEPT}\r\n\r\nfirst"
        );
        wire.send(answer).await;
        assert_eq!(wire.read_exact(5).await, b"early");
        wire.send("second").await;
    });
    let gateway = before(&backend).await;
    let mut wire = Wire::connect(gateway.address()).await;
    wire.send(handshake("/") + "early").await;
    assert_eq!(wire.read_head().await.status(), 101);
    assert_eq!(wire.read_to_end().await, b"firstsecond");
}

#[tokio::test]
async fn a_backend_may_decline() {
    let backend = Backend::respond("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno");
    let gateway = before(&backend).await;
    let mut wire = Wire::connect(gateway.address()).await;
    for _ in 0..2 {
        wire.send(handshake("/")).await;
        let head = wire.read_head().await;
        assert_eq!((head.status(), wire.read_body(&head).await), (403, Some(b"no".to_vec())));
    }
    assert_eq!(backend.connections(), 1, "both connections go on");
    let declined = Stream::ask(&gateway, "websocket").await.err().expect("no tunnel");
    assert_eq!(declined.status(), 403);
}

#[tokio::test]
async fn a_protocol_that_the_route_does_not_serve_is_passed_over() {
    let backend = Backend::echo("a");
    let gateway = before(&backend).await;
    let asked = |token: &str| handshake("/").replace("websocket\r\n", &format!("{token}\r\n"));
    for token in ["foo/1", "h2c", "foo, websocket"] {
        let mut wire = Wire::connect(gateway.address()).await;
        wire.send(asked(token)).await;
        let head = wire.read_head().await;
        let told: Value = serde_json::from_slice(&wire.read_body(&head).await.expect("whole")).expect("JSON");
        assert_eq!((head.status(), &told["method"]), (200, &"GET".into()));
        let headers = told["headers"].to_string();
        assert!(!headers.contains("\"upgrade\"") && !headers.contains("\"connection\""), "{headers}");
    }
    let refused = Stream::ask(&gateway, "foo").await.err().expect("no tunnel");
    assert_eq!(refused.status(), 501);
}

#[tokio::test]
async fn a_route_may_serve_other_protocols() {
    let asked = "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: Foo\r\n\r\n";
    let backend = Backend::with(|mut wire| async move {
        assert_eq!(wire.read_head().await.field("upgrade"), Some("Foo"));
        wire.send("HTTP/1.1 101 Switching Protocols\r\nupgrade: foo\r\nconnection: upgrade\r\n\r\n").await;
        give_back(wire.io()).await;
    });
    let rule = json!({ "backends": [backend.host()], "upgrades": ["foo"] });
    let gateway = Gateway::start(document(json!({ "*": rule }))).await;
    let mut wire = Wire::connect(gateway.address()).await;
    wire.send(asked).await;
    assert_eq!(wire.read_head().await.status(), 101);
    wire.send("hello").await;
    assert_eq!(wire.read_exact(5).await, b"hello");
}

#[tokio::test]
async fn a_backend_that_changes_protocols_wrongly_is_a_bad_gateway() {
    let websocket = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n";
    for (asked, answer) in [
        // Unasked, another one, without proof, with a wrong one.
        ("GET / HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(), format!("{websocket}\r\n")),
        (handshake("/"), websocket.replace("websocket", "foo") + "\r\n"),
        (handshake("/"), format!("{websocket}\r\n")),
        (handshake("/"), format!("{websocket}sec-websocket-accept: x\r\n\r\n")),
    ] {
        let told = answer.clone();
        let backend = Backend::with(move |mut wire| {
            let answer = answer.clone();
            async move {
                wire.read_head().await;
                wire.send(answer).await;
            }
        });
        let gateway = before(&backend).await;
        let mut wire = Wire::connect(gateway.address()).await;
        wire.send(asked).await;
        assert_eq!(wire.read_head().await.status(), 502, "{told:?}");
    }
}

#[tokio::test]
async fn a_silent_tunnel_ends() {
    let backend = Backend::with(echo);
    let gateway = before_with(&backend, json!({ "timeouts": { "tunnel_idle": "300ms" } })).await;
    let mut wire = open(&gateway, "/").await;
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(600) {
        wire.send("x").await;
        wire.read_exact(1).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let silent = Instant::now();
    assert!(wire.is_reset().await || silent.elapsed() >= Duration::from_millis(250));
    eventually(|| async { tunnels(&gateway).await == 0.0 }).await;
}

/// A server may reset a WebSocket whose client breaks the rules.
#[tokio::test]
async fn a_tunnel_that_breaks_is_no_failure_of_its_backend() {
    let backend = Backend::with(|mut wire| async move {
        wire.read_head().await;
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
             sec-websocket-accept: {ACCEPT}\r\n\r\n"
        );
        wire.send(answer).await;
        if wire.read_exact(1).await == b"r" {
            wire.reset();
        } else {
            wire.read_to_end().await;
        }
    });
    let target = json!([{ "host": backend.address().to_string(), "max_failure": 1 }]);
    let routes = json!({ "*": { "backends": target } });
    let gateway =
        Gateway::start(with(document(routes), json!({ "timeouts": { "tunnel_idle": "300ms" } }))).await;
    // Reset by the backend, and silent for too long.
    for (round, byte) in ["r", "s"].iter().enumerate() {
        let mut wire = open(&gateway, "/").await;
        wire.send(byte).await;
        wire.read_to_end().await;
        gateway.logged(round + 1).await;
    }
    open(&gateway, "/").await;
}

#[tokio::test]
async fn a_tunnel_outlives_changes_of_other_routes() {
    let backend = Backend::with(echo);
    let gateway = before(&backend).await;
    let mut wire = open(&gateway, "/").await;
    for round in 0..5 {
        let routes = json!({
            "*": { "backends": [backend.host()] },
            format!("/{round}"): { "backends": [{ "host": "127.0.0.1:1" }] },
        });
        gateway.change(document(routes)).await;
        wire.send("hello").await;
        assert_eq!(wire.read_exact(5).await, b"hello");
    }
}

#[tokio::test]
async fn clients_are_told_when_the_gateway_goes_away() {
    let backend = Backend::with(echo);
    let gateway = before(&backend).await;
    let mut wire = open(&gateway, "/").await;
    let mut stream = Stream::ask(&gateway, "websocket").await.expect("a tunnel");
    stream.exchange(b"\x81\x03abc").await;
    // The frame is not whole yet, so nothing may come in between.
    wire.send(b"\x81\x05he").await;
    assert_eq!(wire.read_exact(4).await, b"\x81\x05he");
    let stopping = tokio::spawn(gateway.stop());
    assert_eq!(stream.receive().await.as_deref(), Some(GOING_AWAY));
    assert_eq!(stream.receive().await, None);
    wire.send(b"llo").await;
    assert_eq!(wire.read_exact(3).await, b"llo");
    assert_eq!(wire.read_to_end().await, GOING_AWAY);
    assert_eq!(within(stopping).await.expect("no panic"), 0, "none was cut off");
}

#[tokio::test]
async fn a_slow_reader_does_not_stop_what_it_sends() {
    const SIZE: usize = 8 << 20;
    let backend = Backend::with(echo);
    let gateway = before(&backend).await;
    let mut wire = open(&gateway, "/").await;
    let (mut reading, mut writing) = wire.io().split();
    // Far more than all buffers hold is sent before anything is read: the gateway has to take it, or to wait, but not to
    // stop for good.
    let sent = async {
        let chunk = vec![7; 1 << 16];
        for _ in 0..SIZE >> 16 {
            writing.write_all(&chunk).await.expect("it is taken");
        }
    };
    let got = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut buffer = vec![0; 1 << 16];
        let mut left = SIZE;
        while left > 0 {
            left -= reading.read(&mut buffer).await.expect("it is there");
        }
    };
    within(async { tokio::join!(sent, got) }).await;
}
