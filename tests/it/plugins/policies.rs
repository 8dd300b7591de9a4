//! The shipped policies on a gateway with all of its workers: what they promise holds across workers and reloads.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Instant;

use cloud_cup::reload::Outcome;
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::route;
use crate::support::{Answer, Backend, Gateway, document, eventually, get, request};

fn limited(backend: &Backend, config: Value) -> Value {
    route(backend, json!([{ "use": "rate-limit", "config": config }]))
}

async fn ask(gateway: &Gateway, path: &str) -> Answer {
    request(gateway.address(), get(path)).await
}

#[tokio::test]
async fn rate_limit_holds_for_64_at_once_on_all_workers() {
    let backend = Backend::echo("a");
    let limit = json!({ "requests": 50, "window": "10s" });
    let gateway = Gateway::start(document(json!({ "*": limited(&backend, limit) }))).await;
    let (address, began) = (gateway.address(), Instant::now());
    let mut clients = JoinSet::new();
    for _ in 0..64 {
        clients.spawn(async move {
            let mut allowed = 0;
            for _ in 0..20 {
                allowed += u32::from(request(address, get("/")).await.status == 200);
            }
            allowed
        });
    }
    let allowed: u32 = clients.join_all().await.into_iter().sum();
    // The burst, what was given back meanwhile, and one.
    let refilled = (began.elapsed().as_secs_f64() * 5.0).floor() as u32;
    assert!((50..=50 + refilled + 1).contains(&allowed), "{allowed} allowed, {refilled} given back");
    assert_eq!(backend.requests(), allowed as usize);
}

