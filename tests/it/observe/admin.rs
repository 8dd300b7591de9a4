//! The admin address and the admin socket.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::exposition::Page;
use super::halting;
use crate::support::{Answer, Backend, Gateway, Port, Wire, document, eventually, found, get, request};

async fn start(backend: &Backend) -> (Gateway, SocketAddr) {
    let mut document = document(json!({ "*": { "backends": [backend.host()] } }));
    document["admin"] = json!({ "listen": "127.0.0.1:0" });
    let gateway = Gateway::start(document).await;
    let address = gateway.app().admin.expect("it has an admin address");
    (gateway, address)
}

async fn ask(address: SocketAddr, method: Method, path: &str) -> Answer {
    let mut asked = get(path);
    *asked.method_mut() = method;
    request(address, asked).await
}

#[tokio::test]
async fn the_admin_address_is_for_looking() {
    let backend = Backend::echo("a");
    let (gateway, address) = start(&backend).await;
    for (path, body) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        let answer = ask(address, Method::GET, path).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, body), "{path}");
    }
    let metrics = ask(address, Method::GET, "/metrics").await;
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    Page::read(metrics.text());
    let status = ask(address, Method::GET, "/v1/status").await;
    assert_eq!((status.status.as_u16(), &status.json()["revision"]), (200, &json!(1)));
    assert_eq!(ask(address, Method::GET, "/none").await.status, 404);
    assert_eq!(ask(address, Method::POST, "/metrics").await.status, 405);
    assert_eq!(ask(address, Method::DELETE, "/v1/status").await.status, 405);
    assert_eq!(gateway.access_log().len(), 0, "nobody's request");
}

#[tokio::test]
async fn nothing_is_changed_over_the_admin_address() {
    let backend = Backend::echo("a");
    let (gateway, address) = start(&backend).await;
    gateway.write(document(json!({ "/other": { "backends": [backend.host()] } })));
    for method in [Method::POST, Method::GET, Method::PUT] {
        let answer = ask(address, method.clone(), "/v1/reload").await;
        let status = answer.status.as_u16();
        assert!(status == 403 || (status == 405 && method != Method::POST), "{method}: {status}");
        assert!(status == 405 || answer.text().contains("socket"), "what to do instead: {}", answer.text());
    }
    for path in ["/v1//reload", "/v1/reload?x", "/v1/reload/", "/v1/%72eload"] {
        let status = ask(address, Method::POST, path).await.status.as_u16();
        assert!([403, 404, 405].contains(&status), "{path}: {status}");
    }
}

#[tokio::test]
async fn the_admin_socket_is_for_its_owner() {
    let backend = Backend::echo("a");
    let (gateway, _) = start(&backend).await;
    let metadata = std::fs::metadata(&gateway.app().socket).expect("it is there");
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    let (status, body) = gateway.admin("POST", "/v1/reload").await;
    assert_eq!((status, body.trim_end()), (200, r#"{"outcome":"unchanged","revision":1}"#));
    assert_eq!(gateway.admin("GET", "/v1/reload").await.0, 405);
    gateway.write(json!({ "routes": 1 }));
    let (status, body) = gateway.admin("POST", "/v1/reload").await;
    assert_eq!(status, 422);
    assert!(body.contains(r#""outcome":"rejected""#) && body.contains(r#""pointer":"/routes""#), "{body}");
}

#[tokio::test]
async fn a_backend_that_was_taken_out_is_shown_with_why() {
    let refusing = Port::reserve();
    let backend = json!({ "host": refusing.address().to_string(), "max_failure": 1 });
    let routes = json!({ "*": { "backends": [backend] } });
    let gateway = Gateway::start(document(routes)).await;
    assert_eq!(request(gateway.address(), get("/")).await.status, 502);
    let cause = found(|| async {
        let status: Value = serde_json::from_str(&gateway.admin("GET", "/v1/status").await.1).ok()?;
        Some(status["upstreams"][0]["backends"][0]["cause"].as_str()?.to_owned())
    });
    assert!(cause.await.contains("refused"));
}

#[tokio::test]
async fn a_gateway_that_stops_is_not_ready() {
    let go = std::sync::Arc::new(Semaphore::new(0));
    let backend = halting(&go);
    let (gateway, address) = start(&backend).await;
    let mut busy = Wire::connect(gateway.address()).await;
    busy.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    eventually(|| async { backend.requests() == 1 }).await;
    let stopping = tokio::spawn(gateway.stop());
    eventually(|| async { ask(address, Method::GET, "/readyz").await.status == 503 }).await;
    assert_eq!(ask(address, Method::GET, "/healthz").await.status, 200, "it is well, and says so");
    go.add_permits(1);
    assert_eq!(busy.read_head().await.status(), 200);
    assert_eq!(stopping.await.expect("it stops"), 0);
}

#[tokio::test]
async fn a_crowd_at_the_admin_address_keeps_nobody_from_the_gateway() {
    let backend = Backend::echo("a");
    let (gateway, address) = start(&backend).await;
    let mut crowd = Vec::new();
    for _ in 0..100 {
        crowd.push(Wire::connect(address).await);
    }
    for wire in &mut crowd {
        wire.send("GET /metrics HTTP/1.1\r\n").await;
    }
    assert_eq!(request(gateway.address(), get("/")).await.backend(), "a");
    // The socket has places of its own.
    let began = Instant::now();
    assert_eq!(gateway.admin("GET", "/healthz").await.0, 200);
    assert!(began.elapsed() < Duration::from_secs(5), "it waits for a place: {:?}", began.elapsed());
}
