//! The cases: what is asked of which proxies.

use anyhow::{Context, Result};
use clap::ValueEnum;

use super::backend::{HUGE_PATH, LARGE_PATH};
use super::certificate::Sessions;
use super::comparison::{Reference, comparison};
use super::gateway::{Variant, middle_route};
use super::idle::Idle;
use super::load::{Load, Work};
use super::peers::{Peer, Protocol};
use super::report::Table;
use super::rounds::{Target, measure};
use super::setup::Setup;
use super::{grpc, hostile, idle, probe, reload, websocket};

const SMALL_PATH: &str = "/";

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Case {
    SmallGet,
    #[value(name = "body-1mb")]
    Body1Mb,
    ConnectionPerRequest,
    H2c,
    TlsGet,
    TlsHandshake,
    TlsResumed,
    TlsDownload,
    H2Tls,
    H3,
    H3Download,
    Grpc,
    #[value(name = "websocket")]
    WebSocket,
    #[value(name = "routes-10k")]
    Routes10K,
    Plugins,
    Policies,
    #[value(name = "body-1mb-headers")]
    Body1MbHeaders,
    Idle,
    IdleTls,
    IdleH3,
    #[value(name = "idle-websocket")]
    IdleWebSocket,
    Reload,
    Hostile,
}

/// The cases asked for, in our order; all of them when none was.
pub fn chosen(cases: &[Case]) -> Vec<Case> {
    let all = Case::value_variants().iter().copied();
    all.filter(|case| cases.is_empty() || cases.contains(case)).collect()
}