#[tokio::test]
async fn rate_limit_tells_clients_where_they_stand() {
    let backend = Backend::echo("a");
    let limit = json!({ "requests": 2, "window": "1h", "headers": "x" });
    let gateway = Gateway::start(document(json!({ "*": limited(&backend, limit) }))).await;
    let first = ask(&gateway, "/").await;
    assert_eq!(first.status, 200);
    assert_eq!(first.headers["ratelimit-policy"], r#""1h";q=2;w=3600"#);
    assert_eq!(first.headers["ratelimit"], r#""1h";r=1;t=1800"#);
    assert_eq!(first.headers["x-ratelimit-remaining"], "1");
    ask(&gateway, "/").await;
    let refused = ask(&gateway, "/").await;
    assert_eq!(refused.status, 429);
    let seconds: u64 =
        refused.headers["retry-after"].to_str().ok().and_then(|text| text.parse().ok()).expect("seconds");
    assert!((1790..=1800).contains(&seconds), "{seconds}");
    assert!(refused.headers["ratelimit"].to_str().is_ok_and(|text| text.starts_with(r#""1h";r=0;t="#)));
}

#[tokio::test]
async fn rate_limit_survives_a_reload_that_does_not_change_it() {
    let backend = Backend::echo("a");
    let with = |requests: u32, extra: bool| {
        let limit = json!({ "requests": requests, "window": "1h" });
        let mut routes = json!({ "*": limited(&backend, limit) });
        if extra {
            routes["/extra"] = json!({ "backends": [backend.host()] });
        }
        document(routes)
    };
    let gateway = Gateway::start(with(2, false)).await;
    assert_eq!(ask(&gateway, "/").await.status, 200);
    assert_eq!(ask(&gateway, "/").await.status, 200);
    assert!(matches!(
        gateway.change(with(2, true)).await,
        Outcome::Applied { .. } | Outcome::Unchanged { .. }
    ));
    assert_eq!(ask(&gateway, "/").await.status, 429, "the account is as it was");
    assert!(matches!(
        gateway.change(with(3, true)).await,
        Outcome::Applied { .. } | Outcome::Unchanged { .. }
    ));
    assert_eq!(ask(&gateway, "/").await.status, 200, "another limit has accounts of its own");
}

/// A backend that fails for as long as the flag says.
fn failing(flag: &Arc<AtomicBool>) -> Backend {
    let flag = Arc::clone(flag);
    Backend::with(move |mut wire| {
        let flag = Arc::clone(&flag);
        async move {
            while wire.try_read_head().await.is_some() {
                let status = if flag.load(SeqCst) { "503 Service Unavailable" } else { "200 OK" };
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
                if wire.try_send(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    })
}

/// Waits until a breaker has opened. It counts a failure when the exchange has ended, which is after its client was
/// answered.
async fn opened(gateway: &Gateway) {
    eventually(|| async { gateway.metrics().await.contains(r#"to="open"} 1"#) }).await;
}

#[tokio::test]
async fn circuit_breaker_opens_for_all_workers() {
    let backend = failing(&Arc::new(AtomicBool::new(true)));
    let config = json!({ "consecutive_failures": 3, "open_for": "1h", "longest_open": "1h" });
    let breaker = json!([{ "use": "circuit-breaker", "config": config }]);
    let gateway = Gateway::start(document(json!({ "*": route(&backend, breaker) }))).await;
    for _ in 0..3 {
        assert_eq!(ask(&gateway, "/").await.status, 503);
    }
    opened(&gateway).await;
    for _ in 0..8 {
        let refused = ask(&gateway, "/").await;
        assert_eq!(refused.status, 503);
        assert!(refused.headers.contains_key("retry-after"));
    }
    assert_eq!(backend.requests(), 3, "the backend is left alone");
    let (_, status) = gateway.admin("GET", "/v1/status").await;
    let status: Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!(status["breakers"][0]["state"], "open", "{status}");
}

#[tokio::test]
async fn circuit_breaker_probes_and_closes() {
    let fails = Arc::new(AtomicBool::new(true));
    let backend = failing(&fails);
    let config = json!({ "consecutive_failures": 3, "open_for": "100ms", "probes": 1 });
    let breaker = json!([{ "use": "circuit-breaker", "config": config }]);
    let gateway = Gateway::start(document(json!({ "*": route(&backend, breaker) }))).await;
    for _ in 0..3 {
        assert_eq!(ask(&gateway, "/").await.status, 503);
    }
    opened(&gateway).await;
    fails.store(false, SeqCst);
    eventually(|| async { ask(&gateway, "/").await.status == 200 }).await;
    eventually(|| async { gateway.metrics().await.contains(r#"to="closed"} 1"#) }).await;
    assert_eq!(ask(&gateway, "/").await.status, 200);
    let metrics = gateway.metrics().await;
    assert!(metrics.contains(r#"to="open"} 1"#) && metrics.contains(r#"to="half-open"} 1"#), "{metrics}");
}

#[tokio::test]
async fn circuit_breaker_is_opened_and_closed_by_the_operator() {
    let backend = Backend::echo("a");
    let named = json!([{ "use": "circuit-breaker", "config": { "name": "mine" } }]);
    let routes = json!({ "/a": route(&backend, json!(["circuit-breaker"])), "/b": route(&backend, named) });
    let gateway = Gateway::start(document(routes)).await;
    assert_eq!(ask(&gateway, "/a").await.status, 200);
    let force =
        async |action: &str| gateway.admin("POST", &format!("/v1/breakers?name=/a&action={action}")).await.0;
    assert_eq!(force("open").await, 200);
    assert_eq!(ask(&gateway, "/a").await.status, 503);
    assert_eq!(force("reset").await, 200);
    assert_eq!(ask(&gateway, "/a").await.status, 200);
    assert_eq!(gateway.admin("POST", "/v1/breakers?name=/none&action=open").await.0, 404);
    let by_name = async |action: &str| {
        gateway.admin("POST", &format!("/v1/breakers?name=mine&action={action}")).await.0
    };
    assert_eq!(by_name("open").await, 200);
    assert_eq!(ask(&gateway, "/b").await.status, 503, "before it has met a request");
    assert_eq!(by_name("reset").await, 200);
    assert_eq!(ask(&gateway, "/b").await.status, 200);
    assert_eq!(gateway.admin("POST", "/v1/breakers?name=/a&action=burn").await.0, 400);
    assert_eq!(gateway.admin("GET", "/v1/breakers?name=/a&action=open").await.0, 405);
}

#[tokio::test]
async fn circuit_breaker_for_each_backend_leaves_out_the_one_that_fails() {
    let fails = Arc::new(AtomicBool::new(true));
    let (bad, good) = (failing(&fails), Backend::echo("good"));
    let hosts =
        [&bad, &good].map(|backend| json!({ "host": backend.address().to_string(), "max_failure": 1000 }));
    let config =
        json!({ "scope": "backend", "consecutive_failures": 2, "open_for": "1h", "longest_open": "1h" });
    let rule = json!({ "backends": hosts, "plugins": [{ "use": "circuit-breaker", "config": config }] });
    let gateway = Gateway::start(document(json!({ "*": rule }))).await;
    for _ in 0..4 {
        ask(&gateway, "/").await;
    }
    opened(&gateway).await;
    assert_eq!(bad.requests(), 2);
    for _ in 0..10 {
        assert_eq!(ask(&gateway, "/").await.status, 200);
    }
    assert_eq!((bad.requests(), good.requests()), (2, 12));
}

#[tokio::test]
async fn plugins_see_the_requests_that_their_conditions_hold_for() {
    let backend = Backend::echo("a");
    let set = |value: &str| json!({ "request": { "set": { "x-seen": value } } });
    let when = json!({ "methods": ["GET"], "not": { "headers": { "x-internal": "*" } }, "paths": ["/a/*"] });
    let routes = json!({ "*": {
        "backends": [backend.host()],
        "plugins": [{ "use": "headers", "config": set("yes"), "when": when }]
    } });
    let gateway = Gateway::start(document(routes)).await;
    let seen = async |path: &str, internal: bool| {
        let mut wanted = get(path);
        if internal {
            wanted.headers_mut().insert("x-internal", HeaderValue::from_static("1"));
        }
        let answer = request(gateway.address(), wanted).await;
        assert_eq!(answer.status, StatusCode::OK);
        answer.echoed("x-seen").is_some()
    };
    assert!(seen("/a/b", false).await);
    assert!(!seen("/a/b", true).await);
    assert!(!seen("/b", false).await);
}

#[tokio::test]
async fn plugins_of_every_route_run_before_its_own_and_can_be_switched_off() {
    let backend = Backend::echo("a");
    let append = |value: &str| json!({ "request": { "append": { "x-order": value } } });
    let own = json!({ "use": "headers", "config": append("own") });
    let mut document = document(json!({
        "/both": route(&backend, json!([own])),
        "/off": route(&backend, json!([{ "use": "everywhere", "enabled": false }, own])),
    }));
    let headers = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins/dist/headers.wasm");
    document["plugins"] = json!({ "everywhere": { "source": headers, "config": append("everywhere") } });
    document["http"] = json!({ "plugins": ["everywhere"] });
    let gateway = Gateway::start(document).await;
    let order = async |path: &str| ask(&gateway, path).await.echoed("x-order").expect("it is set");
    assert_eq!(order("/both").await, "everywhere|own");
    assert_eq!(order("/off").await, "own");
}

#[tokio::test]
async fn a_config_that_does_not_fit_the_schema_is_refused_at_its_place() {
    let backend = Backend::echo("a");
    let diagnostics = super::refused(document(
        json!({ "/a": limited(&backend, json!({ "requests": 0, "window": "1m" })) }),
    ))
    .await;
    assert_eq!(diagnostics[0].pointer, "/routes/~1a/plugins/0/config/requests", "{diagnostics:?}");
}

/// A gateway whose `jwt-auth` waits for keys that never come.
async fn waiting(backend: &Backend, issuer: &Backend, limits: Value) -> Gateway {
    let auth = json!({ "use": "jwt-auth", "config": { "key_sets": ["slow"] }, "limits": limits });
    Gateway::start(json!({
        "workers": 1,
        "key_sets": { "slow": { "jwks_url": format!("http://{}/keys", issuer.address()) } },
        "routes": { "/guarded": route(backend, json!([auth])), "/open": { "backends": [backend.host()] } }
    }))
    .await
}

/// Signed with a key that nobody knows.
const TOKEN: &str = "eyJhbGciOiJFUzI1NiIsImtpZCI6ImEifQ.e30.\
    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

async fn send_token(gateway: &Gateway) -> TcpStream {
    let mut socket = TcpStream::connect(gateway.address()).await.expect("it listens");
    let head = format!("GET /guarded HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {TOKEN}\r\n\r\n");
    socket.write_all(head.as_bytes()).await.expect("it reads");
    socket
}

#[tokio::test]
async fn a_plugin_that_waits_keeps_no_other_request_waiting() {
    let (backend, issuer) =
        (Backend::echo("a"), Backend::with(|wire| async { drop((wire, pending::<()>().await)) }));
    let gateway = waiting(&backend, &issuer, json!({})).await;
    let waits: Vec<_> = join_all(10, || send_token(&gateway)).await;
    for _ in 0..50 {
        assert_eq!(ask(&gateway, "/open").await.status, 200);
    }
    drop(waits);
}

#[tokio::test]
async fn a_client_that_leaves_while_a_plugin_waits_is_accounted_for() {
    let (backend, issuer) =
        (Backend::echo("a"), Backend::with(|wire| async { drop((wire, pending::<()>().await)) }));
    let gateway = waiting(&backend, &issuer, json!({})).await;
    let client = send_token(&gateway).await;
    eventually(|| async { issuer.requests() + issuer.connections() > 0 }).await;
    assert_eq!(ask(&gateway, "/open").await.status, 200, "the one before has been read");
    drop(client);
    let log = gateway.logged(2).await;
    let left = log.iter().find(|line| line["route"] == "/guarded").expect("it is logged");
    assert_eq!((&left["status"], &left["reason"]), (&json!(499), &json!("client-closed")), "{left}");
    assert_eq!(backend.requests(), 1);
}

#[tokio::test]
async fn more_calls_that_wait_than_may_are_answered_at_once() {
    let (backend, issuer) =
        (Backend::echo("a"), Backend::with(|wire| async { drop((wire, pending::<()>().await)) }));
    let gateway = waiting(&backend, &issuer, json!({ "waiting_calls": 2 })).await;
    let _waits = join_all(2, || send_token(&gateway)).await;
    assert_eq!(ask(&gateway, "/open").await.status, 200, "those before have been read");
    let mut third = get("/guarded");
    let bearer = HeaderValue::from_str(&format!("Bearer {TOKEN}")).expect("a token is a field value");
    third.headers_mut().insert("authorization", bearer);
    let answer = request(gateway.address(), third).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (503, "plugin-busy".to_owned()));
    assert!(answer.headers.contains_key("retry-after"));
}

async fn join_all<T, F: Future<Output = T>>(count: usize, make: impl Fn() -> F) -> Vec<T> {
    let mut made = Vec::new();
    for _ in 0..count {
        made.push(make().await);
    }
    made
}
