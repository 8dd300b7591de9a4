//! How long an instance lives, and whom it serves.

use serde_json::{Value, json};

use super::{route, with_guests};
use crate::support::{Backend, Client, Gateway, get, request};

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
async fn guest_many_requests_at_once_may_have_an_instance_each() {
    const REQUESTS: usize = 100;
    let port = crate::support::Port::reserve();
    let release = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let backend = port.open({
        let release = std::sync::Arc::clone(&release);
        move |mut wire| {
            let release = std::sync::Arc::clone(&release);
            async move {
                if wire.try_read_head().await.is_some() {
                    release.acquire().await.expect("it is never closed").forget();
                    // The gateway may have gone by then.
                    let _ = wire.try_send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
                }
            }
        }
    });
    let fresh = json!({ "use": "chatty", "isolation": "request", "config": { "set": { "a": "b" } } });
    let routes = json!({ "*": route(&backend, json!([fresh])) });
    let gateway = Gateway::start(with_guests(&["chatty"], routes)).await;
    let address = gateway.address();
    let asked: Vec<_> = (0..REQUESTS).map(|_| tokio::spawn(request(address, get("/")))).collect();
    crate::support::eventually(|| async { backend.requests() == REQUESTS }).await;
    release.add_permits(REQUESTS);
    for answer in asked {
        let answer = answer.await.expect("it does not panic");
        assert_eq!((answer.status.as_u16(), answer.header("x-set-attribute")), (200, Some("done")));
    }
}
