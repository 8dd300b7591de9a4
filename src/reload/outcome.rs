//! How a reload ended.

use serde::{Deserialize, Serialize};

use super::SourceError;
use crate::config::{Diagnostic, Differences};

/// Told to whoever asked for the reload, over the admin API as JSON.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Outcome {
    /// Every worker serves the new snapshot.
    Applied {
        /// Of the new snapshot.
        revision: u64,
        /// From the request to the last worker.
        milliseconds: u64,
        /// What its author may have meant otherwise.
        warnings: Vec<Diagnostic>,
    },
    /// Document and plugins are what is served already.
    Unchanged {
        /// Of the running snapshot.
        revision: u64,
    },
    /// The change is refused and the running snapshot stays.
    Rejected {
        /// All that is wrong with the document.
        diagnostics: Vec<Diagnostic>,
    },
    /// The running revision is not the one that the change was for, and stays.
    Conflict {
        /// The one that it was for.
        expected: u64,
        /// The running one.
        revision: u64,
        /// In what they differ, as far as the former is remembered. Secrets are not shown.
        since: Differences,
    },
    /// The change could not be tried and the running snapshot stays.
    Failed {
        /// Why.
        message: String,
    },
}

/// As `cupctl` reads it.
#[derive(Debug, Deserialize)]
#[allow(missing_docs, reason = "as Outcome")]
pub struct Report {
    pub outcome: String,
    pub revision: Option<u64>,
    pub milliseconds: Option<u64>,
    #[serde(default)]
    pub warnings: Vec<Diagnostic>,
    #[serde(default)]
    pub diagnostics: Vec<Diagnostic>,
    pub message: Option<String>,
    pub expected: Option<u64>,
    #[serde(default)]
    pub since: Differences,
}

impl Outcome {
    pub(super) fn failed(message: String) -> Self {
        Self::Failed { message }
    }

    /// What is wrong, one line each.
    pub fn diagnostics(&self) -> Vec<String> {
        match self {
            Self::Rejected { diagnostics } => diagnostics.iter().map(ToString::to_string).collect(),
            Self::Failed { message } => vec![message.clone()],
            Self::Conflict { expected, revision, .. } => {
                vec![format!("the change is for revision {expected}, and revision {revision} is running")]
            }
            Self::Applied { .. } | Self::Unchanged { .. } => Vec::new(),
        }
    }
}

impl From<SourceError> for Outcome {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Unreadable(message) => Self::Failed { message },
            SourceError::Rejected(diagnostics) => Self::Rejected { diagnostics },
        }
    }
}
