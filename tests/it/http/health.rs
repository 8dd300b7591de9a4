//! Backends that fail: requests tried elsewhere, backends taken out and brought back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};

use super::{before, with};
use crate::support::{Answer, Backend, Gateway, Port, Wire, document, eventually, get, post, request};

/// One route over these backends.
async fn over(backends: Value) -> Gateway {
    Gateway::start(document(json!({ "*": { "backends": backends } }))).await
}

fn asking(method: &str) -> Request<Full<bytes::Bytes>> {
    let mut asking = get("/");
    *asking.method_mut() = method.parse::<Method>().expect("a method");
    asking
}

/// Reads a request and closes, or resets, without a byte of a response.
fn closing(reset: bool) -> Backend {
    Backend::with(move |mut wire| async move {
        let head = wire.read_head().await;
        wire.read_body(&head).await;
        if reset {
            wire.reset();
        }
    })
}

/// Whether a backend takes its turns, as the metrics tell.
async fn is_healthy(gateway: &Gateway, backend: std::net::SocketAddr) -> bool {
    let metrics = gateway.metrics().await;
    let label = format!("backend=\"{backend}\"");
    let lines: Vec<_> = metrics
        .lines()
        .filter(|line| line.starts_with("cloudcup_backend_healthy{") && line.contains(&label))
        .collect();
    assert_eq!(lines.len(), 1, "{metrics}");
    lines[0].ends_with(" 1")
}

#[tokio::test]
async fn tries_the_next_backend_when_one_refuses() {
    let (refusing, good) = (Port::reserve(), Backend::echo("good"));
    let routes = document(json!({ "*": { "backends": [refusing.host(), good.host()] } }));
    // One worker, so that the lines of the log are in order.
    let gateway = Gateway::start(with(routes, json!({ "workers": 1 }))).await;
    // Nothing was sent, so it does not matter what the request would have done.
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "X"] {
        assert_eq!(request(gateway.address(), asking(method)).await.backend(), "good", "{method}");
    }
    let told = request(gateway.address(), post("/", "hello")).await.json();
    assert_eq!(told["body"], "hello");
    let log = gateway.logged(7).await;
    assert_eq!((&log[0]["attempts"], &log[0]["status"]), (&2.into(), &200.into()));
    assert_eq!(log[0]["backend"], good.address().to_string());
    assert!(gateway.metric("cloudcup_backend_retries_total").await >= 1.0);
}

#[tokio::test]
async fn tries_an_idempotent_request_again_when_a_backend_closes() {
    for reset in [false, true] {
        for method in ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"] {
            let (bad, good) = (closing(reset), Backend::respond("HTTP/1.1 204 No Content\r\n\r\n"));
            let gateway = over(json!([bad.host(), good.host()])).await;
            let answer = request(gateway.address(), asking(method)).await;
            assert_eq!(answer.status, 204, "{method}");
            assert_eq!((bad.requests(), good.requests()), (1, 1), "{method}");
        }
    }
}

#[tokio::test]
async fn tries_no_other_request_again() {
    for reset in [false, true] {
        for method in ["POST", "PATCH", "X"] {
            let (bad, good) = (closing(reset), Backend::echo("good"));
            let gateway = over(json!([bad.host(), good.host()])).await;
            let answer = request(gateway.address(), asking(method)).await;
            assert_eq!((answer.status.as_u16(), &*answer.code()), (502, "backend-closed"), "{method}");
            assert_eq!((bad.requests(), good.requests()), (1, 0), "{method} was tried again");
            assert_eq!(gateway.logged(1).await[0]["attempts"], 1);
        }
    }
}

#[tokio::test]
async fn tries_no_request_again_whose_body_was_sent() {
    let (bad, good) = (closing(false), Backend::echo("good"));
    let gateway = over(json!([bad.host(), good.host()])).await;
    let mut putting = post("/", "hello");
    *putting.method_mut() = Method::PUT;
    let answer = request(gateway.address(), putting).await;
    assert_eq!((answer.status.as_u16(), &*answer.code()), (502, "backend-closed"));
    assert_eq!((bad.requests(), good.requests()), (1, 0), "half a body, or none, went elsewhere");
}

#[tokio::test]
async fn tries_no_request_again_that_was_answered() {
    let broken = "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello";
    let bad = Backend::with(move |mut wire| async move {
        wire.read_head().await;
        wire.send(broken).await;
    });
    let failing = Backend::respond("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\nno");
    let good = Backend::echo("good");
    let gateway = over(json!([bad.host(), failing.host(), good.host()])).await;
    let mut wire = Wire::connect(gateway.address()).await;
    wire.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let head = wire.read_head().await;
    assert_eq!((head.status(), wire.read_body(&head).await), (200, None));
    let answer = request(gateway.address(), get("/")).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (503, "no"), "a backend's own answer stands");
    assert_eq!(good.requests(), 0);
}

