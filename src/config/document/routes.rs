//! Routes and what they lead to.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Attachment, Backend, Compress, Edits, ErrorPages, Fault, HeaderEdits, Mirror, Redirect, Reply, Retry,
    Rewrite, RuleTimeouts, Share, Sticky, Strategy,
};

/// One rule, or a list of rules of which the first that matches the request counts. Only the last may be without
/// `match`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum Route {
    Rules(#[schemars(length(min = 1))] Vec<Option<Rule>>),
    Rule(Box<Rule>),
}

/// What happens to a request: the plugins that see it, and the backends of which one gets it. One of `backends`,
/// `upstream`, `split`, `redirect` and `reply` is needed.
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
    /// Several of `upstreams`, of which one is drawn for each request by weight. Retries stay with it.
    #[schemars(length(min = 1))]
    pub split: Option<Vec<Option<Share>>>,
    /// Sends a client to the same upstream of `split` every time. Default: every request is drawn for itself.
    pub sticky: Option<Sticky>,
    /// Upstreams that get copies of the requests to backends. What they answer is thrown away, and clients notice none of it.
    #[schemars(length(min = 1))]
    pub mirror: Option<Vec<Option<Mirror>>>,
    /// Makes some requests slow, or fail, to test those who have to bear it.
    pub fault: Option<Fault>,
    /// Sends clients elsewhere.
    pub redirect: Option<Redirect>,
    /// An answer that stands here.
    pub reply: Option<Reply>,
    /// Asks backends for another path or under another host.
    pub rewrite: Option<Rewrite>,
    /// Edits of the query that backends get.
    pub query: Option<Edits>,
    /// Edits of header fields.
    pub headers: Option<HeaderEdits>,
    /// What clients see instead of errors, before the `error_pages` of `http`.
    pub error_pages: Option<ErrorPages>,
    /// How one of `backends` is chosen. Default: the `strategy` of `http`.
    pub strategy: Option<Strategy>,
    /// The protocols that a request may change its connection to (`Upgrade`, and extended CONNECT in HTTP/2 and HTTP/3).
    /// Others are passed over. Default: `["websocket"]`.
    #[schemars(extend("default" = ["websocket"]))]
    pub upgrades: Option<Vec<Option<String>>>,
    /// Translates gRPC-Web, as browsers speak it, to gRPC. The backends speak `h2` or `h2c`.
    pub grpc_web: Option<GrpcWeb>,
    /// Serves GET, HEAD, OPTIONS and TRACE in the early data of HTTP/3 clients that come back (0-RTT), which save a round
    /// trip. Somebody who listens can send them again, so the backends must not mind. They are told by `Early-Data: 1`; all
    /// else in early data is answered with 425 (RFC 8470). Needs a listener with `h3` that asks for no client certificates.
    /// Default: false.
    #[schemars(extend("default" = false))]
    pub early_data: Option<bool>,
    /// Asks again after failures. Default: only what no backend has looked at.
    pub retry: Option<Retry>,
    /// How long requests may take. Default: as the document's `timeouts` say.
    pub timeouts: Option<RuleTimeouts>,
    /// Requests at one time, from all workers, 1 to 1000000. What is more is answered with 503 `route-overflow`. Default:
    /// unlimited.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_requests: Option<u32>,
    /// Compresses responses. Default: the `compress` of `http`.
    pub compress: Option<Box<Compress>>,
    /// The plugins that see the request, in this order, and the response, in the reverse order.
    pub plugins: Option<Vec<Option<Attachment>>>,
}

/// Calls from pages by gRPC-Web, in both of its forms.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct GrpcWeb {
    /// The origins of pages that may call, such as `https://app.example.com`, or `*` for any. Cloud Cup answers what
    /// browsers ask beforehand (CORS). Default: none but the gateway's own.
    pub origins: Option<Vec<Option<String>>>,
}

/// What a request must have, all of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Match {
    /// Its method is one of these.
    #[schemars(length(min = 1))]
    pub methods: Option<Vec<Option<String>>>,
    /// Its host is one of these: `api.example.com`, `*.example.com`.
    #[schemars(length(min = 1))]
    pub hosts: Option<Vec<Option<String>>>,
    /// Header fields by name. A text is an exact value.
    pub headers: Option<BTreeMap<String, Option<ValueMatch>>>,
    /// Query parameters by name, decoded. A text is an exact value.
    pub query: Option<BTreeMap<String, Option<ValueMatch>>>,
    /// Cookies by name, as they were sent. A text is an exact value.
    pub cookies: Option<BTreeMap<String, Option<ValueMatch>>>,
}

/// What a value has to be: exactly this text, or something else of it. Of several values of one name, one is enough.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum ValueMatch {
    Exact(String),
    Form(Box<ValueForm>),
}

/// What a value has to be. Exactly one of the fields is given.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ValueForm {
    /// Exactly this text.
    pub exact: Option<String>,
    /// It begins with this text.
    #[schemars(length(min = 1))]
    pub prefix: Option<String>,
    /// It matches this regular expression as a whole, as those of RE2: without look-around and backreferences.
    #[schemars(length(min = 1))]
    pub regex: Option<String>,
    /// `true`: there is a value, whatever it is. `false`: there is none.
    pub present: Option<bool>,
    /// This does not hold, be it that there is no value.
    pub not: Option<ValueMatch>,
}
