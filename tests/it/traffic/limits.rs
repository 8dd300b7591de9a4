//! How much an upstream and a route take at one time.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use super::{hosts, pool, pool_load, ruled, told_of, with};
use crate::support::{
    Answer, Authority, Backend, Client, Gateway, Wire, eventually, feed, get, request, within,
};

/// Keeps requests until it is let go, one for each permit.
fn holding() -> (Backend, Arc<Semaphore>) {
    let go = Arc::new(Semaphore::new(0));
    let word = Arc::clone(&go);
    let backend = Backend::with(move |mut wire: Wire| {
        let go = Arc::clone(&go);
        async move {
            while let Some(head) = wire.try_read_head().await {
                wire.read_body(&head).await;
                tokio::select! {
                    permit = go.acquire() => permit.expect("it is not closed").forget(),
                    _ = wire.read_some() => return,
                }
                if wire.try_send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.is_err() {
                    return;
                }
            }
        }
    });
    (backend, word)
}

/// The same over HTTP/2.
fn holding_h2c() -> (Backend, Arc<Semaphore>) {
    let go = Arc::new(Semaphore::new(0));
    let word = Arc::clone(&go);
    let backend = Backend::serve_h2c(move |_: Request<Incoming>| {
        let go = Arc::clone(&go);
        async move {
            go.acquire().await.expect("it is not closed").forget();
            Response::new(Full::<bytes::Bytes>::default())
        }
    });
    (backend, word)
}

/// One worker: each may have a connection in any case.
async fn limited(backend: &Backend, fields: Value, limits: Value) -> Gateway {
    let fields = with(json!({ "backends": hosts([backend]), "limits": limits }), fields);
    let more = json!({ "workers": 1, "timeouts": { "queue": "30s" } });
    Gateway::start(with(pool(fields), more)).await
}

fn asking(gateway: &Gateway, count: usize) -> Vec<JoinHandle<Answer>> {
    (0..count).map(|_| tokio::spawn(request(gateway.address(), get("/")))).collect()
}

async fn all_ok(asking: Vec<JoinHandle<Answer>>) {
    for asking in asking {
        assert_eq!(within(asking).await.expect("it is answered").status, 200);
    }
}

async fn assert_overflow(gateway: &Gateway, code: &str) {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let mut asking = get("/");
        *asking.version_mut() = version;
        let answer = request(gateway.address(), asking).await;
        assert_eq!((answer.status.as_u16(), &*answer.code()), (503, code));
        assert!(answer.header("retry-after").is_some());
    }
}

/// Until nothing is under way but unused connections.
async fn at_rest(gateway: &Gateway, backend: &Backend) {
    let is_idle = || async {
        let [requests, pending, _, retries] = pool_load(gateway).await;
        let active = told_of(gateway, backend.address()).await["requests"].clone();
        [requests, pending, retries] == [0.0; 3] && active == 0
    };
    eventually(is_idle).await;
}

#[tokio::test]
async fn more_requests_than_allowed_are_answered_with_503() {
    for is_http2 in [false, true] {
        let (backend, go) = if is_http2 { holding_h2c() } else { holding() };
        let protocol = json!({ "protocol": if is_http2 { "h2c" } else { "h1" } });
        let gateway = limited(&backend, protocol, json!({ "requests": 4 })).await;
        for _ in 0..3 {
            let before = backend.requests();
            let held = asking(&gateway, 4);
            eventually(|| async { backend.requests() == before + 4 }).await;
            assert_eq!(pool_load(&gateway).await[0], 4.0);
            assert_eq!(told_of(&gateway, backend.address()).await["requests"], 4);
            assert_overflow(&gateway, "upstream-overflow").await;
            go.add_permits(4);
            all_ok(held).await;
            at_rest(&gateway, &backend).await;
        }
    }
}

#[tokio::test]
async fn a_limit_counts_over_all_workers() {
    let (backend, go) = holding();
    let fields = json!({ "backends": hosts([&backend]), "limits": { "requests": 8 } });
    let gateway = Gateway::start(with(pool(fields), json!({ "workers": 4 }))).await;
    let mut asking = JoinSet::new();
    for _ in 0..40 {
        let address = gateway.address();
        asking.spawn(async move { request(address, get("/")).await.status.as_u16() });
    }
    for _ in 0..32 {
        assert_eq!(within(asking.join_next()).await.expect("more").expect("it is answered"), 503);
    }
    assert_eq!(pool_load(&gateway).await[0], 8.0);
    go.add_permits(8);
    assert_eq!(asking.join_all().await, [200; 8]);
    at_rest(&gateway, &backend).await;
}

