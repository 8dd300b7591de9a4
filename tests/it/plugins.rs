//! WebAssembly filters on routes.

mod capabilities;
mod chain;
mod faults;
mod finish;
mod granted;
mod hostile;
mod instances;
mod load;
mod log;
mod oidc;
mod policies;
mod shipped;

use std::fs;
use std::path::Path;

use cloud_cup::app::StartError;
use cloud_cup::config::Diagnostic;
use cloud_cup::reload::SourceError;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Backend, Gateway, guests};

/// A document that names fixtures, each with every permission.
fn with_guests(names: &[&str], routes: Value) -> Value {
    json!({ "plugins": guests(names), "routes": routes })
}

/// A route to a backend with these attachments.
fn route(backend: &Backend, plugins: Value) -> Value {
    json!({ "backends": [backend.host()], "plugins": plugins })
}

/// What is said of a document that is refused.
async fn refused(document: Value) -> Vec<Diagnostic> {
    refused_in(TempDir::new().expect("a temporary folder"), document).await
}

/// The same, in a folder with what the document refers to.
async fn refused_in(folder: TempDir, document: Value) -> Vec<Diagnostic> {
    match Gateway::try_start_in(folder, document).await {
        Err(StartError::Source(SourceError::Rejected(diagnostics))) => diagnostics,
        Err(error) => panic!("refused for another reason: {error}"),
        Ok(_) => panic!("the document is not refused"),
    }
}

/// A component that is part of the repository.
pub fn dist(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins/dist").join(format!("{name}.wasm"));
    fs::read(&path)
        .unwrap_or_else(|error| panic!("plugins/dist/{name}.wasm: {error}; `cargo xtask plugins` makes it"))
}
