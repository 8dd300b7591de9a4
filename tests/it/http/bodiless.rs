//! Responses that have no body, whatever their fields say: to HEAD, 204 and 304.

use super::before;
use crate::support::{Backend, Wire};

/// Sends a request twice on one connection, so that a body that was not there, or was too much, would show.
async fn check(request: &str, response: &'static str, expected: &[(&str, Option<&str>)]) {
    let backend = Backend::with(move |mut wire| async move {
        while wire.try_read_head().await.is_some() {
            wire.send(response).await;
        }
    });
    let gateway = before(&backend).await;
    let mut wire = Wire::connect(gateway.address()).await;
    for _ in 0..2 {
        wire.send(format!("{request} / HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        let head = wire.read_head().await;
        assert_eq!(head.start.split(' ').nth(1), response.split(' ').nth(1), "{response:?}");
        for (name, value) in expected {
            assert_eq!(head.field(name), *value, "{name} of {response:?}");
        }
        assert_eq!(head.field("connection"), None, "{response:?}");
    }
    wire.send("GET /none HTTP/1.0\r\nhost: a\r\n\r\n").await;
    assert!(wire.read_head().await.start.starts_with("HTTP/1.0 "), "a body is in the way of {response:?}");
    assert_eq!(backend.connections(), 1, "{response:?}");
}

const LENGTH: &str = "content-length";
const CODING: &str = "transfer-encoding";

#[tokio::test]
async fn a_response_to_head_keeps_its_length_and_has_no_body() {
    check(
        "HEAD",
        "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n",
        &[(LENGTH, Some("1000")), (CODING, None)],
    )
    .await;
    check("HEAD", "HTTP/1.1 404 Not Found\r\ncontent-length: 9\r\n\r\n", &[(LENGTH, Some("9"))]).await;
    check("HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", &[(LENGTH, Some("0"))]).await;
    check("HEAD", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", &[(LENGTH, None)]).await;
    check("HEAD", "HTTP/1.1 200 OK\r\nx: y\r\n\r\n", &[(LENGTH, None), ("x", Some("y"))]).await;
}

#[tokio::test]
async fn a_204_has_neither_body_nor_length() {
    let framing: &[_] = &[(LENGTH, None), (CODING, None), ("x", Some("y"))];
    check("GET", "HTTP/1.1 204 No Content\r\nx: y\r\n\r\n", framing).await;
    check("GET", "HTTP/1.1 204 No Content\r\nx: y\r\ncontent-length: 0\r\n\r\n", framing).await;
    check("DELETE", "HTTP/1.1 204 No Content\r\nx: y\r\n\r\n", framing).await;
}

#[tokio::test]
async fn a_304_may_tell_the_length_that_it_does_not_send() {
    check(
        "GET",
        "HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\n\r\n",
        &[(LENGTH, None), ("etag", Some("\"a\""))],
    )
    .await;
    check("GET", "HTTP/1.1 304 Not Modified\r\ncontent-length: 70\r\n\r\n", &[(LENGTH, Some("70"))]).await;
}

#[tokio::test]
async fn an_empty_response_says_that_it_is_empty() {
    check("GET", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", &[(LENGTH, Some("0")), (CODING, None)])
        .await;
    check("GET", "HTTP/1.1 205 Reset Content\r\ncontent-length: 0\r\n\r\n", &[(LENGTH, Some("0"))]).await;
}

#[tokio::test]
async fn the_gateways_own_response_to_head_has_no_body() {
    let backend = Backend::echo("a");
    let gateway = super::Gateway::start(super::document(serde_json::json!({
        "/a": { "backends": [backend.host()] }
    })))
    .await;
    let mut wire = Wire::connect(gateway.address()).await;
    for _ in 0..2 {
        wire.send("HEAD /none HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let head = wire.read_head().await;
        assert_eq!(head.status(), 404);
        assert!(head.field(LENGTH).is_some_and(|length| length != "0"), "{head:?}");
    }
}
