//! Faults that a document asks for.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::with;
use crate::support::{Backend, Client, Gateway, document, get, post, request};

/// Longer than anything takes that is not held.
const HELD: Duration = Duration::from_millis(300);

fn faulty(backend: &Backend, fault: Value, rule: Value) -> Value {
    let rule = with(json!({ "backends": [backend.host()], "fault": fault }), rule);
    document(json!({ "*": rule }))
}

#[tokio::test]
async fn requests_fail_with_the_status_that_is_asked_for() {
    let backend = Backend::echo("a");
    let abort = json!({ "abort": { "status": 418 } });
    let gateway = Gateway::start(faulty(&backend, abort, json!({}))).await;
    let mut client = Client::http1(gateway.address()).await.expect("a connection");
    for _ in 0..3 {
        let answer = client.send(post("/", "body")).await.expect("a response");
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (418, "fault-injected"));
    }
    assert_eq!(backend.requests(), 0);
    let log = gateway.logged(3).await;
    assert_eq!((&log[0]["status"], &log[0]["reason"]), (&json!(418), &json!("fault-injected")));
    let name = "cloudcup_gateway_responses_total{reason=\"fault-injected\"}";
    assert_eq!(gateway.metric(name).await, 3.0);
}

#[tokio::test]
async fn calls_of_grpc_get_a_status_of_theirs() {
    let backend = Backend::echo_h2c("a");
    let abort = json!({ "abort": { "status": 503 } });
    let gateway = Gateway::start(faulty(&backend, abort, json!({}))).await;
    let mut client = Client::http2(gateway.address()).await.expect("a connection");
    let call = Request::post("/games.Lobby/Join").header("content-type", "application/grpc");
    let answer =
        client.send(call.body(Full::<Bytes>::default()).expect("a request")).await.expect("a response");
    assert_eq!((answer.status.as_u16(), answer.header("grpc-status")), (200, Some("14")));
}

#[tokio::test]
async fn requests_are_held_and_then_go_on() {
    let backend = Backend::echo("a");
    let delay = json!({ "delay": { "duration": "300ms" } });
    let gateway = Gateway::start(faulty(&backend, delay, json!({}))).await;
    let began = Instant::now();
    assert_eq!(request(gateway.address(), get("/")).await.backend(), "a");
    assert!(began.elapsed() >= HELD, "{:?}", began.elapsed());
    // The time of the request goes on meanwhile.
    let delay = json!({ "delay": { "duration": "1m" } });
    let late = json!({ "timeouts": { "request": "50ms" } });
    gateway.change(faulty(&backend, delay, late)).await;
    assert_eq!(request(gateway.address(), get("/")).await.code(), "request-timeout");
    assert_eq!(backend.requests(), 1);
}

#[tokio::test]
async fn the_delay_comes_before_the_failure() {
    let backend = Backend::echo("a");
    let both = json!({ "delay": { "duration": "300ms" }, "abort": { "status": 500 } });
    let gateway = Gateway::start(faulty(&backend, both, json!({}))).await;
    let began = Instant::now();
    assert_eq!(request(gateway.address(), get("/")).await.code(), "fault-injected");
    assert!(began.elapsed() >= HELD, "{:?}", began.elapsed());
}

#[tokio::test]
async fn as_many_fail_as_the_document_says() {
    let backend = Backend::echo("a");
    let abort = |percent: f64| {
        let fault = json!({ "abort": { "status": 503, "percent": percent }, "delay": { "duration": "1m", "percent": 0 } });
        faulty(&backend, fault, json!({}))
    };
    let gateway = Gateway::start(abort(0.0)).await;
    let mut client = Client::http1(gateway.address()).await.expect("a connection");
    let mut failed = async |count: usize| {
        let mut failed = 0;
        for _ in 0..count {
            let answer = client.send(get("/")).await.expect("a response");
            failed += usize::from(answer.status == 503);
        }
        failed
    };
    assert_eq!(failed(50).await, 0);
    gateway.change(abort(25.0)).await;
    // 100 with a standard deviation of 8.7.
    let some = failed(400).await;
    assert!((45..=155).contains(&some), "{some}");
    gateway.change(abort(100.0)).await;
    assert_eq!(failed(50).await, 50);
}

#[tokio::test]
async fn only_requests_with_the_header_are_meant() {
    let backend = Backend::echo("a");
    let fault = json!({ "abort": { "status": 503 }, "header": "X-Fault" });
    let gateway = Gateway::start(faulty(&backend, fault, json!({}))).await;
    assert_eq!(request(gateway.address(), get("/")).await.backend(), "a");
    let meant = Request::get("/").header("x-fault", "whatever").body(Full::<Bytes>::default());
    assert_eq!(request(gateway.address(), meant.expect("a request")).await.code(), "fault-injected");
}

#[tokio::test]
async fn an_explanation_has_the_faults_of_the_request() {
    let backend = Backend::echo("a");
    let fault = json!({
        "delay": { "duration": "2s", "percent": 12.5 }, "abort": { "status": 503 }, "header": "x-fault",
    });
    let gateway = Gateway::start(faulty(&backend, fault, json!({}))).await;
    let explain = async |fields: Value| {
        let asked = json!({ "method": "GET", "url": "http://a.example/", "headers": fields }).to_string();
        let (_, told) =
            gateway.admin_with("POST", "/v1/explain", "content-type: application/json\r\n", &asked).await;
        serde_json::from_str::<Value>(&told).expect("it is JSON")["faults"].clone()
    };
    assert_eq!(explain(json!([])).await, json!([]));
    let both = json!(["12.5 % are held for 2s", "100 % fail with 503"]);
    assert_eq!(explain(json!([["x-fault", "1"]])).await, both);
}
