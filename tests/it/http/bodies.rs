//! Bodies on their way: streamed, both ways at once, never gathered, and never longer than either end wants them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::{before, before_with};
use crate::support::{Backend, Client, Wire, get, post, raw, request, within};

pub(super) const ALL: u64 = 200 << 20;
/// What may lie between two ends that do not meet: the buffers of four sockets, and a little in the gateway.
pub(super) const BETWEEN: u64 = 64 << 20;
/// When nothing has moved for so long, nothing will.
pub(super) const STALLED: Duration = Duration::from_millis(500);

/// Writes [`ALL`] until the other end takes no more for a while. Returns how much it took.
pub(super) async fn write_until_stalled(wire: &mut Wire) -> u64 {
    let piece = vec![b'x'; 1 << 20];
    let mut written = 0;
    while written < ALL {
        match timeout(STALLED, wire.io().try_write_some(&piece)).await {
            Ok(more) => written += more,
            Err(_) => return written,
        }
    }
    written
}

/// Writing without losing count when it is given up.
trait WriteSome {
    async fn try_write_some(&mut self, bytes: &[u8]) -> u64;
}

impl WriteSome for tokio::net::TcpStream {
    async fn try_write_some(&mut self, bytes: &[u8]) -> u64 {
        loop {
            self.writable().await.expect("the connection is there");
            match self.try_write(bytes) {
                Ok(written) => return written as u64,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => panic!("the other end is gone: {error}"),
            }
        }
    }
}

#[tokio::test]
async fn a_slow_client_holds_its_backend_back() {
    let (written, told) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
    let backend = Backend::with({
        let (written, told) = (Arc::clone(&written), Arc::clone(&told));
        move |mut wire| {
            let (written, told) = (Arc::clone(&written), Arc::clone(&told));
            async move {
                wire.read_head().await;
                wire.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {ALL}\r\n\r\n")).await;
                written.store(write_until_stalled(&mut wire).await, SeqCst);
                told.notify_one();
                // Then the rest.
                let mut left = ALL - written.load(SeqCst);
                let piece = vec![b'x'; 1 << 20];
                while left > 0 {
                    left -= wire.io().try_write_some(&piece[..piece.len().min(left as usize)]).await;
                }
            }
        }
    });
    let gateway = before(&backend).await;
    let mut wire = Wire::connect(gateway.address()).await;
    wire.send("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    within(told.notified()).await;
    let between = written.load(SeqCst);
    assert!(between < BETWEEN, "{between} bytes were taken from the backend for a client that reads nothing");
    wire.read_head().await;
    let mut received = 0;
    loop {
        match wire.read_some().await.len() as u64 {
            0 => break,
            more => received += more,
        }
    }
    assert_eq!(received, ALL);
}

#[tokio::test]
async fn a_slow_backend_holds_its_client_back() {
    for framing in [format!("content-length: {ALL}"), "transfer-encoding: chunked".to_owned()] {
        let go_on = Arc::new(Notify::new());
        let backend = Backend::with({
            let go_on = Arc::clone(&go_on);
            move |mut wire| {
                let go_on = Arc::clone(&go_on);
                async move {
                    wire.read_head().await;
                    go_on.notified().await;
                }
            }
        });
        let gateway = before(&backend).await;
        let mut wire = Wire::connect(gateway.address()).await;
        let first = if framing.starts_with('c') { String::new() } else { format!("{ALL:x}\r\n") };
        wire.send(format!("POST / HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n{first}")).await;
        let between = write_until_stalled(&mut wire).await;
        assert!(between < BETWEEN, "{between} bytes were taken for a backend that reads nothing, {framing}");
        go_on.notify_one();
    }
}

#[tokio::test]
async fn passes_a_piece_on_as_soon_as_it_comes() {
    // Answers every line of the body with that line, while the body goes on.
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
    let mut wire = Wire::connect(gateway.address()).await;
    wire.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").await;
    let head = wire.read_head().await;
    assert_eq!(head.field("transfer-encoding"), Some("chunked"));
    for piece in ["one", "three", "seventeen"] {
        let chunk = format!("{:x}\r\n{piece}\r\n", piece.len());
        wire.send(&chunk).await;
        assert_eq!(wire.read_exact(chunk.len()).await, chunk.as_bytes());
    }
    wire.send("0\r\n\r\n").await;
    assert_eq!(wire.read_exact(5).await, b"0\r\n\r\n");
}

#[tokio::test]
async fn carries_large_bodies_both_ways_unharmed() {
    let large: Vec<u8> =
        (0u32..3_000_000).map(|index| b'a' + (index.wrapping_mul(2_654_435_761) >> 27) as u8 % 26).collect();
    let backend = Backend::echo("a");
    let gateway = before(&backend).await;
    for version in [http::Version::HTTP_11, http::Version::HTTP_2] {
        let mut asking = post("/", large.clone());
        *asking.version_mut() = version;
        let told = request(gateway.address(), asking).await.json();
        assert!(told["body"].as_str().is_some_and(|body| body.as_bytes() == large), "in {version:?}");
    }
    let log = gateway.logged(2).await;
    for line in log {
        assert_eq!(line["request_bytes"], large.len());
        assert!(line["response_bytes"].as_u64().is_some_and(|bytes| bytes > large.len() as u64), "{line}");
        assert_eq!(line["complete"], true);
    }
}

#[tokio::test]
async fn a_request_keeps_its_framing() {
    let backend = Backend::echo("a");
    let gateway = before(&backend).await;
    let cases = [
        ("POST", "content-length: 5\r\n\r\nhello", Some("5"), None),
        ("POST", "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", None, Some("chunked")),
        ("POST", "content-length: 0\r\n\r\n", Some("0"), None),
        ("POST", "\r\n", Some("0"), None),
        ("GET", "\r\n", None, None),
        ("GET", "content-length: 5\r\n\r\nhello", Some("5"), None),
        ("DELETE", "content-length: 5\r\n\r\nhello", Some("5"), None),
    ];
    for (method, rest, length, coding) in cases {
        let bytes = format!("{method} / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{rest}");
        let answer = String::from_utf8(raw(gateway.address(), &bytes).await).expect("text");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a response");
        let told: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("{bytes:?} got {answer}"));
        let field = |name: &str| {
            let pairs = told["headers"].as_array().expect("pairs");
            pairs.iter().find(|pair| pair[0] == name).and_then(|pair| pair[1].as_str())
        };
        assert_eq!((field("content-length"), field("transfer-encoding")), (length, coding), "{bytes:?}");
    }
}

