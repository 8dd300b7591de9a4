//! Round-robin, exact over all workers.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::with;
use crate::support::{Backend, Client, Gateway, document, get, request};

fn echoes(count: usize) -> Vec<Backend> {
    (0..count).map(|index| Backend::echo(&format!("b{index}"))).collect()
}

fn hosts(backends: &[Backend]) -> Value {
    backends.iter().map(Backend::host).collect()
}

/// Sends `each` requests over each of `clients` connections at one time.
async fn load(gateway: &Gateway, clients: usize, each: usize) {
    let address = gateway.address();
    let mut asking = JoinSet::new();
    for _ in 0..clients {
        asking.spawn(async move {
            let mut client = Client::http1(address).await.expect("it accepts connections");
            for _ in 0..each {
                assert_eq!(client.send(get("/")).await.expect("a response").status, 200);
            }
        });
    }
    assert_eq!(asking.join_all().await.len(), clients);
}

fn counts(backends: &[Backend]) -> Vec<usize> {
    backends.iter().map(Backend::requests).collect()
}

#[tokio::test]
async fn turns_are_exact_over_all_workers() {
    let backends = echoes(3);
    let gateway = Gateway::start(document(json!({ "*": { "backends": hosts(&backends) } }))).await;
    // Connections enough for each worker to have some: 2^-16 that one has none.
    load(&gateway, 16, 30).await;
    assert_eq!(counts(&backends), [160, 160, 160]);
    // Within a cycle no backend is ahead by more than one.
    load(&gateway, 1, 1).await;
    let mut counts = counts(&backends);
    counts.sort_unstable();
    assert_eq!(counts, [160, 160, 161]);
}

#[tokio::test]
async fn backends_take_turns_in_the_documents_order() {
    let backends = echoes(3);
    let gateway = Gateway::start(document(json!({ "*": { "backends": hosts(&backends) } }))).await;
    let mut order = Vec::new();
    for _ in 0..6 {
        order.push(request(gateway.address(), get("/")).await.backend());
    }
    assert_eq!(order, ["b0", "b1", "b2", "b0", "b1", "b2"]);
}

#[tokio::test]
async fn weights_are_kept_to() {
    let backends = echoes(3);
    let weighted: Value = backends
        .iter()
        .zip([1, 2, 5])
        .map(|(backend, weight)| json!({ "host": backend.address().to_string(), "weight": weight }))
        .collect();
    let gateway = Gateway::start(document(json!({ "*": { "backends": weighted } }))).await;
    load(&gateway, 16, 20).await;
    assert_eq!(counts(&backends), [40, 80, 200]);
    // They are spread: five in a row would be a burst.
    let mut longest = 0;
    let (mut last, mut run) = (String::new(), 0);
    for _ in 0..16 {
        let backend = request(gateway.address(), get("/")).await.backend();
        run = if backend == last { run + 1 } else { 1 };
        longest = longest.max(run);
        last = backend;
    }
    assert!(longest <= 3, "{longest} in a row");
}

#[tokio::test]
async fn turns_go_on_through_reloads() {
    let backends = echoes(4);
    let routes = |revision: u16| {
        // Another route comes and goes, and a setting changes: each is a snapshot of its own.
        let mut routes = json!({ "*": { "backends": hosts(&backends) } });
        if revision.is_multiple_of(2) {
            routes["/other"] = json!({ "backends": [backends[0].host()] });
        }
        with(document(routes), json!({ "limits": { "header_count": 50 + revision } }))
    };
    let gateway = Gateway::start(routes(0)).await;
    let address = gateway.address();
    let mut asking = JoinSet::new();
    for _ in 0..8 {
        asking.spawn(async move {
            let mut client = Client::http1(address).await.expect("it accepts connections");
            let mut sent = 0;
            while sent < 100 {
                assert_eq!(client.send(get("/")).await.expect("a response").status, 200);
                sent += 1;
            }
        });
    }
    let mut reloads = 0;
    while !asking.is_empty() {
        reloads += 1;
        let outcome = gateway.change(routes(reloads)).await;
        assert_eq!(outcome.diagnostics(), [""; 0]);
        while let Some(done) = asking.try_join_next() {
            done.expect("all requests are answered");
        }
    }
    assert!(reloads > 1, "only {reloads} reloads while there were requests");
    assert_eq!(counts(&backends), [200; 4], "after {reloads} reloads");
}

#[tokio::test]
async fn a_backend_that_is_added_takes_its_turns() {
    let backends = echoes(3);
    let routes = |count: usize| document(json!({ "*": { "backends": hosts(&backends[..count]) } }));
    let gateway = Gateway::start(routes(2)).await;
    load(&gateway, 4, 10).await;
    assert_eq!(counts(&backends), [20, 20, 0]);
    gateway.change(routes(3)).await;
    load(&gateway, 4, 15).await;
    assert_eq!(counts(&backends), [40, 40, 20]);
    gateway.change(routes(1)).await;
    load(&gateway, 4, 5).await;
    assert_eq!(counts(&backends), [60, 40, 20]);
}

#[tokio::test]
async fn takes_turns_request_by_request_on_one_http2_connection() {
    let backends = echoes(2);
    let gateway = Gateway::start(document(json!({ "*": { "backends": hosts(&backends) } }))).await;
    let client: Client = Client::http2(gateway.address()).await.expect("it speaks HTTP/2");
    let mut asking = JoinSet::new();
    for _ in 0..40 {
        let mut client = client.clone();
        asking.spawn(async move { client.send(get("/")).await.expect("a response").backend() });
    }
    let mut answered = BTreeMap::<_, usize>::new();
    for backend in asking.join_all().await {
        *answered.entry(backend).or_default() += 1;
    }
    assert_eq!(answered.into_values().collect::<Vec<_>>(), [20, 20]);
}
