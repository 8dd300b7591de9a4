//! What `cupctl plugin` does for those who write plugins, without a running gateway: looking at a component, running cases
//! on it, measuring it, and beginning a new one.
//!
//! Cases and measurements run on the gateway's own code. A small document is made around the plugin and goes through the
//! same check and the same building of a snapshot as any other; what is left out is the network: a request begins as its
//! head, and its response is what the case says. So what holds here holds in a gateway with that document.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command speaks to its caller")]

mod attach;
mod bench;
mod cases;
mod control;
mod exchange;
mod expect;
mod inspect;
mod log;
mod new;
mod report;
mod run;
mod source;
mod written;

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use thiserror::Error;

use crate::config::Diagnostic;

pub use bench::{Options, bench};
pub use inspect::inspect;
pub use new::{New, new};
pub use report::Output;
pub use run::test;

/// Why a command could not do what was asked.
#[derive(Debug, Error)]
pub enum Trouble {
    /// Something outside of it is not as it has to be: exit code 2.
    #[error("{0}")]
    Unusable(String),
    /// The plugin cannot be used by a gateway, and what to do about it: exit code 1.
    #[error("{message}")]
    Plugin {
        /// What is wrong with it.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// What was written for the command is wrong, in these places: exit code 2.
    #[error("{}", Places(.0, .1))]
    Written(String, Vec<Diagnostic>),
}

struct Places<'a>(&'a str, &'a [Diagnostic]);

impl fmt::Display for Places<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.1.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{}: {diagnostic}", self.0)?;
        }
        Ok(())
    }
}

/// Says what went wrong, if anything did, and makes an exit code of it.
pub fn ended(outcome: Result<ExitCode, Trouble>) -> ExitCode {
    match outcome {
        Ok(code) => code,
        Err(Trouble::Plugin { message, hint }) => {
            eprintln!("error: {message}");
            if let Some(hint) = hint {
                eprintln!("  hint: {hint}");
            }
            ExitCode::from(1)
        }
        Err(trouble @ Trouble::Unusable(_)) => {
            eprintln!("error: {trouble}");
            ExitCode::from(2)
        }
        Err(trouble @ Trouble::Written(..)) => {
            eprintln!("{trouble}");
            ExitCode::from(2)
        }
    }
}

fn unreadable(what: &str, path: &Path, error: &std::io::Error) -> Trouble {
    Trouble::Unusable(format!("cannot read the {what} {}: {error}", path.display()))
}
