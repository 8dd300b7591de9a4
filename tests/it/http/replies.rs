//! Rules that answer by what stands in the document.

use std::fs;

use http::{Method, Version};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Answer, Gateway, document, found, get, post, request};

async fn replying(reply: Value) -> Gateway {
    Gateway::start(document(json!({ "*": { "reply": reply } }))).await
}

async fn ask(gateway: &Gateway, method: &Method, version: Version) -> Answer {
    let mut asking = get("/");
    (*asking.method_mut(), *asking.version_mut()) = (method.clone(), version);
    request(gateway.address(), asking).await
}

#[tokio::test]
async fn a_reply_is_as_it_stands_in_the_document() {
    for (reply, status, content_type, body) in [
        (json!({}), 200, None, ""),
        (json!({ "body": "hello\n" }), 200, Some("text/plain; charset=utf-8"), "hello\n"),
        (
            json!({ "json": { "a": [1, null] }, "status": 503 }),
            503,
            Some("application/json"),
            r#"{"a":[1,null]}"#,
        ),
        (json!({ "body": "<p>", "headers": { "Content-Type": "text/html" } }), 200, Some("text/html"), "<p>"),
        (json!({ "status": 204, "headers": { "x-a": "b" } }), 204, None, ""),
    ] {
        let gateway = replying(reply.clone()).await;
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let answer = ask(&gateway, &Method::GET, version).await;
            assert_eq!((answer.status.as_u16(), answer.text()), (status, body), "{reply}");
            assert_eq!(answer.header("content-type"), content_type, "{reply}");
            assert!(answer.header("date").is_some());
            let length = answer.header("content-length").map(str::to_owned);
            if status == 204 {
                assert_eq!((length.as_deref(), answer.header("x-a")), (None, Some("b")));
            } else if version == Version::HTTP_11 {
                assert_eq!(length, Some(body.len().to_string()), "{reply}");
            }
            let head = ask(&gateway, &Method::HEAD, version).await;
            assert_eq!((head.status.as_u16(), head.body.len()), (status, 0));
            if version == Version::HTTP_11 && !body.is_empty() {
                assert_eq!(head.header("content-length").map(str::to_owned), length, "{reply}");
            }
        }
        let line = &gateway.logged(4).await[0];
        assert_eq!(
            (&line["status"], line.get("reason"), &line["attempts"]),
            (&status.into(), None, &0.into())
        );
    }
}

#[tokio::test]
async fn a_body_that_comes_with_the_request_is_nobodys_business() {
    let gateway = replying(json!({ "body": "taken" })).await;
    let answer = request(gateway.address(), post("/", vec![b'x'; 1 << 20])).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, "taken"));
}

#[tokio::test]
async fn fields_of_a_reply_have_variables() {
    let reply = json!({ "status": 401, "headers": { "www-authenticate": "Basic realm=\"${host}\"", "x-none": "${cookie.none}" } });
    let gateway = replying(reply).await;
    let mut asking = get("/");
    asking.headers_mut().insert("host", "a.example:80".parse().expect("a value"));
    let answer = request(gateway.address(), asking).await;
    assert_eq!(answer.header("www-authenticate"), Some("Basic realm=\"a.example\""));
    assert_eq!(answer.header("x-none"), None);
}

#[tokio::test]
async fn a_file_is_served_and_watched() {
    let folder = TempDir::new().expect("a folder");
    fs::write(folder.path().join("page.html"), "<p>one</p>").expect("it can be written");
    let reply = json!({ "status": 503, "file": "page.html" });
    let document = document(json!({ "*": { "reply": reply } }));
    let gateway = Gateway::try_start_in(folder, document).await.expect("it starts");
    let answer = request(gateway.address(), get("/")).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (503, "<p>one</p>"));
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    fs::write(gateway.folder().join("page.html"), [b"<p>two</p>".as_slice(), &[0xFF]].concat())
        .expect("it can be written");
    let changed = found(|| async {
        let answer = request(gateway.address(), get("/")).await;
        (answer.body.starts_with(b"<p>two")).then_some(answer)
    });
    assert_eq!(changed.await.body, [b"<p>two</p>".as_slice(), &[0xFF]].concat(), "any bytes");
}

#[tokio::test]
async fn what_asks_for_another_protocol_is_answered_too() {
    let gateway = replying(json!({ "status": 503, "body": "later" })).await;
    let mut asking = get("/");
    for (name, value) in [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ] {
        asking.headers_mut().insert(name, value.parse().expect("a value"));
    }
    let answer = request(gateway.address(), asking).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (503, "later"));
}
