//! Requests that look odd and are good, over HTTP/1.1 and HTTP/1.0.

use serde_json::Value;

use super::before;
use crate::support::{Backend, Wire, raw};

/// What an echo backend was asked, of a single response that ends its connection.
async fn echoed(address: std::net::SocketAddr, bytes: impl AsRef<[u8]>) -> Value {
    let sent = String::from_utf8_lossy(bytes.as_ref()).into_owned();
    let answer = String::from_utf8_lossy(&raw(address, bytes).await).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{sent:?} got {answer:?}"));
    assert!(head.contains(" 200 OK\r\n"), "{sent:?} got {answer}");
    serde_json::from_str(body).unwrap_or_else(|_| panic!("{sent:?} got {answer}"))
}

#[tokio::test]
async fn takes_a_target_in_absolute_form() {
    let backend = Backend::echo("a");
    let gateway = before(&backend).await;
    for (target, expected) in [
        ("http://a.example/x?y=z", "/x?y=z"),
        ("http://a.example/", "/"),
        ("http://a.example", "/"),
        ("http://a.example?y=z", "/?y=z"),
        ("http://A.Example/x", "/x"),
        ("HTTP://a.example/x", "/x"),
    ] {
        let bytes = format!("GET {target} HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\n\r\n");
        let told = echoed(gateway.address(), bytes).await;
        assert_eq!(told["target"], expected, "{target}");
        let hosts: Vec<_> =
            told["headers"].as_array().expect("pairs").iter().filter(|pair| pair[0] == "host").collect();
        assert_eq!(hosts.len(), 1, "{target}: {hosts:?}");
        assert!(
            hosts[0][1].as_str().is_some_and(|host| host.eq_ignore_ascii_case("a.example")),
            "{target}: {hosts:?}"
        );
    }
}

#[tokio::test]
async fn takes_what_the_grammar_allows() {
    let backend = Backend::echo("a");
    let gateway = before(&backend).await;
    let post = |framing: &str, body: &str| {
        format!("POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{framing}\r\n\r\n{body}")
    };
    for (bytes, body) in [
        ("\r\nGET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".to_owned(), ""),
        ("GET / HTTP/1.1\r\nHOST:a\r\nConnection:CLOSE\r\n\r\n".to_owned(), ""),
        ("GET / HTTP/1.1\r\nhost: \t a \t\r\nconnection: close\r\nx:\r\n\r\n".to_owned(), ""),
        (post("content-length: 5", "hello"), "hello"),
        (post("content-length: 0005", "hello"), "hello"),
        (post("content-length:   5  ", "hello"), "hello"),
        (post("content-length: 0", ""), ""),
        (post("Transfer-Encoding: Chunked", "5\r\nhello\r\n0\r\n\r\n"), "hello"),
        (post("transfer-encoding: chunked", "0\r\n\r\n"), ""),
        (post("transfer-encoding: chunked", "3\r\nhel\r\n2\r\nlo\r\n000\r\n\r\n"), "hello"),
        (post("transfer-encoding: chunked", "0005\r\nhello\r\n0\r\n\r\n"), "hello"),
        (
            post("transfer-encoding: chunked", "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n"),
            "01234567890123456789",
        ),
        (post("transfer-encoding: chunked", "5;a=b;c=\"d\"\r\nhello\r\n0;e\r\n\r\n"), "hello"),
        (post("transfer-encoding: chunked", "5 ; a = b\r\nhello\r\n0\r\n\r\n"), "hello"),
        (post("transfer-encoding: chunked", "5\r\nhello\r\n0\r\nx: y\r\n\r\n"), "hello"),
    ] {
        let told = echoed(gateway.address(), &bytes).await;
        assert_eq!(told["body"], body, "{bytes:?}");
    }
}

