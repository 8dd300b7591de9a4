//! Requests with more than one reading, or none: refused, the connection closed, and nothing of them at a backend.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use serde_json::{Value, json};

use super::{before, before_with};
use crate::support::{Backend, Gateway, Wire, raw};

/// Sends bytes, expects one response with this status and code and then the end of the connection, and that the
/// backend has seen nothing.
async fn check(gateway: &Gateway, backend: &Backend, bytes: impl AsRef<[u8]>, status: u16, code: &str) {
    let sent = String::from_utf8_lossy(bytes.as_ref()).into_owned();
    let answer = String::from_utf8_lossy(&raw(gateway.address(), &bytes).await).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{sent:?} got {answer:?}"));
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{sent:?} got {answer}");
    assert!(head.to_lowercase().contains("\r\nconnection: close"), "{sent:?} got {answer}");
    let body: Value =
        serde_json::from_str(body).unwrap_or_else(|_| panic!("{sent:?} got more than one: {answer}"));
    assert_eq!(body["code"], code, "{sent:?} got {answer}");
    assert_eq!(backend.requests(), 0, "{sent:?} was seen by the backend");
}

async fn check_all(cases: &[(&str, u16, &str)]) {
    let backend = Backend::respond("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let gateway = before(&backend).await;
    for (bytes, status, code) in cases {
        check(&gateway, &backend, bytes, *status, code).await;
    }
}

/// Field lines of a request that is good without them.
async fn check_fields(cases: &[(&str, u16, &str)]) {
    let backend = Backend::respond("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let gateway = before(&backend).await;
    for (fields, status, code) in cases {
        let bytes = format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n\r\nhello");
        check(&gateway, &backend, bytes, *status, code).await;
    }
}

const MALFORMED: &str = "malformed-request";

#[tokio::test]
async fn refuses_lines_that_do_not_end_in_crlf() {
    check_all(&[
        ("GET / HTTP/1.1\nhost: a\n\n", 400, MALFORMED),
        ("GET / HTTP/1.1\nhost: a\r\n\r\n", 400, MALFORMED),
        ("GET / HTTP/1.1\r\nhost: a\nx: y\r\n\r\n", 400, MALFORMED),
        ("GET / HTTP/1.1\r\nhost: a\r\n\n", 400, MALFORMED),
        ("GET / HTTP/1.1\r\nhost: a\n\r\n", 400, MALFORMED),
        ("GET / HTTP/1.1\r\nhost: a\r\nx: y\rz: 1\r\n\r\n", 400, MALFORMED),
        ("GET / HTTP/1.1\rhost: a\r\r\n\r\n", 400, MALFORMED),
        ("\nGET / HTTP/1.1\r\nhost: a\r\n\r\n", 400, MALFORMED),
    ])
    .await;
}

#[tokio::test]
async fn refuses_field_lines_with_another_reading() {
    check_fields(&[
        ("x: a\r\n b", 400, MALFORMED),
        ("x: a\r\n\tb", 400, MALFORMED),
        ("x: a\r\n ", 400, MALFORMED),
        ("x : a", 400, MALFORMED),
        ("x\t: a", 400, MALFORMED),
        ("content-length : 5", 400, MALFORMED),
        ("transfer-encoding : chunked", 400, MALFORMED),
        (" x: a", 400, MALFORMED),
        ("nonsense", 400, MALFORMED),
        (": a", 400, MALFORMED),
        ("x y: a", 400, MALFORMED),
        ("x(y): a", 400, MALFORMED),
        ("x\0: a", 400, MALFORMED),
        ("x: a\0b", 400, MALFORMED),
        ("x: a\u{1}b", 400, MALFORMED),
        ("x: a\u{7f}b", 400, MALFORMED),
        ("x: a\rb", 400, MALFORMED),
        ("x: \r\r", 400, MALFORMED),
        ("connection: host", 400, MALFORMED),
    ])
    .await;
    check_all(&[
        ("GET / HTTP/1.1\r\n host: a\r\n\r\n", 400, MALFORMED),
        ("GET / HTTP/1.1\r\n\thost: a\r\nhost: a\r\n\r\n", 400, MALFORMED),
    ])
    .await;
}

#[tokio::test]
async fn refuses_bodies_with_two_lengths_or_none_that_can_be_read() {
    check_fields(&[
        ("content-length: 5\r\ntransfer-encoding: chunked", 400, MALFORMED),
        ("transfer-encoding: chunked\r\ncontent-length: 5", 400, MALFORMED),
        ("content-length: 0\r\ntransfer-encoding: chunked", 400, MALFORMED),
        ("content-length: 5\r\ntransfer-encoding: identity", 400, MALFORMED),
        ("content-length: 5\r\ncontent-length: 5", 400, MALFORMED),
        ("content-length: 5\r\ncontent-length: 6", 400, MALFORMED),
        ("content-length: 5, 5", 400, MALFORMED),
        ("content-length: 5, 6", 400, MALFORMED),
        ("content-length: +5", 400, MALFORMED),
        ("content-length: -5", 400, MALFORMED),
        ("content-length: 0x5", 400, MALFORMED),
        ("content-length: 5 5", 400, MALFORMED),
        ("content-length: 5;", 400, MALFORMED),
        ("content-length: 5.0", 400, MALFORMED),
        ("content-length: ", 400, MALFORMED),
        ("content-length: five", 400, MALFORMED),
        ("content-length: 18446744073709551621", 400, MALFORMED),
        ("content-length: 99999999999999999999999999", 400, MALFORMED),
        ("transfer-encoding: chunked\r\ntransfer-encoding: chunked", 400, MALFORMED),
        ("transfer-encoding: chunked\r\ntransfer-encoding: identity", 400, MALFORMED),
        ("transfer-encoding: identity\r\ntransfer-encoding: chunked", 400, MALFORMED),
        ("transfer-encoding: identity", 400, MALFORMED),
        ("transfer-encoding: ", 400, MALFORMED),
        ("transfer-encoding: xchunked", 400, MALFORMED),
        ("transfer-encoding: chunkedx", 400, MALFORMED),
        ("transfer-encoding: chunked;q=1", 400, MALFORMED),
        ("transfer-encoding: \"chunked\"", 400, MALFORMED),
        ("transfer-encoding: chunked, identity", 400, MALFORMED),
        ("transfer-encoding: \u{b}chunked", 400, MALFORMED),
        ("transfer-encoding: gzip, chunked", 501, "unsupported-transfer-coding"),
    ])
    .await;
    check_all(&[
        ("POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400, MALFORMED),
        ("POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\nconnection: keep-alive\r\n\r\n", 400, MALFORMED),
    ])
    .await;
}

#[tokio::test]
async fn refuses_an_unclear_host() {
    check_all(&[
        ("GET / HTTP/1.1\r\n\r\n", 400, MALFORMED),
        ("GET http://a/ HTTP/1.1\r\n\r\n", 400, MALFORMED),
        ("GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n", 400, MALFORMED),
        ("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400, MALFORMED),
        ("GET / HTTP/1.0\r\nhost: a\r\nhost: b\r\n\r\n", 400, MALFORMED),
    ])
    .await;
    let backend = Backend::respond("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let gateway = before(&backend).await;
    for host in
        ["a, b", "a b", "a/b", "user@a", "a:b", "a:99999", "[::1", "a..b", "a\u{e9}", "a?b", "a#b", "a\\b"]
    {
        // It is a request, so its connection may go on.
        let bytes = format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        check(&gateway, &backend, bytes, 400, "bad-authority").await;
    }
    let disagreeing = "GET http://b/ HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    check(&gateway, &backend, disagreeing, 400, "bad-authority").await;
}

#[tokio::test]
async fn refuses_unknown_versions() {
    const VERSION: &str = "unsupported-version";
    check_all(&[
        ("GET / HTTP/1.2\r\nhost: a\r\n\r\n", 505, VERSION),
        ("GET / HTTP/2.0\r\nhost: a\r\n\r\n", 505, VERSION),
        ("GET / HTTP/0.9\r\nhost: a\r\n\r\n", 505, VERSION),
        ("GET / HTTP/3\r\nhost: a\r\n\r\n", 505, VERSION),
        ("GET / http/1.1\r\nhost: a\r\n\r\n", 400, MALFORMED),
        ("GET / HTTP/11\r\nhost: a\r\n\r\n", 505, VERSION),
        ("GET / XTTP/1.1\r\nhost: a\r\n\r\n", 400, MALFORMED),
        ("GET / HTTP/1.10\r\nhost: a\r\n\r\n", 400, MALFORMED),
        ("GET / HTTP/1.1 \r\nhost: a\r\n\r\n", 400, MALFORMED),
        ("GET / HTTP/1.1 HTTP/1.1\r\nhost: a\r\n\r\n", 400, MALFORMED),
        ("GET /\r\n\r\n", 400, MALFORMED),
        ("GET /\r\nhost: a\r\n\r\n", 400, MALFORMED),
    ])
    .await;
}

#[tokio::test]
async fn refuses_absurd_request_lines() {
    check_all(&[
        (" GET / HTTP/1.1\r\nhost: a\r\n\r\n", 400, MALFORMED),
        ("GET  / HTTP/1.1\r\nhost: a\r\n\r\n", 400, MALFORMED),
        ("GET /  HTTP/1.1\r\nhost: a\r\n\r\n", 400, MALFORMED),
        ("GET\t/ HTTP/1.1\r\nhost: a\r\n\r\n", 400, MALFORMED),
        ("GET /a b HTTP/1.1\r\nhost: a\r\n\r\n", 400, MALFORMED),
        ("GET HTTP/1.1\r\nhost: a\r\n\r\n", 400, MALFORMED),
        ("/ HTTP/1.1\r\nhost: a\r\n\r\n", 400, MALFORMED),
        ("G[]T / HTTP/1.1\r\nhost: a\r\n\r\n", 400, MALFORMED),
        ("G\0T / HTTP/1.1\r\nhost: a\r\n\r\n", 400, MALFORMED),
        ("GET /\0 HTTP/1.1\r\nhost: a\r\n\r\n", 400, MALFORMED),
        ("GET /\u{1} HTTP/1.1\r\nhost: a\r\n\r\n", 400, MALFORMED),
        ("GET /\u{7f} HTTP/1.1\r\nhost: a\r\n\r\n", 400, MALFORMED),
        ("GET http://[::1/ HTTP/1.1\r\nhost: [::1\r\n\r\n", 400, MALFORMED),
        ("GET http:// HTTP/1.1\r\nhost: a\r\n\r\n", 400, MALFORMED),
        ("GET http:///x HTTP/1.1\r\nhost: a\r\n\r\n", 400, MALFORMED),
        ("\r\n\r\n\r\n\r\n", 400, MALFORMED),
        ("\u{16}\u{3}\u{1}\r\n\r\n", 400, MALFORMED),
        ("PRI * HTTP/2.0\r\nhost: a\r\n\r\n", 505, "unsupported-version"),
    ])
    .await;
}

#[tokio::test]
async fn refuses_targets_that_are_none() {
    let backend = Backend::respond("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let gateway = before(&backend).await;
    let mut served = Vec::new();
    for target in ["a", "a:80", "?x", "..", "a/b", "//user@a", "http://user@a/", "ftp://a/b", "mailto:a"] {
        let host = if target == "a:80" { "a:80" } else { "a" };
        let bytes = format!("GET {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        let answer = raw(gateway.address(), &bytes).await;
        if !answer.starts_with(b"HTTP/1.1 400 ") && target != "//user@a" {
            served.push(target);
        }
    }
    assert_eq!(served, [""; 0]);
    assert_eq!(backend.requests(), 1, "`//user@a` is a path, spelled oddly");
}

#[tokio::test]
async fn refuses_connect() {
    let backend = Backend::respond("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let gateway = before(&backend).await;
    let bytes = "CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\nconnection: close\r\n\r\n";
    check(&gateway, &backend, bytes, 501, "connect-refused").await;
}

#[tokio::test]
async fn refuses_heads_that_are_too_large() {
    let backend = Backend::respond("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let limits = json!({ "limits": { "head_size": "2KiB", "header_count": 10 } });
    let gateway = before_with(&backend, limits).await;
    let long = "x".repeat(2048);
    let fields = |count: usize| "x: y\r\n".repeat(count);
    let cases = [
        (format!("GET / HTTP/1.1\r\nhost: a\r\nx: {long}\r\n\r\n"), "head-too-large"),
        (format!("GET / HTTP/1.1\r\nhost: a\r\nx: {long}"), "head-too-large"),
        (format!("GET /{long} HTTP/1.1\r\nhost: a\r\n\r\n"), "head-too-large"),
        (format!("GET /{long}"), "head-too-large"),
        (long.clone(), "head-too-large"),
        (format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", fields(10)), "too-many-fields"),
    ];
    for (bytes, code) in cases {
        check(&gateway, &backend, bytes, 431, code).await;
    }
    let rest = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx: \r\n\r\n".len();
    let largest = format!("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx: {}\r\n\r\n", &long[rest..]);
    assert_eq!(largest.len(), 2048);
    let most = format!("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{}\r\n", fields(8));
    for good in [largest, most] {
        let answer = raw(gateway.address(), &good).await;
        assert!(
            answer.starts_with(b"HTTP/1.1 200 OK\r\n"),
            "{good:?} got {:?}",
            String::from_utf8_lossy(&answer)
        );
    }
}

#[tokio::test]
async fn limits_heads_without_being_told_to() {
    let backend = Backend::respond("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let gateway = before(&backend).await;
    let large = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "x".repeat(32 << 10));
    check(&gateway, &backend, large, 431, "head-too-large").await;
    let many = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(100));
    check(&gateway, &backend, many, 431, "too-many-fields").await;
}

/// A backend that counts the requests that it gets to their end.
fn counting() -> (Backend, Arc<AtomicUsize>) {
    let whole = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&whole);
    let backend = Backend::with(move |mut wire| {
        let counted = Arc::clone(&counted);
        async move {
            while let Some(head) = wire.try_read_head().await {
                if wire.read_body(&head).await.is_none() {
                    return;
                }
                counted.fetch_add(1, SeqCst);
                wire.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            }
        }
    });
    (backend, whole)
}

const BAD_CHUNKS: &[&str] = &[
    "g\r\nhello\r\n0\r\n\r\n",
    "-5\r\nhello\r\n0\r\n\r\n",
    "+5\r\nhello\r\n0\r\n\r\n",
    "0x5\r\nhello\r\n0\r\n\r\n",
    "5h\r\nhello\r\n0\r\n\r\n",
    " 5\r\nhello\r\n0\r\n\r\n",
    "5 5\r\nhello\r\n0\r\n\r\n",
    "\r\nhello\r\n0\r\n\r\n",
    ";x\r\nhello\r\n0\r\n\r\n",
    "5\nhello\r\n0\r\n\r\n",
    "5\rhello\r\n0\r\n\r\n",
    "5;a\rb\r\nhello\r\n0\r\n\r\n",
    "5;a\nb\r\nhello\r\n0\r\n\r\n",
    "5;a\0b\r\nhello\r\n0\r\n\r\n",
    "10000000000000005\r\nhello\r\n0\r\n\r\n",
    "00000000000000000005\r\nhello\r\n0\r\n\r\n",
    "5\r\nhello0\r\n\r\n",
    "5\r\nhello\n0\r\n\r\n",
    "5\r\nhello\r0\r\n\r\n",
    "5\r\nhelloworld\r\n0\r\n\r\n",
    "5\r\nhello\r\n0\n\n",
    "5\r\nhello\r\n0\r\n\n",
    "5\r\nhello\r\n0\r\nx\r\n\r\n",
    "5\r\nhello\r\n0\r\nx : y\r\n\r\n",
    "5\r\nhello\r\n0\r\nx: y\r\n z\r\n\r\n",
    "5\r\nhello\r\n0\r\nx: y\nz: 1\r\n\r\n",
    "5\r\nhello\r\n0\r\nx: \0\r\n\r\n",
];

#[tokio::test]
async fn refuses_chunks_that_cannot_be_read() {
    let (backend, whole) = counting();
    let gateway = before(&backend).await;
    let long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(20_000));
    let trailers = format!("5\r\nhello\r\n0\r\n{}\r\n", format!("x: {}\r\n", "x".repeat(1000)).repeat(50));
    for chunks in BAD_CHUNKS.iter().copied().chain([&*long, &*trailers]) {
        let bytes = format!("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{chunks}");
        let answer = String::from_utf8_lossy(&raw(gateway.address(), bytes).await).into_owned();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{chunks:?} got {answer}");
        assert!(answer.contains("\"malformed-body\""), "{chunks:?} got {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{chunks:?} got {answer}");
        assert_eq!(whole.load(SeqCst), 0, "{chunks:?} reached the backend as a whole request");
    }
}

#[tokio::test]
async fn never_completes_a_request_whose_body_breaks_later() {
    let (backend, whole) = counting();
    let gateway = before(&backend).await;
    for chunks in BAD_CHUNKS {
        let mut wire = Wire::connect(gateway.address()).await;
        wire.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").await;
        for byte in chunks.as_bytes() {
            if wire.try_send([*byte]).await.is_err() {
                break;
            }
        }
        let answer = String::from_utf8_lossy(&wire.read_to_end().await).into_owned();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{chunks:?} got {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{chunks:?} got {answer}");
        assert_eq!(whole.load(SeqCst), 0, "{chunks:?} reached the backend as a whole request");
    }
}

#[tokio::test]
async fn serves_nothing_behind_a_request_that_it_refuses() {
    let (backend, whole) = counting();
    let gateway = before(&backend).await;
    let hidden = "GET /hidden HTTP/1.1\r\nhost: a\r\n\r\n";
    let first = [
        format!(
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            5
        ),
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\ncontent-length: 40\r\n\r\n".to_owned(),
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx\r\n\r\n".to_owned(),
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nhost: a\r\nx: y\nz: y\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nhost: a\r\nexpect: the-unexpected\r\n\r\n".to_owned(),
    ];
    for first in first {
        let answer =
            String::from_utf8_lossy(&raw(gateway.address(), format!("{first}{hidden}")).await).into_owned();
        assert!(answer.starts_with("HTTP/1.1 4"), "{first:?} got {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{first:?} got {answer}");
        assert_eq!(whole.load(SeqCst), 0, "{first:?}");
    }
}

#[tokio::test]
async fn a_request_in_a_body_is_no_request() {
    let backend = Backend::echo("a");
    let gateway = before(&backend).await;
    let hidden = "GET /hidden HTTP/1.1\r\nhost: a\r\n\r\n";
    let length = hidden.len();
    let sized =
        format!("GET / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{hidden}");
    let chunked = format!(
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n\
         {length:x}\r\n{hidden}\r\n0\r\n\r\n"
    );
    for (count, bytes) in [sized, chunked].iter().enumerate() {
        let answer = String::from_utf8_lossy(&raw(gateway.address(), bytes).await).into_owned();
        let (_, body) = answer.split_once("\r\n\r\n").expect("a response");
        let told: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("more than one: {answer}"));
        assert_eq!(told["body"], hidden);
        assert_eq!(backend.requests(), count + 1);
    }
}

#[tokio::test]
async fn refuses_unknown_expectations() {
    check_fields(&[
        ("expect: the-unexpected", 417, "unsupported-expectation"),
        ("expect: 100-continue\r\nexpect: more", 417, "unsupported-expectation"),
        ("expect: 100-continue, more", 417, "unsupported-expectation"),
    ])
    .await;
}

#[tokio::test]
async fn tells_of_what_it_refuses() {
    let backend = Backend::echo("a");
    let gateway = before(&backend).await;
    raw(gateway.address(), "GET / HTTP/1.1\nhost: a\n\n").await;
    let log = gateway.logged(1).await;
    assert_eq!(log[0]["reason"], MALFORMED);
    assert_eq!(log[0]["status"], 400);
    assert_eq!(log[0]["client"], "127.0.0.1");
    assert_eq!(log[0].get("backend"), None);
    assert_eq!(gateway.metric("cloudcup_gateway_responses_total{reason=\"malformed-request\"}").await, 1.0);
}
