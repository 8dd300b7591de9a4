//! The connections to backends: fields that concern one hop, and connections that are used again.

use serde_json::json;

use super::{before, before_with};
use crate::support::{Backend, Client, Gateway, Wire, eventually, get, post, request, within};

const ASKED: &str = "GET / HTTP/1.1\r\nhost: a\r\n";

#[tokio::test]
async fn fields_of_one_hop_stay_on_it() {
    let backend = Backend::echo("a");
    let gateway = before(&backend).await;
    let mut wire = Wire::connect(gateway.address()).await;
    wire.send(format!(
        "{ASKED}connection: keep-alive, x-mine, X-Other\r\nConnection: x-third\r\nx-mine: 1\r\nX-Other: 2\r\n\
         x-third: 3\r\nkeep-alive: timeout=5\r\nproxy-connection: keep-alive\r\nte: trailers\r\ntrailer: x\r\n\
         upgrade: websocket\r\nx-kept: 4\r\n\r\n"
    ))
    .await;
    let head = wire.read_head().await;
    let body = wire.read_body(&head).await.expect("whole");
    let told: serde_json::Value = serde_json::from_slice(&body).expect("an echo");
    let names: Vec<_> =
        told["headers"].as_array().expect("pairs").iter().filter_map(|pair| pair[0].as_str()).collect();
    for name in [
        "connection",
        "x-mine",
        "x-other",
        "x-third",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "upgrade",
    ] {
        assert!(!names.contains(&name), "{name} was passed on: {names:?}");
    }
    assert!(names.contains(&"x-kept"), "{names:?}");
}

#[tokio::test]
async fn fields_of_the_backends_hop_stay_on_it() {
    let backend = Backend::respond(
        "HTTP/1.1 200 OK\r\nconnection: keep-alive, x-mine\r\nx-mine: 1\r\nkeep-alive: timeout=5\r\n\
         proxy-connection: x\r\nupgrade: h2c\r\ntrailer: y\r\nx-kept: 2\r\ncontent-length: 0\r\n\r\n",
    );
    let gateway = before(&backend).await;
    let answer = request(gateway.address(), get("/")).await;
    for name in ["connection", "x-mine", "keep-alive", "proxy-connection", "upgrade", "trailer"] {
        assert_eq!(answer.header(name), None, "{name} was passed on");
    }
    assert_eq!(answer.header("x-kept"), Some("2"));
}

#[tokio::test]
async fn a_client_cannot_have_the_gateways_own_fields_removed() {
    let backend = Backend::echo("a");
    let gateway = before(&backend).await;
    let mut asking = get("/");
    let named = "x-forwarded-for, forwarded, x-forwarded-proto, x-forwarded-host, content-length";
    asking.headers_mut().insert("connection", named.parse().expect("a value"));
    asking.headers_mut().insert("x-forwarded-for", "203.0.113.9".parse().expect("a value"));
    let answer = request(gateway.address(), asking).await;
    assert_eq!(answer.echoed("x-forwarded-for").as_deref(), Some("127.0.0.1"));
    for name in ["forwarded", "x-forwarded-proto", "x-forwarded-host"] {
        assert!(answer.echoed(name).is_some(), "{name} is missing");
    }
}

#[tokio::test]
async fn passes_on_end_to_end_fields_as_they_came() {
    let backend = Backend::echo("a");
    let gateway = before(&backend).await;
    let mut asking = get("/");
    for (name, value) in [
        ("cookie", "a=1; b=2"),
        ("authorization", "Basic eA=="),
        ("x-list", "1"),
        ("x-list", "2"),
        ("x-empty", ""),
    ] {
        asking.headers_mut().append(name, value.parse().expect("a value"));
    }
    let answer = request(gateway.address(), asking).await;
    assert_eq!(answer.echoed("cookie").as_deref(), Some("a=1; b=2"));
    assert_eq!(answer.echoed("authorization").as_deref(), Some("Basic eA=="));
    assert_eq!(answer.echoed("x-list").as_deref(), Some("1|2"));
    assert_eq!(answer.echoed("x-empty").as_deref(), Some(""));
    assert_eq!(answer.echoed("host"), Some(gateway.address().to_string()));
    assert_eq!(answer.echoed("via"), None);
}

