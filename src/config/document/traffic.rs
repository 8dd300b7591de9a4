//! How a rule's requests are shared out among upstreams, copied to others, or hindered.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{DurationText, SameSite};

/// An upstream and its share of the requests.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Share {
    /// The name of one of `upstreams`. Each stands in a `split` once.
    #[schemars(required)]
    pub upstream: Option<String>,
    /// Its part of the sum of all weights, 0 to 1000000, where 0 is none. At least one is more than 0. Default: 1.
    #[schemars(range(min = 0, max = 1_000_000), extend("default" = 1))]
    pub weight: Option<u32>,
}

/// An upstream that gets copies of requests.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Mirror {
    /// The name of one of `upstreams`.
    #[schemars(required)]
    pub upstream: Option<String>,
    /// The part of the requests that are copied, in per cent, 0 to 100, to four places such as `0.5`. Default: 100.
    #[schemars(range(min = 0, max = 100), extend("default" = 100))]
    pub percent: Option<f64>,
}

/// Sends a client to the upstream that answered it first, by a cookie. It is an HMAC of the upstream's name: it tells
/// nobody which that is, and nobody can make one. When the upstream's weight is 0 by then, another is drawn. Rules
/// that split among different upstreams need cookies of different names.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Sticky {
    /// The cookie's name. Default: `cloudcup-split`.
    #[schemars(length(min = 1, max = 64), extend("default" = "cloudcup-split"))]
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

/// What befalls requests behind the plugins' request hooks, before a backend is asked: first the delay, then the failure.
/// At least one of `delay` and `abort` is given.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Fault {
    /// Holds requests.
    pub delay: Option<FaultDelay>,
    /// Answers requests with `fault-injected`.
    pub abort: Option<FaultAbort>,
    /// Only requests with this header field are meant, whatever its value. Default: all.
    #[schemars(length(min = 1))]
    pub header: Option<String>,
}

/// Requests that are held.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct FaultDelay {
    /// For how long, `1ms` to `5m`. The time that a request may take goes on meanwhile.
    #[schemars(required)]
    pub duration: Option<DurationText>,
    /// How many, in per cent, 0 to 100. Default: 100.
    #[schemars(range(min = 0, max = 100), extend("default" = 100))]
    pub percent: Option<f64>,
}

/// Requests that fail.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct FaultAbort {
    /// With which status, 400 to 599. Calls of gRPC get the status that goes with it.
    #[schemars(required, range(min = 400, max = 599))]
    pub status: Option<u16>,
    /// How many, in per cent, 0 to 100. Default: 100.
    #[schemars(range(min = 0, max = 100), extend("default" = 100))]
    pub percent: Option<f64>,
}
