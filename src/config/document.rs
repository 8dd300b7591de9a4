//! The document as it is written. The descriptions below become those of the JSON Schema, so they speak to the person
//! who writes a document.
//!
//! Every field is optional to serde, even one that the schema requires, and an item of a list or a map may be null: a
//! value that the schema refused was reported and replaced by null, and the rest is read all the same.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::Number;

mod actions;
mod balancing;
mod compress;
mod health;
mod key_sets;
mod listeners;
mod plugins;
mod retry;
mod routes;
mod traffic;
mod upstreams;

pub(super) use actions::{Edits, ErrorPages, HeaderEdits, Redirect, RegexRewrite, Reply, Rewrite, Scheme};
pub(super) use balancing::{Affinity, HashKey, UpstreamLimits};
pub use balancing::{SameSite, Strategy};
pub use compress::Coding;
pub(super) use compress::{Compress, Level, Levels};
pub use health::{AssumedHealth, HealthCheckType};
pub(super) use health::{HealthCheck, OutlierDetection};
pub use key_sets::Algorithm;
pub(super) use key_sets::KeySet;
pub use listeners::TlsProfile;
pub(super) use listeners::{ClientMode, Hsts, HttpsRedirect, Listener, Protocol, Ssl, Tls};
pub(super) use plugins::{Attachment, AttachmentSettings, Plugin, PluginLimits, Quotas, When};
pub use plugins::{Isolation, OnError, Permission};
pub use retry::RetryOn;
pub(super) use retry::{Retry, RuleTimeouts};
pub(super) use routes::{GrpcWeb, Match, Route, Rule, ValueForm, ValueMatch};
pub(super) use traffic::{Fault, Mirror, Share, Sticky};
pub use upstreams::UpstreamProtocol;
pub(super) use upstreams::{Backend, Upstream, UpstreamTls};

/// Names of listeners, upstreams and plugins: they appear in logs, metrics and pointers.
pub(super) const NAME_PATTERN: &str = "^[A-Za-z0-9_.-]{1,64}$";

/// What Cloud Cup listens on, where it sends requests and which plugins see them.
///
/// Any string value, inside a plugin's `config` too, may be `$env:NAME`, which stands for the environment variable
/// NAME, or `$file:PATH`, which stands for the content of a file without a final line break. What they stand for
/// appears in no log and no message. A string that is to begin with `$env:` or `$file:` is written with one more `$`:
/// `$$env:NAME`. All paths are relative to the folder of the document.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Cloud Cup document")]
pub(super) struct Document {
    /// The JSON Schema of this document, for editors. Cloud Cup does not read it.
    #[serde(rename = "$schema")]
    #[expect(dead_code, reason = "it is for editors")]
    schema: Option<String>,
    /// The address and port to listen on: `127.0.0.1:8080`, `[::1]:8080`, or `:8080` for every address of the machine.
    /// Port 0 takes a free one. This is a listener named `root`, for every protocol, over TLS where there is `ssl`; `listeners` has more. At least one
    /// of `root` and `listeners` is needed.
    pub root: Option<String>,
    /// Further listeners by name. No two may listen on the same address.
    #[schemars(extend("propertyNames" = {"pattern": NAME_PATTERN}))]
    pub listeners: Option<BTreeMap<String, Option<Listener>>>,
    /// Threads that serve requests, 1 to 256. Default: one for each processor that the machine has for Cloud Cup.
    #[schemars(range(min = 1, max = 256))]
    pub workers: Option<u32>,
    /// What holds for all routes.
    pub http: Option<Http>,
    /// The certificate for `root`, which speaks HTTP/1.1 and HTTP/2 over TLS then. `listeners` have more of them, and more
    /// to say of TLS.
    pub ssl: Option<Ssl>,
    /// How long to wait. Durations are whole numbers with a unit (`250ms`, `10s`, `2m`, `1h`), more than 0 and at most
    /// `24h`.
    pub timeouts: Option<Timeouts>,
    /// How much to accept.
    pub limits: Option<Limits>,
    /// Proxies in front of Cloud Cup, as IP addresses or networks (`10.0.0.0/8`). The headers `X-Forwarded-For`, `-Proto` and
    /// `-Host` and `Forwarded` of a request from one of them are kept and appended to; those of anybody else are replaced.
    pub trusted_proxies: Option<Vec<Option<String>>>,
    /// Whether to add `Via` to requests and responses. Default: false.
    #[schemars(extend("default" = false))]
    pub via: Option<bool>,
    /// Where the access log goes: `stdout`, `off`, or the path of a file to append to. Default: `stdout`.
    #[schemars(length(min = 1), extend("default" = "stdout"))]
    pub access_log: Option<String>,
    /// Where `cupctl` and metrics reach Cloud Cup.
    pub admin: Option<Admin>,
    /// Groups of backends that routes share, by name.
    #[schemars(extend("propertyNames" = {"pattern": NAME_PATTERN}))]
    pub upstreams: Option<BTreeMap<String, Option<Upstream>>>,
    /// Plugins by name. A route may also attach a plugin that is shipped with Cloud Cup and not listed here.
    #[schemars(extend("propertyNames" = {"pattern": NAME_PATTERN}))]
    pub plugins: Option<BTreeMap<String, Option<Plugin>>>,
    /// Keys that tokens are verified with, by name, for plugins with the permission `jwt`.
    #[schemars(extend("propertyNames" = {"pattern": NAME_PATTERN}))]
    pub key_sets: Option<BTreeMap<String, Option<KeySet>>>,
    /// Secrets by name, usually `$env:NAME` or `$file:PATH`, for plugins that name them in their `secrets`.
    #[schemars(extend("propertyNames" = {"pattern": NAME_PATTERN}))]
    pub secrets: Option<BTreeMap<String, Option<String>>>,
    /// Where compiled plugins are kept, so that the next start is quick: the path of a folder that belongs to this user
    /// alone and is made when it is missing, or `off`. Default: `cloud-cup/plugins` in `$XDG_CACHE_HOME` or `~/.cache`.
    #[schemars(length(min = 1))]
    pub plugin_cache: Option<String>,
    /// Who is asked for the addresses of backends that are named.
    pub dns: Option<Dns>,
    /// The zone that this gateway runs in. Backends of the same `zone` are preferred. Default: none.
    #[schemars(length(min = 1, max = 64))]
    pub zone: Option<String>,
    /// Who leads when the document's file and the running gateway differ. `file`: the file is served as it changes, and what
    /// `cupctl` applies is written to it. `api`: the file is for the first start only; what was applied last is served, also
    /// after a restart. Default: `file`.
    #[schemars(extend("default" = "file"))]
    pub source: Option<Leader>,
    /// Where the last 100 revisions are kept: the path of a folder that belongs to this user alone and is made when it is
    /// missing, or `off`. Read at the start. Default: a folder for this document below `$STATE_DIRECTORY`,
    /// `$XDG_STATE_HOME/cloud-cup`, `/var/lib/cloud-cup` (root) or `~/.local/state/cloud-cup`.
    #[schemars(length(min = 1))]
    pub history: Option<String>,
    /// Routes by pattern: `[METHOD[,METHOD] ][host]/path`, for example `/game/*`, `/users/{id}`, `GET
    /// api.example.com/v1/*`, `*.example.com/*`. `/game/*` matches `/game` and everything below it, `*` alone matches
    /// everything. The most specific pattern that matches a request gets it: host before path, exact before parameter
    /// before wildcard, with a method before without.
    #[schemars(required)]
    pub routes: Option<BTreeMap<String, Option<Route>>>,
}

