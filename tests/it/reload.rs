//! Changes of the document and of plugins while requests are served.

mod access_log;
mod listeners;
mod snapshots;
mod state;
mod tools;
mod under_load;
mod watch;

use std::net::SocketAddr;

use cloud_cup::config::Diagnostic;
use cloud_cup::reload::Outcome;
use serde_json::{Value, json};

use crate::support::{Backend, Gateway, document, get, request};

/// A route whose responses tell a version, by a plugin that is shipped.
fn versioned(backend: &Backend, version: u32) -> Value {
    let config = json!({ "response": { "set": { "x-version": version.to_string() } } });
    json!({ "backends": [backend.host()], "plugins": [{ "use": "headers", "config": config }] })
}

/// A document of one such route.
fn version(backend: &Backend, version: u32) -> Value {
    document(json!({ "*": versioned(backend, version) }))
}

/// The version that a new request is served by.
async fn served(address: SocketAddr) -> u32 {
    let answer = request(address, get("/")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.header("x-version").and_then(|version| version.parse().ok()).expect("a version")
}

/// Changes the document and waits until it is served by all workers.
async fn apply(gateway: &Gateway, document: Value) {
    let revision = "cloudcup_snapshot_revision";
    let before = gateway.metric(revision).await;
    assert_applied(&gateway.change(document).await);
    assert_eq!(gateway.metric(revision).await, before + 1.0, "it is a change");
}

#[track_caller]
fn assert_applied(outcome: &Outcome) {
    // The watch may have been faster than whoever asks.
    let is_served = matches!(outcome, Outcome::Applied { .. } | Outcome::Unchanged { .. });
    assert!(is_served, "{:#?}", outcome.diagnostics());
}

#[track_caller]
fn rejected(outcome: Outcome) -> Vec<Diagnostic> {
    match outcome {
        Outcome::Rejected { diagnostics } => diagnostics,
        other => panic!("it is not rejected: {other:?}"),
    }
}

/// A component that does the same and is another one: with a section that nobody reads.
fn marked(component: &[u8], mark: u32) -> Vec<u8> {
    let section = [&[0, 9, 4][..], b"mark", &mark.to_le_bytes()].concat();
    [component, &section].concat()
}
