//! Copies of requests.

use crate::base::percent::Percent;

/// Who gets a copy, and of how many requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// By its index among those of the document.
    pub upstream: usize,
    /// Drawn for each request.
    pub percent: Percent,
}
