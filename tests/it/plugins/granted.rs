//! Capabilities that a document grants: what they answer, and where they end.

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{refused, route};
use crate::support::{Backend, Gateway, get, guests_with, request};

/// A gateway whose plugin `capable` has every permission, and these besides.
fn document(backend: &Backend, granted: Value) -> Value {
    let mut plugin = json!({ "permissions": ["state", "http", "metrics", "secrets"] });
    plugin.as_object_mut().expect("an object").extend(granted.as_object().cloned().expect("an object"));
    json!({
        "secrets": { "ours": "a word", "theirs": "another word" },
        "plugins": guests_with(&["capable"], &plugin),
        "routes": { "*": route(backend, json!(["capable"])) }
    })
}

async fn ask(gateway: &Gateway, path: &str) -> String {
    let answer = request(gateway.address(), get(path)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text().to_owned()
}

#[tokio::test]
async fn guest_state_is_one_for_all_workers_and_survives_a_reload() {
    let backend = Backend::echo("a");
    let gateway = Gateway::start(document(&backend, json!({ "quotas": { "state_entries": 20 } }))).await;
    let address = gateway.address();
    let mut adding = JoinSet::new();
    for _ in 0..50 {
        adding.spawn(async move { request(address, get("/add/hits")).await.text().to_owned() });
    }
    let mut sums = adding.join_all().await;
    sums.sort_by_key(String::len);
    assert!(sums.contains(&"Ok(1)".to_owned()) && sums.contains(&"Ok(50)".to_owned()), "{sums:?}");
    assert_eq!(ask(&gateway, "/swap/lock").await, "Ok(true)");
    assert_eq!(ask(&gateway, "/swap/lock").await, "Ok(false)");
    let mut more = document(&backend, json!({ "quotas": { "state_entries": 20 } }));
    more["routes"]["/more"] = json!({ "backends": [backend.host()] });
    gateway.change(more).await;
    assert_eq!(ask(&gateway, "/get/lock").await, r#"Some("first")"#);
    assert_eq!(ask(&gateway, "/add/hits").await, "Ok(51)");
    assert_eq!(ask(&gateway, "/fill").await, "Some(Full)", "the document says how many there may be");
    assert_eq!(gateway.metric(r#"cloudcup_plugin_state_entries{plugin="capable"}"#).await, 20.0);
}

#[tokio::test]
async fn guest_requests_go_to_granted_hosts_and_addresses_only() {
    let (backend, other) = (Backend::echo("a"), Backend::echo("other"));
    let host = other.address().to_string();
    let granted = json!({ "hosts": [host], "private_networks": ["127.0.0.0/8"] });
    let gateway = Gateway::start(document(&backend, granted)).await;
    assert!(ask(&gateway, &format!("/fetch/{host}/x")).await.starts_with("200 "));
    let denied = ask(&gateway, &format!("/fetch/{}/x", backend.address())).await;
    assert!(denied.starts_with("Denied("), "{denied}");
    // The same host without leave for its private address.
    let gateway = Gateway::start(document(&backend, json!({ "hosts": [host] }))).await;
    let denied = ask(&gateway, &format!("/fetch/{host}/x")).await;
    assert!(denied.starts_with("Denied("), "{denied}");
    assert_eq!((backend.requests(), other.requests()), (0, 1));
}

#[tokio::test]
async fn guest_secrets_are_those_that_are_granted() {
    let backend = Backend::echo("a");
    let gateway = Gateway::start(document(&backend, json!({ "secrets": ["ours"] }))).await;
    assert_eq!(ask(&gateway, "/secret/ours").await, r#"Some("a word")"#);
    assert_eq!(ask(&gateway, "/secret/theirs").await, "None");
}

#[tokio::test]
async fn guest_metrics_are_on_the_page_of_the_gateway() {
    let backend = Backend::echo("a");
    let gateway = Gateway::start(document(&backend, json!({}))).await;
    ask(&gateway, "/x").await;
    ask(&gateway, "/longer").await;
    let counter = r#"cloudcup_plugin_seen_total{plugin="capable",kind="path"}"#;
    assert_eq!(gateway.metric(counter).await, 2.0);
    let bucket = r#"cloudcup_plugin_path_bytes_bucket{plugin="capable",le="4"}"#;
    assert_eq!(gateway.metric(bucket).await, 1.0);
    let diagnostics = refused(document(&backend, json!({ "quotas": { "metric_series": 1 } }))).await;
    assert!(diagnostics[0].message.contains("capable"), "{diagnostics:?}");
}

#[tokio::test]
async fn guest_what_is_not_granted_is_an_error_of_the_document() {
    let backend = Backend::echo("a");
    let mut without = document(&backend, json!({}));
    without["plugins"]["capable"]["permissions"] = json!(["state", "metrics"]);
    let diagnostics = refused(without).await;
    assert!(diagnostics[0].message.contains("`http`, `secrets`"), "{diagnostics:?}");
    assert!(diagnostics[0].hint.as_ref().is_some_and(|hint| hint.contains(r#"add "http", "secrets""#)));
}
