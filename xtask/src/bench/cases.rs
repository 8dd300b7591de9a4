//! The cases: what is asked of which proxies.

use anyhow::Result;
use clap::ValueEnum;

use super::backend::LARGE_PATH;
use super::comparison::{Reference, comparison};
use super::gateway::{Variant, middle_route};
use super::load::Load;
use super::peers::{Peer, Protocol};
use super::report::Table;
use super::rounds::{Target, measure};
use super::setup::Setup;
use super::{hostile, idle, reload};

const SMALL_PATH: &str = "/";

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Case {
    SmallGet,
    #[value(name = "body-1mb")]
    Body1Mb,
    ConnectionPerRequest,
    H2c,
    #[value(name = "routes-10k")]
    Routes10K,
    Plugins,
    Policies,
    #[value(name = "body-1mb-headers")]
    Body1MbHeaders,
    Idle,
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
            Self::Routes10K => "A response of 100 bytes by a route in the middle of 10 and of 10,000.",
            Self::Plugins => "A response of 100 bytes through plugins of the two isolations.",
            Self::Policies => {
                "A response of 100 bytes, every request with a token: verified by RS256 and remembered, within a rate limit, \
                 watched by a circuit breaker. `envoy` does the first two by jwt_authn and local_ratelimit."
            }
            Self::Body1MbHeaders => "A response of 1 MiB, without and with the plugin `headers`.",
            Self::Idle => "Connections that made one request each and are kept.",
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
            Self::Idle | Self::Reload => None,
            Self::H2c => Load::Http2.missing_generator(),
            _ => Load::Http1.missing_generator(),
        }
    }

    pub fn run(self, setup: &Setup) -> Result<Table> {
        match self {
            Self::SmallGet => small_get(setup),
            Self::Body1Mb => beside_peers(setup, Load::Http1, LARGE_PATH),
            Self::ConnectionPerRequest => beside_peers(setup, Load::Http1Close, SMALL_PATH),
            Self::H2c => beside_peers(setup, Load::Http2, SMALL_PATH),
            Self::Routes10K => routes_10k(setup),
            Self::Plugins => plugins(setup),
            Self::Policies => policies(setup),
            Self::Body1MbHeaders => body_1mb_headers(setup),
            Self::Idle => idle::run(setup),
            Self::Reload => reload::run(setup),
            Self::Hostile => hostile::run(setup),
        }
    }
}

fn small_get(setup: &Setup) -> Result<Table> {
    let mut targets = proxies(setup, Protocol::Http1, SMALL_PATH)?;
    if let Some(haproxy) = setup.peers.iter().find(|installed| installed.peer == Peer::Haproxy) {
        targets.push(Target::new(setup.start_peer(haproxy, Protocol::Tcp)?, SMALL_PATH));
    }
    let figures = measure(setup, Load::Http1, &targets)?;
    Ok(comparison(&targets, &figures, Reference::BestPeer))
}

fn beside_peers(setup: &Setup, load: Load, path: &str) -> Result<Table> {
    let protocol = if load == Load::Http2 { Protocol::Http2 } else { Protocol::Http1 };
    let targets = proxies(setup, protocol, path)?;
    let figures = measure(setup, load, &targets)?;
    Ok(comparison(&targets, &figures, Reference::BestPeer))
}

/// The gateway and the peers, ready to be asked for one path.
fn proxies(setup: &Setup, protocol: Protocol, path: &str) -> Result<Vec<Target>> {
    let mut targets = vec![Target::new(setup.start_gateway("cloud-cup", Variant::Plain)?, path)];
    for peer in &setup.peers {
        targets.push(Target::new(setup.start_peer(peer, protocol)?, path));
    }
    Ok(targets)
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