/// Who is asked for the addresses of backends that are named. All addresses of a name are backends of their own. They are
/// looked up again when their time to live ends; while that fails, those that are known stay.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Dns {
    /// The servers, each an IP address, with a port if it is not 53. Default: those of the system (`/etc/resolv.conf`).
    #[schemars(length(min = 1))]
    pub servers: Option<Vec<Option<String>>>,
    /// How long a server may take for an answer, `100ms` to `1m`. Default: `5s`.
    #[schemars(extend("default" = "5s"))]
    pub timeout: Option<DurationText>,
}

/// Who leads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Leader {
    /// The document's file.
    #[default]
    File,
    /// What was applied last.
    Api,
}

/// What holds for all routes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Http {
    /// The strategy of routes and upstreams that name none. Default: `round-robin`.
    #[schemars(extend("default" = "round-robin"))]
    pub strategy: Option<Strategy>,
    /// What clients see instead of errors, where a rule does not say otherwise, and where no rule was found.
    pub error_pages: Option<ErrorPages>,
    /// Plugins that see the requests of every route, before the route's own. A route switches one off by attaching it with
    /// `"enabled": false`.
    pub plugins: Option<Vec<Option<Attachment>>>,
    /// Compresses the responses of all rules; a rule switches it off by `"compress": {"enabled": false}`. Default: none.
    pub compress: Option<Compress>,
}

