//! Clients and backends that are slow or silent: they cost a bounded time.
//!
//! The values are short so that the tests are, and the bounds that are asserted are far above them.

use std::net::SocketAddr;
use std::time::Duration;

use http::Version;
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::before_with;
use super::http2::raw_request;
use crate::support::{Backend, Client, Feed, Gateway, Wire, eventually, feed, get, post, request, within};

const SHORT: &str = "150ms";
const SHORTLY: Duration = Duration::from_millis(150);
/// Before this, what has a short timeout has ended; what has not would take at least the default.
const SOON: Duration = Duration::from_secs(5);

fn timeouts(names: &[&str]) -> Value {
    let timeouts: serde_json::Map<_, _> =
        names.iter().map(|name| ((*name).to_owned(), json!(SHORT))).collect();
    json!({ "timeouts": timeouts })
}

/// Never answers.
fn silent() -> Backend {
    Backend::with(|mut wire| async move {
        wire.read_head().await;
        wire.read_to_end().await;
    })
}

/// Waits for something that must happen a short timeout after `began`, and not much later. `began` lies before whatever
/// starts the timeout, so that a test that is held up itself does not take it for too short.
async fn shortly<T>(began: Instant, future: impl Future<Output = T>) -> T {
    let value = within(future).await;
    let took = began.elapsed();
    assert!(took >= SHORTLY, "it took only {took:?}");
    assert!(took < SOON, "it took {took:?}");
    value
}

async fn code(wire: &mut Wire, status: u16) -> String {
    let head = wire.read_head().await;
    assert_eq!(head.status(), status);
    assert_eq!(head.field("connection"), Some("close"));
    let body = wire.read_body(&head).await.expect("a whole response");
    wire.expect_eof().await;
    let told: Value = serde_json::from_slice(&body).expect("JSON");
    told["code"].as_str().expect("a code").to_owned()
}

#[tokio::test]
async fn a_head_that_does_not_come_to_its_end_is_a_408() {
    let backend = Backend::echo("a");
    let gateway = before_with(&backend, timeouts(&["client_head"])).await;
    for begin in ["G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nhost: a\r\nx: "] {
        let began = Instant::now();
        let mut wire = Wire::connect(gateway.address()).await;
        wire.send(begin).await;
        assert_eq!(shortly(began, code(&mut wire, 408)).await, "head-timeout", "{begin:?}");
    }
    assert_eq!(gateway.logged(3).await[0]["reason"], "head-timeout");
    assert_eq!(backend.requests(), 0);
}

