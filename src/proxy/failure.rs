//! Everything that can go wrong with a request, and the one function that makes a response of it.

use bytes::Bytes;
use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::action::RewriteError;
use crate::message::http1::HeadError;
use crate::message::{Body, BodyError, ResponseHead};
use crate::plugin::FaultKind;

/// Why the gateway answered by itself. The code of each is stable: it stands in the body, in the access log and in
/// the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The head could not be parsed.
    Head(HeadError),
    /// The client was too slow with its head.
    HeadTimeout,
    /// The path is not safe to route by.
    BadPath,
    /// `host` and the target's authority disagree, or one of them is malformed.
    BadAuthority,
    /// The client does not speak TLS where it is spoken.
    Cleartext,
    /// The connection is for another host.
    Misdirected,
    /// The request is to be made again over https.
    HttpsRedirect(StatusCode),
    /// CONNECT, which no route allows.
    Connect,
    /// The route takes no such request in early data.
    TooEarly,
    /// No route matches.
    NoRoute,
    /// A route matches but for the method.
    MethodNotAllowed,
    /// The request's body is malformed.
    BadBody,
    /// The request's body is larger than allowed.
    BodyTooLarge,
    /// The client was too slow with its body.
    BodyTimeout,
    /// The client went away.
    ClientClosed,
    /// A plugin failed.
    Plugin(FaultKind),
    /// The document has some requests of this rule fail.
    FaultInjected(StatusCode),
    /// What the document makes of the path or the host is none.
    BadRewrite,
    /// Every backend is ejected.
    NoHealthyBackend,
    /// The backends have as much to do as they may.
    Overflow,
    /// No connection to a backend could be made.
    ConnectFailed,
    /// No connection to a backend was made in time.
    ConnectTimeout,
    /// No TLS session with a backend came about.
    BackendTlsFailed,
    /// No TLS session with a backend came about in time.
    BackendTlsTimeout,
    /// No connection to the backends became free in time.
    QueueTimeout,
    /// The route has as many requests as it may.
    RouteOverflow,
    /// One attempt took too long, and there was no further one.
    PerTryTimeout,
    /// All attempts together took too long.
    RequestTimeout,
    /// The backend closed the connection before it answered.
    BackendClosed,
    /// The backend did not answer in time.
    BackendTimeout,
    /// The client's own deadline passed.
    Deadline,
    /// The backend's response is not HTTP/1.1.
    BackendInvalid,
}

/// A request that the gateway answers by itself.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Why.
    pub reason: Reason,
    /// What a person reads.
    pub message: String,
    /// A field of the response: the methods that the route has, for a 405, or where to go.
    pub field: Option<Box<(HeaderName, HeaderValue)>>,
}

