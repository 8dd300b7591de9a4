//! What Rust adds to the heads of the contract.

use std::time::Duration;

use crate::{Outcome, Reply, RequestHead, ResponseHead, Verdict};

impl RequestHead {
    /// The first value of a field as text. None where the field is missing or is not UTF-8.
    #[must_use]
    pub fn header_str(&self, name: &str) -> Option<String> {
        text(self.header(name)?)
    }
}

impl ResponseHead {
    /// The first value of a field as text. None where the field is missing or is not UTF-8.
    #[must_use]
    pub fn header_str(&self, name: &str) -> Option<String> {
        text(self.header(name)?)
    }
}

fn text(value: Vec<u8>) -> Option<String> {
    String::from_utf8(value).ok()
}

/// ```
/// # use cloud_cup_plugin::{Reply, Verdict};
/// let verdict: Verdict = Reply::new(429).header("retry-after", "1").body("slow down\n").into();
/// ```
impl Reply {
    /// A response without fields or body.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    /// Adds a field. A name may stand more than once.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body. The gateway adds its `content-length`.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

impl From<Reply> for Verdict {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

impl Outcome {
    /// From the end of the request's head to the end of the response.
    #[must_use]
    pub fn duration(&self) -> Duration {
        Duration::from_nanos(self.duration)
    }
}
