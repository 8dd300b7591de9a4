//! Faults that are made on purpose, for tests of those who have to bear them.

use std::time::Duration;

use http::{HeaderMap, HeaderName, StatusCode};

use crate::base::percent::Percent;

/// What befalls requests: first a delay, then a failure, each drawn for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// How long they are held.
    pub delay: Option<(Duration, Percent)>,
    /// What they are answered with.
    pub abort: Option<(StatusCode, Percent)>,
    /// The field that a request must have for any of it.
    pub header: Option<HeaderName>,
}

impl Fault {
    /// Whether requests with these fields are meant.
    pub fn is_for(&self, headers: &HeaderMap) -> bool {
        self.header.as_ref().is_none_or(|name| headers.contains_key(name))
    }

    /// How long a request is held.
    pub fn draw_delay(&self) -> Option<Duration> {
        self.delay.filter(|(_, percent)| percent.draw()).map(|(duration, _)| duration)
    }

    /// What it is answered with.
    pub fn draw_abort(&self) -> Option<StatusCode> {
        self.abort.filter(|(_, percent)| percent.draw()).map(|(status, _)| status)
    }
}
