//! How long an instance lives, and whom it serves.

use serde_json::{Value, json};

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::{route, with_guests};
use crate::support::{Answer, Backend, Client, Gateway, eventually, get, request};

async fn counts(gateway: &Gateway, path: &str, requests: usize) -> Vec<u64> {
    let mut counts = Vec::new();
    for _ in 0..requests {
        let answer = request(gateway.address(), get(path)).await;
        let count = answer.header("x-count").unwrap_or_else(|| panic!("no plugin counted: {answer:?}"));
        counts.push(count.parse().expect("a number"));
    }
    counts
}

async fn start(workers: usize, routes: Value) -> Gateway {
    let mut document = with_guests(&["counter"], routes);
    document["workers"] = json!(workers);
    Gateway::start(document).await
}

#[tokio::test]
async fn guest_a_reused_instance_serves_one_attachment() {
    let backend = Backend::echo("a");
    // What differs makes another attachment, whatever it is.
    let other = json!({ "use": "counter", "limits": { "log_rate": 1 } });
    let routes = json!({ "/a": route(&backend, json!(["counter"])), "/b": route(&backend, json!([other])) });
    let gateway = start(1, routes).await;
    assert_eq!(counts(&gateway, "/a", 3).await, [1, 2, 3]);
    assert_eq!(counts(&gateway, "/b", 2).await, [1, 2]);
    assert_eq!(counts(&gateway, "/a", 2).await, [4, 5]);
}

#[tokio::test]
async fn guest_every_worker_has_its_own_instance() {
    const REQUESTS: usize = 40;
    let backend = Backend::echo("a");
    let gateway = start(2, json!({ "*": route(&backend, json!(["counter"])) })).await;
    let mut counts = counts(&gateway, "/", REQUESTS).await;
    let first = counts.iter().filter(|count| **count == 1).count();
    assert!((1..=2).contains(&first), "one instance a worker: {counts:?}");
    // Those of one worker are 1, 2, 3, and so on: taking one such run away leaves the other.
    counts.sort_unstable();
    let longest = *counts.last().expect("there are some");
    for count in 1..=longest {
        let position = counts.iter().position(|found| *found == count).expect("no count is left out");
        counts.remove(position);
    }
    let rest: Vec<u64> = (1..=counts.len() as u64).collect();
    assert_eq!(counts, rest);
}

#[tokio::test]
async fn guest_request_isolation_gives_every_request_an_instance_of_its_own() {
    let backend = Backend::echo("a");
    let fresh = json!({ "use": "counter", "isolation": "request" });
    let routes =
        json!({ "/fresh": route(&backend, json!([fresh])), "/warm": route(&backend, json!(["counter"])) });
    let gateway = start(1, routes).await;
    assert_eq!(counts(&gateway, "/fresh", 4).await, [1, 1, 1, 1]);
    assert_eq!(counts(&gateway, "/warm", 2).await, [1, 2]);
    let mut client = Client::http1(gateway.address()).await.expect("it accepts");
    for _ in 0..3 {
        let answer = client.send(get("/fresh")).await.expect("an answer");
        assert_eq!(answer.header("x-count"), Some("1"), "requests of one connection share nothing either");
    }
}

#[tokio::test]
async fn guest_all_hooks_of_a_request_run_in_its_own_instance() {
    let backend = Backend::echo("a");
    // The fixture remembers in its memory how the setting of an attribute ended, and tells at the response.
    let fresh = json!({ "use": "chatty", "isolation": "request", "config": { "set": { "a": "b" } } });
    let routes = json!({ "*": route(&backend, json!([fresh])) });
    let gateway = Gateway::start(with_guests(&["chatty"], routes)).await;
    let answer = request(gateway.address(), get("/")).await;
    assert_eq!(answer.header("x-set-attribute"), Some("done"));
}

#[tokio::test]
async fn guest_an_instance_is_replaced_after_its_requests() {
    let backend = Backend::echo("a");
    let limited = json!({ "use": "counter", "limits": { "requests": 3 } });
    let gateway = start(1, json!({ "*": route(&backend, json!([limited])) })).await;
    assert_eq!(counts(&gateway, "/", 7).await, [1, 2, 3, 1, 2, 3, 1]);
}

#[tokio::test]
async fn guest_limits_that_an_attachment_leaves_out_are_those_of_the_plugin() {
    let backend = Backend::echo("a");
    let attachment = json!({ "use": "counter", "limits": { "log_rate": 1 } });
    let mut document = with_guests(&["counter"], json!({ "*": route(&backend, json!([attachment])) }));
    document["workers"] = json!(1);
    document["plugins"]["counter"]["limits"] = json!({ "requests": 2, "log_rate": 5 });
    let gateway = Gateway::start(document).await;
    assert_eq!(counts(&gateway, "/", 5).await, [1, 2, 1, 2, 1]);
}

/// Asks so many times at once, of a backend that answers nobody before it has them all.
async fn ask_at_once(requests: usize, reached: usize) -> Vec<Answer> {
    let release = Arc::new(Semaphore::new(0));
    let backend = Backend::with({
        let release = Arc::clone(&release);
        move |mut wire| {
            let release = Arc::clone(&release);
            async move {
                while wire.try_read_head().await.is_some() {
                    release.acquire().await.expect("it is never closed").forget();
                    // The gateway may have gone by then.
                    let _ = wire.try_send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
                }
            }
        }
    });
    let fresh = json!({ "use": "chatty", "isolation": "request", "config": { "set": { "a": "b" } } });
    let gateway =
        Gateway::start(with_guests(&["chatty"], json!({ "*": route(&backend, json!([fresh])) }))).await;
    let address = gateway.address();
    let asked: Vec<_> = (0..requests).map(|_| tokio::spawn(request(address, get("/")))).collect();
    eventually(|| async { backend.requests() >= reached }).await;
    // One more for the request that comes behind them.
    release.add_permits(requests + 1);
    let mut answers = Vec::new();
    for answer in asked {
        answers.push(answer.await.expect("every request is answered"));
    }
    assert_eq!(request(address, get("/")).await.status, 200, "all instances are given back");
    answers
}

#[tokio::test]
async fn guest_many_requests_at_once_have_an_instance_each() {
    for answer in ask_at_once(100, 100).await {
        assert_eq!((answer.status.as_u16(), answer.header("x-set-attribute")), (200, Some("done")));
    }
}

#[tokio::test]
async fn guest_no_worker_keeps_all_instances_from_another() {
    // As many as the engine has places for.
    const ATTACHMENTS: usize = 1000;
    let backend = Backend::respond("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let mut routes = json!({});
    for index in 0..ATTACHMENTS {
        let attachment = json!({ "use": "counter", "limits": { "requests": 1_000_000 + index } });
        routes[format!("/{index}")] = route(&backend, json!([attachment]));
    }
    let gateway = Gateway::start(with_guests(&["counter"], routes)).await;
    let mut first = Client::http1(gateway.address()).await.expect("it accepts");
    for index in 0..ATTACHMENTS {
        let answer = first.send(get(&format!("/{index}"))).await.expect("an answer");
        assert_eq!((answer.status.as_u16(), answer.header("x-count")), (200, Some("1")));
    }
    // Some of these are the other worker's.
    for _ in 0..16 {
        let answer = request(gateway.address(), get("/0")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let more = json!({ "use": "counter", "limits": { "requests": 1 } });
    let changed = with_guests(&["counter"], json!({ "/more": route(&backend, json!([more])) }));
    let outcome = gateway.change(changed).await;
    assert!(outcome.diagnostics().is_empty(), "a change needs a place too: {outcome:?}");
}
