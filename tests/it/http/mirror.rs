//! Copies of requests to other upstreams.

use std::future::pending;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::with;
use crate::support::{
    Backend, Client, Gateway, Port, document, eventually, feed, get, post, request, within,
};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
/// Longer than any of these tests waits for what is at once.
const LONG: Duration = Duration::from_secs(5);

/// What a shadow gets: target, fields and body.
type Copied = (String, Vec<(String, String)>, Vec<u8>);

/// A backend that tells what it got.
fn shadow() -> (Backend, mpsc::UnboundedReceiver<Copied>) {
    let (told, copies) = mpsc::unbounded_channel();
    let backend = Backend::with(move |mut wire| {
        let told = told.clone();
        async move {
            while let Some(head) = wire.try_read_head().await {
                let Some(body) = wire.read_body(&head).await else { return };
                let _ = told.send((head.target().to_owned(), head.fields.clone(), body));
                if wire.try_send(ANSWER).await.is_err() {
                    return;
                }
            }
        }
    });
    (backend, copies)
}

/// A document that copies to `shadow`, with further fields of that upstream and of the rule.
fn mirrored(main: &Backend, shadow: Value, upstream: Value, rule: Value) -> Value {
    let shadow = with(json!({ "backends": [shadow] }), upstream);
    let rule = with(json!({ "backends": [main.host()], "mirror": [{ "upstream": "shadow" }] }), rule);
    with(document(json!({ "*": rule })), json!({ "upstreams": { "shadow": shadow } }))
}

async fn under_way(gateway: &Gateway) -> f64 {
    gateway.metric("cloudcup_mirrored_requests").await
}

async fn outcome(gateway: &Gateway, outcome: &str) -> f64 {
    gateway.metric(&format!("cloudcup_mirrored_requests_total{{outcome=\"{outcome}\"}}")).await
}

/// Waits for a count of an outcome, and for all copies to be over.
async fn settled(gateway: &Gateway, name: &str, count: f64) {
    eventually(|| async { outcome(gateway, name).await >= count && under_way(gateway).await == 0.0 }).await;
    assert_eq!(outcome(gateway, name).await, count);
}

#[tokio::test]
async fn a_copy_is_the_request_that_the_backend_gets() {
    let (main, (shadow, mut copies)) = (Backend::echo("main"), shadow());
    let edits =
        json!({ "rewrite": { "path": "/v2" }, "headers": { "request": { "set": { "x-edit": "1" } } } });
    let gateway = Gateway::start(mirrored(&main, shadow.host(), json!({}), edits)).await;
    for is_http2 in [false, true] {
        let address = gateway.address();
        let client = if is_http2 { Client::http2(address).await } else { Client::http1(address).await };
        let mut client = client.expect("a connection");
        let whole = vec![b'x'; 40_000];
        let answer = client.send(post("/a?b=c", whole.clone())).await.expect("a response");
        assert_eq!(answer.backend(), "main");
        let (target, fields, body) = within(copies.recv()).await.expect("a copy");
        assert_eq!((target.as_str(), body == whole), ("/v2?b=c", true));
        let field =
            |name: &str| fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        assert_eq!(field("content-length"), Some("40000"));
        for name in ["x-edit", "x-forwarded-for", "host"] {
            assert_eq!(field(name), answer.echoed(name).as_deref(), "{name}");
        }
        client.send(get("/")).await.expect("a response");
        let (_, fields, body) = within(copies.recv()).await.expect("a copy");
        assert!(body.is_empty() && !fields.iter().any(|(name, _)| name == "transfer-encoding"));
    }
    settled(&gateway, "answered", 4.0).await;
    // Only requests of clients are requests of the route, and lines of the log. They are told of when they have ended,
    // which a client may see a little earlier.
    assert_eq!(gateway.logged(4).await.len(), 4);
    assert_eq!(gateway.metric("cloudcup_requests_total{route=\"*\",status=\"2xx\"}").await, 4.0);
}

