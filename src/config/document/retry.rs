//! What happens when a backend does not answer as it should, or not in time.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{DurationText, SizeText};

/// Asks another backend, or the same one again where there is no other, after a failure. A response of which a byte has gone
/// to the client is never asked for again. A request of which nothing was looked at, since no connection came about or the
/// backend refused the stream, goes to the other backends in any case, and is no retry. Without `retry` so does one of an
/// idempotent method, of whose body nothing was sent, when the connection ends before an answer.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Retry {
    /// After what. Default: `["connect-failure", "refused-stream", "reset"]`.
    #[schemars(extend("default" = ["connect-failure", "refused-stream", "reset"]))]
    pub on: Option<Vec<Option<RetryOn>>>,
    /// Also after responses with these statuses, 400 to 599.
    pub statuses: Option<Vec<Option<RetriedStatus>>>,
    /// Also after responses with one of these header fields.
    pub headers: Option<Vec<Option<String>>>,
    /// Retries, beyond the first attempt, 1 to 10. Default: 2.
    #[schemars(range(min = 1, max = 10), extend("default" = 2))]
    pub attempts: Option<u32>,
    /// How long each attempt may take until the head of its response. Default: no longer than all of them.
    pub per_try_timeout: Option<DurationText>,
    /// The wait before a retry.
    pub backoff: Option<RetryBackoff>,
    /// The largest body of a request that is kept to be sent again, `0B` to `16MiB`. One that turns out to be larger is sent
    /// once. Default: `64KiB`.
    #[schemars(extend("default" = "64KiB"))]
    pub body: Option<SizeText>,
    /// Whether requests whose methods are not idempotent (POST, PATCH) are asked again too: backends may do twice what they
    /// were asked for once. Default: false.
    #[schemars(extend("default" = false))]
    pub non_idempotent: Option<bool>,
    /// Asks a second backend too when the first has not answered for so long, and takes the answer that comes first
    /// (hedging). For requests that may be asked again, with a body that is there at once or none. Default: never.
    pub hedge_after: Option<DurationText>,
}

/// After what a request is asked again. Names and meanings are Envoy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum RetryOn {
    /// No connection came about.
    ConnectFailure,
    /// The backend refused the stream, so that it has seen nothing of the request.
    RefusedStream,
    /// The connection or stream ended before a response, or `per_try_timeout` passed.
    Reset,
    /// A status of 500 to 599, or no response: any of the failures above, one that is malformed, or `backend_idle` passed.
    #[serde(rename = "5xx")]
    ServerError,
    /// The statuses 502, 503 and 504, or no response, as with `5xx`.
    GatewayError,
    /// The status 409.
    #[serde(rename = "retriable-4xx")]
    Retriable4xx,
    /// The gRPC status 1, in the head of a response.
    Cancelled,
    /// The gRPC status 4, in the head of a response.
    DeadlineExceeded,
    /// The gRPC status 13, in the head of a response.
    Internal,
    /// The gRPC status 8, in the head of a response.
    ResourceExhausted,
    /// The gRPC status 14, in the head of a response.
    Unavailable,
}

/// A status.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[schemars(inline)]
pub(in crate::config) struct RetriedStatus(#[schemars(range(min = 400, max = 599))] pub u16);

/// The wait before a retry: anything up to `base`, which doubles with each further retry, up to `max`. A backend that asks
/// for a longer one (`Retry-After`) gets it, unless that is more than `max`: then the client gets the response.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RetryBackoff {
    /// `1ms` to `1m`. Default: `25ms`.
    #[schemars(extend("default" = "25ms"))]
    pub base: Option<DurationText>,
    /// `1ms` to `5m`. Default: `250ms`.
    #[schemars(extend("default" = "250ms"))]
    pub max: Option<DurationText>,
}

/// How long the requests of a rule may take. What is not said here is as in the document's `timeouts`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RuleTimeouts {
    /// From the end of a request's head to the end of its response, retries included.
    pub request: Option<DurationText>,
    /// For a connection to a backend to open.
    pub connect: Option<DurationText>,
    /// For a TLS handshake with a backend.
    pub tls: Option<DurationText>,
    /// For one of the upstream's connections to become free.
    pub queue: Option<DurationText>,
    /// For the head of a backend's response, and between two reads of its body.
    pub backend_idle: Option<DurationText>,
    /// How long a WebSocket, or another protocol that a connection was changed to, may last.
    pub tunnel: Option<DurationText>,
}
