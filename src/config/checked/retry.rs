//! What happens when a backend does not answer as it should, or not in time.

use std::time::Duration;

use http::HeaderName;

use crate::config::document::RetryOn;

/// When a request is asked again, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// After what.
    pub on: Vec<RetryOn>,
    /// Also after these.
    pub statuses: Vec<u16>,
    /// Also after responses with one of these.
    pub headers: Vec<HeaderName>,
    /// Retries beyond the first attempt.
    pub attempts: u32,
    /// How long each attempt may take.
    pub per_try_timeout: Option<Duration>,
    /// The longest first wait, and the longest of all.
    pub backoff: (Duration, Duration),
    /// Bytes of a body that are kept.
    pub body: usize,
    /// Whether it goes for all methods.
    pub non_idempotent: bool,
    /// When a second backend is asked too.
    pub hedge_after: Option<Duration>,
}

/// Overrides of [`Timeouts`](super::Timeouts).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as in the document, where each is described")]
pub struct RuleTimeouts {
    pub request: Option<Duration>,
    pub connect: Option<Duration>,
    pub tls: Option<Duration>,
    pub queue: Option<Duration>,
    pub backend_idle: Option<Duration>,
    pub tunnel: Option<Duration>,
}
