//! A request before it goes out, and a response as it comes in.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};

use super::HttpError;
use super::error::classify;

/// Header fields of a response together: names, values and what stands between.
pub(super) const MOST_HEADER_BYTES: usize = 64 * 1024;
/// Bytes of a URL.
const MOST_URL: usize = 16 * 1024;

/// Fields that belong to one connection or frame the message: the client writes them (RFC 9110 section 7.6.1).
const REFUSED: [&str; 12] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A request to another server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Such as `GET`; neither `CONNECT` nor `TRACE`.
    pub method: String,
    /// Of scheme `http` or `https`.
    pub url: String,
    /// Names and values, without the fields of the connection.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The content; none where it is empty.
    pub body: Vec<u8>,
    /// At most what the grant has, which is also the default.
    pub timeout: Option<Duration>,
}

/// The whole response to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The content as it was sent; a `content-encoding` is not undone.
    pub body: Vec<u8>,
}

impl Request {
    pub(super) fn check(self) -> Result<reqwest::Request, HttpError> {
        let invalid = |text: String| HttpError::Invalid(text);
        let method = Method::from_bytes(self.method.as_bytes())
            .ok()
            .filter(|method| *method != Method::CONNECT && *method != Method::TRACE)
            .ok_or_else(|| invalid("the method cannot be sent".to_owned()))?;
        if self.url.len() > MOST_URL {
            return Err(invalid(format!("expected a URL of at most {MOST_URL} bytes")));
        }
        let url = Url::parse(&self.url).map_err(|error| invalid(format!("the URL: {error}")))?;
        let mut request = reqwest::Request::new(method, url);
        *request.headers_mut() = check_headers(self.headers)?;
        if !self.body.is_empty() {
            *request.body_mut() = Some(self.body.into());
        }
        Ok(request)
    }
}

fn check_headers(fields: Vec<(String, Vec<u8>)>) -> Result<HeaderMap, HttpError> {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let invalid =
            |what: &str| HttpError::Invalid(format!("the header field `{}` {what}", name.escape_debug()));
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid("has a malformed name"))?;
        if REFUSED.contains(&key.as_str()) {
            return Err(invalid("belongs to the connection"));
        }
        let value = HeaderValue::from_bytes(&value).map_err(|_| invalid("has a malformed value"))?;
        headers.try_append(key, value).map_err(|_| invalid("is one too many"))?;
    }
    Ok(headers)
}

impl Response {
    /// Stops reading at the first byte too many.
    pub(super) async fn read(mut response: reqwest::Response, most: usize) -> Result<Self, HttpError> {
        let header_bytes: usize =
            response.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        let announced = response.content_length().unwrap_or(0);
        if header_bytes > MOST_HEADER_BYTES || announced > most as u64 {
            return Err(HttpError::TooLarge);
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(classify)? {
            if chunk.len() > most - body.len() {
                return Err(HttpError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        let status = response.status().as_u16();
        let headers =
            response.headers().iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
        Ok(Self { status, headers: headers.collect(), body })
    }

    /// The first value of a header field, where it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(field, _)| field == name)?;
        std::str::from_utf8(value).ok()
    }
}