impl Case {
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    pub fn about(self) -> &'static str {
        match self {
            Self::SmallGet => {
                "A response of 100 bytes, 64 connections that are kept. `tcp-relay` is HAProxy in TCP mode."
            }
            Self::Body1Mb => "A response of 1 MiB, 64 connections that are kept.",
            Self::ConnectionPerRequest => {
                "A response of 100 bytes, every request on a connection of its own."
            }
            Self::H2c => {
                "A response of 100 bytes, 8 HTTP/2 connections with 8 streams each, HTTP/1.1 to the backend."
            }
            Self::TlsGet => "A response of 100 bytes over TLS, 64 connections that are kept.",
            Self::TlsHandshake => {
                "A response of 100 bytes, every request on a TLS connection of its own; 8 at a time, each a full handshake of \
                 TLS 1.3 with X25519 and a certificate of P-256."
            }
            Self::TlsResumed => "The same, each handshake resumed by a ticket.",
            Self::TlsDownload => {
                "A response of 100 MB over TLS, 4 connections that are kept. Turns last until the downloads have ended."
            }
            Self::H2Tls => {
                "A response of 100 bytes, 8 HTTP/2 connections over TLS with 100 streams each, HTTP/1.1 to the backend."
            }
            Self::H3 => {
                "A response of 100 bytes, 8 HTTP/3 connections with 8 streams each, HTTP/1.1 to the backend."
            }
            Self::H3Download => {
                "A response of 100 MB, 4 HTTP/3 connections. Turns last until the downloads have ended."
            }
            Self::Grpc => {
                "A unary call with 100 bytes each way, 8 cleartext HTTP/2 connections with 8 streams each, cleartext HTTP/2 to \
                 the backend."
            }
            Self::WebSocket => {
                "A message of 100 bytes there and back, 64 WebSockets over HTTP/1.1. A request is a message that came back."
            }
            Self::Routes10K => "A response of 100 bytes by a route in the middle of 10 and of 10,000.",
            Self::Plugins => "A response of 100 bytes through plugins of the two isolations.",
            Self::Policies => {
                "A response of 100 bytes, every request with a token: verified by RS256 and remembered, within a rate limit, \
                 watched by a circuit breaker. `envoy` does the first two by jwt_authn and local_ratelimit."
            }
            Self::Body1MbHeaders => "A response of 1 MiB, without and with the plugin `headers`.",
            Self::Idle => "Connections that made one request each and are kept.",
            Self::IdleTls => "TLS connections that made one request each and are kept.",
            Self::IdleH3 => "HTTP/3 connections that made one request each and are kept.",
            Self::IdleWebSocket => "WebSockets that echoed one message each and are kept.",
            Self::Reload => {
                "Reloads under load, the document and a plugin's file changing in turns. A connection counts as dropped \
                 whatever the reason for its end."
            }
            Self::Hostile => {
                "A route without plugins, with and without 20 requests a second to hostile guests on other routes. At the \
                 fixed rate a request counts from when it was due. `elusive` guests loop on about every second request."
            }
        }
    }

    /// Whether it loads a guest that is not in the gateway's binary.
    pub fn needs_guests(self) -> bool {
        matches!(self, Self::Plugins | Self::Reload | Self::Hostile)
    }

    /// Why this case's load cannot be made here, if it cannot.
    pub fn missing_generator(self) -> Option<String> {
        match self {
            Self::H2c | Self::H2Tls | Self::Grpc => Load::Http2.missing_generator(),
            Self::SmallGet
            | Self::Body1Mb
            | Self::ConnectionPerRequest
            | Self::TlsGet
            | Self::Routes10K
            | Self::Plugins
            | Self::Policies
            | Self::Body1MbHeaders
            | Self::Hostile => Load::Http1.missing_generator(),
            // By clients of our own.
            _ => None,
        }
    }

    pub fn run(self, setup: &Setup) -> Result<Table> {
        match self {
            Self::SmallGet => small_get(setup),
            Self::Body1Mb => beside_peers(setup, Load::Http1, LARGE_PATH),
            Self::ConnectionPerRequest => beside_peers(setup, Load::Http1Close, SMALL_PATH),
            Self::H2c => beside_peers(setup, Load::Http2, SMALL_PATH),
            Self::TlsGet => beside_peers(setup, Load::Tls, SMALL_PATH),
            Self::TlsHandshake => handshakes(setup, Sessions::New),
            Self::TlsResumed => handshakes(setup, Sessions::Resumed),
            Self::TlsDownload => beside_peers(setup, Load::Own(Work::Download), HUGE_PATH),
            Self::H2Tls => beside_peers(setup, Load::Http2Tls, SMALL_PATH),
            Self::H3 => beside_peers(setup, Load::Own(Work::Http3), SMALL_PATH),
            Self::H3Download => beside_peers(setup, Load::Own(Work::Http3Download), HUGE_PATH),
            Self::Grpc => beside_peers(setup, Load::Grpc, grpc::PATH),
            Self::WebSocket => beside_peers(setup, Load::Own(Work::WebSocket), websocket::PATH),
            Self::Routes10K => routes_10k(setup),
            Self::Plugins => plugins(setup),
            Self::Policies => policies(setup),
            Self::Body1MbHeaders => body_1mb_headers(setup),
            Self::Idle => idle::run(setup, Idle::Http1),
            Self::IdleTls => idle::run(setup, Idle::Tls),
            Self::IdleH3 => idle::run(setup, Idle::Http3),
            Self::IdleWebSocket => idle::run(setup, Idle::WebSocket),
            Self::Reload => reload::run(setup),
            Self::Hostile => hostile::run(setup),
        }
    }
}

fn small_get(setup: &Setup) -> Result<Table> {
    let (mut targets, _) = proxies(setup, Load::Http1, SMALL_PATH)?;
    if let Some(haproxy) = setup.peers.iter().find(|installed| installed.peer == Peer::Haproxy) {
        targets.push(Target::new(setup.start_peer(haproxy, Protocol::Tcp)?, SMALL_PATH));
    }
    let figures = measure(setup, Load::Http1, &targets)?;
    Ok(comparison(&targets, &figures, Reference::BestPeer))
}

fn handshakes(setup: &Setup, sessions: Sessions) -> Result<Table> {
    beside_peers(setup, Load::Own(Work::Handshakes(sessions)), SMALL_PATH)
}

fn beside_peers(setup: &Setup, load: Load, path: &str) -> Result<Table> {
    let (targets, left_out) = proxies(setup, load, path)?;
    for target in &targets {
        let server = &target.server;
        probe::ensure_right(load, server.ports.listener, path, setup.dir())
            .with_context(|| format!("{} does not answer as it should", server.name))?;
    }
    let figures = measure(setup, load, &targets)?;
    let mut table = comparison(&targets, &figures, Reference::BestPeer);
    left_out.into_iter().for_each(|note| table.note(note));
    Ok(table)
}

