//! Step 2 of a request: one authority, a safe path, and forwarded fields that can be believed.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::{PathAndQuery, Uri};
use http::{Method, Version, request};
use crate::base::network::IpNetwork;

use super::{Connection, Failure, Reason, Settings};
use crate::message::exchange::field_value;
use crate::message::{Client, Exchange};
use crate::route::path;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Makes an exchange of a request's head. What is refused here is seen by no route and no plugin.
pub(super) fn normalise(
    head: request::Parts,
    connection: &Connection,
    settings: &Settings,
) -> Result<Box<Exchange>, (Failure, Box<Exchange>)> {
    let mut exchange = begin(head, connection);
    match apply(&mut exchange, connection, settings) {
        Ok(()) => Ok(exchange),
        Err(failure) => Err((failure, exchange)),
    }
}

/// Stands for a request whose head could not be read. Its method is `-`.
pub(super) fn unreadable(connection: &Connection) -> Box<Exchange> {
    let (mut head, ()) = http::Request::new(()).into_parts();
    head.method = Method::from_bytes(b"-").unwrap_or_default();
    begin(head, connection)
}

fn begin(head: request::Parts, connection: &Connection) -> Box<Exchange> {
    let client = Client {
        address: connection.peer,
        version: head.version,
        scheme: "http",
        listener: connection.listener.clone(),
    };
    Box::new(Exchange {
        method: head.method,
        uri: head.uri,
        headers: head.headers,
        client,
        route: None,
        parameters: Vec::new(),
        attributes: Vec::new(),
        response: None,
    })
}

fn apply(exchange: &mut Exchange, connection: &Connection, settings: &Settings) -> Result<(), Failure> {
    if exchange.method == Method::CONNECT {
        return Err(Failure::new(Reason::Connect, "CONNECT is not served"));
    }
    agree_on_authority(exchange)?;
    make_path_safe(exchange)?;
    forward_client(exchange, connection, settings);
    if settings.via {
        add_via(exchange);
    }
    Ok(())
}

/// After this, `host` is the authority. A target that names another one than `host` is refused, although RFC 9112,
/// section 3.2.2, lets the target win: two recipients that disagree on the authority are two routes to one resource.
fn agree_on_authority(exchange: &mut Exchange) -> Result<(), Failure> {
    let failure = |message: &str| Failure::new(Reason::BadAuthority, message);
    let host = exchange.headers.get(header::HOST).map(HeaderValue::as_bytes);
    if let Some(authority) = exchange.uri.authority() {
        match host {
            Some(host) if !host.eq_ignore_ascii_case(authority.as_str().as_bytes()) => {
                return Err(failure("the host field and the target's authority differ"));
            }
            Some(_) => {}
            None => {
                let value = field_value(authority.as_str());
                exchange.headers.insert(header::HOST, value);
            }
        }
    } else if host.is_none() && exchange.client.version == Version::HTTP_2 {
        return Err(failure("neither :authority nor host is given"));
    }
    if !is_authority(exchange.authority(), exchange.client.version) {
        return Err(failure("the host is malformed"));
    }
    Ok(())
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
pub(super) fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rfind(':') {
        Some(colon) if !authority[colon..].contains(']') => (&authority[..colon], Some(&authority[colon + 1..])),
        _ => (authority, None),
    }
}

/// Replaces the path by its normal form, see [`path`]. That is also what is forwarded, so a backend sees what was
/// matched.
fn make_path_safe(exchange: &mut Exchange) -> Result<(), Failure> {
    let refused = |error: &dyn std::fmt::Display| Failure::new(Reason::BadPath, format!("the path is refused: {error}"));
    let normal = match path::normalise(exchange.uri.path()) {
        Ok(Cow::Borrowed(_)) => None,
        Ok(Cow::Owned(path)) => Some(path),
        Err(error) => return Err(refused(&error)),
    };
    if let Some(mut target) = normal {
        if let Some(query) = exchange.uri.query() {
            target.push('?');
            target.push_str(query);
        }
        let target = PathAndQuery::try_from(target).map_err(|error| refused(&error))?;
        exchange.uri = Uri::from(target);
    }
    Ok(())
}

