//! What is made of a head before a route sees it: [`normalise`].

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cloud_cup::base::network::IpNetwork;
use cloud_cup::message::http1::{Framing, HeadLimits, RequestHead, parse_request};
use cloud_cup::message::{Entrance, Exchange};
use cloud_cup::proxy::{Connection, Http2Limits, Settings, Timeouts, normalise};
use http::header::{self, HeaderMap};
use http::{Method, Request, Uri, Version, request};

use super::{LIMITS, path};

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const GATEWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

/// What tells a backend of the client, and has to be the gateway's own word unless the client is a trusted proxy.
const OF_CLIENT: [&str; 6] = [
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "forwarded",
    "client-cert",
    "client-cert-chain",
];

/// Normalises a head, as it came and as if it had come over HTTP/2.
///
/// Its path has one spelling, its authority is one, and what it says of the client is the gateway's word. Normalising that
/// changes nothing, and who reads what a backend is sent sees the same request.
pub(super) fn check(head: &RequestHead) {
    for version in [head.version, Version::HTTP_2] {
        let asked = || parts(&head.method, &head.uri, &head.headers, version);
        let Ok(mut exchange) = normalise(asked(), &connection(), &settings(false)) else { continue };
        path::check(exchange.path(), head.uri.path());
        assert_eq!(exchange.uri.query(), head.uri.query());
        check_authority(&exchange, &head.uri);
        check_client(&mut exchange);
        check_again(&exchange, version);
        check_sent(&exchange);
        let trusted = normalise(asked(), &connection(), &settings(true));
        check_trusted(&trusted.expect("trust has no part in what is refused").headers);
    }
}

fn check_authority(exchange: &Exchange, asked: &Uri) {
    let authority = exchange.authority();
    assert_eq!(exchange.headers.get_all(header::HOST).iter().count(), 1);
    assert!(!authority.contains(|c: char| c.is_whitespace() || "@/\\?#,".contains(c)), "{authority:?}");
    if let Some(asked) = asked.authority() {
        assert!(asked.as_str().eq_ignore_ascii_case(authority), "{asked} became {authority:?}");
    }
    let port = authority.strip_prefix(exchange.host_name()).expect("a host begins with its name");
    let digits = port.strip_prefix(':');
    assert!(port.is_empty() || digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit())));
}

/// Fields about the client are written as lines beside the others, so there must be none among these.
fn check_client(exchange: &mut Exchange) {
    assert!(!OF_CLIENT.iter().any(|name| exchange.headers.contains_key(*name)), "{:?}", exchange.headers);
    let host = exchange.authority().to_owned();
    exchange.complete_headers();
    let forwarded = format!("for=192.0.2.1;host=\"{host}\";proto=http");
    let expected = [Some("192.0.2.1"), Some("http"), Some(&*host), Some(&*forwarded), None, None];
    for (name, expected) in OF_CLIENT.into_iter().zip(expected) {
        let values: Vec<_> = exchange.headers.get_all(name).iter().collect();
        assert_eq!(values, Vec::from_iter(expected), "{name}");
    }
    assert_eq!(exchange.client.address.ip(), PEER);
}

fn check_again(exchange: &Exchange, version: Version) {
    let again = parts(&exchange.method, &exchange.uri, &exchange.headers, version);
    let Ok(mut again) = normalise(again, &connection(), &settings(false)) else {
        panic!("what was accepted is refused the second time: {exchange:?}")
    };
    again.complete_headers();
    assert_eq!((&again.uri, &again.headers), (&exchange.uri, &exchange.headers));
}

/// Reads the request as it could be written for a backend.
fn check_sent(exchange: &Exchange) {
    let target = exchange.uri.path_and_query().map_or("/", |target| target.as_str());
    let mut sent = format!("{} {target} HTTP/1.1\r\n", exchange.method).into_bytes();
    for (name, value) in &exchange.headers {
        sent.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    sent.extend(b"\r\n");
    let limits = HeadLimits { bytes: usize::MAX, fields: LIMITS.fields + OF_CLIENT.len() };
    let read = parse_request(&Bytes::from(sent), limits).expect("a backend can read it");
    assert_eq!((&read.method, &read.headers), (&exchange.method, &exchange.headers));
    assert_eq!(read.uri.path_and_query().map(|target| target.as_str()), Some(target));
    assert_eq!((read.framing, read.upgrade), (Framing::Length(0), None));
}

/// A trusted proxy's word is kept, on one line that ends with the proxy itself.
fn check_trusted(headers: &HeaderMap) {
    let values: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
    assert!(values.len() == 1 && values[0].as_bytes().ends_with(b"192.0.2.1"), "{values:?}");
    assert_eq!(headers.get_all("forwarded").iter().count(), 1);
}

fn parts(method: &Method, uri: &Uri, headers: &HeaderMap, version: Version) -> request::Parts {
    let (mut parts, ()) = Request::new(()).into_parts();
    (parts.method, parts.uri, parts.version) = (method.clone(), uri.clone(), version);
    parts.headers = headers.clone();
    parts
}

fn connection() -> Connection {
    let (peer, local) = (SocketAddr::new(PEER, 50_000), SocketAddr::new(GATEWAY, 80));
    Connection::new(peer, local, Arc::new(Entrance::default()), None, Rc::default())
}

/// Of these, normalising looks at the last two alone.
fn settings(trusts_peer: bool) -> Settings {
    let never = Duration::ZERO;
    let network: IpNetwork = "192.0.2.0/24".parse().expect("a network");
    Settings {
        timeouts: Timeouts {
            client_head: never,
            client_idle: never,
            keep_alive: never,
            backend_keep_alive: never,
            tunnel_idle: never,
            drain: never,
        },
        head: LIMITS,
        request_body: None,
        pool_idle: 0,
        connections: 0,
        h2: Http2Limits { streams: 0, stream_window: 0, connection_window: 0, frame_size: 0 },
        trusted_proxies: if trusts_peer { vec![network] } else { Vec::new() },
        via: false,
        error_pages: None,
    }
}