#[tokio::test]
async fn reads_a_request_that_comes_byte_by_byte() {
    let backend = Backend::echo("a");
    let gateway = before(&backend).await;
    let mut wire = Wire::connect(gateway.address()).await;
    let request = "\r\nPOST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n\
                   5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nx-sum: 6\r\n\r\n";
    // Twice, so that nothing of the first one is left over.
    for _ in 0..2 {
        for byte in request.as_bytes() {
            wire.send([*byte]).await;
        }
        let head = wire.read_head().await;
        let body = wire.read_body(&head).await.expect("a whole response");
        let told: Value = serde_json::from_slice(&body).expect("an echo");
        assert_eq!((&told["target"], &told["body"]), (&"/x".into(), &"hello!".into()));
        assert_eq!(told["trailers"][0][1], "6");
    }
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn answers_pipelined_requests_in_order() {
    let backend = Backend::echo("a");
    let gateway = before(&backend).await;
    let mut wire = Wire::connect(gateway.address()).await;
    wire.send(
        "GET /1 HTTP/1.1\r\nhost: a\r\n\r\n\
         POST /2 HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello\
         POST /3 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nworld\r\n0\r\n\r\n\
         \r\nGET /4 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n\
         GET /5 HTTP/1.1\r\nhost: a\r\n\r\n",
    )
    .await;
    for (target, body) in [("/1", ""), ("/2", "hello"), ("/3", "world"), ("/4", "")] {
        let head = wire.read_head().await;
        assert_eq!(head.field("connection"), (target == "/4").then_some("close"));
        let told: Value =
            serde_json::from_slice(&wire.read_body(&head).await.expect("whole")).expect("an echo");
        assert_eq!((&told["target"], &told["body"]), (&target.into(), &body.into()));
    }
    wire.expect_eof().await;
    assert_eq!(backend.requests(), 4, "what follows `connection: close` is not read");
}

#[tokio::test]
async fn an_http10_client_gets_one_response_and_the_end() {
    let backend = Backend::echo("a");
    let gateway = before(&backend).await;
    for request in ["GET /x HTTP/1.0\r\n\r\n", "GET /x HTTP/1.0\r\nhost: a\r\n\r\n"] {
        let mut wire = Wire::connect(gateway.address()).await;
        wire.send(request).await;
        let head = wire.read_head().await;
        assert!(head.start.starts_with("HTTP/1.0 200"), "{head:?}");
        let told: Value =
            serde_json::from_slice(&wire.read_body(&head).await.expect("whole")).expect("an echo");
        assert_eq!((&told["target"], &told["version"]), (&"/x".into(), &"HTTP/1.1".into()));
        wire.expect_eof().await;
    }
}

#[tokio::test]
async fn an_http10_client_can_keep_its_connection() {
    let backend = Backend::echo("a");
    let gateway = before(&backend).await;
    let mut wire = Wire::connect(gateway.address()).await;
    for _ in 0..2 {
        wire.send("GET /x HTTP/1.0\r\nhost: a\r\nconnection: Keep-Alive\r\n\r\n").await;
        let head = wire.read_head().await;
        assert_eq!(head.field("connection"), Some("keep-alive"));
        assert!(wire.read_body(&head).await.is_some_and(|body| !body.is_empty()));
    }
    wire.send("GET /x HTTP/1.0\r\nhost: a\r\n\r\n").await;
    let head = wire.read_head().await;
    wire.read_body(&head).await;
    wire.expect_eof().await;
}

#[tokio::test]
async fn an_http10_client_gets_a_body_of_unknown_length_up_to_the_end() {
    let backend = Backend::respond(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx: y\r\n\r\n",
    );
    let gateway = before(&backend).await;
    let mut wire = Wire::connect(gateway.address()).await;
    wire.send("GET / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n").await;
    let head = wire.read_head().await;
    assert!(head.start.starts_with("HTTP/1.0 200"), "{head:?}");
    assert_eq!(head.field("transfer-encoding"), None);
    assert_eq!(head.field("connection"), Some("close"));
    assert_eq!(wire.read_to_end().await, b"hello");
}