impl Reason {
    /// Those that a request can meet behind its request hooks, other plugins' faults aside: what response and finish
    /// hooks are told of.
    pub const BEHIND_HOOKS: [Self; 20] = [
        Self::BadBody,
        Self::BodyTooLarge,
        Self::BodyTimeout,
        Self::ClientClosed,
        Self::BadRewrite,
        Self::FaultInjected(StatusCode::SERVICE_UNAVAILABLE),
        Self::NoHealthyBackend,
        Self::Overflow,
        Self::RouteOverflow,
        Self::QueueTimeout,
        Self::BackendTlsTimeout,
        Self::PerTryTimeout,
        Self::RequestTimeout,
        Self::ConnectFailed,
        Self::ConnectTimeout,
        Self::BackendTlsFailed,
        Self::BackendClosed,
        Self::BackendTimeout,
        Self::Deadline,
        Self::BackendInvalid,
    ];

    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Head(HeadError::Malformed(_)) => "malformed-request",
            Self::Head(HeadError::TooLarge) => "head-too-large",
            Self::Head(HeadError::TooManyFields) => "too-many-fields",
            Self::Head(HeadError::Version) => "unsupported-version",
            Self::Head(HeadError::TransferCoding) => "unsupported-transfer-coding",
            Self::Head(HeadError::Expectation) => "unsupported-expectation",
            Self::HeadTimeout => "head-timeout",
            Self::BadPath => "bad-path",
            Self::BadAuthority => "bad-authority",
            Self::Cleartext => "plain-http-on-tls-port",
            Self::Misdirected => "misdirected-request",
            Self::HttpsRedirect(_) => "https-redirect",
            Self::Connect => "connect-refused",
            Self::TooEarly => "too-early",
            Self::NoRoute => "no-route",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::BadBody => "malformed-body",
            Self::BodyTooLarge => "body-too-large",
            Self::BodyTimeout => "body-timeout",
            Self::ClientClosed => "client-closed",
            Self::Plugin(kind) => kind.code(),
            Self::FaultInjected(_) => "fault-injected",
            Self::BadRewrite => "bad-rewrite",
            Self::NoHealthyBackend => "no-healthy-backend",
            Self::Overflow => "upstream-overflow",
            Self::RouteOverflow => "route-overflow",
            Self::QueueTimeout => "queue-timeout",
            Self::BackendTlsTimeout => "backend-tls-timeout",
            Self::PerTryTimeout => "per-try-timeout",
            Self::RequestTimeout => "request-timeout",
            Self::ConnectFailed => "backend-connect-failed",
            Self::ConnectTimeout => "backend-connect-timeout",
            Self::BackendTlsFailed => "backend-tls-failed",
            Self::BackendClosed => "backend-closed",
            Self::BackendTimeout => "backend-timeout",
            Self::Deadline => "deadline-exceeded",
            Self::BackendInvalid => "backend-invalid-response",
        }
    }

    /// The status. 499 is what nginx made of a client that left, and only ever stands in the access log.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Head(error) => error.status(),
            Self::BadPath | Self::BadAuthority | Self::BadBody | Self::Cleartext => StatusCode::BAD_REQUEST,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::HttpsRedirect(status) | Self::FaultInjected(status) => status,
            Self::HeadTimeout | Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Connect => StatusCode::NOT_IMPLEMENTED,
            Self::TooEarly => StatusCode::TOO_EARLY,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ClientClosed => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
            Self::Plugin(kind) if kind.is_temporary() => StatusCode::SERVICE_UNAVAILABLE,
            Self::Plugin(_) | Self::BadRewrite => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NoHealthyBackend | Self::Overflow | Self::RouteOverflow | Self::QueueTimeout => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::ConnectFailed | Self::BackendTlsFailed | Self::BackendClosed | Self::BackendInvalid => {
                StatusCode::BAD_GATEWAY
            }
            Self::ConnectTimeout
            | Self::BackendTlsTimeout
            | Self::PerTryTimeout
            | Self::RequestTimeout
            | Self::BackendTimeout
            | Self::Deadline => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// Whether the client's connection can go on. What a client sends after a broken message has no reading.
    pub fn breaks_connection(self) -> bool {
        matches!(
            self,
            Self::Head(_)
                | Self::HeadTimeout
                | Self::Cleartext
                | Self::BadBody
                | Self::BodyTooLarge
                | Self::BodyTimeout
        )
    }
}

impl Failure {
    /// A failure with its message.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), field: None }
    }

    /// The response: a JSON object with the code and the message.
    pub fn response(&self) -> (ResponseHead, Body) {
        let body = serde_json::json!({ "code": self.reason.code(), "message": self.message });
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some((name, value)) = self.field.as_deref() {
            headers.insert(name, value.clone());
        }
        if self.reason.status() == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        let mut head = ResponseHead { status: self.reason.status(), headers, lines: None };
        head.date();
        (head, Body::Full(Bytes::from(format!("{body}\n"))))
    }
}

impl From<HeadError> for Failure {
    fn from(error: HeadError) -> Self {
        Self::new(Reason::Head(error), error.to_string())
    }
}

/// A body that failed on its way from the client.
impl From<BodyError> for Failure {
    fn from(error: BodyError) -> Self {
        let reason = match error {
            BodyError::Malformed(_) => Reason::BadBody,
            BodyError::Idle | BodyError::Late => Reason::BodyTimeout,
            BodyError::TooLarge => Reason::BodyTooLarge,
            BodyError::Closed | BodyError::Io(_) | BodyError::Stream(_) | BodyError::Request(_) => {
                Reason::ClientClosed
            }
        };
        Self::new(reason, error.to_string())
    }
}

impl From<RewriteError> for Failure {
    fn from(error: RewriteError) -> Self {
        let reason = match error {
            RewriteError::NoHost => Reason::BadAuthority,
            _ => Reason::BadRewrite,
        };
        Self::new(reason, error.to_string())
    }
}

impl From<FaultKind> for Failure {
    fn from(kind: FaultKind) -> Self {
        Self::new(Reason::Plugin(kind), "a plugin of this route failed")
    }
}
