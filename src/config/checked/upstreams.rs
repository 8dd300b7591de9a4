//! Groups of backends.

use std::path::PathBuf;
use std::time::Duration;

use http::HeaderValue;

use super::Balancing;
use crate::base::address::Address;
use crate::config::document::UpstreamProtocol;

/// Backends of which one gets a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Its name in the document; for the backends of a rule `routes:` and the pattern, and for every rule but the first
    /// `#` and its index: `routes:/game/*#1`.
    pub name: String,
    /// How one of the endpoints is chosen, and when.
    pub balancing: Balancing,
    /// How they are spoken to.
    pub dial: Dial,
    /// At least one, no two with the same address.
    pub endpoints: Vec<Backend>,
}

/// A server that requests are sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// As the document has it: `$env:NAME` where it has that. For people, not for connecting.
    pub host: String,
    /// Where it listens.
    pub address: Address,
    /// Failures in a row after which the backend is taken out; at least 1. None where others judge it.
    pub max_failure: Option<u32>,
    /// At least 1.
    pub weight: u32,
    /// 0 comes first.
    pub priority: u32,
    /// Where it stands.
    pub zone: Option<String>,
}

/// How backends are spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dial {
    /// What they speak. With `tls` never `h2c`, without it never `h2`.
    pub protocol: UpstreamProtocol,
    /// Their TLS; none in the clear.
    pub tls: Option<UpstreamTls>,
    /// What they are asked for.
    pub host: SentHost,
    /// Whether they are told whose connection it is.
    pub sends_proxy_header: bool,
    /// Concurrent requests on one connection.
    pub streams: u32,
    /// How often a connection is tried.
    pub ping: Option<Duration>,
    /// The age at which a connection takes no more requests.
    pub connection_age: Option<Duration>,
    /// The service whose health brings an ejected backend back.
    pub grpc_probe: Option<String>,
}

/// The `host` that backends are sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SentHost {
    /// The client's.
    #[default]
    Client,
    /// The backend's own.
    Backend,
    /// This one.
    Fixed(HeaderValue),
}

/// TLS to backends. Each file has its place in the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTls {
    /// None is the backend's host.
    pub server_name: Option<String>,
    /// Who vouches for them.
    pub trust: Trust,
    /// The chain and the key that are shown to them.
    pub identity: Option<((PathBuf, String), (PathBuf, String))>,
}

/// Who vouches for backends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Whoever this machine trusts.
    System,
    /// The authorities in this file.
    Authorities((PathBuf, String)),
    /// Nobody: any certificate will do.
    Anybody,
}

impl Default for Dial {
    fn default() -> Self {
        Self {
            protocol: UpstreamProtocol::default(),
            tls: None,
            host: SentHost::default(),
            sends_proxy_header: false,
            streams: 100,
            ping: None,
            connection_age: None,
            grpc_probe: None,
        }
    }
}

impl UpstreamTls {
    /// The files that it is made of, each with its place in the document.
    pub fn files(&self) -> impl Iterator<Item = &(PathBuf, String)> {
        let authorities = match &self.trust {
            Trust::Authorities(file) => Some(file),
            Trust::System | Trust::Anybody => None,
        };
        let identity = self.identity.iter().flat_map(|(chain, key)| [chain, key]);
        authorities.into_iter().chain(identity)
    }
}