#[tokio::test]
async fn trailers_travel_with_chunked_requests() {
    let backend = Backend::echo("a");
    let gateway = before(&backend).await;
    let answer = raw(
        gateway.address(),
        "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n\
         0\r\nX-Sum: 1\r\nx-sum: 2\r\ncontent-length: 9\r\nhost: evil\r\ntransfer-encoding: x\r\n\r\n",
    )
    .await;
    let answer = String::from_utf8(answer).expect("text");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a response");
    let told: Value = serde_json::from_str(body).expect("an echo");
    // What has a meaning for framing or routing has none in trailers.
    assert_eq!(told["trailers"], json!([["x-sum", "1"], ["x-sum", "2"]]));
}

#[tokio::test]
async fn trailers_travel_with_chunked_responses() {
    let response = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n";
    let backend = Backend::respond(response);
    let gateway = before(&backend).await;
    let mut wire = Wire::connect(gateway.address()).await;
    wire.send("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    wire.read_head().await;
    assert_eq!(String::from_utf8_lossy(&wire.read_to_end().await), "5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n");
}

#[tokio::test]
async fn a_response_may_come_while_the_upload_goes_on() {
    let backend = Backend::with(|mut wire| async move {
        let head = wire.read_head().await;
        wire.send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nearly").await;
        // It reads the upload to its end all the same.
        wire.read_body(&head).await;
        assert!(
            wire.try_read_head().await.is_none(),
            "a connection is not used again in the middle of an upload"
        );
    });
    let gateway = before_with(&backend, json!({ "workers": 1 })).await;
    let mut wire = Wire::connect(gateway.address()).await;
    wire.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello").await;
    let head = wire.read_head().await;
    assert_eq!(wire.read_body(&head).await.expect("whole"), b"early");
    wire.send("world").await;
    // Behind the rest of the upload comes the next request.
    wire.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(wire.read_head().await.status(), 200);
}

#[tokio::test]
async fn a_backend_may_refuse_an_upload_and_close() {
    let backend = Backend::with(|mut wire| async move {
        wire.read_head().await;
        wire.send("HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno").await;
    });
    let gateway = before(&backend).await;
    // The response races with the end of the connection, so once is not enough.
    for _ in 0..20 {
        let mut wire = Wire::connect(gateway.address()).await;
        wire.send(format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {ALL}\r\n\r\n")).await;
        let piece = vec![b'x'; 1 << 16];
        let mut written = 0;
        // Like most clients, this one does not listen while it sends.
        while written < 1 << 20 && wire.try_send(&piece).await.is_ok() {
            written += piece.len();
        }
        let head = wire.read_head().await;
        assert_eq!(head.status(), 403);
        assert_eq!(wire.read_body(&head).await.expect("whole"), b"no");
        // So much is not worth reading to its end.
        wire.expect_eof().await;
    }
}

/// A backend that tells when a connection of it ends.
fn watched(response: &'static str) -> (Backend, Arc<Notify>, Arc<Notify>) {
    let (asked, ended) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let told = (Arc::clone(&asked), Arc::clone(&ended));
    let backend = Backend::with(move |mut wire| {
        let (asked, ended) = told.clone();
        async move {
            // Of a request that breaks at once, nothing may come.
            if wire.try_read_head().await.is_some() {
                wire.send(response).await;
                asked.notify_one();
                wire.read_to_end().await;
            }
            ended.notify_one();
        }
    });
    (backend, asked, ended)
}

#[tokio::test]
async fn a_client_that_leaves_frees_its_backend() {
    for response in [
        "",
        "HTTP/1.1 103 Early Hints\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\n\r\n",
    ] {
        for request in [
            "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 50\r\n\r\nhello",
        ] {
            for reset in [false, true] {
                let (backend, asked, ended) = watched(response);
                let gateway = before(&backend).await;
                let mut wire = Wire::connect(gateway.address()).await;
                wire.send(request).await;
                within(asked.notified()).await;
                if response.contains("200") {
                    wire.read_head().await;
                }
                if reset {
                    wire.reset();
                } else {
                    drop(wire);
                }
                within(ended.notified()).await;
                let log = gateway.logged(1).await;
                assert_eq!(log[0]["complete"], false, "{response:?} to {request:?}");
                if !response.contains("200") {
                    assert_eq!(
                        (&log[0]["status"], &log[0]["reason"]),
                        (&499.into(), &"client-closed".into())
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn a_truncated_upload_is_no_request() {
    let (backend, _, ended) = watched("");
    let gateway = before(&backend).await;
    for rest in ["content-length: 50\r\n\r\nhello", "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"] {
        let mut wire = Wire::connect(gateway.address()).await;
        wire.send(format!("POST / HTTP/1.1\r\nhost: a\r\n{rest}")).await;
        wire.finish().await;
        let answer = String::from_utf8_lossy(&wire.read_to_end().await).into_owned();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer}");
        within(ended.notified()).await;
    }
}

#[tokio::test]
async fn an_http2_client_that_resets_its_stream_frees_its_backend() {
    let (backend, asked, ended) = watched("");
    let gateway = before(&backend).await;
    let mut client = Client::http2(gateway.address()).await.expect("it speaks HTTP/2");
    let mut other = client.clone();
    let asking = tokio::spawn(async move { other.begin(get("/")).await.map(drop) });
    within(asked.notified()).await;
    asking.abort();
    within(ended.notified()).await;
    // The connection goes on.
    let asking = tokio::spawn(async move { client.begin(get("/")).await.map(drop) });
    within(asked.notified()).await;
    asking.abort();
}

#[tokio::test]
async fn a_body_larger_than_allowed_is_refused() {
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
                    wire.send("HTTP/1.1 204 No Content\r\n\r\n").await;
                }
            }
        }
    });
    let gateway = before_with(&backend, json!({ "limits": { "request_body": 5 } })).await;
    let cases = [
        ("content-length: 5\r\n\r\nhello", 204),
        ("transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 204),
        ("content-length: 6\r\n\r\nhello!", 413),
        ("transfer-encoding: chunked\r\n\r\n6\r\nhello!\r\n0\r\n\r\n", 413),
        ("transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", 413),
    ];
    for (rest, status) in cases {
        let answer =
            raw(gateway.address(), format!("POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{rest}"))
                .await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{rest:?} got {answer}");
        assert_eq!(answer.contains("body-too-large"), status == 413, "{rest:?} got {answer}");
    }
    assert_eq!(whole.load(SeqCst), 2);
    let mut asking = post("/", "hello!");
    *asking.version_mut() = http::Version::HTTP_2;
    let answer = request(gateway.address(), asking).await;
    assert_eq!((answer.status.as_u16(), &*answer.code()), (413, "body-too-large"));
}

#[tokio::test]
async fn a_response_in_the_middle_of_an_upload_arrives_whole() {
    const EARLY: usize = 1 << 20;
    const UPLOAD: usize = 4 << 20;
    let backend = Backend::with(|mut wire| async move {
        let head = wire.read_head().await;
        wire.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {EARLY}\r\nconnection: close\r\n\r\n")).await;
        wire.send(vec![b'x'; EARLY]).await;
        wire.read_body(&head).await;
    });
    let gateway = before(&backend).await;
    for round in 0..10 {
        let mut wire = Wire::connect(gateway.address()).await;
        wire.send(format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {UPLOAD}\r\n\r\n")).await;
        let mut written = 0;
        // Like most clients, this one does not listen while it sends.
        while written < UPLOAD && wire.try_send(vec![b'y'; 16 << 10]).await.is_ok() {
            written += 16 << 10;
        }
        wire.read_head().await;
        assert!(wire.try_read_exact(EARLY).await.is_some(), "round {round}: cut off, {written} were sent");
    }
}
