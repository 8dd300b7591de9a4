//! What the gateway tells of itself: access log, metrics, admin API.

mod access_log;
mod admin;
mod exposition;
mod metrics;
mod privacy;

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::support::{Backend, Gateway, found};

/// The line of the access log that tells of a path.
async fn line_of(gateway: &Gateway, path: &str) -> Value {
    found(|| async { gateway.access_log().into_iter().find(|line| line["path"] == path) }).await
}

/// A route whose plugin answers 401 to everybody.
fn guarded(backend: &Backend) -> Value {
    let guard = json!({ "use": "require-header", "config": { "name": "x-never" } });
    json!({ "backends": [backend.host()], "plugins": [guard] })
}

/// A backend that answers each request when there is a permit.
fn halting(go: &Arc<Semaphore>) -> Backend {
    let go = Arc::clone(go);
    Backend::with(move |mut wire| {
        let go = Arc::clone(&go);
        async move {
            while wire.try_read_head().await.is_some() {
                go.acquire().await.expect("it is never closed").forget();
                if wire.try_send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.is_err() {
                    return;
                }
            }
        }
    })
}
