//! Backends that are judged by what they answer.

use std::time::Duration;

use h2::Reason;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Puppet, counts, get_with, hosts, is_in, pool, puppets, ruled, told_of, with};
use crate::support::{Backend, Gateway, Port, Wire, eventually, get, request};

/// Judges by nothing but what is said in `fields`.
fn judging(fields: Value) -> Value {
    let nothing = json!({
        "consecutive_5xx": 0, "consecutive_gateway_failures": 0, "success_rate": { "enabled": false },
        "base_ejection_time": "60s", "max_ejection_percent": 100,
    });
    with(nothing, fields)
}

fn judged(backends: &[Puppet], fields: Value) -> Value {
    pool(json!({ "backends": puppets(backends), "outlier_detection": judging(fields) }))
}

async fn ask(gateway: &Gateway, puppet: &Puppet, statuses: &[u16]) {
    for status in statuses {
        puppet.serve_with(*status);
        let answer = request(gateway.address(), get("/")).await;
        assert_eq!(answer.status.as_u16(), if *status == 0 { 502 } else { *status });
    }
}

async fn out(gateway: &Gateway, backends: &[Puppet]) -> usize {
    let mut out = 0;
    for backend in backends {
        out += usize::from(!is_in(gateway, backend.address()).await);
    }
    out
}

/// Nobody says that a backend was judged to be good, so it is given some time to be found bad.
async fn assert_stays(gateway: &Gateway, backend: &Puppet) {
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(is_in(gateway, backend.address()).await);
}

#[tokio::test]
async fn so_many_server_errors_in_a_row_eject() {
    let backends = Puppet::several::<1>();
    let gateway = Gateway::start(judged(&backends, json!({ "consecutive_5xx": 3 }))).await;
    // What is no server error breaks the row.
    ask(&gateway, &backends[0], &[500, 501, 404, 500, 503, 200, 599, 500]).await;
    assert_stays(&gateway, &backends[0]).await;
    ask(&gateway, &backends[0], &[500]).await;
    eventually(|| async { !is_in(&gateway, backends[0].address()).await }).await;
    let told = told_of(&gateway, backends[0].address()).await;
    assert!(told["cause"].as_str().is_some_and(|cause| cause.contains("500")), "{told}");
    let answer = request(gateway.address(), get("/")).await;
    assert_eq!((answer.status.as_u16(), &*answer.code()), (503, "no-healthy-backend"));
}

#[tokio::test]
async fn so_many_gateway_failures_in_a_row_eject() {
    let backends = Puppet::several::<1>();
    let gateway = Gateway::start(judged(&backends, json!({ "consecutive_gateway_failures": 3 }))).await;
    // A 500 is the application's.
    ask(&gateway, &backends[0], &[500, 500, 500, 500, 502, 503, 500, 504, 502, 200]).await;
    assert_stays(&gateway, &backends[0]).await;
    // Whoever gives no answer is one too.
    ask(&gateway, &backends[0], &[502, 0, 504]).await;
    eventually(|| async { !is_in(&gateway, backends[0].address()).await }).await;
}

#[tokio::test]
async fn failures_to_connect_count() {
    let (dead, good) = (Port::reserve(), Backend::echo("good"));
    for field in ["consecutive_5xx", "consecutive_gateway_failures"] {
        let fields = json!({
            "backends": [dead.host(), good.host()],
            "outlier_detection": judging(json!({ field: 2 })),
        });
        let gateway = Gateway::start(pool(fields)).await;
        assert_eq!(counts(&gateway, 8, ["good"]).await, [8]);
        eventually(|| async { !is_in(&gateway, dead.address()).await }).await;
        assert!(is_in(&gateway, good.address()).await);
    }
}

#[tokio::test]
async fn a_backend_that_resets_each_stream_of_its_connection_is_ejected() {
    let bad = Backend::with(|wire: Wire| async move {
        let Ok(mut connection) = h2::server::handshake(wire.into_io()).await else { return };
        while let Some(Ok((_, mut answer))) = connection.accept().await {
            answer.send_reset(Reason::INTERNAL_ERROR);
        }
    });
    let detection = judging(json!({ "consecutive_gateway_failures": 4 }));
    let fields = json!({ "backends": hosts([&bad]), "protocol": "h2c", "outlier_detection": detection });
    let gateway = Gateway::start(with(pool(fields), json!({ "workers": 1 }))).await;
    for _ in 0..4 {
        assert_eq!(request(gateway.address(), get("/")).await.code(), "backend-closed");
    }
    eventually(|| async { !is_in(&gateway, bad.address()).await }).await;
}