#[tokio::test]
async fn a_head_that_trickles_is_a_408_all_the_same() {
    let backend = Backend::echo("a");
    let gateway = before_with(&backend, timeouts(&["client_head"])).await;
    let mut wire = Wire::connect(gateway.address()).await;
    wire.send("GET / HTTP/1.1\r\nhost: a\r\n").await;
    let began = Instant::now();
    // A byte every now and then, for as long as somebody takes them.
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    while wire.try_send("x: y\r\n").await.is_ok() {
        pace.tick().await;
        assert!(began.elapsed() < SOON, "it goes on for ever");
    }
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed_without_a_word() {
    let backend = Backend::echo("a");
    let gateway = before_with(&backend, timeouts(&["client_head"])).await;
    let began = Instant::now();
    let mut wire = Wire::connect(gateway.address()).await;
    shortly(began, wire.expect_eof()).await;
}

#[tokio::test]
async fn a_connection_between_two_requests_is_closed_without_a_word() {
    let backend = Backend::echo("a");
    let gateway = before_with(&backend, timeouts(&["keep_alive"])).await;
    let mut wire = Wire::connect(gateway.address()).await;
    let began = Instant::now();
    wire.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let head = wire.read_head().await;
    wire.read_body(&head).await;
    shortly(began, wire.expect_eof()).await;
}

#[tokio::test]
async fn an_empty_line_behind_a_request_is_not_the_next_one() {
    let backend = Backend::echo("a");
    let gateway = before_with(&backend, timeouts(&["client_head"])).await;
    for is_late in [false, true] {
        let mut wire = Wire::connect(gateway.address()).await;
        let (with, after) = if is_late { ("", "\r\n") } else { ("\r\n", "") };
        wire.send(format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello{with}")).await;
        let head = wire.read_head().await;
        wire.read_body(&head).await;
        wire.send(after).await;
        let rest = shortly_or_open(&mut wire).await;
        assert_eq!(rest, "", "nobody asked for that");
    }
}

/// What comes before the connection ends, or before it has stayed open for twice a short timeout.
async fn shortly_or_open(wire: &mut Wire) -> String {
    let rest = tokio::time::timeout(2 * SHORTLY, wire.read_some()).await.unwrap_or_default();
    String::from_utf8_lossy(&rest).into_owned()
}

#[tokio::test]
async fn a_body_that_stops_is_a_408() {
    let backend = silent();
    let gateway = before_with(&backend, timeouts(&["client_idle"])).await;
    for rest in ["content-length: 50\r\n\r\nhello", "transfer-encoding: chunked\r\n\r\n5\r\nhel"] {
        let began = Instant::now();
        let mut wire = Wire::connect(gateway.address()).await;
        wire.send(format!("POST / HTTP/1.1\r\nhost: a\r\n{rest}")).await;
        assert_eq!(shortly(began, code(&mut wire, 408)).await, "body-timeout", "{rest:?}");
    }
}

#[tokio::test]
async fn a_body_that_stops_is_a_408_in_http2() {
    let backend = silent();
    let gateway = before_with(&backend, timeouts(&["client_idle"])).await;
    let (sender, asking) = feed("/");
    let mut client = Client::<Feed>::http2(gateway.address()).await.expect("it speaks HTTP/2");
    let began = Instant::now();
    sender.send(Frame::data("hello".into())).await.expect("it is wanted");
    let answer = shortly(began, client.send(asking)).await.expect("a response");
    assert_eq!((answer.status.as_u16(), &*answer.code()), (408, "body-timeout"));
}

#[tokio::test]
async fn a_body_that_goes_on_has_its_time() {
    let backend = Backend::echo("a");
    let gateway = before_with(&backend, timeouts(&["client_idle", "backend_idle", "client_head"])).await;
    let (sender, asking) = feed("/");
    let mut client = Client::<Feed>::http1(gateway.address()).await.expect("it accepts connections");
    let sending = async {
        let mut pace = tokio::time::interval(SHORTLY / 5);
        for _ in 0..15 {
            pace.tick().await;
            sender.send(Frame::data("x".into())).await.expect("it is wanted");
        }
        drop(sender);
    };
    let (answer, ()) = tokio::join!(client.send(asking), sending);
    assert_eq!(answer.expect("a response").json()["body"], "x".repeat(15));
}

#[tokio::test]
async fn a_silent_backend_is_a_504() {
    let backend = silent();
    let gateway = before_with(&backend, timeouts(&["backend_idle"])).await;
    for asking in [get("/"), post("/", "hello")] {
        let began = Instant::now();
        let answer = shortly(began, request(gateway.address(), asking)).await;
        assert_eq!((answer.status.as_u16(), &*answer.code()), (504, "backend-timeout"));
    }
    // It may have done what was asked for, so nobody else is asked.
    assert_eq!(gateway.logged(2).await[0]["attempts"], 1);
}

#[tokio::test]
async fn a_backend_that_falls_silent_breaks_its_response() {
    let backend = Backend::with(|mut wire| async move {
        wire.read_head().await;
        wire.send("HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello").await;
        wire.read_to_end().await;
    });
    let gateway = before_with(&backend, timeouts(&["backend_idle"])).await;
    let mut wire = Wire::connect(gateway.address()).await;
    let began = Instant::now();
    wire.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let head = wire.read_head().await;
    assert_eq!(head.status(), 200);
    assert_eq!(shortly(began, wire.read_body(&head)).await, None);
    let mut client: Client = Client::http2(gateway.address()).await.expect("it speaks HTTP/2");
    let began = Instant::now();
    assert!(shortly(began, client.send(get("/"))).await.is_err());
}

/// An address that neither accepts nor refuses: its queue is full.
struct Full {
    address: SocketAddr,
    _waiting: Vec<tokio::net::TcpStream>,
    _listener: tokio::net::TcpListener,
}

impl Full {
    async fn new() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        let listener = socket.listen(1).expect("it is bound");
        let address = listener.local_addr().expect("it is bound");
        let mut waiting = Vec::new();
        // Until one is left hanging.
        while let Ok(connected) =
            tokio::time::timeout(Duration::from_millis(100), tokio::net::TcpStream::connect(address)).await
        {
            waiting.push(connected.expect("it is in the queue"));
            assert!(waiting.len() < 16, "the queue is never full here");
        }
        Self { address, _waiting: waiting, _listener: listener }
    }
}

#[tokio::test]
async fn a_backend_that_takes_no_connection_in_time_is_a_504() {
    let full = Full::new().await;
    let backends = json!([{ "host": full.address.to_string() }]);
    let routes = json!({ "routes": { "*": { "backends": backends } }, "timeouts": { "connect": SHORT } });
    let gateway = Gateway::start(routes).await;
    let began = Instant::now();
    let answer = shortly(began, request(gateway.address(), get("/"))).await;
    assert_eq!((answer.status.as_u16(), &*answer.code()), (504, "backend-connect-timeout"));
    // Another one may have room.
    let good = Backend::echo("good");
    let backends = json!([{ "host": full.address.to_string() }, good.host()]);
    gateway
        .change(json!({ "routes": { "*": { "backends": backends } }, "timeouts": { "connect": SHORT } }))
        .await;
    let mut attempts = 0;
    for requests in 2..4 {
        assert_eq!(within(request(gateway.address(), post("/", "hello"))).await.backend(), "good");
        attempts += gateway.logged(requests).await[requests - 1]["attempts"].as_u64().expect("a number");
    }
    assert!(attempts > 2, "the full one was never asked");
}

/// Tells when it can write no more of a large response.
fn large_responses(ended: mpsc::Sender<()>) -> Backend {
    const LENGTH: usize = 100 << 20;
    Backend::with(move |mut wire| {
        let ended = ended.clone();
        async move {
            wire.read_head().await;
            wire.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {LENGTH}\r\n\r\n")).await;
            let piece = vec![b'x'; 1 << 20];
            for _ in 0..LENGTH / piece.len() {
                if wire.try_send(&piece).await.is_err() {
                    break;
                }
            }
            ended.send(()).await.expect("the test waits");
        }
    })
}

#[tokio::test]
async fn a_client_that_does_not_read_is_let_go() {
    let (ended, mut told) = mpsc::channel(1);
    let backend = large_responses(ended);
    let gateway = before_with(&backend, timeouts(&["client_idle"])).await;
    let mut wire = Wire::connect(gateway.address()).await;
    let began = Instant::now();
    wire.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    shortly(began, told.recv()).await;
    let line = &gateway.logged(1).await[0];
    assert_eq!((&line["status"], &line["complete"]), (&200.into(), &false.into()));
}

#[tokio::test]
async fn an_http2_client_that_opens_no_window_is_let_go() {
    let (ended, mut told) = mpsc::channel(1);
    let backend = large_responses(ended);
    let gateway = before_with(&backend, timeouts(&["client_idle"])).await;
    let mut client: Client = Client::http2(gateway.address()).await.expect("it speaks HTTP/2");
    let began = Instant::now();
    let response = client.begin(get("/")).await.expect("a head");
    shortly(began, told.recv()).await;
    drop(response);
}

#[tokio::test]
async fn an_http2_connection_without_streams_is_closed() {
    let backend = Backend::echo("a");
    let gateway = before_with(&backend, timeouts(&["keep_alive"])).await;
    let mut client: Client = Client::http2(gateway.address()).await.expect("it speaks HTTP/2");
    assert_eq!(client.send(get("/")).await.expect("a response").status, 200);
    let is_closed = || async { gateway.metric("cloudcup_connections").await == 0.0 };
    within(eventually(is_closed)).await;
    // One that answers nothing, not even a ping, too.
    let mut wire = Wire::connect(gateway.address()).await;
    wire.send(raw_request(&[
        (":method", b"GET"),
        (":scheme", b"http"),
        (":path", b"/"),
        (":authority", b"a"),
    ]))
    .await;
    let ended = tokio::time::timeout(SOON, wire.read_to_end()).await;
    assert!(ended.is_ok_and(|frames| !frames.is_empty()), "it keeps its connection");
}

#[tokio::test]
async fn an_http2_connection_that_never_gets_going_is_closed() {
    let backend = Backend::echo("a");
    let gateway = before_with(&backend, timeouts(&["client_head", "keep_alive"])).await;
    // The preface without its settings; the first bytes of a frame; half a head.
    let headers = b"\x00\x00\x20\x01\x04\x00\x00\x00\x01\x82";
    for rest in [
        &b""[..],
        b"\x00\x00\x00\x04\x00\x00\x00",
        &[b"\x00\x00\x00\x04\x00\x00\x00\x00\x00", &headers[..]].concat(),
    ] {
        let mut wire = Wire::connect(gateway.address()).await;
        wire.send([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", rest].concat()).await;
        let ended = tokio::time::timeout(SOON, wire.read_to_end()).await;
        assert!(ended.is_ok(), "{rest:?} keeps its connection");
    }
}

#[tokio::test]
async fn many_slow_clients_do_not_keep_others_waiting() {
    const SLOW: usize = 500;
    let backend = Backend::echo("a");
    let gateway = before_with(&backend, json!({ "timeouts": { "client_head": "1s" } })).await;
    let mut slow = Vec::new();
    for index in 0..SLOW {
        let mut wire = Wire::connect(gateway.address()).await;
        wire.send(["GET / HTTP/1.1\r\nx: ", "", "POST "][index % 3]).await;
        slow.push(wire);
    }
    let began = Instant::now();
    for _ in 0..20 {
        assert_eq!(request(gateway.address(), get("/")).await.status, 200);
    }
    assert!(began.elapsed() < SOON, "20 requests took {:?}", began.elapsed());
    let mut ending = JoinSet::new();
    for mut wire in slow {
        ending.spawn(async move { wire.read_to_end().await });
    }
    within(ending.join_all()).await;
    assert!(began.elapsed() < SOON, "it took {:?} to be rid of them", began.elapsed());
    let is_over = || async { gateway.metric("cloudcup_connections").await == 0.0 };
    eventually(is_over).await;
}

/// Lets more time pass than is allowed to somebody else: it is what the tests below are about.
async fn pause() {
    tokio::time::sleep(3 * SHORTLY).await;
}

#[tokio::test]
async fn a_slow_backend_is_not_blamed_on_its_client() {
    let backend = Backend::with(|mut wire| async move {
        wire.read_head().await;
        pause().await;
        wire.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        for _ in 0..2 {
            wire.send("5\r\nhello\r\n").await;
            pause().await;
        }
        wire.send("0\r\n\r\n").await;
    });
    let gateway = before_with(&backend, timeouts(&["client_idle", "client_head", "keep_alive"])).await;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let mut asking = get("/");
        *asking.version_mut() = version;
        assert_eq!(request(gateway.address(), asking).await.text(), "hellohello", "{version:?}");
    }
}

#[tokio::test]
async fn a_client_that_waits_for_its_backend_is_not_blamed() {
    const LENGTH: usize = 40 << 20;
    let backend = Backend::with(|mut wire| async move {
        let head = wire.read_head().await;
        // By now the client is held back, and silent.
        pause().await;
        let is_whole = wire.read_body(&head).await.is_some_and(|body| body.len() == LENGTH);
        wire.send(format!("HTTP/1.1 {} Done\r\ncontent-length: 0\r\n\r\n", if is_whole { 200 } else { 400 }))
            .await;
    });
    let gateway = before_with(&backend, timeouts(&["client_idle", "client_head", "keep_alive"])).await;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let mut asking = post("/", vec![b'x'; LENGTH]);
        *asking.version_mut() = version;
        let answer = request(gateway.address(), asking).await;
        assert_eq!(answer.status, 200, "{version:?}");
    }
}

#[tokio::test]
async fn an_idle_client_is_not_blamed_on_its_backend() {
    // The client is slower than `backend_idle`, and the backend waits for it.
    let backend = Backend::echo("a");
    let gateway = before_with(&backend, timeouts(&["backend_idle"])).await;
    let (sender, asking) = feed("/");
    let mut client = Client::<Feed>::http1(gateway.address()).await.expect("it accepts connections");
    let sending = async {
        sender.send(Frame::data("x".into())).await.expect("it is wanted");
        pause().await;
        sender.send(Frame::data("y".into())).await.expect("it is wanted");
        drop(sender);
    };
    let (answer, ()) = tokio::join!(client.send(asking), sending);
    assert_eq!(answer.expect("a response").json()["body"], "xy");
}
