//! What is known of a request, and of its response, that a document can write into others' fields.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Who asks; behind trusted proxies the address that they vouch for.
    pub client: SocketAddr,
    /// `http` or `https`, as the client speaks to the gateway.
    pub scheme: &'static str,
    /// `HTTP/1.1`, for example.
    pub protocol: &'static str,
    /// The method.
    pub method: &'a Method,
    /// Without its port. Empty where a client of HTTP/1.0 names none.
    pub host: &'a str,
    /// The port that the client gave with the host.
    pub port: Option<u16>,
    /// Normalised, as the client asked for it.
    pub path: &'a str,
    /// Undecoded.
    pub query: Option<&'a str>,
    /// The route's pattern.
    pub route: &'a str,
    /// The request's fields.
    pub headers: &'a HeaderMap,
    /// What the pattern's parameters stand for, undecoded.
    pub parameters: &'a [(Arc<str>, String)],
    /// What plugins left.
    pub attributes: &'a [(String, String)],
    /// Of the response, once there is one.
    pub status: Option<StatusCode>,
    /// The backend that was asked last.
    pub backend: Option<&'a str>,
}
