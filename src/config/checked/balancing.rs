//! How one of several backends is chosen.

use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::{AssumedHealth, SameSite, Strategy, Token};

/// How an upstream shares requests out, and how much it takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Balancing {
    /// How one of the endpoints is chosen.
    pub strategy: Strategy,
    /// What `maglev` and `ring-hash` go by.
    pub hash_key: HashKey,
    /// Whether clients come back to the same endpoint.
    pub affinity: Option<Affinity>,
    /// How long an endpoint takes to get its full share.
    pub slow_start: Option<Duration>,
    /// The share of healthy endpoints, in per cent, below which all are asked.
    pub panic_threshold: u32,
    /// Where this gateway stands.
    pub zone: Option<String>,
    /// How endpoints are asked for their health.
    pub health_check: Option<HealthCheck>,
    /// How endpoints are judged by what they answer. None is by their `max_failure`.
    pub outlier_detection: Option<OutlierDetection>,
    /// How much they take together.
    pub limits: UpstreamLimits,
}

/// What of a request is hashed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HashKey {
    /// The client's IP address.
    #[default]
    ClientAddress,
    /// The first value of a field.
    Header(HeaderName),
    /// The value of a cookie.
    Cookie(String),
    /// The value of a query parameter.
    Query(String),
    /// What a parameter of the pattern stands for.
    Parameter(String),
    /// An attribute.
    Attribute(String),
}

/// The cookie that leads a client back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affinity {
    /// Its name, a token.
    pub cookie: String,
    /// What it is signed with. None is a random one.
    pub secret: Option<Token>,
    /// How long it is kept.
    pub max_age: Option<Duration>,
    /// Where it is sent from.
    pub same_site: SameSite,
    /// Whether it is for TLS only. None is where it was set over TLS.
    pub secure: Option<bool>,
}

/// How much endpoints take together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamLimits {
    /// Connections.
    pub connections: u32,
    /// Requests that wait for one.
    pub pending: u32,
    /// Requests.
    pub requests: u32,
    /// Retries that are allowed in any case.
    pub retries: u32,
    /// Further retries, in per cent of the requests.
    pub retry_budget: u32,
}

impl Default for UpstreamLimits {
    fn default() -> Self {
        Self { connections: 1024, pending: 1024, requests: 1024, retries: 3, retry_budget: 20 }
    }
}

/// How an endpoint is asked for its health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// What it is asked.
    pub kind: HealthCheckKind,
    /// The time between two checks.
    pub interval: Duration,
    /// How long one may take.
    pub timeout: Duration,
    /// Good ones in a row that bring it in.
    pub healthy_threshold: u32,
    /// Bad ones in a row that take it out.
    pub unhealthy_threshold: u32,
    /// What it is taken for before.
    pub initially: AssumedHealth,
}

/// What an endpoint is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthCheckKind {
    /// A request.
    Http(HttpCheck),
    /// About a service.
    Grpc(String),
    /// For a connection.
    Tcp,
}

/// A request and what is a good answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCheck {
    /// Path and query.
    pub path: String,
    /// None is the endpoint's own.
    pub host: Option<HeaderValue>,
    /// Further fields.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Ranges of statuses, both ends included.
    pub statuses: Vec<(u16, u16)>,
    /// What stands in the body.
    pub body: Option<String>,
}

/// How endpoints are judged by what they answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutlierDetection {
    /// 0 is never.
    pub consecutive_5xx: u32,
    /// 0 is never.
    pub consecutive_gateway_failures: u32,
    /// How often statistics are made.
    pub interval: Duration,
    /// How long the first ejection lasts.
    pub base_ejection_time: Duration,
    /// How long one lasts at most.
    pub max_ejection_time: Duration,
    /// The share that may be out.
    pub max_ejection_percent: u32,
    /// Endpoints that fail more often than the others.
    pub success_rate: Option<SuccessRate>,
    /// Endpoints that fail too often.
    pub failure_percentage: Option<FailurePercentage>,
}

/// See the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as in the document, where each is described")]
pub struct SuccessRate {
    pub minimum_hosts: u32,
    pub request_volume: u32,
    pub stdev_factor: u32,
}

/// See the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as in the document, where each is described")]
pub struct FailurePercentage {
    pub threshold: u32,
    pub minimum_hosts: u32,
    pub request_volume: u32,
}
