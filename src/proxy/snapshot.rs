//! What requests are served by: built beside, published as a whole, never changed.

use std::sync::Arc;
use std::time::Duration;

use super::{Compress, GrpcWeb, RetryPolicy, Sticky};
use crate::action::{Action, Edits, ErrorPages, Fault, Mirror};
use crate::base::network::IpNetwork;
use crate::message::http1::HeadLimits;
use crate::message::tls::CertificateNames;
use crate::observe::access_log::Sink;
use crate::plugin::{Attachment, Link};
use crate::route::{Condition, Subject, Table};
use crate::upstream::connect::Patience;
use crate::upstream::{Cluster, Quota};

/// One configuration with its plugins, live.
#[derive(Debug)]
pub struct Snapshot {
    /// Counts the changes since the process began.
    pub revision: u64,
    /// From a request to an index into `routes`.
    pub table: Table<usize>,
    /// In the document's order.
    pub routes: Vec<Route>,
    /// All attachments of all rules; equal ones are one.
    pub attachments: Vec<Arc<Attachment>>,
    /// All clusters.
    pub clusters: Vec<Arc<Cluster>>,
    /// Where requests are told of.
    pub access_log: Option<Arc<Sink>>,
    /// What listeners show of themselves.
    pub certificates: Vec<Certificate>,
    /// What holds for every request.
    pub settings: Settings,
}

/// A certificate of a listener.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The listener's name.
    pub listener: Arc<str>,
    /// The hosts that it is for.
    pub names: Arc<CertificateNames>,
    /// The last moment at which it is valid, in seconds since the epoch.
    pub not_after: i64,
}

/// A pattern's rules.
#[derive(Debug)]
pub struct Route {
    /// As the document has it.
    pub pattern: Arc<str>,
    /// Tried in order.
    pub rules: Vec<Rule>,
}

/// What to do with a request.
#[derive(Debug)]
pub struct Rule {
    /// Which requests it is for: those for which all of these hold.
    pub conditions: Vec<Condition>,
    /// What answers them. Clusters are indexes into [`Snapshot::clusters`].
    pub action: Action,
    /// Whether clients come back to the share of a split that they had.
    pub sticky: Option<Box<Sticky>>,
    /// Clusters that get copies; mostly none.
    pub mirrors: Vec<Mirror>,
    /// What befalls them on purpose; mostly nothing.
    pub fault: Option<Box<Fault>>,
    /// What is changed of them and of their responses; mostly nothing.
    pub edits: Option<Box<Edits>>,
    /// Links to [`Snapshot::attachments`].
    pub plugins: Vec<Link>,
    /// Protocols that its requests may change to, in lower case.
    pub upgrades: Vec<String>,
    /// Whether gRPC-Web is translated, and for whom.
    pub grpc_web: Option<Arc<GrpcWeb>>,
    /// Whether safe requests are served in early data.
    pub takes_early_data: bool,
    /// When its requests are asked again.
    pub retry: Option<Arc<RetryPolicy>>,
    /// How long to wait for whom.
    pub timeouts: RuleTimeouts,
    /// How many requests it may have at one time, and how many it has.
    pub most_requests: Option<Quota>,
    /// How responses are compressed; none leaves them as they are.
    pub compress: Option<Arc<Compress>>,
}

/// What holds for every request.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long to wait for whom.
    pub timeouts: Timeouts,
    /// How large heads may be.
    pub head: HeadLimits,
    /// How large a request's body may be.
    pub request_body: Option<u64>,
    /// Unused connections kept per backend and worker.
    pub pool_idle: usize,
    /// Connections that a worker serves at one time.
    pub connections: usize,
    /// What a client may do on an HTTP/2 connection.
    pub h2: Http2Limits,
    /// Peers whose word about the client is taken.
    pub trusted_proxies: Vec<IpNetwork>,
    /// Whether `via` is added.
    pub via: bool,
    /// What clients see instead of errors, where no rule says otherwise.
    pub error_pages: Option<Arc<ErrorPages>>,
}

/// What a client may do on an HTTP/2 connection (RFC 9113, section 6.5.2).
#[derive(Debug, Clone, Copy)]
pub struct Http2Limits {
    /// Streams at one time.
    pub streams: u32,
    /// Bytes of a request's body that it may send ahead.
    pub stream_window: u32,
    /// The same, for all requests of a connection.
    pub connection_window: u32,
    /// The payload of one frame.
    pub frame_size: u32,
}

/// How long to wait for whom. The document's schema says what each means.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "named as in the document, where each is described")]
pub struct Timeouts {
    pub client_head: Duration,
    pub client_idle: Duration,
    pub keep_alive: Duration,
    pub backend_keep_alive: Duration,
    pub tunnel_idle: Duration,
    pub drain: Duration,
}

/// The same for the requests of a rule.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "named as in the document, where each is described")]
pub struct RuleTimeouts {
    pub request: Option<Duration>,
    pub patience: Patience,
    pub queue: Duration,
    pub backend_idle: Duration,
    pub tunnel: Option<Duration>,
}

impl Snapshot {
    /// A rule by its place and that of its route.
    pub fn rule(&self, route: Option<usize>, rule: Option<usize>) -> Option<&Rule> {
        Some(&self.routes[route?].rules[rule?])
    }

    /// The cluster of that name.
    pub fn cluster(&self, name: &str) -> Option<&Arc<Cluster>> {
        self.clusters.iter().find(|cluster| cluster.name() == name)
    }

    /// The route of that pattern.
    pub fn route(&self, pattern: &str) -> Option<&Route> {
        self.routes.iter().find(|route| *route.pattern == *pattern)
    }
}

impl Route {
    /// Whether a rule asks for a field.
    pub fn looks_at_headers(&self) -> bool {
        self.rules.iter().flat_map(|rule| &rule.conditions).any(Condition::looks_at_headers)
    }

    /// The place of the first rule that is for this request. Most rules are for all, and need not look.
    pub fn rule<'s>(&self, subject: impl Fn() -> Subject<'s>) -> Option<usize> {
        let holds = |rule: &Rule| {
            let subject = subject();
            rule.conditions.iter().all(|condition| condition.holds(&subject))
        };
        self.rules.iter().position(|rule| rule.conditions.is_empty() || holds(rule))
    }
}

impl Rule {
    /// What it asks for and a request has not, for people.
    pub(super) fn missing(&self, subject: &Subject<'_>) -> Vec<String> {
        let missing = self.conditions.iter().filter(|condition| !condition.holds(subject));
        missing.map(ToString::to_string).collect()
    }
}
