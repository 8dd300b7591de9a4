//! Commands that both binaries have.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command speaks to its caller")]

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use http::Request;
use serde_json::json;

use crate::config::{AccessLog, Diagnostic};
use crate::plugin::PluginEngine;
use crate::proxy::{self, Explanation};
use crate::reload::{SourceError, load};
use crate::snapshot::{self, Running};

/// Checks a document with its plugins and says all that is wrong with it. 0 when it is good, 1 when it is rejected, 2
/// when it cannot be read.
pub fn check(file: &Path) -> ExitCode {
    match try_check(file) {
        Ok(warnings) => {
            for warning in warnings {
                eprintln!("{}: {warning}", file.display());
            }
            println!("{}: good", file.display());
            ExitCode::SUCCESS
        }
        Err(SourceError::Rejected(diagnostics)) => {
            for diagnostic in diagnostics {
                eprintln!("{}: {diagnostic}", file.display());
            }
            ExitCode::from(1)
        }
        Err(SourceError::Unreadable(message)) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
    }
}

/// The same for programs: an object with `outcome` (`good`, `rejected`, `failed`), and `diagnostics` or `message`.
pub fn check_as_json(file: &Path) -> ExitCode {
    let (told, code) = match try_check(file) {
        Ok(warnings) => (json!({ "outcome": "good", "diagnostics": warnings }), 0),
        Err(SourceError::Rejected(diagnostics)) => {
            (json!({ "outcome": "rejected", "diagnostics": diagnostics }), 1)
        }
        Err(SourceError::Unreadable(message)) => (json!({ "outcome": "failed", "message": message }), 2),
    };
    println!("{told}");
    ExitCode::from(code)
}

/// What would become of a request if this document were served.
pub fn explain(file: &Path, request: Request<()>) -> Result<Explanation, SourceError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(|error| SourceError::Unreadable(format!("no runtime: {error}")))?;
    let _entered = runtime.enter();
    let mut loaded = load(file)?;
    // Nothing is written for a look.
    Arc::make_mut(&mut loaded.checked).access_log = AccessLog::Off;
    let built = snapshot::build(&loaded.checked, &PluginEngine::default(), Running::default(), 0);
    let built = built.map_err(|problems| loaded.reject(&problems))?;
    Ok(proxy::explain(&built.snapshot, request))
}

fn try_check(file: &Path) -> Result<Vec<Diagnostic>, SourceError> {
    // What is opened for plugins belongs to a runtime. Nothing runs on this one.
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(|error| SourceError::Unreadable(format!("no runtime: {error}")))?;
    let _entered = runtime.enter();
    let loaded = load(file)?;
    snapshot::check(&loaded.checked, &PluginEngine::default())
        .map_err(|problems| loaded.reject(&problems))?;
    Ok(loaded.warnings)
}
