//! A request is served by one snapshot from its match to its last byte.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use serde_json::json;
use tokio::sync::Semaphore;

use super::{apply, served, version, versioned};
use crate::support::{Backend, Client, Gateway, Wire, document, eventually, found, get, request};

/// A backend that waits for a permit before the head, and for another one before the second half of the body.
fn halting(go: &Arc<Semaphore>) -> Backend {
    let go = Arc::clone(go);
    Backend::with(move |mut wire| {
        let go = Arc::clone(&go);
        async move {
            while let Some(head) = wire.try_read_head().await {
                let is_slow = head.target() == "/slow";
                if is_slow {
                    go.acquire().await.expect("it is never closed").forget();
                }
                wire.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab").await;
                if is_slow {
                    go.acquire().await.expect("it is never closed").forget();
                }
                wire.send("cd").await;
            }
        }
    })
}

#[tokio::test]
async fn a_request_that_began_before_a_change_ends_as_it_began() {
    let go = Arc::new(Semaphore::new(0));
    let backend = halting(&go);
    let gateway = Gateway::start(version(&backend, 1)).await;
    let mut slow = Wire::connect(gateway.address()).await;
    slow.send("GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await;
    eventually(|| async { backend.requests() == 1 }).await;
    apply(&gateway, version(&backend, 2)).await;
    assert_eq!(served(gateway.address()).await, 2);
    go.add_permits(1);
    let head = slow.read_head().await;
    assert_eq!(
        (head.status(), head.field("x-version")),
        (200, Some("1")),
        "its response hook is the old one"
    );
    assert_eq!(slow.read_exact(2).await, b"ab");
    apply(&gateway, version(&backend, 3)).await;
    assert_eq!(served(gateway.address()).await, 3);
    go.add_permits(1);
    assert_eq!(slow.read_exact(2).await, b"cd");
    let line =
        found(|| async { gateway.access_log().into_iter().find(|line| line["path"] == "/slow") }).await;
    assert_eq!(
        (&line["revision"], &line["status"], &line["complete"]),
        (&json!(1), &json!(200), &json!(true))
    );
    // The connection goes on with what is served now.
    slow.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(slow.read_head().await.field("x-version"), Some("3"));
}

#[tokio::test]
async fn a_request_outlives_its_route_its_upstream_and_its_listener() {
    let go = Arc::new(Semaphore::new(0));
    let backend = halting(&go);
    let gateway = Gateway::start(version(&backend, 1)).await;
    let mut slow = Wire::connect(gateway.address()).await;
    slow.send("GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await;
    eventually(|| async { backend.requests() == 1 }).await;
    let elsewhere = crate::support::Port::reserve();
    let mut document = document(json!({}));
    document["root"] = json!(elsewhere.address().to_string());
    apply(&gateway, document).await;
    assert_eq!(request(elsewhere.address(), get("/")).await.status, 404);
    go.add_permits(2);
    assert_eq!(slow.read_head().await.field("x-version"), Some("1"));
    assert_eq!(slow.read_exact(4).await, b"abcd");
}

#[tokio::test]
async fn requests_of_one_connection_are_each_served_by_what_is_there_when_they_begin() {
    let backend = Backend::echo("a");
    let gateway = Gateway::start(version(&backend, 1)).await;
    let mut http1 = Client::http1(gateway.address()).await.expect("it accepts");
    let mut http2 = Client::http2(gateway.address()).await.expect("it accepts");
    for number in 1..=4 {
        if number > 1 {
            apply(&gateway, version(&backend, number)).await;
        }
        for client in [&mut http1, &mut http2] {
            let answer = client.send(get("/")).await.expect("an answer");
            assert_eq!(answer.header("x-version"), Some(number.to_string().as_str()));
        }
    }
}

#[tokio::test]
async fn a_change_is_seen_as_a_whole() {
    let backend = Backend::echo("a");
    let both = |number: u32| {
        document(json!({ "/a": versioned(&backend, number), "/b": versioned(&backend, number) }))
    };
    let gateway = Gateway::start(both(1)).await;
    let is_done = Arc::new(AtomicBool::new(false));
    let address = gateway.address();
    let looking: Vec<_> = (0..4)
        .map(|_| {
            let is_done = Arc::clone(&is_done);
            tokio::spawn(async move {
                // One connection is one worker, and a worker never goes back.
                let mut client = Client::http1(address).await.expect("it accepts");
                let (mut last, mut looks) = (0, 0);
                while !is_done.load(SeqCst) {
                    for path in ["/a", "/b"] {
                        let answer = client.send(get(path)).await.expect("an answer");
                        let number = answer.header("x-version").and_then(|number| number.parse::<u32>().ok());
                        let number = number.expect("every revision tells its version");
                        assert!(number >= last, "{path} was served by {number} after {last}");
                        last = number;
                    }
                    looks += 1;
                }
                looks
            })
        })
        .collect();
    for number in 2..=30 {
        apply(&gateway, both(number)).await;
    }
    is_done.store(true, SeqCst);
    for looks in looking {
        assert!(looks.await.expect("no look goes wrong") > 1);
    }
}