#[tokio::test]
async fn tries_no_request_again_whose_answer_had_begun() {
    for begun in ["H", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 103 Early Hints\r\n\r\n"] {
        let bad = Backend::with(move |mut wire| async move {
            wire.read_head().await;
            wire.send(begun).await;
        });
        let good = Backend::echo("good");
        let gateway = over(json!([bad.host(), good.host()])).await;
        let mut wire = Wire::connect(gateway.address()).await;
        wire.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let mut head = wire.read_head().await;
        if head.status() == 103 {
            head = wire.read_head().await;
        }
        assert_eq!((head.status(), good.requests()), (502, 0), "{begun:?}");
    }
}

#[tokio::test]
async fn asks_each_backend_once_at_most() {
    let bad: Vec<_> = (0..3).map(|_| closing(false)).collect();
    let gateway = over(bad.iter().map(Backend::host).collect()).await;
    let answer = request(gateway.address(), get("/")).await;
    assert_eq!((answer.status.as_u16(), &*answer.code()), (502, "backend-closed"));
    assert_eq!(bad.iter().map(Backend::requests).collect::<Vec<_>>(), [1, 1, 1]);
    assert_eq!(gateway.logged(1).await[0]["attempts"], 3);
}

#[tokio::test]
async fn takes_a_backend_out_after_so_many_failures() {
    let (bad, good) = (Port::reserve(), Backend::echo("good"));
    let backends = json!([{ "host": bad.address().to_string(), "max_failure": 3 }, good.host()]);
    let gateway = over(backends).await;
    let mut attempts = 0;
    for _ in 0..20 {
        assert_eq!(request(gateway.address(), get("/")).await.backend(), "good");
    }
    for line in gateway.logged(20).await {
        attempts += line["attempts"].as_u64().expect("a number");
    }
    assert_eq!(attempts, 23, "it was asked until it had failed three times");
    assert!(!is_healthy(&gateway, bad.address()).await);
    assert!(is_healthy(&gateway, good.address()).await);
    assert!(gateway.metrics().await.lines().any(|line| {
        line.starts_with("cloudcup_backend_ejections_total{")
            && line.contains(&bad.address().to_string())
            && line.ends_with(" 1")
    }));
}

#[tokio::test]
async fn a_success_between_failures_keeps_a_backend_in() {
    let is_bad = Arc::new(AtomicBool::new(true));
    let moody = {
        let is_bad = Arc::clone(&is_bad);
        Backend::with(move |mut wire| {
            let is_bad = Arc::clone(&is_bad);
            async move {
                while let Some(head) = wire.try_read_head().await {
                    wire.read_body(&head).await;
                    if is_bad.load(SeqCst) {
                        return;
                    }
                    wire.send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await;
                }
            }
        })
    };
    for version in [http::Version::HTTP_11, http::Version::HTTP_2] {
        let gateway = over(json!([{ "host": moody.address().to_string(), "max_failure": 2 }])).await;
        for round in 0..5 {
            for (bad, status) in [(true, 502), (false, 200)] {
                is_bad.store(bad, SeqCst);
                let mut asking = post("/", "");
                *asking.version_mut() = version;
                let answer = request(gateway.address(), asking).await;
                assert_eq!(answer.status.as_u16(), status, "{version:?}, round {round}: {}", answer.text());
                // How a request went is told when its response has ended, which a client may see a little earlier.
                gateway.logged(2 * round + 1 + usize::from(!bad)).await;
            }
        }
    }
}

#[tokio::test]
async fn says_so_when_all_backends_are_out() {
    let (one, other) = (Port::reserve(), Port::reserve());
    let backend = |port: &Port| json!({ "host": port.address().to_string(), "max_failure": 1 });
    let gateway = over(json!([backend(&one), backend(&other)])).await;
    let first = request(gateway.address(), get("/")).await;
    assert_eq!((first.status.as_u16(), &*first.code()), (502, "backend-connect-failed"));
    for _ in 0..2 {
        let answer = request(gateway.address(), post("/", "hello")).await;
        assert_eq!((answer.status.as_u16(), &*answer.code()), (503, "no-healthy-backend"));
        assert!(answer.header("retry-after").is_some());
    }
    let log = gateway.logged(3).await;
    let line = log.iter().find(|line| line["status"] == 503).expect("each request has a line");
    assert_eq!((&line["attempts"], &line["reason"]), (&0.into(), &"no-healthy-backend".into()));
    let count = gateway.metric("cloudcup_gateway_responses_total{reason=\"no-healthy-backend\"}").await;
    assert_eq!(count, 2.0);
    assert_eq!(gateway.metric("cloudcup_requests_total{route=\"*\",status=\"5xx\"}").await, 3.0);
}

