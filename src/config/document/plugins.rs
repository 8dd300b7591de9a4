//! Plugins and where they are attached.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{DurationText, SizeText, ValueMatch};

/// A WebAssembly component that sees requests and responses. What is set here holds wherever a route attaches the plugin
/// and does not say otherwise.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Plugin {
    /// The path of the `.wasm` file. Default: the plugin of this name that is shipped with Cloud Cup.
    #[schemars(length(min = 1))]
    pub source: Option<String>,
    /// What the plugin may use. Default: nothing; a shipped plugin has what it needs.
    pub permissions: Option<Vec<Option<Permission>>>,
    /// For the permission `http`: the hosts that the plugin may send requests to, `api.example.com`, `*.example.com` or
    /// `api.example.com:8443`. Without a port those of `http` and `https` are meant.
    pub hosts: Option<Vec<Option<String>>>,
    /// For the permission `http`: networks of private addresses (`10.0.0.0/8`) that the hosts may lie in. Default: none.
    pub private_networks: Option<Vec<Option<String>>>,
    /// For the permission `secrets`: names of the document's `secrets` that the plugin may read.
    pub secrets: Option<Vec<Option<String>>>,
    /// How much the plugin may keep in the gateway, all its uses together.
    pub quotas: Option<Quotas>,
    /// Which requests share an instance of the plugin. Default: `reuse`.
    #[schemars(extend("default" = "reuse"))]
    pub isolation: Option<Isolation>,
    /// What the plugin may take.
    pub limits: Option<PluginLimits>,
    /// The configuration of the plugin where a route gives it none: any JSON. Default: null.
    pub config: Option<Value>,
}

/// What a plugin may be granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum Permission {
    /// Lines in the log.
    Log,
    /// The time.
    Clock,
    /// Random numbers.
    Random,
    /// Verifying tokens against `key_sets`.
    Jwt,
    /// Limits on how often something happens.
    RateLimit,
    /// Circuit breakers.
    Circuit,
    /// A key-value store of its own.
    State,
    /// Requests to `hosts`.
    Http,
    /// Numbers of its own in the gateway's metrics.
    Metrics,
    /// The document's `secrets` that are named for it.
    Secrets,
}

/// How much a plugin may keep in the gateway, all its uses together.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Quotas {
    /// Keys of each of its rate limits, 1 to 100000000; with more, those that are nearest to full are forgotten. Default:
    /// 1000000.
    #[schemars(range(min = 1, max = 100_000_000), extend("default" = 1_000_000))]
    pub rate_limit_keys: Option<u32>,
    /// Entries of its key-value store, 0 to 10000000. Default: 10000.
    #[schemars(range(min = 0, max = 10_000_000), extend("default" = 10_000))]
    pub state_entries: Option<u32>,
    /// Keys and values of its key-value store together, 0 to `1GiB`. Default: `16MiB`.
    #[schemars(extend("default" = "16MiB"))]
    pub state_size: Option<SizeText>,
    /// Series of its metrics, 0 to 10000. Default: 100.
    #[schemars(range(min = 0, max = 10_000), extend("default" = 100))]
    pub metric_series: Option<u32>,
    /// Requests to other servers that may be under way at one time, 1 to 10000. Default: 64.
    #[schemars(range(min = 1, max = 10_000), extend("default" = 64))]
    pub http_requests: Option<u32>,
    /// How long a request to another server may take, `1ms` to `60s`. Default: `5s`.
    #[schemars(extend("default" = "5s"))]
    pub http_time: Option<DurationText>,
    /// The body of another server's response, 0 to `16MiB`. Default: `1MiB`.
    #[schemars(extend("default" = "1MiB"))]
    pub http_response_size: Option<SizeText>,
}

/// Which requests share an instance of a plugin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Isolation {
    /// One instance serves many requests, one after another.
    #[default]
    Reuse,
    /// A fresh instance for each request.
    Request,
}

/// What happens to a request when a plugin faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum OnError {
    /// The request is answered with an error.
    #[default]
    Closed,
    /// The request goes on as if the plugin were not there.
    Open,
}

