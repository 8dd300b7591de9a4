//! One line of JSON for each request.

use std::time::{Duration, SystemTime};

use http::{HeaderValue, Method, Version};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::{guarded, halting, line_of};
use crate::support::{Backend, Client, Gateway, Port, Wire, document, eventually, get, post, raw, request};

/// The fields that a line has, in whichever order.
#[track_caller]
fn assert_fields(line: &Value, expected: &[&str]) {
    let mut fields: Vec<_> = line.as_object().expect("an object").keys().map(String::as_str).collect();
    fields.sort_unstable();
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(fields, expected, "{line}");
}

const ALWAYS: [&str; 13] = [
    "time",
    "revision",
    "listener",
    "client",
    "protocol",
    "method",
    "host",
    "path",
    "attempts",
    "status",
    "request_bytes",
    "response_bytes",
    "complete",
];

#[track_caller]
fn assert_sensible(line: &Value) {
    let time = humantime::parse_rfc3339(line["time"].as_str().expect("a text")).expect("a time");
    let age = SystemTime::now().duration_since(time).unwrap_or_default();
    assert!(age < Duration::from_secs(60), "{line}");
    let duration = line["duration"].as_f64().expect("milliseconds");
    assert!((0.0..60_000.0).contains(&duration), "{line}");
    if let Some(backend) = line["backend_duration"].as_f64() {
        assert!((0.0..=duration).contains(&backend), "a part of the whole: {line}");
    }
}

#[tokio::test]
async fn a_request_is_told_with_all_that_is_known_of_it() {
    let backend = Backend::respond("HTTP/1.1 201 Created\r\ncontent-length: 5\r\n\r\nwhole");
    let route = json!({ "backends": [backend.host()] });
    let gateway = Gateway::start(document(json!({ "POST /a/{id}": route }))).await;
    for (version, protocol) in [(Version::HTTP_11, "HTTP/1.1"), (Version::HTTP_2, "HTTP/2")] {
        let mut asked = post("/a/%61?secret=1", "12345678");
        *asked.version_mut() = version;
        asked.headers_mut().insert("user-agent", HeaderValue::from_static("tester/1"));
        assert_eq!(request(gateway.address(), asked).await.status, 201);
        let log = gateway.logged(if version == Version::HTTP_2 { 2 } else { 1 }).await;
        let line = log.last().expect("there is one");
        assert_fields(
            line,
            &[&ALWAYS[..], &["route", "backend", "duration", "backend_duration", "user_agent"]].concat(),
        );
        assert_sensible(line);
        for (field, expected) in [
            ("revision", json!(1)),
            ("listener", json!("root")),
            ("client", json!("127.0.0.1")),
            ("protocol", json!(protocol)),
            ("method", json!("POST")),
            ("host", json!(gateway.address().to_string())),
            ("path", json!("/a/a")),
            ("route", json!("POST /a/{id}")),
            ("backend", json!(backend.address().to_string())),
            ("attempts", json!(1)),
            ("status", json!(201)),
            ("request_bytes", json!(8)),
            ("response_bytes", json!(5)),
            ("complete", json!(true)),
            ("user_agent", json!("tester/1")),
        ] {
            assert_eq!(line[field], expected, "{field} in {protocol}");
        }
    }
}

#[tokio::test]
async fn a_plugins_reply_is_told_with_its_verdict() {
    let backend = Backend::echo("a");
    let gateway = Gateway::start(document(json!({ "*": guarded(&backend) }))).await;
    assert_eq!(request(gateway.address(), get("/x")).await.status, 401);
    let line = line_of(&gateway, "/x").await;
    assert_fields(&line, &[&ALWAYS[..], &["route", "plugins", "duration"]].concat());
    assert_sensible(&line);
    assert_eq!(line["plugins"], json!([{ "plugin": "require-header", "verdict": "reply" }]));
    assert_eq!(
        (&line["status"], &line["attempts"], &line["response_bytes"]),
        (&json!(401), &json!(0), &json!(0))
    );
    assert_eq!(line["complete"], true);
}

