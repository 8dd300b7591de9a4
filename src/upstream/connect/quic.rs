//! QUIC connections to backends (RFC 9000). Each has a socket of its own, as a TCP connection has.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint as Socket, TransportConfig, VarInt};

use super::ConnectError;

/// What a backend may send ahead of a response's body, on one stream and on the whole connection.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// How long a backend may be silent while something is asked of it, or after a ping.
const SILENCE: Duration = Duration::from_secs(30);
/// The first of the errors that are TLS alerts (RFC 9001, section 4.8), and the first behind them.
const ALERTS: std::ops::Range<u64> = 0x100..0x200;

/// Connects to the first address that answers.
pub(super) async fn connect(
    addresses: Vec<SocketAddr>,
    name: &str,
    crypto: Arc<QuicClientConfig>,
    ping: Option<Duration>,
) -> Result<Connection, ConnectError> {
    let config = config(crypto, ping);
    let mut last = ConnectError::Io(io::Error::new(io::ErrorKind::NotFound, "no address for the name"));
    for address in addresses {
        match connect_to(address, name, config.clone()).await {
            Ok(connection) => return Ok(connection),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn config(crypto: Arc<QuicClientConfig>, ping: Option<Duration>) -> ClientConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .datagram_receive_buffer_size(None)
        .keep_alive_interval(ping)
        .max_idle_timeout(ping.map_or(SILENCE, |ping| ping + SILENCE).try_into().ok());
    let mut config = ClientConfig::new(crypto);
    config.transport_config(Arc::new(transport));
    config
}

async fn connect_to(
    address: SocketAddr,
    name: &str,
    config: ClientConfig,
) -> Result<Connection, ConnectError> {
    let any = match address {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let connecting = Socket::client(any)?.connect_with(config, address, name);
    let connecting = connecting.map_err(|error| ConnectError::Io(io::Error::other(error)))?;
    connecting.await.map_err(|error| match &error {
        ConnectionError::TransportError(transport) if ALERTS.contains(&u64::from(transport.code)) => {
            ConnectError::Tls(io::Error::other(transport.reason.clone()))
        }
        ConnectionError::ConnectionClosed(close) if ALERTS.contains(&u64::from(close.error_code)) => {
            ConnectError::Tls(io::Error::other(error))
        }
        _ => ConnectError::Io(io::Error::other(error)),
    })
}
