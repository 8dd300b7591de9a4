//! What goes wrong between here and another server.

use std::error::Error;

/// Why there is no response; the names are those of the WIT variant `http-error`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// The host is not granted, or its address is private and that is not granted.
    #[error("denied: {0}")]
    Denied(String),
    /// The request is malformed.
    #[error("invalid request: {0}")]
    Invalid(String),
    /// It took longer than it may.
    #[error("the request timed out")]
    Timeout,
    /// No connection: name resolution, TCP or TLS.
    #[error("no connection: {0}")]
    Connect(String),
    /// The body or the header of the response is larger than granted.
    #[error("the response is too large")]
    TooLarge,
    /// As many requests as are granted are under way.
    #[error("too many requests are under way")]
    Busy,
    /// The connection broke, or what came was not HTTP.
    #[error("the exchange failed: {0}")]
    Failed(String),
}

/// The HTTP client could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up an HTTP client: {}", innermost(.0))]
pub struct OutboundError(#[from] reqwest::Error);

/// Every address of a host is private and not granted.
#[derive(Debug, thiserror::Error)]
#[error("the address of `{host}` is private, and not granted")]
pub(super) struct Forbidden {
    pub(super) host: String,
}

pub(super) fn classify(error: reqwest::Error) -> HttpError {
    let forbidden = causes(&error).find_map(|cause| cause.downcast_ref::<Forbidden>());
    if let Some(forbidden) = forbidden {
        return HttpError::Denied(forbidden.to_string());
    }
    let text = innermost(&error);
    match error {
        _ if error.is_timeout() => HttpError::Timeout,
        _ if error.is_connect() => HttpError::Connect(text),
        _ if error.is_builder() => HttpError::Invalid(text),
        _ => HttpError::Failed(text),
    }
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// The layers above say less, and the outermost has the URL, which may carry a secret.
fn innermost(error: &reqwest::Error) -> String {
    causes(error).last().map_or_else(String::new, ToString::to_string)
}
