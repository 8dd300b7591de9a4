//! What a change does not concern keeps its state.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{apply, version};
use crate::support::{Backend, Client, Gateway, Port, document, eventually, get, guests, request, within};

/// The document with a route more, which concerns nobody.
fn unrelated(mut document: Value, number: u32) -> Value {
    document["routes"][format!("/unrelated/{number}")] = json!({ "backends": [{ "host": "127.0.0.1:1" }] });
    document
}

#[tokio::test]
async fn connections_to_backends_are_kept() {
    let backend = Backend::echo("a");
    let mut document = version(&backend, 1);
    document["workers"] = json!(1);
    let gateway = Gateway::start(document.clone()).await;
    for number in 1..=5 {
        assert_eq!(request(gateway.address(), get("/")).await.status, 200);
        apply(&gateway, unrelated(document.clone(), number)).await;
        // What concerns the route but not its backends keeps them too.
        let mut changed = version(&backend, number + 1);
        changed["workers"] = json!(1);
        apply(&gateway, changed).await;
    }
    assert_eq!((backend.requests(), backend.connections()), (5, 1));
}

#[tokio::test]
async fn guest_instances_are_kept_until_their_own_attachment_changes() {
    let backend = Backend::echo("a");
    let counter = |limits: Value| {
        let route =
            json!({ "backends": [backend.host()], "plugins": [{ "use": "counter", "limits": limits }] });
        json!({ "plugins": guests(&["counter"]), "routes": { "*": route }, "workers": 1 })
    };
    let gateway = Gateway::start(counter(json!({}))).await;
    let count = || async {
        let answer = request(gateway.address(), get("/")).await;
        answer.header("x-count").and_then(|count| count.parse::<u32>().ok()).expect("a count")
    };
    assert_eq!((count().await, count().await), (1, 2));
    apply(&gateway, unrelated(counter(json!({})), 1)).await;
    assert_eq!((count().await, count().await), (3, 4));
    apply(&gateway, counter(json!({ "log_rate": 1 }))).await;
    assert_eq!((count().await, count().await), (1, 2), "its own settings are new");
    apply(&gateway, unrelated(counter(json!({ "log_rate": 1 })), 2)).await;
    assert_eq!(count().await, 3);
    let mut more = counter(json!({ "log_rate": 1 }));
    more["plugins"]["counter"]["permissions"] = json!(["log"]);
    apply(&gateway, more).await;
    assert_eq!(count().await, 1, "its permissions are new");
}

#[tokio::test]
async fn round_robin_goes_on_where_it_was() {
    let backends = [Backend::echo("a"), Backend::echo("b"), Backend::echo("c")];
    let all = |max_failure: u32| {
        let backends = backends
            .each_ref()
            .map(|backend| json!({ "host": backend.address().to_string(), "max_failure": max_failure }));
        document(json!({ "*": { "backends": backends } }))
    };
    let gateway = Gateway::start(all(5)).await;
    let mut turns = Vec::new();
    // Changes of something else, and of the upstream itself.
    for next in [unrelated(all(5), 1), all(6), unrelated(all(6), 2), all(7)] {
        for _ in 0..4 {
            turns.push(request(gateway.address(), get("/")).await.backend());
        }
        apply(&gateway, next).await;
    }
    // Sixteen turns over two workers and through four changes, and nobody was passed over.
    let expected: Vec<_> = ["a", "b", "c"].into_iter().cycle().take(16).collect();
    assert_eq!(turns, expected);
}

#[tokio::test]
async fn a_backend_that_was_taken_out_stays_out() {
    let (dead, alive) = (Port::reserve(), Backend::echo("alive"));
    let backends = |weight: u32| {
        let dead = json!({ "host": dead.address().to_string(), "max_failure": 1 });
        let alive = json!({ "host": alive.address().to_string(), "weight": weight });
        document(json!({ "*": { "backends": [dead, alive] } }))
    };
    let gateway = Gateway::start(backends(1)).await;
    let healthy = format!("cloudcup_backend_healthy{{upstream=\"routes:*\",backend=\"{}\"}}", dead.address());
    assert_eq!(gateway.metric(&healthy).await, 1.0);
    for _ in 0..2 {
        assert_eq!(request(gateway.address(), get("/")).await.backend(), "alive");
    }
    eventually(|| async { gateway.metric(&healthy).await == 0.0 }).await;
    let already = gateway.logged(2).await.len();
    // Neither a change of something else nor one of the same upstream brings it back.
    for document in [unrelated(backends(1), 1), backends(2)] {
        apply(&gateway, document).await;
        assert_eq!(gateway.metric(&healthy).await, 0.0);
        for _ in 0..4 {
            assert_eq!(request(gateway.address(), get("/")).await.backend(), "alive");
        }
    }
    for line in &gateway.logged(already + 8).await[already..] {
        assert_eq!(line["attempts"], 1, "it is not asked: {line}");
    }
    let ejections =
        format!("cloudcup_backend_ejections_total{{upstream=\"routes:*\",backend=\"{}\"}}", dead.address());
    assert_eq!(gateway.metric(&ejections).await, 1.0);
    // Its probe finds it all the same.
    let back = dead.open_echo("back");
    eventually(|| async { gateway.metric(&healthy).await == 1.0 }).await;
    eventually(|| async { request(gateway.address(), get("/")).await.backend() == "back" }).await;
    drop(back);
}

#[tokio::test]
async fn what_was_counted_stays_counted() {
    let backend = Backend::echo("a");
    let gateway = Gateway::start(version(&backend, 1)).await;
    let requests = "cloudcup_requests_total{route=\"*\",status=\"2xx\"}";
    let calls = "cloudcup_plugin_calls_total{plugin=\"headers\"}";
    for number in 1..=3 {
        request(gateway.address(), get("/")).await;
        eventually(|| async { gateway.metric(requests).await == f64::from(number) }).await;
        assert_eq!(gateway.metric(calls).await, f64::from(2 * number), "one call for each hook");
        apply(&gateway, version(&backend, number + 1)).await;
    }
    assert_eq!(gateway.metric("cloudcup_reloads_total{outcome=\"applied\"}").await, 3.0);
    assert_eq!(gateway.metric("cloudcup_snapshot_revision").await, 4.0);
}

#[tokio::test]
async fn clients_connections_are_kept() {
    let backend = Backend::echo("a");
    let gateway = Gateway::start(version(&backend, 1)).await;
    let mut client = Client::http1(gateway.address()).await.expect("it accepts");
    for number in 2..=5 {
        client.send(get("/")).await.expect("the connection is there");
        apply(&gateway, version(&backend, number)).await;
    }
    assert_eq!(gateway.metric("cloudcup_connections_accepted_total").await, 1.0);
}

#[tokio::test]
async fn connections_to_backends_that_are_gone_are_closed() {
    let told = Arc::new(Notify::new());
    let old = Backend::with({
        let told = Arc::clone(&told);
        move |mut wire| {
            let told = Arc::clone(&told);
            async move {
                while wire.try_read_head().await.is_some() {
                    wire.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
                }
                told.notify_one();
            }
        }
    });
    let new = Backend::echo("new");
    let gateway = Gateway::start(document(json!({ "*": { "backends": [old.host()] } }))).await;
    assert_eq!(request(gateway.address(), get("/")).await.status, 200);
    apply(&gateway, document(json!({ "*": { "backends": [new.host()] } }))).await;
    assert_eq!(request(gateway.address(), get("/")).await.backend(), "new");
    within(told.notified()).await;
}
