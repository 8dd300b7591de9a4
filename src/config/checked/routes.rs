//! Where requests go.

use http::{HeaderName, HeaderValue};

use super::Attachment;
use crate::base::address::HostPort;
use crate::config::document::Strategy;
use crate::route::Pattern;

/// Backends of which one gets a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Its name in the document; for the backends of a rule `routes:` and the pattern, and for every rule but the first
    /// `#` and its index: `routes:/game/*#1`.
    pub name: String,
    /// How one of the endpoints is chosen.
    pub strategy: Strategy,
    /// At least one, no two with the same address.
    pub endpoints: Vec<Backend>,
}

/// A server that requests are sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// As the document has it: `$env:NAME` where it has that. For people, not for connecting.
    pub host: String,
    /// Where it listens.
    pub address: HostPort,
    /// Failures in a row after which the backend is taken out; at least 1.
    pub max_failure: u32,
    /// At least 1.
    pub weight: u32,
}

/// A pattern and what happens to the requests that it gets.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Which requests those are.
    pub pattern: Pattern,
    /// The pattern as the document has it.
    pub text: String,
    /// At least one. Only the last may match every request.
    pub rules: Vec<Rule>,
}

/// What happens to a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Which requests of the route it is for.
    pub matches: Conditions,
    /// Index in [`Checked::upstreams`](super::Checked::upstreams).
    pub upstream: usize,
    /// In the order of the document.
    pub attachments: Vec<Attachment>,
}

/// What a request must have, all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Fields with exactly these values.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Decoded.
    pub query: Vec<(String, String)>,
}

impl Conditions {
    /// Whether every request meets them.
    pub fn is_empty(&self) -> bool {
        self.headers.is_empty() && self.query.is_empty()
    }
}
