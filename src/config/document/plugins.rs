//! Plugins and where they are attached.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{DurationText, SizeText};

/// A WebAssembly component that sees requests and responses. What is set here holds wherever a route attaches the plugin
/// and does not say otherwise.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Plugin {
    /// The path of the `.wasm` file. Default: the plugin of this name that is shipped with Cloud Cup.
    #[schemars(length(min = 1))]
    pub source: Option<String>,
    /// What the plugin may use. Default: nothing.
    pub permissions: Option<Vec<Option<Permission>>>,
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
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Permission {
    /// Lines in the log.
    Log,
    /// The time.
    Clock,
    /// Random numbers.
    Random,
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
    Settings(AttachmentSettings),
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
    /// What happens to a request when the plugin faults or exceeds a limit. Default: `closed`.
    #[schemars(extend("default" = "closed"))]
    pub on_error: Option<OnError>,
    /// Which requests share an instance of the plugin. Default: that of the plugin.
    pub isolation: Option<Isolation>,
    /// What the plugin may take here. Default: each limit as the plugin has it.
    pub limits: Option<PluginLimits>,
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
}