#[tokio::test]
async fn a_body_is_copied_as_it_comes() {
    let (main, (shadow, mut copies)) = (Backend::echo("main"), shadow());
    let gateway = Gateway::start(mirrored(&main, shadow.host(), json!({}), json!({}))).await;
    for is_http2 in [false, true] {
        let address = gateway.address();
        let client = if is_http2 { Client::http2(address).await } else { Client::http1(address).await };
        let mut client = client.expect("a connection");
        let (body, request) = feed("/");
        let responding = client.start(request).await.expect("it is sent");
        let sending = async {
            for piece in ["one", "two", "three"] {
                body.send(Frame::data(Bytes::from(piece))).await.expect("it is read");
            }
            drop(body);
        };
        let (response, ()) = tokio::join!(within(responding), sending);
        assert_eq!(response.expect("a response").status(), 200);
        let (_, fields, copied) = within(copies.recv()).await.expect("a copy");
        assert_eq!(copied, b"onetwothree");
        assert!(fields.contains(&("transfer-encoding".to_owned(), "chunked".to_owned())));
    }
    settled(&gateway, "answered", 2.0).await;
}

#[tokio::test]
async fn a_shadow_that_fails_is_nobodys_trouble() {
    let main = Backend::echo("main");
    let (nobody, closing) =
        (Port::reserve(), Backend::with(|mut wire| async move { _ = wire.try_read_head().await }));
    for shadow in [nobody.host(), closing.host()] {
        let gateway = Gateway::start(mirrored(&main, shadow, json!({}), json!({}))).await;
        let mut client = Client::http1(gateway.address()).await.expect("a connection");
        for _ in 0..10 {
            assert_eq!(client.send(post("/", "body")).await.expect("a response").backend(), "main");
        }
        settled(&gateway, "failed", 10.0).await;
    }
}

#[tokio::test]
async fn a_shadow_that_hangs_holds_nobody_up() {
    let main = Backend::echo("main");
    // It reads nothing, so that a body does not fit into any buffer either.
    let hanging = Backend::with(|wire| async move {
        let _wire = wire;
        pending::<()>().await;
    });
    let rule = json!({ "timeouts": { "request": "500ms" } });
    let gateway = Gateway::start(mirrored(&main, hanging.host(), json!({}), rule)).await;
    let mut client = Client::http1(gateway.address()).await.expect("a connection");
    let mut took = Vec::new();
    for _ in 0..20 {
        let began = Instant::now();
        assert_eq!(client.send(post("/", vec![b'x'; 100_000])).await.expect("a response").status, 200);
        took.push(began.elapsed());
    }
    took.sort_unstable();
    assert!(took[10] < Duration::from_millis(250), "{took:?}");
    // They end by their deadline, all of them.
    eventually(|| async { under_way(&gateway).await == 0.0 }).await;
    let ended = outcome(&gateway, "failed").await + outcome(&gateway, "dropped").await;
    assert_eq!(ended, 20.0);
}

#[tokio::test]
async fn a_copy_that_falls_behind_is_given_up() {
    let main = Backend::echo("main");
    let hanging = Backend::with(|wire| async move {
        let _wire = wire;
        pending::<()>().await;
    });
    let gateway = Gateway::start(mirrored(&main, hanging.host(), json!({}), json!({}))).await;
    // More than all buffers on the way to the shadow hold together.
    let began = Instant::now();
    let answer = request(gateway.address(), post("/", vec![b'x'; 32 << 20])).await;
    assert_eq!(answer.status, 200);
    settled(&gateway, "dropped", 1.0).await;
    assert!(began.elapsed() < LONG, "{:?}", began.elapsed());
}