#[tokio::test]
async fn what_the_gateway_answers_itself_is_told_with_its_reason() {
    let dead = Port::reserve();
    let routes = json!({ "GET /get": { "backends": [dead.host()] }, "/dead": { "backends": [dead.host()] } });
    let gateway = Gateway::start(document(routes)).await;
    for (method, path, status, reason, attempts) in [
        (Method::GET, "/none", 404, "no-route", 0),
        (Method::PUT, "/get", 405, "method-not-allowed", 0),
        (Method::GET, "/dead", 502, "backend-connect-failed", 1),
    ] {
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let before = gateway.access_log().len();
            let mut asked = get(path);
            (*asked.method_mut(), *asked.version_mut()) = (method.clone(), version);
            let answer = request(gateway.address(), asked).await;
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, reason));
            let log = gateway.logged(before + 1).await;
            let line = &log[before];
            assert_sensible(line);
            assert_eq!((&line["status"], &line["reason"]), (&json!(status), &json!(reason)), "{line}");
            assert_eq!((&line["attempts"], &line["complete"]), (&json!(attempts), &json!(true)), "{line}");
            assert_eq!(line["response_bytes"], json!(answer.body.len()), "{line}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_told_all_the_same() {
    let gateway = Gateway::start(document(json!({}))).await;
    for (line, (bytes, status, reason)) in [
        ("GET / HTTP/1.1\r\nhost : a\r\n\r\n", 400, "malformed-request"),
        ("GET / HTTP/9.9\r\nhost: a\r\n\r\n", 505, "unsupported-version"),
        ("nonsense\r\n\r\n", 400, "malformed-request"),
    ]
    .into_iter()
    .enumerate()
    {
        raw(gateway.address(), bytes).await;
        let log = gateway.logged(line + 1).await;
        assert_eq!(
            (&log[line]["status"], &log[line]["reason"]),
            (&json!(status), &json!(reason)),
            "{}",
            log[line]
        );
        assert_eq!(log[line]["client"], "127.0.0.1");
    }
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_is_told_as_499() {
    let go = std::sync::Arc::new(Semaphore::new(0));
    let backend = halting(&go);
    let gateway = Gateway::start(document(json!({ "*": { "backends": [backend.host()] } }))).await;
    let mut wire = Wire::connect(gateway.address()).await;
    wire.send("GET /one HTTP/1.1\r\nhost: a\r\n\r\n").await;
    eventually(|| async { backend.requests() == 1 }).await;
    wire.reset();
    let mut client = Client::http2(gateway.address()).await.expect("it accepts");
    let asking = tokio::spawn(async move {
        // It is abandoned half-way.
        let _ = client.send(get("/two")).await;
    });
    eventually(|| async { backend.requests() == 2 }).await;
    asking.abort();
    for (path, protocol) in [("/one", "HTTP/1.1"), ("/two", "HTTP/2")] {
        let line = line_of(&gateway, path).await;
        assert_eq!((&line["status"], &line["reason"]), (&json!(499), &json!("client-closed")), "{line}");
        assert_eq!((&line["complete"], &line["protocol"]), (&json!(false), &json!(protocol)), "{line}");
        assert_eq!((&line["route"], &line["attempts"]), (&json!("*"), &json!(1)), "{line}");
        assert_eq!(line["backend"], json!(backend.address().to_string()), "who was asked is told: {line}");
    }
    let reasons = "cloudcup_gateway_responses_total{reason=\"client-closed\"}";
    assert_eq!(gateway.metric(reasons).await, 2.0);
}

#[tokio::test]
async fn a_response_that_is_broken_off_is_told_as_incomplete() {
    let backend = Backend::with(|mut wire| async move {
        while let Some(head) = wire.try_read_head().await {
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n12345").await;
            if head.target() == "/by-backend" {
                return;
            }
            wire.read_to_end().await;
        }
    });
    let gateway = Gateway::start(document(json!({ "*": { "backends": [backend.host()] } }))).await;
    let mut wire = Wire::connect(gateway.address()).await;
    wire.send("GET /by-client HTTP/1.1\r\nhost: a\r\n\r\n").await;
    wire.read_head().await;
    wire.read_exact(5).await;
    wire.reset();
    raw(gateway.address(), "GET /by-backend HTTP/1.1\r\nhost: a\r\n\r\n").await;
    for path in ["/by-client", "/by-backend"] {
        let line = line_of(&gateway, path).await;
        assert_eq!((&line["status"], &line["complete"]), (&json!(200), &json!(false)), "{line}");
        assert_eq!(line["response_bytes"], 5, "{line}");
    }
}

#[tokio::test]
async fn attempts_and_the_backend_that_answered_are_told() {
    let (dead, alive) = (Port::reserve(), Backend::echo("alive"));
    let backends = json!([dead.host(), alive.host()]);
    let gateway = Gateway::start(document(json!({ "*": { "backends": backends } }))).await;
    assert_eq!(request(gateway.address(), get("/x")).await.backend(), "alive");
    let line = line_of(&gateway, "/x").await;
    assert_eq!(
        (&line["attempts"], &line["backend"]),
        (&json!(2), &json!(alive.address().to_string())),
        "{line}"
    );
    assert_eq!(gateway.metric("cloudcup_backend_retries_total").await, 1.0);
}

#[tokio::test]
async fn nothing_that_a_client_sends_breaks_a_line() {
    let backend = Backend::echo("a");
    let gateway = Gateway::start(document(json!({ "*": { "backends": [backend.host()] } }))).await;
    let mut asked = get("/%22%7B%C3%A4%20x");
    let agent = HeaderValue::from_bytes(b"a\"b\\c\t{\"status\":1}").expect("a value");
    asked.headers_mut().insert("user-agent", agent);
    request(gateway.address(), asked).await;
    let mut asked = get("/bytes");
    asked.headers_mut().insert("user-agent", HeaderValue::from_bytes(b"\xff\xfe").expect("a value"));
    request(gateway.address(), asked).await;
    assert_eq!(line_of(&gateway, "/%22%7B%C3%A4%20x").await["user_agent"], "a\"b\\c\t{\"status\":1}");
    assert_eq!(line_of(&gateway, "/bytes").await["user_agent"], Value::Null);
    assert_eq!(gateway.access_log().len(), 2);
}
