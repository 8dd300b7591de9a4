//! Requests to other servers. Permission: `http`, with the hosts that are granted.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use cloud_cup_plugin::http::Request;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let response = Request::new("POST", "https://auth.example.com/introspect")
//!     .header("content-type", "application/x-www-form-urlencoded")
//!     .body("token=abc")
//!     .timeout(Duration::from_millis(500))
//!     .send()?;
//! println!("{} {} bytes", response.status, response.body.len());
//! # Ok(())
//! # }
//! ```

use std::{fmt, time::Duration};

pub use crate::bindings::cloudcup::filter::http::Response;
use crate::{bindings::cloudcup::filter::http as host, nanoseconds};

/// A request that is being put together.
#[derive(Clone, Debug)]
#[must_use = "a request goes nowhere before `send`"]
pub struct Request(host::Request);

/// Why there is no response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpError {
    /// The host is not granted, or its address is private and that is not granted.
    Denied(String),
    /// The request is malformed.
    Invalid(String),
    /// It took longer than it may.
    Timeout,
    /// No connection: name resolution, TCP or TLS.
    Connect(String),
    /// The response is larger than granted.
    TooLarge,
    /// As many requests as are granted are under way.
    Busy,
    /// The connection broke, or what came was not HTTP.
    Failed(String),
}

impl Request {
    /// A request without fields or body, with as much time as the document grants. `url` begins with `http` or `https`.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self(host::Request {
            method: method.into(),
            url: url.into(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout: None,
        })
    }

    /// A GET request.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    /// Adds a field. A name may stand more than once.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.0.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.0.body = body.into();
        self
    }

    /// Waits no longer than this, and no longer than the document grants.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.0.timeout = Some(nanoseconds(timeout));
        self
    }

    /// Sends it and waits for the whole response. Redirects are not followed. Others are served meanwhile, and the wait
    /// does not count toward the plugin's `time` limit.
    ///
    /// # Errors
    ///
    /// See [`HttpError`]. A response with an error status is a response.
    pub fn send(&self) -> Result<Response, HttpError> {
        Ok(host::send(&self.0)?)
    }
}

impl Response {
    /// The first value of a field as text. None where the field is missing or is not UTF-8.
    #[must_use]
    pub fn header_str(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok()
    }
}

impl From<host::HttpError> for HttpError {
    fn from(error: host::HttpError) -> Self {
        match error {
            host::HttpError::Denied(why) => Self::Denied(why),
            host::HttpError::Invalid(why) => Self::Invalid(why),
            host::HttpError::Timeout => Self::Timeout,
            host::HttpError::Connect(why) => Self::Connect(why),
            host::HttpError::TooLarge => Self::TooLarge,
            host::HttpError::Busy => Self::Busy,
            host::HttpError::Failed(why) => Self::Failed(why),
        }
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(why) => write!(formatter, "not granted: {why}"),
            Self::Invalid(why) => write!(formatter, "not a valid request: {why}"),
            Self::Timeout => formatter.write_str("no response in time"),
            Self::Connect(why) => write!(formatter, "no connection: {why}"),
            Self::TooLarge => formatter.write_str("the response is larger than granted"),
            Self::Busy => formatter.write_str("as many requests as are granted are under way"),
            Self::Failed(why) => write!(formatter, "no response: {why}"),
        }
    }
}

impl std::error::Error for HttpError {}