/// Reads whatever comes and says nothing.
fn silent() -> Backend {
    Backend::with(|mut wire: Wire| async move { while !wire.read_some().await.is_empty() {} })
}

#[tokio::test]
async fn a_backend_that_has_not_answered_when_a_requests_time_is_over_has_failed() {
    for judge in
        [json!({ "outlier_detection": judging(json!({ "consecutive_gateway_failures": 2 })) }), json!({})]
    {
        let backend = silent();
        let short = if judge == json!({}) { json!({ "max_failure": 2 }) } else { json!({}) };
        let fields = with(json!({ "backends": [with(backend.host(), short)] }), judge);
        let gateway = Gateway::start(ruled(fields, json!({ "timeouts": { "request": "100ms" } }))).await;
        for _ in 0..2 {
            assert_eq!(request(gateway.address(), get("/")).await.code(), "request-timeout");
        }
        eventually(|| async { !is_in(&gateway, backend.address()).await }).await;
    }
}

#[tokio::test]
async fn a_client_that_is_late_itself_ejects_nobody() {
    let backend = silent();
    let detection = json!({ "outlier_detection": judging(json!({ "consecutive_gateway_failures": 1 })) });
    let fields = with(json!({ "backends": hosts([&backend]) }), detection);
    let gateway = Gateway::start(ruled(fields, json!({ "timeouts": { "request": "100ms" } }))).await;
    // Its body does not come,
    let mut wire = Wire::connect(gateway.address()).await;
    wire.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 50\r\n\r\nhello").await;
    assert_eq!(wire.read_head().await.status(), 504);
    // its patience is short,
    let mut call = get_with("/", "grpc-timeout", "10m");
    call.headers_mut().insert("content-type", "application/grpc".parse().expect("a value"));
    assert_eq!(request(gateway.address(), call).await.header("grpc-status"), Some("4"));
    // it leaves.
    let mut wire = Wire::connect(gateway.address()).await;
    wire.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    drop(wire);
    gateway.logged(3).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(is_in(&gateway, backend.address()).await);
}

#[tokio::test]
async fn a_backend_that_fails_far_more_often_than_the_others_is_ejected() {
    let backends = Puppet::several::<5>();
    backends[3].serve_with(500);
    let rate = json!({ "interval": "500ms", "success_rate": { "request_volume": 10 } });
    let gateway = Gateway::start(judged(&backends, rate.clone())).await;
    let names = ["b0", "b1", "b2", "b3", "b4"];
    let is_found = || async {
        counts(&gateway, 100, names).await;
        !is_in(&gateway, backends[3].address()).await
    };
    eventually(is_found).await;
    assert_eq!(out(&gateway, &backends).await, 1);
    assert_eq!(counts(&gateway, 40, names).await, [10, 10, 10, 0, 10]);
    let told = told_of(&gateway, backends[3].address()).await;
    assert!(told["cause"].as_str().is_some_and(|cause| cause.contains("often")), "{told}");
    // Four are too few to compare.
    let gateway = Gateway::start(judged(&backends[1..], rate)).await;
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(1200) {
        counts(&gateway, 80, ["b1", "b2", "b3", "b4"]).await;
    }
    assert_eq!(out(&gateway, &backends[1..]).await, 0);
}

#[tokio::test]
async fn a_backend_that_fails_too_often_is_ejected() {
    let backends = Puppet::several::<2>();
    backends[1].serve_with(503);
    let document = |threshold: u32, volume: u32| {
        let percentage = json!({ "threshold": threshold, "minimum_hosts": 2, "request_volume": volume });
        judged(&backends, json!({ "interval": "300ms", "failure_percentage": percentage }))
    };
    // Too few requests are no reason.
    let gateway = Gateway::start(document(60, 1_000_000)).await;
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(800) {
        counts(&gateway, 20, ["b0", "b1"]).await;
    }
    assert_eq!(out(&gateway, &backends).await, 0);
    gateway.change(document(60, 10)).await;
    let is_found = || async {
        counts(&gateway, 40, ["b0", "b1"]).await;
        !is_in(&gateway, backends[1].address()).await
    };
    eventually(is_found).await;
    assert!(is_in(&gateway, backends[0].address()).await);
}