#[tokio::test]
async fn a_backend_comes_back_after_one_probe() {
    let (moody, good) = (Port::reserve(), Backend::echo("good"));
    let address = moody.address();
    let backends = json!([{ "host": address.to_string(), "max_failure": 2 }, good.host()]);
    let routes = document(json!({ "*": { "backends": backends } }));
    let gateway = Gateway::start(with(routes, json!({ "workers": 1 }))).await;
    for _ in 0..4 {
        assert_eq!(request(gateway.address(), get("/")).await.backend(), "good");
    }
    assert!(!is_healthy(&gateway, address).await);
    let back = moody.open_echo("back");
    eventually(|| is_healthy(&gateway, address)).await;
    assert_eq!(back.requests(), 0, "the probe is no request");
    let probes = back.connections();
    assert_eq!(probes, 1);
    for _ in 0..4 {
        request(gateway.address(), get("/")).await;
    }
    assert_eq!(back.requests(), 2, "it takes its turns again");
    // It is on trial only until its first success.
    let port = back.stop().await;
    for requests in 9.. {
        assert_eq!(request(gateway.address(), get("/")).await.backend(), "good");
        if gateway.logged(requests).await.last().is_some_and(|line| line["attempts"] == 2) {
            break;
        }
    }
    assert!(is_healthy(&gateway, port.address()).await, "one failure of two took it out");
}

#[tokio::test]
async fn a_backend_that_fails_on_trial_is_out_again() {
    // Opens, so that it passes its probe, and answers nothing.
    let bad = closing(false);
    let good = Backend::echo("good");
    let backends = json!([{ "host": bad.address().to_string(), "max_failure": 3 }, good.host()]);
    let gateway = over(backends).await;
    for _ in 0..8 {
        assert_eq!(request(gateway.address(), get("/")).await.backend(), "good");
    }
    assert_eq!(bad.requests(), 3);
    eventually(|| is_healthy(&gateway, bad.address())).await;
    for _ in 0..4 {
        assert_eq!(request(gateway.address(), get("/")).await.backend(), "good");
    }
    assert_eq!(bad.requests(), 4, "one failure is enough");
    assert!(!is_healthy(&gateway, bad.address()).await);
}

#[tokio::test]
async fn a_client_that_leaves_is_no_failure_of_its_backend() {
    let backend = Backend::with(|mut wire| async move {
        wire.read_head().await;
        wire.send("HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello").await;
        wire.read_to_end().await;
    });
    let gateway = over(json!([{ "host": backend.address().to_string(), "max_failure": 1 }])).await;
    for (round, request) in
        ["GET / HTTP/1.1\r\nhost: a\r\n\r\n", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 50\r\n\r\nhello"]
            .iter()
            .enumerate()
    {
        let mut wire = Wire::connect(gateway.address()).await;
        wire.send(request).await;
        wire.read_head().await;
        drop(wire);
        gateway.logged(round + 1).await;
        assert!(is_healthy(&gateway, backend.address()).await, "{request:?}");
    }
    // Neither is a client whose body is malformed.
    let mut wire = Wire::connect(gateway.address()).await;
    wire.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").await;
    wire.read_head().await;
    wire.send("nonsense\r\n").await;
    wire.read_to_end().await;
    gateway.logged(3).await;
    assert!(is_healthy(&gateway, backend.address()).await);
}

#[tokio::test]
async fn failures_are_counted_through_a_reload() {
    let (bad, good) = (Port::reserve(), Backend::echo("good"));
    let routes = json!({ "*": {
        "backends": [{ "host": bad.address().to_string(), "max_failure": 2 }, good.host()]
    } });
    let gateway = Gateway::start(document(routes.clone())).await;
    for _ in 0..4 {
        request(gateway.address(), get("/")).await;
    }
    assert!(!is_healthy(&gateway, bad.address()).await);
    gateway.change(with(document(routes), json!({ "limits": { "header_count": 50 } }))).await;
    assert!(!is_healthy(&gateway, bad.address()).await, "a reload is no probe");
}

#[tokio::test]
async fn a_backend_by_name_is_resolved() {
    let backend = Backend::echo("named");
    let host = format!("localhost:{}", backend.address().port());
    let gateway = over(json!([{ "host": host }])).await;
    assert_eq!(request(gateway.address(), get("/")).await.backend(), "named");
    let gateway = over(json!([{ "host": "no-such-host.invalid:80" }])).await;
    let answer: Answer = request(gateway.address(), get("/")).await;
    assert_eq!((answer.status.as_u16(), &*answer.code()), (502, "backend-connect-failed"));
    let gateway = before(&backend).await;
    assert_eq!(request(gateway.address(), get("/")).await.status, 200);
}
