//! Backends and plugins that the operator takes out and lets back in, and the gateway as a whole.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{ask, gateway};
use crate::check::program::{Program, cupctl, run};
use crate::support::{Backend, Gateway, Wire, document, eventually, get, request};

#[tokio::test]
async fn a_backend_that_is_drained_gets_no_more_requests() {
    let (a, b) = (Backend::echo("a"), Backend::echo("b"));
    let gateway = Gateway::start(document(json!({ "*": { "backends": [a.host(), b.host()] } }))).await;
    let host = a.address().to_string();
    let names = async || {
        let mut names = Vec::new();
        for _ in 0..4 {
            let answer = request(gateway.address(), get("/")).await;
            names.push(answer.json()["backend"].as_str().expect("a name").to_owned());
        }
        names.sort();
        names.concat()
    };
    assert_eq!(names().await, "aabb");
    let (status, changed) = ask(&gateway, "POST", &format!("/v1/backends/drain?host={host}"), "").await;
    assert_eq!((status, changed), (200, json!({ "changed": 1 })));
    assert_eq!(names().await, "bbbb");
    let (_, status) = ask(&gateway, "GET", "/v1/status", "").await;
    let backend = &status["upstreams"][0]["backends"][0];
    assert_eq!((&backend["drained"], &backend["healthy"]), (&json!(true), &json!(true)));
    assert_eq!(ask(&gateway, "POST", "/v1/reload", "").await.0, 200);
    assert_eq!(names().await, "bbbb", "a reload is not the operator's word");
    assert_eq!(ask(&gateway, "POST", &format!("/v1/backends/ready?host={host}"), "").await.0, 200);
    assert_eq!(names().await, "aabb");
    assert_eq!(ask(&gateway, "POST", "/v1/backends/drain?host=none:1", "").await.0, 404);
}

#[tokio::test]
async fn a_plugin_that_is_tripped_is_passed_over() {
    let backend = Backend::echo("a");
    let gateway = gateway(&backend).await;
    let has_version = async || request(gateway.address(), get("/")).await.header("x-version").is_some();
    assert!(has_version().await);
    assert_eq!(
        ask(&gateway, "POST", "/v1/plugins/trip?name=headers", "").await,
        (200, json!({ "changed": 1 }))
    );
    assert_eq!(request(gateway.address(), get("/")).await.status, 503, "it fails closed");
    let (_, status) = ask(&gateway, "GET", "/v1/status", "").await;
    assert_eq!(status["plugins"][0]["tripped"], true);
    assert_eq!(ask(&gateway, "POST", "/v1/plugins/reset?name=headers", "").await.0, 200);
    assert!(has_version().await);
    assert_eq!(ask(&gateway, "POST", "/v1/plugins/trip?name=none", "").await.0, 404);
}

#[tokio::test]
async fn a_gateway_that_is_drained_finishes_and_ends() {
    let backend = Backend::with(|mut wire| async move {
        while wire.try_read_head().await.is_some() {
            tokio::time::sleep(Duration::from_millis(500)).await;
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone").await;
        }
    });
    let folder = TempDir::new().expect("a temporary folder");
    let socket = folder.path().join("admin.sock");
    let document: Value = json!({
        "root": "127.0.0.1:0", "workers": 1, "history": "off", "admin": { "socket": socket },
        "routes": { "*": { "backends": [backend.host()] } },
    });
    let file = folder.path().join("cup.json");
    std::fs::write(&file, document.to_string()).expect("the folder can be written to");
    let program = Program::serve(&file).await;
    let mut wire = Wire::connect(program.address("root")).await;
    wire.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    eventually(async || backend.requests() == 1).await;
    let ended = run(cupctl(["--socket", &socket.display().to_string(), "drain"])).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let head = wire.read_head().await;
    assert!(head.start.contains("200"), "{head:?}");
    assert_eq!(program.ended().await.code, 0);
}