/// A plugin on a route: its name, or its name and how it is used here.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum Attachment {
    Name(String),
    Settings(Box<AttachmentSettings>),
}

/// A plugin on a route and how it is used here.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct AttachmentSettings {
    /// The name of one of `plugins`, or of a plugin that is shipped with Cloud Cup.
    #[serde(rename = "use")]
    #[schemars(required)]
    pub name: Option<String>,
    /// The configuration of the plugin here, in place of its own `config`: any JSON. Default: that of the plugin.
    pub config: Option<Value>,
    /// Which requests the plugin sees here. Default: all of the route.
    pub when: Option<When>,
    /// Whether the plugin is used here at all. `false` switches a plugin of `http.plugins` off for this rule. Default:
    /// true.
    #[schemars(extend("default" = true))]
    pub enabled: Option<bool>,
    /// What happens to a request when the plugin faults or exceeds a limit. Default: `closed`.
    #[schemars(extend("default" = "closed"))]
    pub on_error: Option<OnError>,
    /// Which requests share an instance of the plugin. Default: that of the plugin.
    pub isolation: Option<Isolation>,
    /// What the plugin may take here. Default: each limit as the plugin has it.
    pub limits: Option<PluginLimits>,
}

/// Which requests a plugin sees: those for which every field given here holds. It is decided when the plugin's turn
/// comes, and holds for all of its hooks.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct When {
    /// Every one of these holds.
    pub all: Option<Vec<Option<When>>>,
    /// At least one of these holds.
    #[schemars(length(min = 1))]
    pub any: Option<Vec<Option<When>>>,
    /// This does not hold.
    pub not: Option<Box<When>>,
    /// The method is one of these.
    #[schemars(length(min = 1))]
    pub methods: Option<Vec<Option<String>>>,
    /// The path matches one of these patterns: `/login`, `/users/{id}`, `/static/*`.
    #[schemars(length(min = 1))]
    pub paths: Option<Vec<Option<String>>>,
    /// The host is one of these: `api.example.com`, `*.example.com`.
    #[schemars(length(min = 1))]
    pub hosts: Option<Vec<Option<String>>>,
    /// Header fields by name. A text is an exact value, `*` any.
    pub headers: Option<BTreeMap<String, Option<ValueMatch>>>,
    /// Query parameters by name, decoded. A text is an exact value, `*` any.
    pub query: Option<BTreeMap<String, Option<ValueMatch>>>,
    /// Cookies by name, as they were sent. A text is an exact value, `*` any.
    pub cookies: Option<BTreeMap<String, Option<ValueMatch>>>,
    /// Attributes that a plugin before this one has set, by name. A text is an exact value, `*` any.
    pub attributes: Option<BTreeMap<String, Option<ValueMatch>>>,
}

/// What a plugin may take.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct PluginLimits {
    /// The time that one call of a hook may run, `1ms` to `10s`. Default: `100ms`.
    pub time: Option<DurationText>,
    /// The memory of an instance, `64KiB` to `256MiB`. Default: `16MiB`.
    pub memory: Option<SizeText>,
    /// The elements of an instance's tables, 0 to 1000000. Default: 10000.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub table_elements: Option<u32>,
    /// The body of a reply that the plugin makes, 0 to `4MiB`. Default: `64KiB`.
    pub reply_size: Option<SizeText>,
    /// Lines a second in the log, 0 to 10000. Default: 10.
    #[schemars(range(min = 0, max = 10_000))]
    pub log_rate: Option<u32>,
    /// The requests after which an instance is replaced, 1 to 4294967295. Default: 100000.
    #[schemars(range(min = 1, max = 4_294_967_295_u32))]
    pub requests: Option<u32>,
    /// Calls of a plugin that waits (for keys, for other servers) that may be under way on one worker, 1 to 1000. Default:
    /// 64.
    #[schemars(range(min = 1, max = 1000))]
    pub waiting_calls: Option<u32>,
}
