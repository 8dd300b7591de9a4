//! One request before the load, where the generator does not look at what it is answered: the body, the trailers, and
//! the protocol that was agreed on.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::timeout;

use super::certificate::{self, Sessions};
use super::clients::tls::TlsClient;
use super::clients::{http2, runtime};
use super::load::Load;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Asks what the load will ask. A wrong answer is an error.
pub fn ensure_right(load: Load, port: u16, path: &str, dir: &Path) -> Result<()> {
    let asked = async { timeout(TIMEOUT, ask(load, port, path, dir)).await.context("no answer came")? };
    runtime()?.block_on(asked)
}

async fn ask(load: Load, port: u16, path: &str, dir: &Path) -> Result<()> {
    match load {
        Load::Tls => {
            let config = certificate::client(dir, &[], Sessions::New)?;
            TlsClient::connect(port, &Arc::new(config)).await?.get(path).await
        }
        Load::Http2Tls => {
            let config = certificate::client(dir, &["h2", "http/1.1"], Sessions::New)?;
            http2::get_over_tls(port, path, config).await
        }
        Load::Grpc => http2::call(port).await,
        // Clients of our own look at every answer.
        Load::Http1 | Load::Http1Close | Load::Http1Bearer | Load::Http2 | Load::Own(_) => Ok(()),
    }
}
