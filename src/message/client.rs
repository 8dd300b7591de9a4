//! Who sends requests, and where they come in.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderValue, StatusCode, Version};

use super::tls::TlsSession;

/// The client of one request.
#[derive(Debug, Clone)]
pub struct Client {
    /// The peer of the connection; behind trusted proxies the address that they vouch for.
    pub address: SocketAddr,
    /// How it speaks.
    pub version: Version,
    /// Where it came in.
    pub entrance: Arc<Entrance>,
    /// Its TLS session; none in the clear.
    pub tls: Option<Arc<TlsSession>>,
}

/// A listener, as far as the requests that come over it are concerned with it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Entrance {
    /// Its name in the document.
    pub listener: Arc<str>,
    /// Where requests in the clear are sent; none where they are served.
    pub https_redirect: Option<HttpsRedirect>,
    /// What `alt-svc` says in every response over TLS that is not HTTP/3's (RFC 7838).
    pub alt_svc: Option<HeaderValue>,
    /// What `strict-transport-security` says in every response over TLS (RFC 6797).
    pub hsts: Option<HeaderValue>,
    /// Whether backends are told the client's certificate (RFC 9440).
    pub forwards_client_certificate: bool,
}

/// A redirect to `https`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpsRedirect {
    /// The port to go to.
    pub port: u16,
    /// The status.
    pub status: StatusCode,
}

impl Client {
    /// `http` or `https`, as it speaks to the gateway.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// `HTTP/1.1`, for example.
    pub fn protocol(&self) -> &'static str {
        match self.version {
            Version::HTTP_10 => "HTTP/1.0",
            Version::HTTP_2 => "HTTP/2",
            Version::HTTP_3 => "HTTP/3",
            _ => "HTTP/1.1",
        }
    }
}