/// How long to wait.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Timeouts {
    /// From the first byte of a request to the end of its head, and from the opening of a connection to its first byte.
    /// Default: `10s`.
    #[schemars(extend("default" = "10s"))]
    pub client_head: Option<DurationText>,
    /// Between two reads of a request's body, and between two writes of a response to the client. Default: `30s`.
    #[schemars(extend("default" = "30s"))]
    pub client_idle: Option<DurationText>,
    /// How long a client's connection is kept between two requests. Default: `75s`.
    #[schemars(extend("default" = "75s"))]
    pub keep_alive: Option<DurationText>,
    /// From the end of a request's head to the end of its response. Default: none.
    pub request: Option<DurationText>,
    /// For a connection to a backend to open. Default: `5s`.
    #[schemars(extend("default" = "5s"))]
    pub connect: Option<DurationText>,
    /// For a TLS handshake with a backend. Default: `5s`.
    #[schemars(extend("default" = "5s"))]
    pub tls: Option<DurationText>,
    /// For one of an upstream's connections to become free where it has as many as it may (`limits`). Default: `1s`.
    #[schemars(extend("default" = "1s"))]
    pub queue: Option<DurationText>,
    /// For the head of a backend's response, and between two reads of its body. Default: `60s`.
    #[schemars(extend("default" = "60s"))]
    pub backend_idle: Option<DurationText>,
    /// How long an unused connection to a backend is kept. Default: `60s`.
    #[schemars(extend("default" = "60s"))]
    pub backend_keep_alive: Option<DurationText>,
    /// How long a WebSocket, or another protocol that a connection was changed to, may be silent both ways. Default: `1h`.
    #[schemars(extend("default" = "1h"))]
    pub tunnel_idle: Option<DurationText>,
    /// How long such a one may last. Default: as long as it likes.
    pub tunnel: Option<DurationText>,
    /// How long requests in flight may take after Cloud Cup was told to stop or their listener was removed. Default:
    /// `30s`.
    #[schemars(extend("default" = "30s"))]
    pub drain: Option<DurationText>,
}

/// How much to accept.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    /// The head of a client's request and of a backend's response, `1KiB` to `1MiB`. Default: `32KiB`.
    #[schemars(extend("default" = "32KiB"))]
    pub head_size: Option<SizeText>,
    /// Header fields of one head, 1 to 1000. Default: 100.
    #[schemars(range(min = 1, max = 1000), extend("default" = 100))]
    pub header_count: Option<u32>,
    /// Unused connections that each worker keeps to each backend, 0 to 10000. Default: 64.
    #[schemars(range(min = 0, max = 10_000), extend("default" = 64))]
    pub pool_idle: Option<u32>,
    /// The body of a client's request. Default: unlimited.
    pub request_body: Option<SizeText>,
    /// Clients' connections of each worker, 1 to 1000000. Default: 10000.
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = 10_000))]
    pub connections: Option<u32>,
    /// Concurrent requests on one HTTP/2 connection, 1 to 10000. Default: 100.
    #[schemars(range(min = 1, max = 10_000), extend("default" = 100))]
    pub h2_streams: Option<u32>,
    /// How much of a request's body a client may send ahead over HTTP/2, `64KiB` to `1GiB`. Default: `256KiB`.
    #[schemars(extend("default" = "256KiB"))]
    pub h2_stream_window: Option<SizeText>,
    /// The same for all requests of a connection together, `64KiB` to `1GiB`: this much memory is what a connection can
    /// take up with bodies that wait for their backends. Default: `1MiB`.
    #[schemars(extend("default" = "1MiB"))]
    pub h2_connection_window: Option<SizeText>,
    /// The payload of one HTTP/2 frame from a client, `16KiB` to `1MiB`. Default: `16KiB`.
    #[schemars(extend("default" = "16KiB"))]
    pub h2_frame_size: Option<SizeText>,
}

/// Where `cupctl` and metrics reach Cloud Cup.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Admin {
    /// An address and port for metrics and a page for people over HTTP. Without the `token` it is for looking only.
    /// Default: none.
    pub listen: Option<String>,
    /// Whoever sends it to `listen`, as `Authorization: Bearer TOKEN`, may do there all that `cupctl` may. At least 16
    /// characters of ASCII without spaces, usually `$env:NAME` or `$file:PATH`. Default: none, and nobody may.
    #[schemars(extend("pattern" = r"^([!-~]{16,}|\$(env|file):.+)$"))]
    pub token: Option<String>,
    /// Makes `listen` an address for TLS. With `client_certificates`, whoever shows one that is good may do there all that
    /// `cupctl` may.
    pub tls: Option<Tls>,
    /// The path of the socket for `cupctl`. Default: `cloud-cup.sock` in `$XDG_RUNTIME_DIR`, in `/run` or in the folder
    /// for temporary files, whichever is there first.
    #[schemars(length(min = 1))]
    pub socket: Option<String>,
}

/// A duration. Its syntax is for [`parse_duration`](crate::base::units::parse_duration) to judge, in better words than a
/// pattern's.
#[derive(Debug, Deserialize)]
pub(super) struct DurationText(pub String);

impl JsonSchema for DurationText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": r"^([0-9]+(ms|s|m|h)|\$(env|file):.+)$", "examples": ["10s", "250ms", "2m", "1h"] })
    }
}

/// A size. Its syntax is for [`ByteSize`](crate::base::units::ByteSize) to judge.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum SizeText {
    Bytes(Number),
    Text(String),
}

impl JsonSchema for SizeText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["integer", "string"],
            "examples": ["64KiB", "10MB", 4096],
            "minimum": 0,
            "pattern": r"^([0-9]+([KMG]i?B|B)?|\$(env|file):.+)$",
        })
    }
}
