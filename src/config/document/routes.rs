//! Routes and what they lead to.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::Attachment;

/// One rule, or a list of rules of which the first that matches the request counts. Only the last may be without
/// `match`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum Route {
    Rules(#[schemars(length(min = 1))] Vec<Option<Rule>>),
    Rule(Rule),
}

/// What happens to a request: the plugins that see it, and the backends of which one gets it. Either `backends` or
/// `upstream` is needed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Rule {
    /// What a request must have for this rule, beside matching the route's pattern. Default: nothing.
    #[serde(rename = "match")]
    pub matches: Option<Match>,
    /// The backends of this rule alone.
    #[schemars(length(min = 1))]
    pub backends: Option<Vec<Option<Backend>>>,
    /// The name of one of `upstreams`.
    pub upstream: Option<String>,
    /// How one of `backends` is chosen. Default: the `strategy` of `http`.
    pub strategy: Option<Strategy>,
    /// The plugins that see the request, in this order, and the response, in the reverse order.
    pub plugins: Option<Vec<Option<Attachment>>>,
}

/// What a request must have, all of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Match {
    /// Header fields and their exact values.
    pub headers: Option<BTreeMap<String, Option<String>>>,
    /// Query parameters and their exact values, decoded.
    pub query: Option<BTreeMap<String, Option<String>>>,
}

/// A group of backends.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Upstream {
    /// The backends.
    #[schemars(required, length(min = 1))]
    pub backends: Option<Vec<Option<Backend>>>,
    /// How one of the backends is chosen. Default: the `strategy` of `http`.
    pub strategy: Option<Strategy>,
}

/// A server that requests are sent to, in HTTP/1.1.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Backend {
    /// The host, a name or an IP address, and the port: `127.0.0.1:8081`, `[::1]:8081`, `game.internal:80`.
    #[schemars(required)]
    pub host: Option<String>,
    /// How many failures in a row take the backend out, 1 to 1000; a probe that succeeds brings it back. Default: 5.
    #[schemars(range(min = 1, max = 1000), extend("default" = 5))]
    pub max_failure: Option<u32>,
    /// How many requests the backend gets for each one that a backend of weight 1 gets, 1 to 256. Default: 1.
    #[schemars(range(min = 1, max = 256), extend("default" = 1))]
    pub weight: Option<u32>,
}

/// How one of several backends is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum Strategy {
    /// Each backend in turn, as often as its weight says.
    #[default]
    RoundRobin,
}
