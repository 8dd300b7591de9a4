//! Step 2 of a request: one authority, a safe path, and forwarded fields that can be believed.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::{PathAndQuery, Uri};
use http::{Method, Version, request};

use super::connection::{CLIENT_CERT, CLIENT_CERT_CHAIN, KnownHost, X_FORWARDED_FOR};
use super::{Connection, Failure, Reason, Settings};
use crate::base::network::IpNetwork;
use crate::message::exchange::{EarlyData, field_value};
use crate::message::{Client, Exchange};
use crate::route::path;

/// Makes an exchange of a request's head. What is refused here is seen by no route and no plugin.
pub fn normalise(
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

fn begin(mut head: request::Parts, connection: &Connection) -> Box<Exchange> {
    let client = Client {
        address: connection.peer,
        version: head.version,
        entrance: Arc::clone(&connection.entrance),
        tls: connection.tls.clone(),
    };
    Box::new(Exchange {
        method: head.method,
        asked: None,
        uri: head.uri,
        headers: head.headers,
        forwarded: None,
        host_name_length: 0,
        upgrade: head.extensions.remove(),
        is_early: head.extensions.remove::<EarlyData>().is_some(),
        client,
        route: None,
        parameters: Vec::new(),
        attributes: Vec::new(),
        backends: None,
        avoided: Vec::new(),
        response_fields: Vec::new(),
        held: Vec::new(),
        response: None,
    })
}

fn apply(exchange: &mut Exchange, connection: &Connection, settings: &Settings) -> Result<(), Failure> {
    if exchange.method == Method::CONNECT {
        return Err(Failure::new(Reason::Connect, "CONNECT is not served"));
    }
    let host = agree_on_authority(exchange, connection)?;
    exchange.host_name_length = host.name_length;
    if host.is_misdirected {
        let message = "this connection was opened for another host, and its certificate is not for this one";
        return Err(Failure::new(Reason::Misdirected, message));
    }
    make_path_safe(exchange)?;
    forward_client(exchange, connection, settings, &host);
    if settings.via {
        add_via(&mut exchange.headers, exchange.client.version);
    }
    Ok(())
}

/// After this, `host` is the authority. A target that names another one than `host` is refused, although RFC 9112,
/// section 3.2.2, lets the target win: two recipients that disagree on the authority are two routes to one resource.
fn agree_on_authority(exchange: &mut Exchange, connection: &Connection) -> Result<Rc<KnownHost>, Failure> {
    let failure = |message: &str| Failure::new(Reason::BadAuthority, message);
    let host = exchange.headers.get(header::HOST).map(HeaderValue::as_bytes);
    if exchange.headers.get_all(header::HOST).iter().nth(1).is_some() {
        return Err(failure("more than one host field is given"));
    }
    let scheme = exchange.uri.scheme_str();
    if exchange.uri.authority().is_some() && !matches!(scheme, Some("http" | "https")) {
        return Err(Failure::new(Reason::BadPath, "the target is not one of an http resource"));
    }
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
    } else if host.is_none() && exchange.client.version > Version::HTTP_11 {
        return Err(failure("neither :authority nor host is given"));
    }
    let Some(host) = exchange.headers.get(header::HOST) else {
        // Only HTTP/1.0 gets here. An empty host is what the rest of the way expects instead of none.
        exchange.headers.insert(header::HOST, HeaderValue::from_static(""));
        return agree_on_authority(exchange, connection);
    };
    connection.known_host(host, exchange.client.version).ok_or_else(|| failure("the host is malformed"))
}

/// Replaces the path by its normal form, see [`path`]. That is also what is forwarded, so a backend sees what was
/// matched.
fn make_path_safe(exchange: &mut Exchange) -> Result<(), Failure> {
    let refused = |error: &dyn std::fmt::Display| {
        Failure::new(Reason::BadPath, format!("the path is refused: {error}"))
    };
    let is_path = exchange.uri.path_and_query().is_some_and(|target| target.as_str().starts_with('/'));
    // Only the absolute form of HTTP/1.1 may come without a path (RFC 9112, section 3.2.2; RFC 9113, section 8.3.1).
    let may_be_empty = exchange.uri.authority().is_some() && exchange.client.version <= Version::HTTP_11;
    if !is_path && !may_be_empty {
        return Err(refused(&"it does not begin with `/`"));
    }
    let normal = match path::normalise(exchange.uri.path()) {
        Ok(Cow::Borrowed(_)) if is_path => None,
        Ok(path) => Some(path.into_owned()),
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
fn forward_client(exchange: &mut Exchange, connection: &Connection, settings: &Settings, host: &KnownHost) {
    let headers = &mut exchange.headers;
    if !is_trusted(connection.peer.ip(), &settings.trusted_proxies) {
        if headers.keys().any(is_forwarded_field) {
            host.forwarded.fields.iter().for_each(|(name, _)| drop(headers.remove(name)));
            headers.remove(CLIENT_CERT);
            headers.remove(CLIENT_CERT_CHAIN);
        }
        exchange.forwarded = Some(Arc::clone(&host.forwarded));
        return;
    }
    exchange.client.address = client_address(headers, connection.peer, &settings.trusted_proxies);
    append_to_list(headers, X_FORWARDED_FOR, &connection.peer_value);
    append_to_list(headers, header::FORWARDED, &host.element);
    for (name, value) in &host.forwarded.fields {
        headers.entry(name).or_insert_with(|| value.clone());
    }
}

fn is_forwarded_field(name: &HeaderName) -> bool {
    *name == header::FORWARDED
        || name.as_str().starts_with("x-forwarded-")
        || name.as_str().starts_with("client-cert")
}

fn is_trusted(address: IpAddr, trusted: &[IpNetwork]) -> bool {
    trusted.iter().any(|network| network.contains(address))
}

/// The last address in `x-forwarded-for` that no trusted proxy has; the peer where there is none.
fn client_address(headers: &HeaderMap, peer: SocketAddr, trusted: &[IpNetwork]) -> SocketAddr {
    let mut client = peer;
    let values: Vec<_> =
        headers.get_all(X_FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).collect();
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

/// Says in a message that came over `version` that it came this way (RFC 9110, section 7.6.3).
pub(super) fn add_via(headers: &mut HeaderMap, version: Version) {
    let element = match version {
        Version::HTTP_10 => "1.0 cloud-cup",
        Version::HTTP_2 => "2 cloud-cup",
        Version::HTTP_3 => "3 cloud-cup",
        _ => "1.1 cloud-cup",
    };
    append_to_list(headers, header::VIA, &HeaderValue::from_static(element));
}

#[cfg(test)]
mod tests {
    use super::*;

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
