//! How many connections and what sizes are served.

use serde_json::json;

use super::{before_with, with};
use crate::support::{Backend, Client, Gateway, Wire, document, eventually, get, request};

#[tokio::test]
async fn a_worker_has_no_more_connections_than_it_may() {
    let backend = Backend::echo("a");
    let gateway = before_with(&backend, json!({ "workers": 1, "limits": { "connections": 2 } })).await;
    let mut first: Client = Client::http1(gateway.address()).await.expect("it accepts connections");
    let mut second: Client = Client::http1(gateway.address()).await.expect("it accepts connections");
    for client in [&mut first, &mut second] {
        assert_eq!(client.send(get("/")).await.expect("a response").status, 200);
    }
    let mut third = Wire::connect(gateway.address()).await;
    third.send("GET /third HTTP/1.1\r\nhost: a\r\n\r\n").await;
    // The others are served meanwhile; the third waits, it is not refused.
    for _ in 0..10 {
        assert_eq!(first.send(get("/")).await.expect("a response").status, 200);
    }
    assert_eq!(backend.requests(), 12);
    assert_eq!(gateway.metric("cloudcup_connections").await, 2.0);
    drop(second);
    assert_eq!(third.read_head().await.status(), 200);
    assert_eq!(backend.requests(), 13);
}

#[tokio::test]
async fn counts_the_connections_that_are_open() {
    let backend = Backend::echo("a");
    let gateway = before_with(&backend, json!({})).await;
    let clients = [Wire::connect(gateway.address()).await, Wire::connect(gateway.address()).await];
    eventually(|| async { gateway.metric("cloudcup_connections").await == 2.0 }).await;
    drop(clients);
    eventually(|| async { gateway.metric("cloudcup_connections").await == 0.0 }).await;
    assert_eq!(gateway.metric("cloudcup_connections_accepted_total").await, 2.0);
}

#[tokio::test]
async fn limits_change_with_a_reload() {
    let backend = Backend::echo("a");
    let routes = document(json!({ "*": { "backends": [backend.host()] } }));
    let gateway = Gateway::start(routes.clone()).await;
    let mut asking = get("/");
    asking.headers_mut().insert("x", "x".repeat(2000).parse().expect("a value"));
    // A connection that is open already is served by the new limits from its next request on.
    let mut client: Client = Client::http1(gateway.address()).await.expect("it accepts connections");
    assert_eq!(client.send(asking.clone()).await.expect("a response").status, 200);
    gateway.change(with(routes, json!({ "limits": { "head_size": "1KiB" } }))).await;
    assert_eq!(request(gateway.address(), asking.clone()).await.status, 431);
    let answer = client.send(get("/")).await.expect("a response");
    assert_eq!(answer.status, 200);
    assert_eq!(client.send(asking).await.expect("a response").status, 431);
}
