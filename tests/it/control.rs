//! Changing a running gateway by its admin API and by `cupctl`.

mod address;
mod browser;
mod edits;
mod explain;
mod faults;
mod leads;
mod openapi;
mod page;
mod parts;
mod revisions;
mod streams;
mod tools;
mod trials;
mod upgrade;

use serde_json::{Value, json};

use crate::support::{Backend, Gateway, document, get, request};

/// A document of one route whose responses tell a version, by a plugin that is shipped.
fn version(backend: &Backend, version: u32) -> Value {
    let config = json!({ "response": { "set": { "x-version": version.to_string() } } });
    document(json!({
        "*": { "backends": [backend.host()], "plugins": [{ "use": "headers", "config": config }] }
    }))
}

/// A gateway that serves version 1 and remembers revisions in its folder.
async fn gateway(backend: &Backend) -> Gateway {
    Gateway::start(remembering(version(backend, 1))).await
}

fn remembering(mut document: Value) -> Value {
    document["history"] = json!("revisions");
    document
}

/// The version that a new request is served by.
async fn served(gateway: &Gateway) -> String {
    let answer = request(gateway.address(), get("/")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.header("x-version").expect("a version").to_owned()
}

/// The document's file, with another version in it.
fn changed(gateway: &Gateway, version: u32) -> String {
    let text = std::fs::read_to_string(gateway.folder().join("document.json")).expect("it is there");
    let mut document: Value = serde_json::from_str(&text).expect("it is JSON");
    document["routes"]["*"]["plugins"][0]["config"]["response"]["set"]["x-version"] =
        json!(version.to_string());
    document.to_string()
}

/// Status and JSON of an answer to a request with a body.
async fn ask(gateway: &Gateway, method: &str, path: &str, body: &str) -> (u16, Value) {
    ask_if(gateway, method, path, None, body).await
}

/// The same, only if this is the running revision.
async fn ask_if(
    gateway: &Gateway,
    method: &str,
    path: &str,
    revision: Option<u64>,
    body: &str,
) -> (u16, Value) {
    let field = revision.map(|revision| format!("if-match: \"{revision}\"\r\n")).unwrap_or_default();
    let (status, body) = gateway.admin_with(method, path, &field, body).await;
    (status, serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}")))
}
