//! Plugins that misbehave. Each costs the request that it was serving, and nothing else.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{route, with_guests};
use crate::support::{Answer, Backend, Client, Gateway, eventually, get, request};

/// How a plugin misbehaves and the code that it gets for it.
struct Case {
    plugin: &'static str,
    config: Value,
    limits: Value,
    code: &'static str,
}

fn cases() -> Vec<Case> {
    let case = |plugin, config, limits, code| Case { plugin, config, limits, code };
    let short = || json!({ "time": "50ms" });
    let none = || json!({});
    vec![
        case("trap", json!({ "hook": "on-request" }), none(), "plugin-trap"),
        case("trap", json!({ "hook": "on-response" }), none(), "plugin-trap"),
        case("spin", json!({ "hook": "on-request" }), short(), "plugin-deadline"),
        case("spin", json!({ "hook": "on-response" }), short(), "plugin-deadline"),
        case("hog", json!({}), json!({ "memory": "2MiB", "time": "5s" }), "plugin-memory"),
        case("deep", json!({ "stack": "host" }), none(), "plugin-stack"),
        case("deep", json!({ "stack": "guest" }), none(), "plugin-trap"),
        case("huge-reply", json!({ "bytes": 65_537 }), none(), "plugin-reply"),
        case("huge-reply", json!({ "bytes": 11 }), json!({ "reply_size": 10 }), "plugin-reply"),
        case("bad-header", json!({ "what": "reply-name" }), none(), "plugin-reply"),
        case("bad-header", json!({ "what": "reply-value" }), none(), "plugin-reply"),
        case("bad-header", json!({ "what": "reply-forbidden" }), none(), "plugin-reply"),
        case("bad-header", json!({ "what": "reply-status" }), none(), "plugin-reply"),
        case("bad-header", json!({ "what": "reply-informational" }), none(), "plugin-reply"),
        case("bad-header", json!({ "what": "reply-value", "hook": "on-response" }), none(), "plugin-reply"),
        case("chatty", json!({ "random": 4097 }), none(), "plugin-misuse"),
    ]
}

/// A gateway with a route for each case, and one on which a plugin behaves.
async fn start(backend: &Backend, on_error: &str, isolation: &str) -> Gateway {
    let mut routes = json!({ "/healthy": route(backend, json!(["chatty"])) });
    for (index, case) in cases().into_iter().enumerate() {
        let attachment = json!({
            "use": case.plugin,
            "config": case.config,
            "limits": case.limits,
            "on_error": on_error,
            "isolation": isolation,
        });
        routes[format!("/{index}")] = route(backend, json!([attachment]));
    }
    let names = ["trap", "spin", "hog", "deep", "huge-reply", "bad-header", "chatty"];
    Gateway::start(with_guests(&names, routes)).await
}

async fn faults(gateway: &Gateway, case: &Case) -> f64 {
    let labels = format!("{{plugin=\"{}\",code=\"{}\"}}", case.plugin, case.code);
    gateway.metric(&format!("cloudcup_plugin_faults_total{labels}")).await
}

async fn logged_at(gateway: &Gateway, path: &str) -> Value {
    let line = || async { gateway.access_log().into_iter().rfind(|line| line["path"] == path) };
    crate::support::found(line).await
}

#[track_caller]
fn assert_failed(answer: &Answer, case: &Case) {
    let told = format!("{} with {}: {answer:?}", case.plugin, case.config);
    assert_eq!(answer.status, 500, "{told}");
    assert_eq!(answer.code(), case.code, "{told}");
    assert_eq!(answer.header("content-type"), Some("application/json"), "{told}");
    let words = answer.json()["message"].as_str().expect("a message").to_owned();
    assert!(!words.contains(case.plugin), "a client learns nothing of the inside: {words}");
}

#[tokio::test]
async fn guest_a_fault_costs_one_request() {
    let backend = Backend::echo("a");
    let gateway = start(&backend, "closed", "reuse").await;
    for (index, case) in cases().iter().enumerate() {
        let path = format!("/{index}");
        let before = faults(&gateway, case).await;
        let mut client = Client::http1(gateway.address()).await.expect("it accepts");
        // Twice, since what was left by the first fault must not be met by the second request.
        for _ in 0..2 {
            assert_failed(&client.send(get(&path)).await.expect("the connection goes on"), case);
            let healthy = client.send(get("/healthy")).await.expect("the connection goes on");
            assert_eq!(healthy.backend(), "a");
        }
        let line = logged_at(&gateway, &path).await;
        assert_eq!(line["plugins"], json!([{ "plugin": case.plugin, "verdict": case.code }]));
        assert_eq!((&line["status"], &line["reason"]), (&json!(500), &json!(case.code)));
        assert_eq!(faults(&gateway, case).await - before, 2.0, "{} {}", case.plugin, case.config);
    }
}

#[tokio::test]
async fn guest_a_fault_passes_where_errors_are_open() {
    let backend = Backend::echo("a");
    let gateway = start(&backend, "open", "reuse").await;
    for (index, case) in cases().iter().enumerate() {
        let path = format!("/{index}");
        let before = faults(&gateway, case).await;
        let answer = request(gateway.address(), get(&path)).await;
        assert_eq!(answer.status, 200, "{} with {}: {answer:?}", case.plugin, case.config);
        assert_eq!(answer.backend(), "a");
        let line = logged_at(&gateway, &path).await;
        assert_eq!(line["plugins"], json!([{ "plugin": case.plugin, "verdict": case.code }]));
        assert_eq!((&line["status"], &line["reason"]), (&json!(200), &Value::Null));
        assert_eq!(faults(&gateway, case).await - before, 1.0, "{} {}", case.plugin, case.config);
    }
}

