//! Where requests go.

use http::HeaderValue;

use super::{Affinity, Attachment, Compress, Retry, RuleTimeouts};
use crate::action::{Action, Edits, Fault, Mirror};
use crate::route::{Condition, Pattern};

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
    /// Which requests of the route it is for: those for which all of these hold.
    pub matches: Vec<Condition>,
    /// What answers it.
    pub action: Action,
    /// Whether clients come back to the share of a split that they had.
    pub sticky: Option<Affinity>,
    /// Who gets copies.
    pub mirrors: Vec<Mirror>,
    /// What befalls its requests on purpose.
    pub fault: Option<Fault>,
    /// What is changed of it and of its response; none is nothing.
    pub edits: Option<Box<Edits>>,
    /// Protocols that may be changed to, in lower case.
    pub upgrades: Vec<String>,
    /// Whether gRPC-Web is translated, and for whom.
    pub grpc_web: Option<GrpcWeb>,
    /// Whether safe requests are served in early data.
    pub takes_early_data: bool,
    /// When its requests are asked again.
    pub retry: Option<Retry>,
    /// How long they may take.
    pub timeouts: RuleTimeouts,
    /// How many there may be at one time.
    pub max_requests: Option<u32>,
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