#[tokio::test]
async fn who_gets_no_connection_waits_for_one_and_is_served() {
    let (backend, go) = holding();
    let limits = json!({ "connections": 2, "pending": 3 });
    let gateway = limited(&backend, json!({}), limits).await;
    for _ in 0..3 {
        let before = backend.requests();
        let first = asking(&gateway, 2);
        eventually(|| async { backend.requests() == before + 2 }).await;
        let second = asking(&gateway, 3);
        eventually(|| async { pool_load(&gateway).await == [5.0, 3.0, 2.0, 0.0] }).await;
        assert_overflow(&gateway, "upstream-overflow").await;
        // As one is done, one of those who wait has its connection.
        go.add_permits(1);
        eventually(|| async { backend.requests() == before + 3 }).await;
        eventually(|| async { pool_load(&gateway).await == [4.0, 2.0, 2.0, 0.0] }).await;
        go.add_permits(4);
        all_ok(first).await;
        all_ok(second).await;
        at_rest(&gateway, &backend).await;
    }
    assert_eq!(backend.connections(), 2);
}

#[tokio::test]
async fn connections_of_http2_are_limited_with_their_streams() {
    let (backend, go) = holding_h2c();
    let limits = json!({ "connections": 2, "pending": 2 });
    let gateway = limited(&backend, json!({ "protocol": "h2c", "streams": 3 }), limits).await;
    for _ in 0..3 {
        let before = backend.requests();
        let held = asking(&gateway, 6);
        eventually(|| async { backend.requests() == before + 6 }).await;
        let waiting = asking(&gateway, 2);
        eventually(|| async { pool_load(&gateway).await == [8.0, 2.0, 2.0, 0.0] }).await;
        assert_overflow(&gateway, "upstream-overflow").await;
        go.add_permits(8);
        all_ok(held).await;
        all_ok(waiting).await;
        at_rest(&gateway, &backend).await;
    }
    assert_eq!(backend.connections(), 2);
}

#[tokio::test]
async fn streams_of_a_connection_that_turned_out_to_have_some_are_not_waited_for() {
    let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new("the authority"));
    std::fs::write(folder.path().join("ca.pem"), authority.pem()).expect("the folder can be written to");
    let backend = Backend::echo_tls("a", authority.issue(&["127.0.0.1"]).acceptor(&["h2"], None));
    let limits = json!({ "connections": 1, "pending": 10 });
    let fields = json!({ "backends": hosts([&backend]), "tls": { "ca": "ca.pem" }, "limits": limits });
    let document = with(pool(fields), json!({ "workers": 1, "timeouts": { "queue": "30s" } }));
    let gateway = Gateway::try_start_in(folder, document).await.expect("it starts");
    let mut held = Vec::new();
    for _ in 0..5 {
        let (sender, asking) = feed("/");
        let address = gateway.address();
        held.push((sender, tokio::spawn(request(address, asking))));
    }
    // Which of the two it would be was not known when they came.
    eventually(|| async { backend.requests() == 5 }).await;
    for (sender, asking) in held {
        drop(sender);
        assert_eq!(within(asking).await.expect("it is answered").status, 200);
    }
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn each_worker_has_a_connection_in_any_case() {
    let backend = Backend::echo("a");
    let fields = json!({ "backends": hosts([&backend]), "limits": { "connections": 1 } });
    let more = json!({ "workers": 4, "timeouts": { "queue": "30s" } });
    let gateway = Gateway::start(with(pool(fields), more)).await;
    for _ in 0..3 {
        all_ok(asking(&gateway, 40)).await;
    }
    assert!((1..=4).contains(&backend.connections()), "{}", backend.connections());
}

#[tokio::test]
async fn nobody_waits_where_none_may() {
    let (backend, go) = holding();
    let gateway = limited(&backend, json!({}), json!({ "connections": 1, "pending": 0 })).await;
    let held = asking(&gateway, 1);
    eventually(|| async { backend.requests() == 1 }).await;
    assert_overflow(&gateway, "upstream-overflow").await;
    go.add_permits(1);
    all_ok(held).await;
}

#[tokio::test]
async fn a_connection_that_breaks_makes_room() {
    let backend = Backend::with(|mut wire: Wire| async move {
        wire.read_head().await;
        wire.send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok").await;
    });
    let gateway = limited(&backend, json!({}), json!({ "connections": 2, "pending": 100 })).await;
    all_ok(asking(&gateway, 50)).await;
    eventually(|| async { pool_load(&gateway).await == [0.0; 4] }).await;
    assert_eq!(backend.connections(), 50);
}

#[tokio::test]
async fn connections_that_are_left_unused_are_given_up() {
    let backend = Backend::echo("a");
    let fields = json!({ "backends": hosts([&backend]) });
    let document = with(pool(fields), json!({ "timeouts": { "backend_keep_alive": "200ms" } }));
    let gateway = Gateway::start(document).await;
    all_ok(asking(&gateway, 5)).await;
    eventually(|| async { pool_load(&gateway).await == [0.0; 4] }).await;
}