/// Tells the backend who asks. What the peer claims of earlier hops stays only if the peer is trusted.
fn forward_client(exchange: &mut Exchange, connection: &Connection, settings: &Settings) {
    let is_trusted = is_trusted(connection.peer.ip(), &settings.trusted_proxies);
    let host = exchange.headers.get(header::HOST).cloned();
    let element = connection.forwarded(host.as_ref());
    let headers = &mut exchange.headers;
    if is_trusted {
        exchange.client.address = client_address(headers, connection.peer, &settings.trusted_proxies);
        append_to_list(headers, X_FORWARDED_FOR, &connection.peer_value);
        append_to_list(headers, header::FORWARDED, &element);
        headers.entry(X_FORWARDED_PROTO).or_insert(HeaderValue::from_static("http"));
        if let Some(host) = host {
            headers.entry(X_FORWARDED_HOST).or_insert(host);
        }
    } else {
        headers.insert(X_FORWARDED_FOR, connection.peer_value.clone());
        headers.insert(header::FORWARDED, element);
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
        match host {
            Some(host) => drop(headers.insert(X_FORWARDED_HOST, host)),
            None => drop(headers.remove(X_FORWARDED_HOST)),
        }
    }
}

fn is_trusted(address: IpAddr, trusted: &[IpNetwork]) -> bool {
    trusted.iter().any(|network| network.contains(address))
}

/// The last address in `x-forwarded-for` that no trusted proxy has; the peer where there is none.
fn client_address(headers: &HeaderMap, peer: SocketAddr, trusted: &[IpNetwork]) -> SocketAddr {
    let mut client = peer;
    let values: Vec<_> = headers.get_all(X_FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).collect();
    for claimed in values.iter().rev().flat_map(|value| value.rsplit(',')) {
        let Ok(address) = claimed.trim().parse::<IpAddr>() else { break };
        client = SocketAddr::new(address.to_canonical(), 0);
        if !is_trusted(client.ip(), trusted) {
            break;
        }
    }
    client
}

/// Adds an element to a list field, on one line.
fn append_to_list(headers: &mut HeaderMap, name: HeaderName, element: &HeaderValue) {
    let mut list = Vec::new();
    for value in headers.get_all(&name) {
        list.extend_from_slice(value.as_bytes());
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(element.as_bytes());
    let value = HeaderValue::from_maybe_shared(bytes::Bytes::from(list)).unwrap_or_else(|_| element.clone());
    headers.insert(name, value);
}

fn add_via(exchange: &mut Exchange) {
    let element = match exchange.client.version {
        Version::HTTP_10 => "1.0 cloud-cup",
        Version::HTTP_2 => "2 cloud-cup",
        _ => "1.1 cloud-cup",
    };
    append_to_list(&mut exchange.headers, header::VIA, &HeaderValue::from_static(element));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(authority: &str, expected: bool) {
        assert_eq!(is_authority(authority, Version::HTTP_11), expected, "{authority}");
    }

    #[test]
    fn an_authority_is_a_host_and_perhaps_a_port() {
        for good in ["a", "example.com", "example.com:80", "127.0.0.1:1", "[::1]", "[::1]:80", "a_b.", "xn--a"] {
            check(good, true);
        }
        for bad in ["", ":80", "user@a", "a:b", "a:+1", "a:70000", "a b", "[::1", "::1", "a..b", ".a", "a/b", "[x]"] {
            check(bad, false);
        }
    }

    #[test]
    fn the_client_is_the_last_address_that_no_proxy_vouches_for_itself() {
        let trusted: Vec<IpNetwork> = vec!["10.0.0.0/8".parse().unwrap()];
        let peer: SocketAddr = "10.0.0.1:1000".parse().unwrap();
        for (claimed, expected) in [
            ("203.0.113.7", "203.0.113.7"),
            ("198.51.100.1, 203.0.113.7, 10.2.2.2", "203.0.113.7"),
            ("10.3.3.3, 10.2.2.2", "10.3.3.3"),
            ("203.0.113.7, nonsense, 10.2.2.2", "10.2.2.2"),
            ("nonsense", "10.0.0.1"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(X_FORWARDED_FOR, field_value(claimed));
            assert_eq!(client_address(&headers, peer, &trusted).ip().to_string(), expected, "{claimed}");
        }
    }
}