#[tokio::test]
async fn adds_via_where_the_document_asks_for_it() {
    let backend = Backend::echo("a");
    let gateway = before_with(&backend, json!({ "via": true })).await;
    let mut asking = get("/");
    asking.headers_mut().insert("via", "1.0 other".parse().expect("a value"));
    let answer = request(gateway.address(), asking).await;
    assert_eq!(answer.echoed("via").as_deref(), Some("1.0 other, 1.1 cloud-cup"));
    assert_eq!(answer.header("via"), Some("1.1 cloud-cup"));
}

#[tokio::test]
async fn a_backends_via_comes_before_the_gateways() {
    let inner = "HTTP/1.1 200 OK\r\nvia: 1.0 inner\r\ncontent-length: 0\r\n\r\n";
    let backend = Backend::respond(inner);
    let gateway = before_with(&backend, json!({ "via": true })).await;
    for version in [http::Version::HTTP_11, http::Version::HTTP_2] {
        let mut asking = get("/");
        *asking.version_mut() = version;
        let answer = request(gateway.address(), asking).await;
        // Each recipient adds itself behind those before it (RFC 9110, section 7.6.3).
        let via: Vec<_> =
            answer.headers.get_all("via").iter().map(|value| value.to_str().expect("text")).collect();
        assert_eq!(via.join(", "), "1.0 inner, 1.1 cloud-cup", "{version:?}");
    }
}

/// One worker, so that there is one pool.
async fn alone(backend: &Backend) -> Gateway {
    before_with(backend, json!({ "workers": 1 })).await
}

#[tokio::test]
async fn uses_a_connection_to_a_backend_again() {
    let backend = Backend::echo("a");
    let gateway = alone(&backend).await;
    for _ in 0..5 {
        assert_eq!(request(gateway.address(), get("/")).await.status, 200);
        assert_eq!(request(gateway.address(), post("/", "hello")).await.json()["body"], "hello");
    }
    assert_eq!((backend.connections(), backend.requests()), (1, 10));
}

#[tokio::test]
async fn uses_no_connection_again_that_its_backend_wants_closed() {
    for (response, ends) in [
        ("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok", true),
        ("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", true),
        ("HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok", false),
    ] {
        let backend = Backend::respond(response);
        let gateway = alone(&backend).await;
        for _ in 0..3 {
            assert_eq!(request(gateway.address(), get("/")).await.text(), "ok");
        }
        assert_eq!(backend.connections(), if ends { 3 } else { 1 }, "{response:?}");
    }
}

/// Sends `count` requests that are all under way at once.
async fn burst(gateway: &Gateway, count: usize, all_there: impl Fn() -> bool) {
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut wire = Wire::connect(gateway.address()).await;
        wire.send(format!("{ASKED}\r\n")).await;
        clients.push(wire);
    }
    eventually(|| std::future::ready(all_there())).await;
    for mut client in clients {
        assert_eq!(client.read_head().await.status(), 200);
    }
}

/// Answers requests only once `count` of them are there.
fn gathering(count: usize) -> Backend {
    let barrier = std::sync::Arc::new(tokio::sync::Barrier::new(count));
    Backend::with(move |mut wire| {
        let barrier = std::sync::Arc::clone(&barrier);
        async move {
            while wire.try_read_head().await.is_some() {
                barrier.wait().await;
                wire.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            }
        }
    })
}

#[tokio::test]
async fn keeps_no_more_unused_connections_than_it_may() {
    let backend = gathering(6);
    let gateway = before_with(&backend, json!({ "workers": 1, "limits": { "pool_idle": 2 } })).await;
    burst(&gateway, 6, || backend.requests() == 6).await;
    assert_eq!(backend.connections(), 6);
    burst(&gateway, 6, || backend.requests() == 12).await;
    assert_eq!(backend.connections(), 10, "two of six were kept");
}

