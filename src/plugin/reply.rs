//! A response that a plugin makes itself.

use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use thiserror::Error;

use super::bindings;
use super::host::is_forbidden;

/// A checked reply.
#[derive(Debug)]
pub struct Reply {
    /// 200 to 599.
    pub status: StatusCode,
    /// End-to-end fields.
    pub headers: HeaderMap,
    /// Bounded by the plugin's limit.
    pub body: Bytes,
}

/// What is wrong with a reply.
#[derive(Debug, Error)]
pub(super) enum ReplyError {
    #[error("the reply's status {0} is not from 200 to 599")]
    Status(u16),
    #[error("the reply has a header `{0}` that is invalid or that the gateway sets itself")]
    Header(String),
    #[error("the reply's body of {size} bytes is larger than the limit of {limit}")]
    Size { size: usize, limit: usize },
    #[error(
        "the reply's headers are more than {MOST_HEADERS} or larger than {LARGEST_HEADERS} bytes together"
    )]
    Headers,
}

/// Headers that a reply may have, and bytes of all of them.
const MOST_HEADERS: usize = 100;
const LARGEST_HEADERS: usize = 64 << 10;

impl Reply {
    pub(super) fn accept(reply: bindings::Reply, limit: usize) -> Result<Self, ReplyError> {
        let size = reply.body.len();
        if size > limit {
            return Err(ReplyError::Size { size, limit });
        }
        let bytes: usize = reply.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if reply.headers.len() > MOST_HEADERS || bytes > LARGEST_HEADERS {
            return Err(ReplyError::Headers);
        }
        let status = StatusCode::from_u16(reply.status)
            .ok()
            .filter(|status| (200..600).contains(&status.as_u16()))
            .ok_or(ReplyError::Status(reply.status))?;
        let mut headers = HeaderMap::with_capacity(reply.headers.len() + 2);
        for (name, value) in reply.headers {
            let (name, value) = parse_field(&name, value).ok_or(ReplyError::Header(name))?;
            headers.append(name, value);
        }
        Ok(Self { status, headers, body: Bytes::from(reply.body) })
    }
}

fn parse_field(name: &str, value: Vec<u8>) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::from_bytes(name.as_bytes()).ok().filter(|name| !is_forbidden(name))?;
    Some((name, HeaderValue::from_maybe_shared(Bytes::from(value)).ok()?))
}
