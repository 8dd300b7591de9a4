//! HTTP through the gateway, as clients and backends see it.

mod balancing;
mod bodies;
mod bodiless;
mod compression;
mod dns;
mod drain;
mod early_data;
mod edits;
mod entrances;
mod error_pages;
mod events;
mod faults;
mod floods;
mod forwarded;
mod framing;
mod grpc;
mod health;
mod hops;
mod http2;
mod http3;
mod http3_backends;
mod interim;
mod limits;
mod malformed;
mod matching;
mod mirror;
mod path_safety;
mod redirects;
mod replies;
mod responses;
mod rewriting;
mod routing;
mod split;
mod stapling;
mod timeouts;
mod tls;
mod tunnels;
mod upstreams;

use serde_json::{Value, json};

use crate::support::{Backend, Gateway, document};

/// A gateway that sends everything to one backend.
async fn before(backend: &Backend) -> Gateway {
    before_with(backend, json!({})).await
}

/// As [`before`], with further fields of the document.
async fn before_with(backend: &Backend, fields: Value) -> Gateway {
    Gateway::start(with(document(json!({ "*": { "backends": [backend.host()] } })), fields)).await
}

/// The document with further fields.
fn with(mut document: Value, fields: Value) -> Value {
    let Value::Object(fields) = fields else { panic!("{fields} is an object") };
    document.as_object_mut().expect("a document is an object").extend(fields);
    document
}
