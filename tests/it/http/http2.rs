//! HTTP/2 over cleartext, by prior knowledge.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use bytes::Bytes;
use http::{HeaderMap, Request, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Frame;
use serde_json::json;
use tokio::sync::{Barrier, Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::bodies::{ALL, BETWEEN, STALLED, write_until_stalled};
use super::{before, before_with, with};
use crate::support::{
    Answer, Backend, Client, Feed, Gateway, Wire, document, feed, get, post, raw, request, within,
};

/// An HTTP/2 client of whole requests.
async fn client(gateway: &Gateway) -> Client {
    Client::http2(gateway.address()).await.expect("it speaks HTTP/2")
}

#[tokio::test]
async fn serves_http2_with_prior_knowledge() {
    let backend = Backend::echo("a");
    let gateway = before(&backend).await;
    let mut client = client(&gateway).await;
    for round in 0..3 {
        let answer = client.send(post("/x?y", "hello")).await.expect("a response");
        assert_eq!((answer.version, answer.status.as_u16()), (Version::HTTP_2, 200));
        let told = answer.json();
        assert_eq!(
            (&told["method"], &told["target"], &told["body"]),
            (&"POST".into(), &"/x?y".into(), &"hello".into())
        );
        assert_eq!(told["version"], "HTTP/1.1");
        assert_eq!(answer.echoed("host"), Some(gateway.address().to_string()));
        assert_eq!(answer.echoed("content-length").as_deref(), Some("5"), "a length that is known is told");
        assert_eq!(gateway.logged(round + 1).await[round]["protocol"], "HTTP/2");
    }
    assert_eq!(gateway.metric("cloudcup_connections_accepted_total").await, 1.0);
}

#[tokio::test]
async fn serves_many_streams_at_one_time() {
    const STREAMS: usize = 50;
    // No response before all requests are there.
    let barrier = Arc::new(Barrier::new(STREAMS));
    let backend = Backend::with(move |mut wire| {
        let barrier = Arc::clone(&barrier);
        async move {
            while let Some(head) = wire.try_read_head().await {
                let body = wire.read_body(&head).await.expect("whole");
                barrier.wait().await;
                let length = body.len();
                wire.send(
                    [format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").as_bytes(), &body]
                        .concat(),
                )
                .await;
            }
        }
    });
    let gateway = before(&backend).await;
    let client = client(&gateway).await;
    let mut asking = JoinSet::new();
    for index in 0..STREAMS {
        let mut client = client.clone();
        asking.spawn(async move {
            let body = format!("{index} ").repeat(20_000);
            let answer = client.send(post("/", body.clone())).await.expect("a response");
            assert!(answer.body == body, "stream {index} got another body");
        });
    }
    assert_eq!(within(asking.join_all()).await.len(), STREAMS);
}

#[tokio::test]
async fn allows_no_more_streams_than_the_document_says() {
    let backend = Backend::with(|mut wire| async move {
        wire.read_head().await;
        wire.read_to_end().await;
    });
    let gateway = before_with(&backend, json!({ "limits": { "h2_streams": 3 } })).await;
    // The first frame of a server is its settings: 3 is the number of streams (RFC 9113, section 6.5.2).
    let mut wire = Wire::connect(gateway.address()).await;
    wire.send(PREFACE).await;
    let frame = wire.read_frame().await.expect("settings");
    assert_eq!(frame.kind, SETTINGS);
    let streams = frame.payload.chunks(6).find(|setting| setting[..2] == [0, 3]).expect("a limit of streams");
    assert_eq!(streams[2..], [0, 0, 0, 3]);
}

#[tokio::test]
async fn joins_the_crumbs_of_cookies() {
    let backend = Backend::echo("a");
    let gateway = before(&backend).await;
    let mut asking = get("/");
    for crumb in ["a=1", "b=2; c=3", "d=4"] {
        asking.headers_mut().append("cookie", crumb.parse().expect("a value"));
    }
    let answer = client(&gateway).await.send(asking).await.expect("a response");
    assert_eq!(answer.echoed("cookie").as_deref(), Some("a=1; b=2; c=3; d=4"));
}

#[tokio::test]
async fn trailers_travel_both_ways() {
    let backend = Backend::with(|mut wire| async move {
        let head = wire.read_head().await;
        assert_eq!(head.field("transfer-encoding"), Some("chunked"));
        let mut lines = Vec::new();
        while let Some(line) = wire.read_line().await {
            let is_last = line.is_empty();
            lines.push(line);
            if is_last {
                break;
            }
        }
        let trailer = lines.iter().find(|line| line.starts_with("x-sum: ")).expect("a trailer");
        let response = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n";
        wire.send(format!("{response}x-got: {}\r\n\r\n", trailer.trim_start_matches("x-sum: "))).await;
    });
    let gateway = before(&backend).await;
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "7".parse().expect("a value"));
    let (sender, asking) = feed("/");
    let mut client = Client::<Feed>::http2(gateway.address()).await.expect("it speaks HTTP/2");
    let sending = async {
        sender.send(Frame::data("piece".into())).await.expect("it is wanted");
        sender.send(Frame::trailers(trailers)).await.expect("it is wanted");
        drop(sender);
    };
    let (answer, ()) = tokio::join!(client.send(asking), sending);
    let answer = answer.expect("a response");
    assert_eq!(answer.text(), "hello");
    assert_eq!(answer.trailers.expect("trailers")["x-got"], "7");
}

#[tokio::test]
async fn streams_both_ways_at_once() {
    let backend = Backend::with(|mut wire| async move {
        wire.read_head().await;
        wire.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        while let Some(size) = wire.read_line().await {
            let line = wire.read_line().await.expect("the chunk itself");
            wire.send(format!("{size}\r\n{line}\r\n")).await;
            if size == "0" {
                return;
            }
        }
    });
    let gateway = before(&backend).await;
    let (sender, asking) = feed("/");
    let mut client = Client::<Feed>::http2(gateway.address()).await.expect("it speaks HTTP/2");
    let mut response =
        client.begin(asking).await.expect("a response before the request has ended").into_body();
    for piece in ["one", "three", "seventeen"] {
        sender.send(Frame::data(piece.into())).await.expect("it is wanted");
        let frame = within(response.frame()).await.expect("a frame").expect("an unbroken body");
        assert_eq!(frame.into_data().expect("data"), piece);
    }
    drop(sender);
    while let Some(frame) = within(response.frame()).await {
        assert_eq!(frame.expect("an unbroken body").into_data().expect("data"), "", "no more was sent");
    }
}

#[tokio::test]
async fn a_slow_client_holds_its_backend_back() {
    let (told, mut written) = mpsc::channel(1);
    let backend = Backend::with(move |mut wire| {
        let told = told.clone();
        async move {
            wire.read_head().await;
            wire.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {ALL}\r\n\r\n")).await;
            told.send(write_until_stalled(&mut wire).await).await.expect("the test waits");
        }
    });
    let gateway = before(&backend).await;
    let response = client(&gateway).await.begin(get("/")).await.expect("a head");
    let between = within(written.recv()).await.expect("a number");
    assert!(between < BETWEEN, "{between} bytes were taken from the backend for a client that reads nothing");
    drop(response);
}

#[tokio::test]
async fn a_slow_backend_holds_its_client_back() {
    let go_on = Arc::new(Notify::new());
    let told = Arc::clone(&go_on);
    let backend = Backend::with(move |mut wire| {
        let told = Arc::clone(&told);
        async move {
            wire.read_head().await;
            told.notified().await;
        }
    });
    let gateway = before(&backend).await;
    let (sender, asking) = feed("/");
    let mut client = Client::<Feed>::http2(gateway.address()).await.expect("it speaks HTTP/2");
    let asking = tokio::spawn(async move { client.begin(asking).await.map(drop) });
    let piece = Bytes::from(vec![b'x'; 1 << 20]);
    let mut between = 0;
    while between < ALL && timeout(STALLED, sender.send(Frame::data(piece.clone()))).await.is_ok() {
        between += piece.len() as u64;
    }
    assert!(between < BETWEEN, "{between} bytes were taken for a backend that reads nothing");
    go_on.notify_one();
    asking.abort();
}

#[tokio::test]
async fn passes_a_broken_response_on_as_a_reset() {
    for response in [
        "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ] {
        let backend = Backend::with(move |mut wire| async move {
            wire.read_head().await;
            wire.send(response).await;
        });
        let gateway = before(&backend).await;
        let mut client = client(&gateway).await;
        for _ in 0..2 {
            let broken = client.send(get("/")).await;
            assert!(broken.is_err(), "{response:?} was made whole: {broken:?}");
        }
    }
}

#[tokio::test]
async fn responses_without_a_body_have_none() {
    for (method, response, length) in [
        ("HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n", Some("1000")),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", None),
        ("GET", "HTTP/1.1 304 Not Modified\r\ncontent-length: 70\r\n\r\n", Some("70")),
        // The end of the stream says it as well.
        ("GET", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", None),
    ] {
        let backend = Backend::with(move |mut wire| async move {
            while wire.try_read_head().await.is_some() {
                wire.send(response).await;
            }
        });
        let gateway = before(&backend).await;
        let mut client = client(&gateway).await;
        for _ in 0..2 {
            let mut asking = get("/");
            *asking.method_mut() = method.parse().expect("a method");
            let answer = client.send(asking).await.expect("a response");
            assert_eq!(answer.header("content-length"), length, "{response:?}");
            assert!(answer.body.is_empty(), "{response:?}");
        }
        let log = gateway.logged(2).await;
        assert_eq!(log[0]["complete"], true, "{response:?}");
    }
}

#[tokio::test]
async fn fields_of_http11s_hop_do_not_reach_an_http2_client() {
    let backend = Backend::respond(
        "HTTP/1.1 200 OK\r\nconnection: keep-alive, x-mine\r\nx-mine: 1\r\nkeep-alive: timeout=5\r\n\
         transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    );
    let gateway = before(&backend).await;
    let answer = client(&gateway).await.send(get("/")).await.expect("a response");
    assert_eq!(answer.text(), "ok");
    for name in ["connection", "keep-alive", "transfer-encoding", "x-mine"] {
        assert_eq!(answer.header(name), None);
    }
}

/// A request to a host by `:authority` or not, with `host` fields.
fn asking(authority: &str, hosts: &[&'static str]) -> Request<Full<Bytes>> {
    let mut asking = get("/");
    *asking.uri_mut() = format!("http://{authority}/").parse().expect("a target");
    for host in hosts {
        asking.headers_mut().append("host", host.parse().expect("a value"));
    }
    asking
}

#[tokio::test]
async fn authority_and_host_must_agree() {
    let backend = Backend::echo("a");
    let gateway = before(&backend).await;
    let mut client = client(&gateway).await;
    for hosts in [&[][..], &["a.example"], &["A.Example"]] {
        let answer = client.send(asking("a.example", hosts)).await.expect("a response");
        assert_eq!(answer.status, 200, "{hosts:?}");
        let host = answer.echoed("host").expect("a host");
        assert!(host.eq_ignore_ascii_case("a.example"), "{hosts:?} became {host}");
    }
    let requests = backend.requests();
    for hosts in [
        &["b.example"][..],
        &["a.example:80"],
        &["a.example", "b.example"],
        &["a.example", "a.example"],
        &["a b"],
    ] {
        let answer = client.send(asking("a.example", hosts)).await.expect("a response");
        assert_eq!(answer.status, 400, "{hosts:?} got {}", answer.text());
    }
    assert_eq!(backend.requests(), requests);
}

#[tokio::test]
async fn routes_by_authority() {
    let (one, other) = (Backend::echo("one"), Backend::echo("other"));
    let gateway = Gateway::start(document(json!({
        "a.example/*": { "backends": [one.host()] },
        "*": { "backends": [other.host()] },
    })))
    .await;
    let mut client = client(&gateway).await;
    for (authority, backend) in [("a.example", "one"), ("A.EXAMPLE:80", "one"), ("b.example", "other")] {
        let answer = client.send(asking(authority, &[])).await.expect("a response");
        assert_eq!(answer.backend(), backend, "{authority}");
    }
}

#[tokio::test]
async fn limits_the_head_of_a_request() {
    let backend = Backend::echo("a");
    let limits = json!({ "limits": { "head_size": "2KiB", "header_count": 10 } });
    let gateway = before_with(&backend, limits).await;
    let mut large = get("/");
    large.headers_mut().insert("x", "x".repeat(4096).parse().expect("a value"));
    let mut many = get("/");
    for _ in 0..11 {
        many.headers_mut().append("x", "y".parse().expect("a value"));
    }
    for (name, asking) in [("large", large), ("many", many)] {
        // A client may be told before it sends, by the settings.
        if let Ok(answer) = client(&gateway).await.send(asking).await {
            assert_eq!(answer.status, 431, "{name}");
        }
    }
    assert_eq!(backend.requests(), 0);
}

async fn listening() -> (Backend, Gateway) {
    let backend = Backend::echo("a");
    let listeners = json!({ "listeners": {
        "old": { "address": "127.0.0.1:0", "protocols": ["h1"] },
        "new": { "address": "127.0.0.1:0", "protocols": ["h2c"] },
        "both": { "address": "127.0.0.1:0" },
    } });
    let gateway =
        Gateway::start(with(document(json!({ "*": { "backends": [backend.host()] } })), listeners)).await;
    (backend, gateway)
}

fn http2() -> Request<Full<Bytes>> {
    let mut asking = get("/");
    *asking.version_mut() = Version::HTTP_2;
    asking
}

#[tokio::test]
async fn a_listener_speaks_what_the_document_says() {
    let (backend, gateway) = listening().await;
    assert_eq!(request(gateway.address_of("old"), get("/")).await.status, 200);
    assert_eq!(request(gateway.address_of("new"), http2()).await.status, 200);
    assert_eq!(request(gateway.address_of("both"), get("/")).await.status, 200);
    assert_eq!(request(gateway.address_of("both"), http2()).await.status, 200);
    let log = gateway.logged(4).await;
    let mut listeners: Vec<_> = log.iter().filter_map(|line| line["listener"].as_str()).collect();
    listeners.sort_unstable();
    assert_eq!(listeners, ["both", "both", "new", "old"]);
    assert_eq!(backend.requests(), 4);
}

#[tokio::test]
async fn a_listener_refuses_what_it_does_not_speak() {
    let (backend, gateway) = listening().await;
    let answer = raw(gateway.address_of("new"), "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 505 "), "{answer}");
    let answer = raw(gateway.address_of("old"), PREFACE).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 505 "), "{answer}");
    assert_eq!(backend.requests(), 0);
}

#[tokio::test]
async fn streams_in_flight_end_before_their_connection_does() {
    let (seen, answer) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let told = (Arc::clone(&seen), Arc::clone(&answer));
    let backend = Backend::with(move |mut wire| {
        let (seen, answer) = told.clone();
        async move {
            wire.read_head().await;
            seen.notify_one();
            answer.notified().await;
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        }
    });
    let gateway = before(&backend).await;
    let mut wire = Wire::connect(gateway.address()).await;
    wire.send(raw_request(&[
        (":method", b"GET"),
        (":scheme", b"http"),
        (":path", b"/"),
        (":authority", b"a"),
    ]))
    .await;
    within(seen.notified()).await;
    let stopping = tokio::spawn(gateway.stop());
    let mut is_told = false;
    loop {
        let frame = wire.read_frame().await.expect("the stream in flight is served");
        match frame.kind {
            GOAWAY => {
                is_told = true;
                answer.notify_one();
            }
            PING => wire.send(frame_of(PING, ACK, 0, &frame.payload)).await,
            HEADERS => {
                assert_eq!(status(&frame.payload), 200);
                break;
            }
            _ => {}
        }
    }
    assert!(is_told, "a client should know before its stream ends");
    wire.read_to_end().await;
    assert_eq!(within(stopping).await.expect("no panic"), 0);
}

/// A client's preface with empty settings (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A frame (RFC 9113, section 4.1).
struct FrameRead {
    kind: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Wire {
    /// The next frame. None at the end.
    async fn read_frame(&mut self) -> Option<FrameRead> {
        let head = self.try_read_exact(9).await?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(FrameRead { kind: head[3], stream, payload: self.try_read_exact(length).await? })
    }

    /// What becomes of the first stream: its status, or 0 where it or the connection was refused.
    async fn read_outcome(&mut self) -> u16 {
        while let Some(frame) = self.read_frame().await {
            match (frame.kind, frame.stream) {
                (HEADERS, 1) => return status(&frame.payload),
                (RST_STREAM, 1) | (GOAWAY, _) => return 0,
                _ => {}
            }
        }
        0
    }
}

/// The first field of a response, which is its status, out of the static table or as a literal (RFC 7541, appendix A).
fn status(block: &[u8]) -> u16 {
    // A change of the table's size may come first.
    let block = &block[block.iter().take_while(|byte| **byte & 0xe0 == 0x20).count()..];
    match block {
        [indexed @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)],
        [0x08 | 0x48, length, rest @ ..] if length & 0x80 == 0 => {
            std::str::from_utf8(&rest[..usize::from(*length)])
                .ok()
                .and_then(|text| text.parse().ok())
                .expect("a status")
        }
        // Huffman's digits of three-digit codes are not worth a decoder here.
        _ => 999,
    }
}

/// A request on stream 1, with its fields as literals that no client library would send.
pub(super) fn raw_request(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        assert!(name.len() < 127 && value.len() < 127);
        block.push(0);
        block.push(name.len() as u8);
        block.extend_from_slice(name.as_bytes());
        block.push(value.len() as u8);
        block.extend_from_slice(value);
    }
    [PREFACE, &frame_of(HEADERS, END_STREAM | END_HEADERS, 1, &block)].concat()
}

/// A frame on a stream, of which there are not more than 255.
fn frame_of(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

/// What becomes of a raw request, see [`Wire::read_outcome`].
pub(super) async fn raw_outcome(gateway: &Gateway, fields: &[(&str, &[u8])]) -> u16 {
    let mut wire = Wire::connect(gateway.address()).await;
    wire.send(raw_request(fields)).await;
    wire.read_outcome().await
}

#[tokio::test]
async fn refuses_what_no_client_library_sends() {
    let backend = Backend::echo("a");
    let gateway = before(&backend).await;
    const METHOD: (&str, &[u8]) = (":method", b"GET");
    const SCHEME: (&str, &[u8]) = (":scheme", b"http");
    const PATH: (&str, &[u8]) = (":path", b"/");
    const AUTHORITY: (&str, &[u8]) = (":authority", b"a");
    assert_eq!(raw_outcome(&gateway, &[METHOD, SCHEME, PATH, AUTHORITY]).await, 200);
    assert_eq!(raw_outcome(&gateway, &[METHOD, SCHEME, PATH, ("host", b"a")]).await, 200);
    assert_eq!(
        raw_outcome(&gateway, &[METHOD, SCHEME, PATH, AUTHORITY, ("x", b""), ("y", b"a b")]).await,
        200
    );
    let requests = backend.requests();
    let cases: &[&[(&str, &[u8])]] = &[
        &[METHOD, SCHEME, PATH],
        &[METHOD, SCHEME, AUTHORITY],
        &[METHOD, SCHEME, PATH, AUTHORITY, (":path", b"/b")],
        &[METHOD, SCHEME, PATH, AUTHORITY, ("connection", b"x")],
        &[METHOD, SCHEME, PATH, AUTHORITY, ("transfer-encoding", b"chunked")],
        &[METHOD, SCHEME, PATH, AUTHORITY, ("content-length", b"5")],
        &[METHOD, SCHEME, PATH, AUTHORITY, ("X-Upper", b"x")],
        &[METHOD, SCHEME, PATH, AUTHORITY, ("x", b"a\r\nb: c")],
        &[METHOD, SCHEME, PATH, AUTHORITY, ("x", b"a\0")],
        &[METHOD, SCHEME, PATH, AUTHORITY, ("x", b" a")],
        &[METHOD, SCHEME, PATH, AUTHORITY, ("x", b"a\t")],
        &[METHOD, SCHEME, PATH, AUTHORITY, ("x", b" ")],
        &[METHOD, SCHEME, PATH, AUTHORITY, ("x\r\ny", b"a")],
        &[METHOD, SCHEME, PATH, AUTHORITY, ("x y", b"a")],
        &[METHOD, SCHEME, PATH, AUTHORITY, ("host", b"b")],
        &[METHOD, SCHEME, PATH, AUTHORITY, ("host", b"a"), ("host", b"b")],
        &[METHOD, SCHEME, PATH, ("host", b"a"), ("host", b"b")],
        &[METHOD, SCHEME, PATH, (":authority", b"user@a")],
        &[METHOD, SCHEME, PATH, (":authority", b"a b")],
        &[METHOD, SCHEME, PATH, (":authority", b"")],
        &[METHOD, SCHEME, (":path", b""), AUTHORITY],
        &[METHOD, SCHEME, (":path", b"x"), AUTHORITY],
        &[METHOD, SCHEME, (":path", b"http://b/"), AUTHORITY],
        &[METHOD, SCHEME, (":path", b"/ HTTP/1.1\r\nx: y"), AUTHORITY],
        &[METHOD, SCHEME, (":path", b"/a b"), AUTHORITY],
        &[METHOD, SCHEME, (":path", b"/\0"), AUTHORITY],
        &[(":method", b"GET / HTTP/1.1\r\nx: y"), SCHEME, PATH, AUTHORITY],
        &[(":method", b""), SCHEME, PATH, AUTHORITY],
        &[(":method", b"CONNECT"), AUTHORITY],
        &[METHOD, SCHEME, PATH, ("x", b"y"), AUTHORITY],
        &[METHOD, SCHEME, PATH, AUTHORITY, (":status", b"200")],
    ];
    for fields in cases {
        let status = raw_outcome(&gateway, fields).await;
        let shown: Vec<_> =
            fields.iter().map(|(name, value)| (name, String::from_utf8_lossy(value))).collect();
        assert!(status == 0 || (400..600).contains(&status) || status == 999, "{shown:?} got {status}");
        assert_eq!(backend.requests(), requests, "{shown:?}");
    }
}

#[tokio::test]
async fn refuses_a_body_of_another_length_than_it_says() {
    let whole = Arc::new(AtomicUsize::new(0));
    let backend = Backend::with({
        let whole = Arc::clone(&whole);
        move |mut wire| {
            let whole = Arc::clone(&whole);
            async move {
                while let Some(head) = wire.try_read_head().await {
                    if wire.read_body(&head).await.is_none() {
                        return;
                    }
                    whole.fetch_add(1, SeqCst);
                    wire.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
                }
            }
        }
    });
    let gateway = before(&backend).await;
    let fields: &[(&str, &[u8])] = &[
        (":method", b"POST"),
        (":scheme", b"http"),
        (":path", b"/"),
        (":authority", b"a"),
        ("content-length", b"5"),
    ];
    for (body, is_good) in [("hello", true), ("hell", false), ("hello!", false)] {
        let mut bytes = raw_request(fields);
        let flags = PREFACE.len() + 4;
        bytes[flags] = END_HEADERS;
        bytes.extend(frame_of(DATA, END_STREAM, 1, body.as_bytes()));
        let mut wire = Wire::connect(gateway.address()).await;
        wire.send(bytes).await;
        assert_eq!(wire.read_outcome().await == 200, is_good, "{body}");
        assert_eq!(whole.load(SeqCst), 1, "{body}");
    }
}

#[tokio::test]
async fn tells_of_trailers_only_when_there_are_some() {
    let backend =
        Backend::respond("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n");
    let gateway = before(&backend).await;
    let answer: Answer = client(&gateway).await.send(get("/")).await.expect("a response");
    assert_eq!((answer.text(), &answer.trailers), ("ok", &None));
}