/// The gateway and the peers, ready to be asked for one path, and why others are not.
fn proxies(setup: &Setup, load: Load, path: &str) -> Result<(Vec<Target>, Vec<String>)> {
    let (variant, protocol) = spoken(load);
    let mut targets = vec![Target::new(setup.start_gateway("cloud-cup", variant)?, path)];
    let mut left_out = Vec::new();
    for peer in &setup.peers {
        match peer.peer.lacks(protocol) {
            Some(reason) => left_out.push(peer.left_out(reason)),
            None => targets.push(Target::new(setup.start_peer(peer, protocol)?, path)),
        }
    }
    Ok((targets, left_out))
}

/// What the gateway and the peers must speak for a load.
fn spoken(load: Load) -> (Variant, Protocol) {
    match load {
        Load::Http1 | Load::Http1Close | Load::Http1Bearer => (Variant::Plain, Protocol::Http1),
        Load::Http2 => (Variant::Plain, Protocol::Http2),
        Load::Tls | Load::Http2Tls | Load::Own(Work::Handshakes(_) | Work::Download) => {
            (Variant::Tls, Protocol::Tls)
        }
        Load::Own(Work::Http3 | Work::Http3Download) => (Variant::Http3, Protocol::Http3),
        Load::Own(Work::WebSocket) => (Variant::Plain, Protocol::WebSocket),
        Load::Grpc => (Variant::Grpc, Protocol::Grpc),
    }
}

fn routes_10k(setup: &Setup) -> Result<Table> {
    let with_routes = |name, count| -> Result<Target> {
        Ok(Target::new(setup.start_gateway(name, Variant::Routes(count))?, &middle_route(count)))
    };
    beside_itself(setup, &[with_routes("10 routes", 10)?, with_routes("10,000 routes", 10_000)?])
}

fn plugins(setup: &Setup) -> Result<Table> {
    let variants = [
        ("no plugin", Variant::Plain),
        ("no-op, reuse", Variant::Noop("reuse")),
        ("no-op, request", Variant::Noop("request")),
        ("headers", Variant::Headers),
    ];
    let with_variant = |(name, variant)| Ok(Target::new(setup.start_gateway(name, variant)?, SMALL_PATH));
    beside_itself(setup, &variants.into_iter().map(with_variant).collect::<Result<Vec<_>>>()?)
}

fn policies(setup: &Setup) -> Result<Table> {
    let variants = [
        ("no plugin", Variant::Plain),
        ("jwt-auth", Variant::Policies("jwt-auth")),
        ("rate-limit", Variant::Policies("rate-limit")),
        ("circuit-breaker", Variant::Policies("circuit-breaker")),
        ("all three", Variant::Policies("all")),
    ];
    let mut targets = Vec::new();
    for (name, variant) in variants {
        targets.push(Target::new(setup.start_gateway(name, variant)?, SMALL_PATH));
    }
    if let Some(envoy) = setup.peers.iter().find(|installed| installed.peer == Peer::Envoy) {
        targets.push(Target::new(setup.start_peer(envoy, Protocol::Policies)?, SMALL_PATH));
    }
    let figures = measure(setup, Load::Http1Bearer, &targets)?;
    Ok(comparison(&targets, &figures, Reference::First))
}

fn body_1mb_headers(setup: &Setup) -> Result<Table> {
    let without = setup.start_gateway("no plugin", Variant::Plain)?;
    let with = setup.start_gateway("headers", Variant::Headers)?;
    beside_itself(setup, &[Target::new(without, LARGE_PATH), Target::new(with, LARGE_PATH)])
}

/// Documents of the gateway beside each other; the first is what the others are compared with.
fn beside_itself(setup: &Setup, targets: &[Target]) -> Result<Table> {
    let figures = measure(setup, Load::Http1, targets)?;
    Ok(comparison(targets, &figures, Reference::First))
}