#[tokio::test]
async fn more_requests_than_a_route_allows_are_answered_with_503() {
    let (backend, go) = holding();
    let document = |most: u32, header_count: u32| {
        let document = ruled(json!({ "backends": hosts([&backend]) }), json!({ "max_requests": most }));
        let limits = json!({ "limits": { "header_count": header_count } });
        let mut document = with(document, limits);
        document["routes"]["/other"] = json!({ "upstream": "pool" });
        document
    };
    let gateway = Gateway::start(document(3, 50)).await;
    let held = asking(&gateway, 3);
    eventually(|| async { backend.requests() == 3 }).await;
    assert_overflow(&gateway, "route-overflow").await;
    // Another route to the same backends is not concerned.
    let other = tokio::spawn(request(gateway.address(), get("/other")));
    eventually(|| async { backend.requests() == 4 }).await;
    // Neither does a change forget who is being served.
    assert_eq!(gateway.change(document(3, 60)).await.diagnostics(), [""; 0]);
    assert_overflow(&gateway, "route-overflow").await;
    // Whatever may be from now on.
    gateway.change(document(2, 60)).await;
    assert_overflow(&gateway, "route-overflow").await;
    gateway.change(document(3, 60)).await;
    assert_overflow(&gateway, "route-overflow").await;
    go.add_permits(4);
    all_ok(held).await;
    all_ok(vec![other]).await;
    at_rest(&gateway, &backend).await;
    let held = asking(&gateway, 3);
    eventually(|| async { backend.requests() == 7 }).await;
    assert_overflow(&gateway, "route-overflow").await;
    go.add_permits(3);
    all_ok(held).await;
}

#[tokio::test]
async fn a_change_of_the_limits_counts_who_is_there() {
    let (backend, go) = holding();
    let document = |requests: u32| {
        let fields = json!({ "backends": hosts([&backend]), "limits": { "requests": requests } });
        with(pool(fields), json!({ "workers": 1 }))
    };
    let gateway = Gateway::start(document(2)).await;
    let mut held = asking(&gateway, 2);
    eventually(|| async { backend.requests() == 2 }).await;
    assert_overflow(&gateway, "upstream-overflow").await;
    gateway.change(document(3)).await;
    held.extend(asking(&gateway, 1));
    eventually(|| async { backend.requests() == 3 }).await;
    assert_overflow(&gateway, "upstream-overflow").await;
    go.add_permits(3);
    all_ok(held).await;
    at_rest(&gateway, &backend).await;
}

/// Clients that leave: before an answer, and while they wait.
async fn aborts(gateway: &Gateway, count: usize) {
    let mut leaving = JoinSet::new();
    for index in 0..count {
        let address = gateway.address();
        leaving.spawn(async move {
            let mut wire = Wire::connect(address).await;
            let asked = match index % 4 {
                0 => "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
                1 => "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 50\r\n\r\nhello",
                2 => "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n",
                _ => "PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
            };
            wire.send(asked).await;
            tokio::time::sleep(Duration::from_millis(index as u64 % 7)).await;
            if index % 3 == 0 { wire.reset() } else { drop(wire) }
        });
    }
    assert_eq!(leaving.join_all().await.len(), count);
}

#[tokio::test]
async fn nothing_leaks_through_clients_that_leave() {
    for is_http2 in [false, true] {
        let (backend, go) = if is_http2 { holding_h2c() } else { holding() };
        let protocol = json!({ "protocol": if is_http2 { "h2c" } else { "h1" } });
        let rule = json!({ "max_requests": 12, "retry": { "on": ["5xx"], "non_idempotent": true } });
        let limits = json!({ "requests": 12, "connections": 4, "pending": 8 });
        let fields = with(json!({ "backends": hosts([&backend]), "limits": limits, "streams": 1 }), protocol);
        let more = json!({ "workers": 1, "timeouts": { "queue": "30s" } });
        let gateway = Gateway::start(with(ruled(fields, rule), more)).await;
        for _ in 0..10 {
            aborts(&gateway, 50).await;
        }
        at_rest(&gateway, &backend).await;
        // The limits can be reached exactly: of requests,
        let held = asking(&gateway, 12);
        eventually(|| async { pool_load(&gateway).await == [12.0, 8.0, 4.0, 0.0] }).await;
        assert_overflow(&gateway, "route-overflow").await;
        // and no further.
        go.add_permits(12);
        all_ok(held).await;
        at_rest(&gateway, &backend).await;
        assert!(pool_load(&gateway).await[2] <= 4.0);
    }
}

#[tokio::test]
async fn nothing_leaks_through_streams_that_are_reset() {
    let (backend, go) = holding();
    let gateway = limited(&backend, json!({}), json!({ "requests": 6 })).await;
    for _ in 0..20 {
        let client: Client = Client::http2(gateway.address()).await.expect("it speaks HTTP/2");
        let mut begun = Vec::new();
        for _ in 0..8 {
            begun.push(client.clone().start(get("/")).await.expect("it is sent"));
        }
        tokio::task::yield_now().await;
        drop(begun);
    }
    at_rest(&gateway, &backend).await;
    let before = backend.requests();
    let held = asking(&gateway, 6);
    eventually(|| async { backend.requests() == before + 6 }).await;
    assert_overflow(&gateway, "upstream-overflow").await;
    go.add_permits(6);
    all_ok(held).await;
}
