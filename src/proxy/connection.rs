//! What the requests of one client connection have in common.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use http::header::{self, HeaderName, HeaderValue};
use http::{Response, Version};

use crate::base::drain::Drain;
use crate::message::Entrance;
use crate::message::exchange::{Forwarded, field_value};
use crate::message::tls::TlsSession;

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(super) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(super) const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
pub(super) const CLIENT_CERT_CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");

/// A client's connection, as the proxy sees it.
#[derive(Debug)]
pub struct Connection {
    /// Who connected.
    pub peer: SocketAddr,
    /// Where it connected.
    pub local: SocketAddr,
    /// Where it came in.
    pub entrance: Arc<Entrance>,
    /// Its TLS session; none in the clear.
    pub tls: Option<Arc<TlsSession>>,
    /// Tells when it should end.
    pub drain: Rc<Drain>,
    /// The peer's address as a field value: the same for every request.
    pub(super) peer_value: HeaderValue,
    /// The host that was asked for last. Clients seldom change it.
    host: RefCell<Option<Rc<KnownHost>>>,
}

/// Interim responses to a request, on their way to its client (RFC 9110, section 15.2).
#[derive(Debug, Default)]
pub struct Interim(RefCell<Vec<Response<()>>>);

impl Interim {
    /// Those that wait to be sent.
    pub fn take(&self) -> Vec<Response<()>> {
        self.0.take()
    }

    pub(super) fn push(&self, response: Response<()>) {
        self.0.borrow_mut().push(response);
    }
}

/// A well-formed authority, and what follows from it on this connection.
#[derive(Debug)]
pub(super) struct KnownHost {
    value: HeaderValue,
    /// Bytes of it before the port.
    pub name_length: usize,
    /// Whether this connection is not for it (RFC 9110, section 7.4).
    pub is_misdirected: bool,
    /// The element of `forwarded` that describes this hop (RFC 7239).
    pub element: HeaderValue,
    /// What is said of the client where it is not believed itself.
    pub forwarded: Arc<Forwarded>,
}

impl Connection {
    /// A connection of `peer`.
    pub fn new(
        peer: SocketAddr,
        local: SocketAddr,
        entrance: Arc<Entrance>,
        tls: Option<Arc<TlsSession>>,
        drain: Rc<Drain>,
    ) -> Self {
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        Self {
            peer,
            local,
            entrance,
            tls,
            drain,
            peer_value: field_value(peer.ip().to_string()),
            host: RefCell::default(),
        }
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// What is known of a host; none when it is malformed.
    pub(super) fn known_host(&self, value: &HeaderValue, version: Version) -> Option<Rc<KnownHost>> {
        let mut last = self.host.borrow_mut();
        match &*last {
            Some(known) if known.value == value => Some(Rc::clone(known)),
            _ => {
                let known = Rc::new(KnownHost::new(value, version, self)?);
                // An empty host is one thing in HTTP/1.0 and another in HTTP/1.1.
                if !value.is_empty() {
                    *last = Some(Rc::clone(&known));
                }
                Some(known)
            }
        }
    }
}

impl KnownHost {
    fn new(value: &HeaderValue, version: Version, connection: &Connection) -> Option<Self> {
        let authority = value.to_str().ok().filter(|authority| is_authority(authority, version))?;
        // A copy: the value lies in a read buffer, which would be held for as long as the connection is.
        let value = field_value(authority);
        let element = forwarded_element(connection, authority);
        let mut fields = vec![
            (X_FORWARDED_FOR, connection.peer_value.clone()),
            (X_FORWARDED_PROTO, HeaderValue::from_static(connection.scheme())),
            (X_FORWARDED_HOST, value.clone()),
            (header::FORWARDED, element.clone()),
        ];
        if connection.entrance.forwards_client_certificate
            && let Some(certificate) = connection.tls.as_ref().and_then(|tls| tls.client_certificate.as_ref())
        {
            fields.push((CLIENT_CERT, certificate.field.clone()));
        }
        let name = split_port(authority).0;
        let is_misdirected = connection.tls.as_ref().is_some_and(|tls| !tls.is_for(name));
        let (name_length, forwarded) = (name.len(), Arc::new(Forwarded::new(fields)));
        Some(Self { value, name_length, is_misdirected, element, forwarded })
    }
}

/// `host[:port]`, without user information. Clients of HTTP/1.0 may name none.
fn is_authority(authority: &str, version: Version) -> bool {
    let (host, port) = split_port(authority);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'%');
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.bytes().all(plain) && !host.starts_with('.') && !host.contains(".."),
    };
    let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok() && !port.starts_with('+'));
    let is_given = !host.is_empty() || (version == Version::HTTP_10 && port.is_none());
    is_host && is_port && is_given && host.len() <= 253
}

/// Splits `host:port`; the brackets of an IPv6 address stay.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rfind(':') {
        Some(colon) if !authority[colon..].contains(']') => {
            (&authority[..colon], Some(&authority[colon + 1..]))
        }
        _ => (authority, None),
    }
}

fn forwarded_element(connection: &Connection, host: &str) -> HeaderValue {
    let client = match connection.peer.ip() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("\"[{address}]\""),
    };
    field_value(format!("for={client};host=\"{host}\";proto={}", connection.scheme()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(authority: &str, expected: bool) {
        assert_eq!(is_authority(authority, Version::HTTP_11), expected, "{authority}");
    }

    #[test]
    fn an_authority_is_a_host_and_perhaps_a_port() {
        for good in
            ["a", "example.com", "example.com:80", "127.0.0.1:1", "[::1]", "[::1]:80", "a_b.", "xn--a"]
        {
            check(good, true);
        }
        for bad in
            ["", ":80", "user@a", "a:b", "a:+1", "a:70000", "a b", "[::1", "::1", "a..b", ".a", "a/b", "[x]"]
        {
            check(bad, false);
        }
    }
}
