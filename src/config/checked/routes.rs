//! Where requests go.

use http::{HeaderName, HeaderValue};

use super::{Attachment, Compress};
use crate::route::Pattern;

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
    /// Protocols that may be changed to, in lower case.
    pub upgrades: Vec<String>,
    /// Whether gRPC-Web is translated, and for whom.
    pub grpc_web: Option<GrpcWeb>,
    /// Whether safe requests are served in early data.
    pub takes_early_data: bool,
    /// How responses are compressed; none leaves them as they are.
    pub compress: Option<Compress>,
    /// In the order of the document.
    pub attachments: Vec<Attachment>,
}

/// Calls from pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrpcWeb {
    /// Whose pages may call; `*` is anybody's.
    pub origins: Vec<HeaderValue>,
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