#[tokio::test]
async fn as_many_are_copied_as_the_document_says() {
    let (main, (shadow, _copies)) = (Backend::echo("main"), shadow());
    let rule = |percent: f64| json!({ "mirror": [{ "upstream": "shadow", "percent": percent }] });
    let gateway = Gateway::start(mirrored(&main, shadow.host(), json!({}), rule(0.0))).await;
    let mut client = Client::http1(gateway.address()).await.expect("a connection");
    let mut send = async |count: usize| {
        for _ in 0..count {
            assert_eq!(client.send(get("/")).await.expect("a response").status, 200);
        }
        eventually(|| async { under_way(&gateway).await == 0.0 }).await;
        shadow.requests()
    };
    assert_eq!(send(50).await, 0);
    gateway.change(mirrored(&main, shadow.host(), json!({}), rule(12.5))).await;
    let copied = send(800).await;
    // 100 with a standard deviation of 9.4.
    assert!((40..=160).contains(&copied), "{copied}");
    let twice = json!({ "mirror": [{ "upstream": "shadow" }, { "upstream": "shadow" }] });
    gateway.change(mirrored(&main, shadow.host(), json!({}), twice)).await;
    assert_eq!(send(10).await, copied + 20);
}

#[tokio::test]
async fn what_is_more_than_the_shadow_may_have_is_dropped() {
    let main = Backend::echo("main");
    let hanging = Backend::with(|mut wire| async move { while wire.try_read_head().await.is_some() {} });
    let limits = json!({ "limits": { "requests": 1 } });
    let rule = json!({ "timeouts": { "request": "500ms" } });
    let gateway = Gateway::start(mirrored(&main, hanging.host(), limits, rule)).await;
    let mut client = Client::http1(gateway.address()).await.expect("a connection");
    for _ in 0..5 {
        assert_eq!(client.send(get("/")).await.expect("a response").status, 200);
    }
    settled(&gateway, "dropped", 4.0).await;
    assert_eq!(outcome(&gateway, "failed").await, 1.0);
    // The one place is free again.
    assert_eq!(client.send(get("/")).await.expect("a response").status, 200);
    settled(&gateway, "failed", 2.0).await;
}

#[tokio::test]
async fn a_worker_has_a_hundred_copies_under_way_and_no_more() {
    let main = Backend::echo("main");
    let hanging = Backend::with(|mut wire| async move { while wire.try_read_head().await.is_some() {} });
    let one = with(
        mirrored(&main, hanging.host(), json!({}), json!({ "timeouts": { "request": "2s" } })),
        json!({ "workers": 1 }),
    );
    let gateway = Gateway::start(one).await;
    let mut client = Client::http1(gateway.address()).await.expect("a connection");
    for _ in 0..120 {
        assert_eq!(client.send(get("/")).await.expect("a response").status, 200);
    }
    assert_eq!((under_way(&gateway).await, outcome(&gateway, "dropped").await), (100.0, 20.0));
    settled(&gateway, "failed", 100.0).await;
}

#[tokio::test]
async fn changes_of_protocol_are_not_copied() {
    let (shadow, _copies) = shadow();
    let main = Backend::with(|mut wire| async move {
        wire.read_head().await;
        let switch = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: foo\r\n\r\n";
        wire.send(switch).await;
    });
    let rule = json!({ "upgrades": ["foo"] });
    let gateway = Gateway::start(mirrored(&main, shadow.host(), json!({}), rule)).await;
    let mut wire = crate::support::Wire::connect(gateway.address()).await;
    wire.send("GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: foo\r\n\r\n").await;
    assert_eq!(wire.read_head().await.status(), 101);
    assert_eq!((shadow.requests(), under_way(&gateway).await), (0, 0.0));
}

#[tokio::test]
async fn an_explanation_has_the_mirrors() {
    let (main, (shadow, _copies)) = (Backend::echo("main"), shadow());
    let rule = json!({ "mirror": [{ "upstream": "shadow", "percent": 0.5 }] });
    let gateway = Gateway::start(mirrored(&main, shadow.host(), json!({}), rule)).await;
    let asked = json!({ "method": "GET", "url": "http://a.example/", "headers": [] }).to_string();
    let (_, told) =
        gateway.admin_with("POST", "/v1/explain", "content-type: application/json\r\n", &asked).await;
    let told: Value = serde_json::from_str(&told).expect("it is JSON");
    assert_eq!(told["mirrors"], json!([{ "upstream": "shadow", "percent": 0.5 }]));
    let get = Request::get("/").body(Full::<Bytes>::default()).expect("a request");
    assert_eq!(request(gateway.address(), get).await.status, 200);
}