#[tokio::test]
async fn no_more_than_the_given_share_is_out_but_one_may_always_be() {
    for (percent, expected) in [(0, 0), (1, 1), (50, 2), (60, 2), (75, 3), (100, 4)] {
        let backends = Puppet::several::<4>();
        backends.iter().for_each(|backend| backend.serve_with(500));
        let fields = json!({ "consecutive_5xx": 1, "max_ejection_percent": percent });
        let gateway = Gateway::start(judged(&backends, fields)).await;
        for _ in 0..8 {
            request(gateway.address(), get("/")).await;
        }
        let settled = || async {
            request(gateway.address(), get("/")).await;
            out(&gateway, &backends).await >= expected
        };
        eventually(settled).await;
        for _ in 0..12 {
            request(gateway.address(), get("/")).await;
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert_eq!(out(&gateway, &backends).await, expected, "{percent}%");
    }
}

#[tokio::test]
async fn each_further_ejection_lasts_longer_and_a_probe_ends_it() {
    let backends = Puppet::several::<1>();
    let fields = json!({ "consecutive_5xx": 1, "base_ejection_time": "300ms", "interval": "60s" });
    let gateway = Gateway::start(judged(&backends, fields)).await;
    let mut lasted = Vec::new();
    for _ in 0..3 {
        let asked = backends[0].served();
        ask(&gateway, &backends[0], &[500]).await;
        eventually(|| async { !is_in(&gateway, backends[0].address()).await }).await;
        let began = Instant::now();
        eventually(|| async { is_in(&gateway, backends[0].address()).await }).await;
        lasted.push(began.elapsed());
        assert_eq!(backends[0].served(), asked + 1, "the probe is no request");
        ask(&gateway, &backends[0], &[200]).await;
    }
    // What is lost of each is the time until it was seen.
    let least = [200, 450, 700].map(Duration::from_millis);
    assert!(lasted.iter().zip(least).all(|(lasted, least)| *lasted >= least), "{lasted:?}");
    assert!(lasted[0] < Duration::from_secs(3), "{lasted:?}");
}

#[tokio::test]
async fn a_backend_that_fails_its_probe_stays_out() {
    let bad = Puppet::new("bad");
    let fields = json!({ "consecutive_gateway_failures": 1, "base_ejection_time": "100ms" });
    let fields = json!({ "backends": puppets([&bad]), "outlier_detection": judging(fields) });
    let gateway = Gateway::start(pool(fields)).await;
    let port = bad.backend.stop().await;
    assert_eq!(request(gateway.address(), get("/")).await.status, 502);
    eventually(|| async { !is_in(&gateway, port.address()).await }).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(!is_in(&gateway, port.address()).await, "nobody listens there");
    let back = Puppet::at(port, "back");
    eventually(|| async { is_in(&gateway, back.address()).await }).await;
    assert_eq!(counts(&gateway, 2, ["back"]).await, [2]);
}

#[tokio::test]
async fn an_ejected_backend_takes_its_turns_again_although_its_upstream_was_changed_meanwhile() {
    let backends = Puppet::several::<3>();
    let document = |count: usize| {
        let fields =
            json!({ "consecutive_5xx": 1, "base_ejection_time": "500ms", "max_ejection_percent": 50 });
        judged(&backends[..count], fields)
    };
    let gateway = Gateway::start(document(2)).await;
    backends[1].serve_with(500);
    request(gateway.address(), get("/")).await;
    request(gateway.address(), get("/")).await;
    eventually(|| async { !is_in(&gateway, backends[1].address()).await }).await;
    backends[1].serve_with(200);
    gateway.change(document(3)).await;
    assert!(!is_in(&gateway, backends[1].address()).await, "a reload is no probe");
    eventually(|| async { is_in(&gateway, backends[1].address()).await }).await;
    let is_even = || async { counts(&gateway, 9, ["b0", "b1", "b2"]).await == [3, 3, 3] };
    eventually(is_even).await;
}

#[tokio::test]
async fn either_way_to_judge_excludes_the_other() {
    let backend = Backend::echo("a");
    let gateway = Gateway::start(pool(json!({ "backends": hosts([&backend]) }))).await;
    let members = json!([with(backend.host(), json!({ "max_failure": 3 }))]);
    let outcome = gateway.change(pool(json!({ "backends": members, "outlier_detection": {} }))).await;
    let told = outcome.diagnostics();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("/upstreams/pool/backends/0/max_failure"), "{told:?}");
    assert!(told[0].contains("outlier_detection"), "{told:?}");
}