#[tokio::test]
async fn guest_a_fault_in_an_instance_of_ones_own_costs_one_request() {
    let backend = Backend::echo("a");
    let gateway = start(&backend, "closed", "request").await;
    for (index, case) in cases().iter().enumerate() {
        for _ in 0..2 {
            assert_failed(&request(gateway.address(), get(&format!("/{index}"))).await, case);
        }
    }
}

#[tokio::test]
async fn guest_a_fault_leaves_the_other_plugins_of_its_chain_alone() {
    let backend = Backend::echo("a");
    let trap =
        |on_error: &str| json!({ "use": "trap", "config": { "hook": "on-response" }, "on_error": on_error });
    let tag = json!({ "use": "tag", "config": { "value": "1" } });
    let routes = json!({
        "/closed": route(&backend, json!([tag, "counter", trap("closed")])),
        "/open": route(&backend, json!([tag, "counter", trap("open")])),
    });
    let mut document = with_guests(&["tag", "counter", "trap"], routes);
    document["workers"] = json!(1);
    let gateway = Gateway::start(document).await;
    for (path, status, count) in [("/closed", 500, "1"), ("/open", 200, "2"), ("/closed", 500, "3")] {
        let answer = request(gateway.address(), get(path)).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.header("x-trail"), Some("1"), "{path}");
        assert_eq!(answer.header("x-count"), Some(count), "the counter's instance lives on, {path}");
    }
}

#[tokio::test]
async fn guest_a_loop_ends_at_its_time_while_others_are_served() {
    const TIME: Duration = Duration::from_millis(400);
    let backend = Backend::echo("a");
    let spin = json!({ "use": "spin", "config": { "hook": "on-request" }, "limits": { "time": "400ms" } });
    let routes =
        json!({ "/spin": route(&backend, json!([spin])), "/plain": { "backends": [backend.host()] } });
    let gateway = Gateway::start(with_guests(&["spin"], routes)).await;
    let address = gateway.address();
    // Enough connections that both workers have some.
    let mut others = Vec::new();
    for _ in 0..16 {
        let mut client = Client::http1(address).await.expect("it accepts");
        client.send(get("/plain")).await.expect("an answer");
        others.push(client);
    }
    let began = Instant::now();
    let spinning = tokio::spawn(async move { (request(address, get("/spin")).await, began.elapsed()) });
    let others: Vec<_> = others
        .into_iter()
        .map(|mut client| {
            tokio::spawn(async move {
                let mut answered = 0;
                while began.elapsed() < TIME / 2 {
                    assert_eq!(client.send(get("/plain")).await.expect("an answer").status, 200);
                    answered += usize::from(began.elapsed() < TIME);
                }
                answered
            })
        })
        .collect();
    let (answer, took) = spinning.await.expect("it does not panic");
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (500, "plugin-deadline"));
    assert!(took >= TIME, "it was given its time: {took:?}");
    assert!(took < TIME * 4, "and not much more: {took:?}");
    let mut answered = 0;
    for other in others {
        answered += other.await.expect("every request is answered");
    }
    assert!(answered > 100, "the other worker serves meanwhile: {answered} requests");
}

#[tokio::test]
async fn guest_memory_is_bounded_and_given_back() {
    const LIMIT: u64 = 4 << 20;
    let backend = Backend::echo("a");
    let hog =
        json!({ "use": "hog", "config": { "then": "reply" }, "limits": { "memory": "4MiB", "time": "5s" } });
    let gateway = Gateway::start(with_guests(&["hog"], json!({ "*": route(&backend, json!([hog])) }))).await;
    for _ in 0..20 {
        let answer = request(gateway.address(), get("/")).await;
        assert_eq!(answer.status, 200, "being refused memory is no fault by itself: {answer:?}");
        let bytes: u64 = answer.header("x-bytes").expect("what it got").parse().expect("a number");
        assert!((LIMIT / 2..LIMIT).contains(&bytes), "{bytes}");
    }
}

#[tokio::test]
async fn guest_a_fault_at_the_end_concerns_nobody_but_the_log() {
    let backend = Backend::echo("a");
    let at_end = |plugin: &str| {
        let config = json!({ "hook": "on-finish" });
        route(&backend, json!([{ "use": plugin, "config": config, "limits": { "time": "50ms" } }]))
    };
    let routes = json!({ "/trap": at_end("trap"), "/spin": at_end("spin") });
    let gateway = Gateway::start(with_guests(&["trap", "spin"], routes)).await;
    for (plugin, code) in [("trap", "plugin-trap"), ("spin", "plugin-deadline")] {
        for round in 1..=3 {
            let answer = request(gateway.address(), get(&format!("/{plugin}"))).await;
            assert_eq!((answer.status.as_u16(), answer.backend().as_str()), (200, "a"));
            let metric = format!("cloudcup_plugin_faults_total{{plugin=\"{plugin}\",code=\"{code}\"}}");
            eventually(|| async { gateway.metric(&metric).await == f64::from(round) }).await;
        }
    }
}
