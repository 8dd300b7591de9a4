//! Groups of backends, and how they are spoken to.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Affinity, DurationText, HashKey, HealthCheck, OutlierDetection, Strategy, UpstreamLimits};

/// A group of backends.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Upstream {
    /// The backends.
    #[schemars(required, length(min = 1))]
    pub backends: Option<Vec<Option<Backend>>>,
    /// How one of the backends is chosen. Default: the `strategy` of `http`.
    pub strategy: Option<Strategy>,
    /// What the backends speak. Default: `auto`.
    #[schemars(extend("default" = "auto"))]
    pub protocol: Option<UpstreamProtocol>,
    /// Speaks to the backends over TLS.
    pub tls: Option<UpstreamTls>,
    /// The `Host` that the backends are sent: `client` for the one that the client asked for, `backend` for the backend's
    /// own, or a host. Default: `client`.
    #[schemars(length(min = 1), extend("default" = "client"))]
    pub host: Option<String>,
    /// Tells the backends at the beginning of each connection whose it is, by the PROXY protocol. Connections then serve
    /// one request each, in HTTP/1.1.
    pub proxy_protocol: Option<ProxyVersion>,
    /// Concurrent requests on one HTTP/2 or HTTP/3 connection, 1 to 10000; a backend may allow fewer. Default: 100.
    #[schemars(range(min = 1, max = 10_000), extend("default" = 100))]
    pub streams: Option<u32>,
    /// How often an HTTP/2 or HTTP/3 connection is tried by a ping; one that is not answered within 10 seconds (HTTP/3: 30
    /// seconds) closes it. Default: never.
    pub ping: Option<DurationText>,
    /// The age at which a connection takes no more requests. Default: none.
    pub connection_age: Option<DurationText>,
    /// Brings an ejected backend back when this service says by the gRPC health checking protocol that it is serving; an
    /// empty name is the backend as a whole. The backends speak `h2` or `h2c`. Default: when a connection to it opens.
    #[schemars(length(max = 127))]
    pub grpc_probe: Option<String>,
    /// What of a request `maglev` and `ring-hash` go by. Default: the client's IP address.
    pub hash_key: Option<HashKey>,
    /// Sends a client back to the backend that it had.
    pub affinity: Option<Affinity>,
    /// How long a backend that is new or back takes to get its full share, growing from a tenth, `1s` to `1h`. Backends that
    /// are new at the same time share evenly from the first. Default: none.
    pub slow_start: Option<DurationText>,
    /// When fewer than this share of the backends is healthy, in per cent, all of them are asked: if most of them look bad, it
    /// may be the looking. Default: 0, which is never.
    #[schemars(range(min = 0, max = 100), extend("default" = 0))]
    pub panic_threshold: Option<u32>,
    /// Asks each backend regularly whether it is fit. Default: no.
    pub health_check: Option<HealthCheck>,
    /// Takes backends out by what they answer. Default: by `max_failure` of each.
    pub outlier_detection: Option<OutlierDetection>,
    /// How much the backends take together.
    pub limits: Option<UpstreamLimits>,
}

/// A server that requests are sent to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Backend {
    /// The host, a name or an IP address, and the port: `127.0.0.1:8081`, `[::1]:8081`, `game.internal:80`. Or a socket of
    /// this machine: `unix:/run/game.sock`. Or a service of which DNS knows the servers (SRV): `srv:_game._tcp.internal`.
    #[schemars(required)]
    pub host: Option<String>,
    /// How many failures in a row take the backend out, 1 to 1000; a probe that succeeds brings it back. Default: 5.
    #[schemars(range(min = 1, max = 1000), extend("default" = 5))]
    pub max_failure: Option<u32>,
    /// How many requests the backend gets for each one that a backend of weight 1 gets, 1 to 256. Default: 1.
    #[schemars(range(min = 1, max = 256), extend("default" = 1))]
    pub weight: Option<u32>,
    /// Backends of a lower number come first, 0 to 15. Of the next number are asked as many requests as those cannot take:
    /// none while at least 5 of 7 of them are healthy. Default: 0.
    #[schemars(range(min = 0, max = 15), extend("default" = 0))]
    pub priority: Option<u32>,
    /// The zone that it stands in. Those in the `zone` of the document come before others of the same priority, by the same
    /// rule. Default: none.
    #[schemars(length(min = 1, max = 64))]
    pub zone: Option<String>,
}

/// What backends speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum UpstreamProtocol {
    /// HTTP/2 or HTTP/1.1 as is agreed on in the handshake; HTTP/1.1 without `tls`.
    #[default]
    Auto,
    /// HTTP/1.1.
    H1,
    /// HTTP/2 over TLS.
    H2,
    /// HTTP/2 without TLS, by prior knowledge.
    H2c,
    /// HTTP/3. Requests for another protocol, such as `websocket`, go to the same port over TCP, in HTTP/1.1 over TLS.
    H3,
}

/// A version of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(in crate::config) enum ProxyVersion {
    /// The binary one.
    V2,
}

/// TLS to backends. Files are read again when they change.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct UpstreamTls {
    /// The name that is asked for (SNI) and that the backend's certificate must be for. Default: the backend's host.
    #[schemars(length(min = 1))]
    pub server_name: Option<String>,
    /// The path of a PEM file with the certificates of the authorities that vouch for the backends. Default: those that
    /// this machine trusts.
    #[schemars(length(min = 1))]
    pub ca: Option<String>,
    /// Whether the certificates of backends are verified. Without, whoever comes between reads and changes everything.
    /// Default: true.
    #[schemars(extend("default" = true))]
    pub verify: Option<bool>,
    /// The path of the certificate chain that is shown to backends that ask for one.
    #[schemars(length(min = 1))]
    pub certificate: Option<String>,
    /// The path of its private key.
    #[schemars(length(min = 1))]
    pub key: Option<String>,
}
