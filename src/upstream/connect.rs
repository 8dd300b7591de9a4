//! New connections to backends: to reach one, to shake hands, to agree on a protocol.

mod eyeballs;
mod quic;
pub mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use thiserror::Error;
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixStream, lookup_host};

use super::Endpoint;
use crate::base::address::{Address, Host};
use crate::base::transport::Transport;
use crate::message::proxy_protocol;
use tls::Tls;

/// How the backends of a cluster are spoken to.
#[derive(Debug, Clone, PartialEq)]
pub struct Dial {
    /// Which protocol.
    pub protocol: Protocol,
    /// Their TLS; none in the clear.
    pub tls: Option<Arc<Tls>>,
    /// Whether they are told whose connection it is by the PROXY protocol. Such a connection serves one request.
    pub sends_proxy_header: bool,
    /// The `host` that they are sent.
    pub host: SentHost,
    /// Requests at one time on a connection of theirs, where it takes several.
    pub streams: usize,
    /// How often a connection that serves several requests is asked whether it still lives.
    pub ping: Option<Duration>,
    /// How old a connection may become before it takes no more requests.
    pub most_age: Option<Duration>,
}

/// What is spoken to a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// What is agreed on in the handshake (ALPN, RFC 7301), HTTP/1.1 in the clear.
    #[default]
    Auto,
    /// HTTP/1.1.
    H1,
    /// HTTP/2 over TLS.
    H2,
    /// HTTP/2 in the clear, by prior knowledge.
    H2c,
    /// HTTP/3.
    H3,
}

/// The `host` of requests to a backend.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SentHost {
    /// What the client asked for.
    #[default]
    Client,
    /// The backend's own.
    Backend,
    /// This one.
    Fixed(HeaderValue),
}

/// Both ends of a client's connection, for the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// The client.
    pub source: SocketAddr,
    /// Where it connected.
    pub destination: SocketAddr,
}

/// How long a new connection may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// To open, name lookup included. With QUIC that is all.
    pub connect: Duration,
    /// For TLS on it.
    pub tls: Duration,
}

/// A connection on which nothing was asked yet.
#[derive(Debug)]
pub enum Connected {
    /// HTTP/1.1 is spoken on it.
    Http1(Transport),
    /// HTTP/2 is.
    Http2(Transport),
    /// HTTP/3 is.
    Http3(quinn::Connection),
}

/// Why no connection came about.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// Refused, unreachable, or no address for the name.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The handshake failed.
    #[error("TLS: {0}")]
    Tls(io::Error),
    /// The backend agreed to another protocol than was asked for.
    #[error("the backend does not speak HTTP/2")]
    Protocol,
    /// Nothing answered in time.
    #[error("no connection within {0:?}")]
    Timeout(Duration),
    /// The handshake took too long.
    #[error("no TLS session within {0:?}")]
    TlsTimeout(Duration),
}

impl From<Duration> for Patience {
    fn from(each: Duration) -> Self {
        Self { connect: each, tls: each }
    }
}

/// Connects for a protocol. May be dropped at any point.
pub async fn connect(
    endpoint: &Endpoint,
    protocol: Protocol,
    ends: Option<Ends>,
    patience: Patience,
) -> Result<Connected, ConnectError> {
    let dial = &endpoint.dial;
    if let (Protocol::H3, Some(tls)) = (protocol, &dial.tls) {
        return within(patience.connect, tls.shake_hands_over_quic(endpoint)).await;
    }
    let reaching = async {
        let mut transport = reach(endpoint).await?;
        if let Some(ends) = ends.filter(|_| dial.sends_proxy_header) {
            transport.write_all(&proxy_protocol::encode_v2(ends.source, ends.destination)).await?;
        }
        Ok(transport)
    };
    match (within(patience.connect, reaching).await?, &dial.tls) {
        (Transport::Tcp(io), Some(tls)) => {
            let agreed = tokio::time::timeout(patience.tls, tls.shake_hands(io, endpoint, protocol)).await;
            agreed.unwrap_or(Err(ConnectError::TlsTimeout(patience.tls)))
        }
        (transport, _) if protocol == Protocol::H2c => Ok(Connected::Http2(transport)),
        (transport, _) => Ok(Connected::Http1(transport)),
    }
}

/// Finds out whether anybody listens there. With QUIC only a handshake tells.
pub(super) async fn reaches(endpoint: &Endpoint, allowed: Duration) -> Result<(), ConnectError> {
    match endpoint.dial.protocol {
        Protocol::H3 => connect(endpoint, Protocol::H3, None, allowed.into()).await.map(drop),
        _ => within(allowed, async { Ok(reach(endpoint).await?) }).await.map(drop),
    }
}

async fn within<T>(
    allowed: Duration,
    connecting: impl Future<Output = Result<T, ConnectError>>,
) -> Result<T, ConnectError> {
    tokio::time::timeout(allowed, connecting).await.unwrap_or(Err(ConnectError::Timeout(allowed)))
}

async fn reach(endpoint: &Endpoint) -> io::Result<Transport> {
    if let Address::Unix(path) = &endpoint.address {
        return UnixStream::connect(path).await.map(Transport::Unix);
    }
    let tcp = eyeballs::connect(addresses(endpoint).await?).await?;
    tcp.set_nodelay(true)?;
    Ok(Transport::Tcp(tcp))
}

/// The addresses of a backend on the network, at least one. A name that nobody has resolved yet is looked up as the system
/// does it.
async fn addresses(endpoint: &Endpoint) -> io::Result<Vec<SocketAddr>> {
    let Address::Tcp(address) = &endpoint.address else { return Err(no_address()) };
    let found = match (&address.host, endpoint.resolved) {
        (_, Some(ip)) => vec![SocketAddr::new(ip, address.port)],
        (Host::Ip(ip), None) => vec![SocketAddr::new(*ip, address.port)],
        (Host::Name(name), None) => lookup_host((name.as_str(), address.port)).await?.collect(),
    };
    if found.is_empty() { Err(no_address()) } else { Ok(found) }
}

fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "no address for the name")
}

impl Dial {
    /// Whether a connection that is to speak another protocol has to be one of HTTP/2.
    pub fn has_http2_only(&self) -> bool {
        matches!(self.protocol, Protocol::H2 | Protocol::H2c)
    }

    /// Whether every connection takes several requests at one time.
    pub fn is_multiplexed(&self) -> bool {
        matches!(self.protocol, Protocol::H2 | Protocol::H2c | Protocol::H3)
    }
}

impl Default for Dial {
    fn default() -> Self {
        Self {
            protocol: Protocol::default(),
            tls: None,
            sends_proxy_header: false,
            host: SentHost::default(),
            streams: 100,
            ping: None,
            most_age: None,
        }
    }
}
