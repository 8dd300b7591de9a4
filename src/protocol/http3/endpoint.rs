//! A worker's end of a QUIC port (RFC 9000).

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{HandshakeData, QuicServerConfig};
use quinn::rustls::ServerConfig as Crypto;
use quinn::rustls::pki_types::CertificateDer;
use quinn::{EndpointConfig, Runtime, ServerConfig, TokioRuntime, TransportConfig, VarInt};

use super::steering::{Place, Steered};
use crate::proxy::Settings;

/// How often a client is asked whether it is still there, and how long it may say nothing at all. What idle connections
/// cost is the affair of `timeouts.keep_alive`.
const PING: Duration = Duration::from_secs(15);
const SILENCE: Duration = Duration::from_secs(45);
/// Streams for h3's own use: control and QPACK's two, and some that are to be ignored (RFC 9114, section 6.2).
const UNI_STREAMS: u32 = 16;
/// Bytes that may wait to be acknowledged by one client.
const SEND_WINDOW: u64 = 1 << 20;

/// See the module.
#[derive(Debug)]
pub struct Endpoint(quinn::Endpoint);

/// A client that wants to connect.
#[derive(Debug)]
pub struct Knock(quinn::Incoming);

/// A connection whose handshake is done.
#[derive(Debug)]
pub struct Handshaken {
    pub(super) quic: quinn::Connection,
    /// Who connected.
    pub peer: SocketAddr,
    /// Where it connected.
    pub local: SocketAddr,
    /// The name that it asked for.
    pub server_name: Option<String>,
    /// The certificate that it has shown.
    pub certificate: Option<CertificateDer<'static>>,
}

impl Endpoint {
    /// Takes part in QUIC on a socket, which it shares with other workers.
    pub fn open(
        socket: UdpSocket,
        place: Place,
        crypto: Arc<Crypto>,
        settings: &Settings,
    ) -> io::Result<Self> {
        let mut config = EndpointConfig::new(place.reset_key());
        config.cid_generator(place.connection_ids());
        let server = server_config(crypto, settings)?;
        let socket = TokioRuntime.wrap_udp_socket(socket)?;
        let socket = Arc::new(Steered::new(socket, place));
        quinn::Endpoint::new_with_abstract_socket(config, Some(server), socket, Arc::new(TokioRuntime))
            .map(Self)
    }

    /// Serves connections that come from now on by these.
    pub fn reconfigure(&self, crypto: Arc<Crypto>, settings: &Settings) -> io::Result<()> {
        self.0.set_server_config(Some(server_config(crypto, settings)?));
        Ok(())
    }

    /// The next one who wants to connect; none when the endpoint was closed.
    pub async fn knock(&self) -> Option<Knock> {
        self.0.accept().await.map(Knock)
    }

    /// Waits until there is no connection any more.
    pub async fn finished(&self) {
        self.0.wait_idle().await;
    }
}

impl Knock {
    /// Whether it has proven that its address is its own.
    pub fn is_proven(&self) -> bool {
        self.0.remote_address_validated()
    }

    /// Makes it prove that its address is its own (RFC 9000, section 8.1.2). That costs it a round trip, and the gateway
    /// nothing that it has to remember.
    pub fn retry(self) {
        // Whoever has proven it is not asked again.
        if let Err(error) = self.0.retry() {
            error.into_incoming().refuse();
        }
    }

    /// Sends it away.
    pub fn refuse(self) {
        self.0.refuse();
    }

    /// Takes part in its handshake; where early data is taken, no longer than until that can come. Without a deadline of
    /// its own.
    pub async fn shake_hands(
        self,
        port: SocketAddr,
        takes_early_data: bool,
    ) -> Result<Handshaken, quinn::ConnectionError> {
        let local = self.0.local_ip().map_or(port, |ip| SocketAddr::new(ip, port.port()));
        let mut connecting = self.0.accept()?;
        if takes_early_data {
            connecting.handshake_data().await?;
        }
        let early = if takes_early_data { connecting.into_0rtt() } else { Err(connecting) };
        let quic = match early {
            Ok((quic, _)) => quic,
            Err(connecting) => connecting.await?,
        };
        let server_name = quic.handshake_data().and_then(|data| data.downcast::<HandshakeData>().ok());
        let chain = quic.peer_identity().and_then(|chain| chain.downcast::<Vec<CertificateDer<'_>>>().ok());
        Ok(Handshaken {
            peer: quic.remote_address(),
            local,
            server_name: server_name.and_then(|data| data.server_name),
            certificate: chain.and_then(|chain| chain.into_iter().next()),
            quic,
        })
    }
}

fn server_config(crypto: Arc<Crypto>, settings: &Settings) -> io::Result<ServerConfig> {
    let crypto = QuicServerConfig::try_from(crypto).map_err(io::Error::other)?;
    let mut transport = TransportConfig::default();
    let silence = SILENCE.try_into().map_err(io::Error::other)?;
    transport
        .max_concurrent_bidi_streams(settings.h2.streams.into())
        .max_concurrent_uni_streams(UNI_STREAMS.into())
        .stream_receive_window(settings.h2.stream_window.into())
        .receive_window(VarInt::from_u32(settings.h2.connection_window))
        .send_window(SEND_WINDOW)
        .datagram_receive_buffer_size(None)
        .keep_alive_interval(Some(PING))
        .max_idle_timeout(Some(silence));
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(Arc::new(transport));
    Ok(config)
}