#[tokio::test]
async fn keeps_no_unused_connections_where_none_are_allowed() {
    let backend = Backend::echo("a");
    let gateway = before_with(&backend, json!({ "workers": 1, "limits": { "pool_idle": 0 } })).await;
    for _ in 0..3 {
        assert_eq!(request(gateway.address(), get("/")).await.status, 200);
    }
    assert_eq!(backend.connections(), 3);
}

#[tokio::test]
async fn a_reload_changes_how_many_unused_connections_are_kept() {
    let backend = Backend::echo("a");
    let routes = json!({ "*": { "backends": [backend.host()] } });
    let gateway = Gateway::start(json!({ "workers": 1, "routes": routes })).await;
    for _ in 0..3 {
        request(gateway.address(), get("/")).await;
    }
    assert_eq!(backend.connections(), 1);
    gateway.change(json!({ "workers": 1, "routes": routes, "limits": { "pool_idle": 0 } })).await;
    for _ in 0..4 {
        assert_eq!(request(gateway.address(), get("/")).await.status, 200);
    }
    // One may have used the connection that was kept before the change.
    assert!(backend.connections() >= 4, "still {} connections", backend.connections());
}

#[tokio::test]
async fn closes_connections_that_are_unused_for_too_long() {
    let (ended, told) = (std::sync::Arc::new(tokio::sync::Notify::new()), "HTTP/1.1 204 No Content\r\n\r\n");
    let notify = std::sync::Arc::clone(&ended);
    let backend = Backend::with(move |mut wire| {
        let notify = std::sync::Arc::clone(&notify);
        async move {
            while wire.try_read_head().await.is_some() {
                wire.send(told).await;
            }
            notify.notify_one();
        }
    });
    let timeouts = json!({ "workers": 1, "timeouts": { "backend_keep_alive": "100ms" } });
    let gateway = before_with(&backend, timeouts).await;
    assert_eq!(request(gateway.address(), get("/")).await.status, 204);
    within(ended.notified()).await;
    assert_eq!(request(gateway.address(), get("/")).await.status, 204);
    assert_eq!(backend.connections(), 2);
}

#[tokio::test]
async fn a_backend_may_close_an_unused_connection_unnoticed_by_the_client() {
    // Closes each connection behind its first response, without a word.
    let closed = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let told = std::sync::Arc::clone(&closed);
    let backend = Backend::with(move |mut wire| {
        let told = std::sync::Arc::clone(&told);
        async move {
            let head = wire.read_head().await;
            wire.read_body(&head).await;
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            drop(wire);
            told.add_permits(1);
        }
    });
    let gateway = alone(&backend).await;
    let mut client = Client::http1(gateway.address()).await.expect("it accepts connections");
    for round in 0..50 {
        let asking = if round % 2 == 0 { get("/") } else { post("/", "hello") };
        let answer = client.send(asking).await.expect("a response");
        assert_eq!((answer.status.as_u16(), answer.text()), (200, "ok"), "round {round}");
        within(closed.acquire()).await.expect("it is open").forget();
    }
    assert_eq!(gateway.metric("cloudcup_backend_retries_total").await, 0.0);
}

#[tokio::test]
async fn a_get_survives_a_connection_that_is_closed_as_it_is_sent() {
    // Closes a connection once the second request on it is there.
    let backend = Backend::with(|mut wire| async move {
        wire.read_head().await;
        wire.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        wire.try_read_head().await;
    });
    let gateway = alone(&backend).await;
    for round in 1..=3 {
        assert_eq!(request(gateway.address(), get("/")).await.text(), "ok", "round {round}");
        assert_eq!(backend.connections(), round);
    }
    let health = "cloudcup_backend_ejections_total";
    let ejections: Vec<_> = gateway
        .metrics()
        .await
        .lines()
        .filter(|line| line.starts_with(health))
        .map(|line| line.ends_with(" 0"))
        .collect();
    assert_eq!(ejections, [true]);
}
