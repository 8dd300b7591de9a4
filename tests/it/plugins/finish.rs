//! The hook that comes after the last byte.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Version;
use serde_json::json;
use tokio::sync::Notify;

use super::{log, route, with_guests};
use crate::support::{Backend, Client, Gateway, Wire, eventually, found, get, post, request};

/// A document whose one route tells in the log, behind this text, what every hook was told.
fn telling(backend: &Backend, text: &str) -> serde_json::Value {
    let chatty = json!({ "use": "chatty", "config": { "log": text }, "limits": { "log_rate": 10_000 } });
    with_guests(&["chatty"], json!({ "*": route(backend, json!([chatty])) }))
}

/// What the hook was told, once.
async fn outcome(text: &str) -> String {
    let text = format!("{text} on-finish");
    let line = || async { log::lines(&text).into_iter().find(|line| line["level"] == "INFO") };
    let line = found(line).await;
    line["message"].as_str().expect("a text").to_owned()
}

#[track_caller]
fn assert_told(outcome: &str, expected: &[&str]) {
    // Field names are those of the contract, however the guest's language spells them.
    let plain = outcome.replace('-', "_");
    for part in expected {
        assert!(plain.contains(part), "`{part}` is not in {outcome}");
    }
}

/// A backend that sends a head and half a body, and the rest when it is told to.
fn halting(go: &Arc<Notify>) -> Backend {
    let go = Arc::clone(go);
    Backend::with(move |mut wire| {
        let go = Arc::clone(&go);
        async move {
            wire.read_head().await;
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n01234").await;
            go.notified().await;
            // The client may have gone by then, and the gateway with it.
            let _ = wire.try_send("56789").await;
            wire.read_to_end().await;
        }
    })
}

#[tokio::test]
async fn guest_on_finish_comes_after_the_last_byte_with_what_was_sent() {
    log::keep();
    let go = Arc::new(Notify::new());
    let backend = halting(&go);
    let gateway = Gateway::start(telling(&backend, "finish-late")).await;
    let mut client = Wire::connect(gateway.address()).await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(client.read_head().await.status(), 200);
    assert_eq!(client.read_exact(5).await, b"01234");
    assert!(!log::lines("finish-late on-response 200").is_empty());
    assert!(log::lines("finish-late on-finish").is_empty(), "the last byte has not left");
    go.notify_one();
    assert_eq!(client.read_exact(5).await, b"56789");
    let told = outcome("finish-late").await;
    assert_told(&told, &["status: 200", "Backend", "reason: None", "complete: true", "response_bytes: 10"]);
    assert_told(&told, &["request_bytes: 0", "duration: "]);
}

#[tokio::test]
async fn guest_on_finish_is_told_of_bodies_of_requests() {
    log::keep();
    let backend = Backend::respond("HTTP/1.1 201 Created\r\ncontent-length: 3\r\n\r\nyes");
    let gateway = Gateway::start(telling(&backend, "finish-body")).await;
    assert_eq!(request(gateway.address(), post("/", vec![b'x'; 100_000])).await.status, 201);
    let told = outcome("finish-body").await;
    assert_told(&told, &["status: 201", "complete: true", "request_bytes: 100000", "response_bytes: 3"]);
}

#[tokio::test]
async fn guest_on_finish_is_told_of_a_client_that_left_in_the_middle() {
    log::keep();
    let go = Arc::new(Notify::new());
    let backend = halting(&go);
    let gateway = Gateway::start(telling(&backend, "finish-cut")).await;
    let mut client = Wire::connect(gateway.address()).await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    client.read_head().await;
    client.read_exact(5).await;
    client.reset();
    let told = outcome("finish-cut").await;
    assert_told(&told, &["status: 200", "Backend", "complete: false", "response_bytes: 5"]);
}

#[tokio::test]
async fn guest_on_finish_is_told_of_a_client_that_left_before_the_answer() {
    log::keep();
    let backend = Backend::with(|mut wire| async move {
        wire.read_head().await;
        wire.read_to_end().await;
    });
    let gateway = Gateway::start(telling(&backend, "finish-gone")).await;
    let mut client = Wire::connect(gateway.address()).await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    eventually(|| async { backend.requests() == 1 }).await;
    client.reset();
    let told = outcome("finish-gone").await;
    assert_told(&told, &["status: 499", "Gateway", "client_closed", "complete: false", "response_bytes: 0"]);
}

#[tokio::test]
async fn guest_on_finish_is_told_who_answered() {
    log::keep();
    let port = crate::support::Port::reserve();
    let text = json!({ "log": "finish-who" });
    let chatty = json!({ "use": "chatty", "config": text, "limits": { "log_rate": 10_000 } });
    let dead = json!({ "backends": [port.host()], "plugins": [chatty] });
    let reply = json!({ "use": "huge-reply", "config": { "bytes": 7 } });
    let replied = json!({ "backends": [port.host()], "plugins": [chatty, reply] });
    let routes = json!({ "/dead": dead, "/replied": replied });
    let gateway = Gateway::start(with_guests(&["chatty", "huge-reply"], routes)).await;
    assert_eq!(request(gateway.address(), get("/dead")).await.status, 502);
    let told = outcome("finish-who").await;
    assert_told(&told, &["status: 502", "Gateway", "backend_connect_failed", "complete: true"]);
    assert_eq!(request(gateway.address(), get("/replied")).await.status, 200);
    let replied =
        || async { log::lines("finish-who on-finish").into_iter().find(|line| line["route"] == "/replied") };
    let told = found(replied).await["message"].as_str().expect("a text").to_owned();
    assert_told(&told, &["status: 200", "Plugin", "reason: None", "response_bytes: 7"]);
}

#[tokio::test]
async fn guest_on_finish_keeps_no_client_waiting() {
    const TIME: Duration = Duration::from_secs(1);
    let backend = Backend::echo("a");
    let spin = json!({ "use": "spin", "config": { "hook": "on-finish" }, "limits": { "time": "1s" } });
    let gateway =
        Gateway::start(with_guests(&["spin"], json!({ "*": route(&backend, json!([spin])) }))).await;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let mut client = match version {
            Version::HTTP_2 => Client::http2(gateway.address()).await,
            _ => Client::http1(gateway.address()).await,
        }
        .expect("it accepts");
        let faults =
            gateway.metric("cloudcup_plugin_faults_total{plugin=\"spin\",code=\"plugin-deadline\"}").await;
        let began = Instant::now();
        assert_eq!(client.send(get("/")).await.expect("an answer").backend(), "a");
        let took = began.elapsed();
        assert!(took < TIME, "the last byte is sent before the hook runs, {version:?}: {took:?}");
        let metric = "cloudcup_plugin_faults_total{plugin=\"spin\",code=\"plugin-deadline\"}";
        eventually(|| async { gateway.metric(metric).await > faults }).await;
    }
}
