//! What a rule does beside sending requests to backends.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Sends clients elsewhere, as HTTPRequestRedirectFilter of the Gateway API does. What is not given stays as the client
/// asked. `host`, `path` and `prefix` may have variables such as `${parameter.id}`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Redirect {
    /// The scheme to go to. Default: the client's own.
    pub scheme: Option<Scheme>,
    /// The host to go to, without a port. Default: the client's own.
    #[schemars(length(min = 1))]
    pub host: Option<String>,
    /// The port to go to. Default: that of `scheme`, and without one the port that the client used. The port of a scheme
    /// is left out.
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<u16>,
    /// The path to go to.
    #[schemars(length(min = 1))]
    pub path: Option<String>,
    /// What takes the place of what the route's pattern matched before its `*`.
    pub prefix: Option<String>,
    /// Whether the client's query goes along. Default: true.
    #[schemars(extend("default" = true))]
    pub query: Option<bool>,
    /// 301, 302, 303, 307 or 308. Default: 302.
    #[schemars(extend("enum" = [301, 302, 303, 307, 308], "default" = 302))]
    pub status: Option<u16>,
}

/// What a redirect can lead to.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(in crate::config) enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

/// An answer instead of a backend's. At most one of `body`, `json` and `file` is its body.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Reply {
    /// The status, 200 to 599. Default: 200, and for a page that of the error.
    #[schemars(range(min = 200, max = 599))]
    pub status: Option<u16>,
    /// Header fields, which may have variables. Default: the `content-type` of the body.
    pub headers: Option<BTreeMap<String, Option<String>>>,
    /// A text.
    pub body: Option<String>,
    /// Any JSON.
    pub json: Option<Value>,
    /// The path of a file of at most 1 MiB. It is watched, and read again when it changes.
    #[schemars(length(min = 1))]
    pub file: Option<String>,
}

/// Asks backends for something else than the client asked for. Plugins and the access log have what the client asked for.
/// `path`, `prefix` and `host` may have variables such as `${parameter.id}`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Rewrite {
    /// The path instead of the client's.
    #[schemars(length(min = 1))]
    pub path: Option<String>,
    /// What takes the place of what the route's pattern matched before its `*`.
    pub prefix: Option<String>,
    /// What takes the place of the parts of the path that a regular expression matches.
    pub regex: Option<RegexRewrite>,
    /// The host instead of the client's, with a port or without. The `host` of an upstream comes before it.
    #[schemars(length(min = 1))]
    pub host: Option<String>,
}

/// A regular expression and what takes the place of its matches.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RegexRewrite {
    /// As those of RE2: without look-around and backreferences. It may match anywhere in the path, and several times.
    #[schemars(required, length(min = 1))]
    pub pattern: Option<String>,
    /// A text in which `$1` and `${name}` are groups of the pattern.
    #[schemars(required)]
    pub replacement: Option<String>,
}

/// Edits of header fields.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct HeaderEdits {
    /// Of the request, behind the plugins' hooks, on its way to a backend.
    pub request: Option<Edits>,
    /// Of the response, behind the plugins' hooks, whoever made it.
    pub response: Option<Edits>,
}

/// What clients see instead of errors.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ErrorPages {
    /// Replies by status (`404`), or for all that are left of a class (`4xx`, `5xx`).
    #[schemars(required)]
    pub pages: Option<BTreeMap<String, Option<Reply>>>,
    /// Whether they stand for errors of backends too. Those of the gateway's own are always replaced, those of plugins
    /// never, and calls of gRPC get statuses of their own. Default: false.
    #[schemars(extend("default" = false))]
    pub backend_errors: Option<bool>,
}

/// Edits by name. Values may have variables such as `${client.address}`; `$$` is a `$`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Edits {
    /// The one value that each of these has behind it. Where variables leave it empty there is none.
    pub set: Option<BTreeMap<String, Option<String>>>,
    /// One more value for each of these.
    pub add: Option<BTreeMap<String, Option<String>>>,
    /// Those that go, before anything is set or added.
    pub remove: Option<Vec<Option<String>>>,
}
