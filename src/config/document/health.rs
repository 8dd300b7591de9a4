//! How it is found out which backends are fit to be asked.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::DurationText;

/// Asks each backend regularly whether it is fit.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct HealthCheck {
    /// What is asked. Default: `http`.
    #[serde(rename = "type")]
    #[schemars(extend("default" = "http"))]
    pub kind: Option<HealthCheckType>,
    /// The path, with a query where there is one, of `http`. Default: `/`.
    #[schemars(extend("pattern" = "^/", "default" = "/"))]
    pub path: Option<String>,
    /// The `Host` of `http`. Default: the backend's own.
    #[schemars(length(min = 1))]
    pub host: Option<String>,
    /// Further header fields of `http`.
    pub headers: Option<BTreeMap<String, Option<String>>>,
    /// The statuses of `http` that are healthy, each a status or a range like `200-299`. Default: `["200-299"]`.
    #[schemars(length(min = 1), extend("default" = ["200-299"]))]
    pub statuses: Option<Vec<Option<String>>>,
    /// What the first 4096 bytes of the body of `http` have in them. Default: anything.
    #[schemars(length(min = 1, max = 1024))]
    pub body: Option<String>,
    /// The service of `grpc`, of which `grpc.health.v1.Health` is asked. Default: the backend as a whole.
    #[schemars(length(max = 127))]
    pub service: Option<String>,
    /// The time between two checks of a backend, `100ms` to `1h`, of which up to a tenth is left to chance. Default: `10s`.
    #[schemars(extend("default" = "10s"))]
    pub interval: Option<DurationText>,
    /// How long a check may take, `10ms` to `5m`. Default: `2s`.
    #[schemars(extend("default" = "2s"))]
    pub timeout: Option<DurationText>,
    /// Good checks in a row that bring a backend in, 1 to 100. Default: 2.
    #[schemars(range(min = 1, max = 100), extend("default" = 2))]
    pub healthy_threshold: Option<u32>,
    /// Bad checks in a row that take it out, 1 to 100. Default: 3.
    #[schemars(range(min = 1, max = 100), extend("default" = 3))]
    pub unhealthy_threshold: Option<u32>,
    /// What a backend is taken for before its first check. That decides alone, whichever way it ends. Default: `healthy`.
    #[schemars(extend("default" = "healthy"))]
    pub initially: Option<AssumedHealth>,
}

/// What a health check asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum HealthCheckType {
    /// GET over HTTP/1.1 or, where the backends speak nothing else, HTTP/2.
    #[default]
    Http,
    /// The gRPC health checking protocol. The backends speak `h2` or `h2c`.
    Grpc,
    /// Whether a connection opens; to backends of `h3`, whether a QUIC handshake succeeds.
    Tcp,
}

/// What a backend is taken for that was not asked yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum AssumedHealth {
    /// It gets requests.
    #[default]
    Healthy,
    /// It gets none.
    Unhealthy,
}

/// Takes backends out by what they answer. The parameters and their defaults are Envoy's; `max_failure` of a backend is the
/// short form.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct OutlierDetection {
    /// Responses of 500 to 599, and failures to get one, in a row; 0 is never. Default: 5.
    #[schemars(range(min = 0, max = 100_000), extend("default" = 5))]
    pub consecutive_5xx: Option<u32>,
    /// Responses of 502, 503 and 504, and failures to get one, in a row; 0 is never. Default: 5.
    #[schemars(range(min = 0, max = 100_000), extend("default" = 5))]
    pub consecutive_gateway_failures: Option<u32>,
    /// How often `success_rate` and `failure_percentage` are looked at, and ejections that are over, `100ms` to `1h`. Default:
    /// `10s`.
    #[schemars(extend("default" = "10s"))]
    pub interval: Option<DurationText>,
    /// How long the first ejection lasts; each further one lasts so much longer. Default: `30s`.
    #[schemars(extend("default" = "30s"))]
    pub base_ejection_time: Option<DurationText>,
    /// The longest ejection. Default: `5m`.
    #[schemars(extend("default" = "5m"))]
    pub max_ejection_time: Option<DurationText>,
    /// The share of the backends that may be out at one time, in per cent; one may be in any case, unless this is 0. Default:
    /// 10.
    #[schemars(range(min = 0, max = 100), extend("default" = 10))]
    pub max_ejection_percent: Option<u32>,
    /// Takes out backends that fail far more often than the others. Default: with the defaults of its fields.
    pub success_rate: Option<SuccessRate>,
    /// Takes out backends that fail too often, whatever the others do. Default: off.
    pub failure_percentage: Option<FailurePercentage>,
}

/// Backends are compared with each other.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct SuccessRate {
    /// Whether they are. Default: true.
    #[schemars(extend("default" = true))]
    pub enabled: Option<bool>,
    /// Backends with enough requests that it takes, 1 to 100000. Default: 5.
    #[schemars(range(min = 1, max = 100_000), extend("default" = 5))]
    pub minimum_hosts: Option<u32>,
    /// Requests in an interval that make a backend count, 1 to 100000000. Default: 100.
    #[schemars(range(min = 1, max = 100_000_000), extend("default" = 100))]
    pub request_volume: Option<u32>,
    /// By how many thousandths of the standard deviation below the mean a backend is out, 1 to 10000. Default: 1900.
    #[schemars(range(min = 1, max = 10_000), extend("default" = 1900))]
    pub stdev_factor: Option<u32>,
}

/// Backends are held to a share of failures.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct FailurePercentage {
    /// The share in per cent, 1 to 100. Default: 85.
    #[schemars(range(min = 1, max = 100), extend("default" = 85))]
    pub threshold: Option<u32>,
    /// Backends with enough requests that it takes, 1 to 100000. Default: 5.
    #[schemars(range(min = 1, max = 100_000), extend("default" = 5))]
    pub minimum_hosts: Option<u32>,
    /// Requests in an interval that make a backend count, 1 to 100000000. Default: 50.
    #[schemars(range(min = 1, max = 100_000_000), extend("default" = 50))]
    pub request_volume: Option<u32>,
}
