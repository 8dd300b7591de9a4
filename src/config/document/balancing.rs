//! How one of several backends is chosen.

use schemars::JsonSchema;
use serde::Deserialize;

use super::DurationText;

/// How one of several backends is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum Strategy {
    /// Each backend in turn, as often as its weight says.
    #[default]
    RoundRobin,
    /// Of two backends that were drawn by weight, the one with fewer requests for its weight.
    LeastRequest,
    /// Any backend, drawn by weight.
    Random,
    /// Of two backends that were drawn by weight, the one that promises to answer sooner: by its recent latency, of which
    /// peaks count at once, and the requests that it has.
    PeakEwma,
    /// The backend that the hash of `hash_key` leads to, by Google's Maglev table. When a backend comes or goes, few others'
    /// keys move.
    Maglev,
    /// The same by a ring (ketama): fewer keys move than with `maglev`, and the shares are less even.
    RingHash,
}

/// What of a request `maglev` and `ring-hash` go by: exactly one of these. A request that has it not goes to any backend.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct HashKey {
    /// The first value of a header field.
    #[schemars(length(min = 1))]
    pub header: Option<String>,
    /// The value of a cookie.
    #[schemars(length(min = 1))]
    pub cookie: Option<String>,
    /// The value of a query parameter.
    #[schemars(length(min = 1))]
    pub query: Option<String>,
    /// What a parameter of the route's pattern stands for.
    #[schemars(length(min = 1))]
    pub parameter: Option<String>,
    /// An attribute that a plugin has set.
    #[schemars(length(min = 1))]
    pub attribute: Option<String>,
}

/// Sends a client back to the backend that answered it first, by a cookie. It is an HMAC of the backend's `host`: it tells
/// nobody which backend that is, and nobody can make one. While that backend is out, others answer and take the client over.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Affinity {
    /// The cookie's name. Default: `cloudcup`.
    #[schemars(length(min = 1, max = 64), extend("default" = "cloudcup"))]
    pub cookie: Option<String>,
    /// The key of the HMAC, at least 16 characters, usually `$env:NAME` or `$file:PATH`. Gateways that share clients share
    /// it. Default: a random one for as long as the process lives.
    #[schemars(extend("pattern" = r"^(.{16,}|\$(env|file):.+)$"))]
    pub secret: Option<String>,
    /// How long browsers keep the cookie. Default: until they are closed.
    pub max_age: Option<DurationText>,
    /// To which sites' requests browsers add it. Default: `lax`.
    #[schemars(extend("default" = "lax"))]
    pub same_site: Option<SameSite>,
    /// Whether browsers send it over TLS only. Default: where it was set over TLS; with `"same_site": "none"` always.
    pub secure: Option<bool>,
}

/// From where browsers send a cookie (RFC 6265bis, section 4.1.2.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum SameSite {
    /// The same site, and others' links to it.
    #[default]
    Lax,
    /// The same site.
    Strict,
    /// Any site, over TLS.
    None,
}

/// How much an upstream's backends take together, from all workers. What is more is answered with 503
/// `upstream-overflow`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct UpstreamLimits {
    /// Connections, 1 to 1000000; each worker may have one in any case. Requests that get none wait for one. Default: 1024.
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = 1024))]
    pub connections: Option<u32>,
    /// Requests that wait for a connection, 0 to 1000000. Default: 1024.
    #[schemars(range(min = 0, max = 1_000_000), extend("default" = 1024))]
    pub pending: Option<u32>,
    /// Requests, waiting ones and WebSockets among them, 1 to 1000000. Default: 1024.
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = 1024))]
    pub requests: Option<u32>,
    /// Retries at one time, by `retry` of rules, that are allowed in any case, 0 to 1000000. Default: 3.
    #[schemars(range(min = 0, max = 1_000_000), extend("default" = 3))]
    pub retries: Option<u32>,
    /// The retries that are allowed beyond that, in per cent of the requests under way, 0 to 100. Default: 20.
    #[schemars(range(min = 0, max = 100), extend("default" = 20))]
    pub retry_budget: Option<u32>,
}
