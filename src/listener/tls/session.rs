//! The handshake, and the session that it makes.

use std::io;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{HandshakeKind, ProtocolVersion, ServerConnection};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::{Tls, client};
use crate::base::transport::Transport;
use crate::message::tls::TlsSession;
use crate::protocol::Protocols;

/// The type of the record that a handshake begins with (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;

/// A connection whose handshake is done.
#[derive(Debug)]
pub struct Secured {
    /// Its bytes.
    pub transport: Transport,
    /// What is known of its client.
    pub session: Arc<TlsSession>,
    /// What was agreed on.
    pub protocols: Protocols,
    /// Whether an earlier session was taken up again.
    pub is_resumed: bool,
}

/// Why there is no session.
#[derive(Debug, Error)]
pub enum Refused {
    /// The client began with something else than TLS, which nobody has read yet.
    #[error("the client does not speak TLS")]
    Cleartext(TcpStream),
    /// The handshake failed, and the client was told why.
    #[error("{0}")]
    Failed(#[from] io::Error),
}

impl Tls {
    /// Takes part in a handshake. Without a deadline of its own.
    pub async fn accept(&self, io: TcpStream) -> Result<Secured, Refused> {
        let mut first = [0];
        match io.peek(&mut first).await? {
            0 => return Err(Refused::Failed(io::ErrorKind::UnexpectedEof.into())),
            _ if first[0] != HANDSHAKE => return Err(Refused::Cleartext(io)),
            _ => {}
        }
        let stream = TlsAcceptor::from(Arc::clone(&self.config)).accept(io).await?;
        let connection = stream.get_ref().1;
        let protocols = match connection.alpn_protocol() {
            Some(b"h2") => Protocols { h1: false, h2: true, h3: false },
            _ => Protocols { h1: self.spec.protocols.h1, h2: false, h3: false },
        };
        let is_resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
        let session = Arc::new(self.facts(connection));
        let transport = Transport::Tls(Box::new(stream.into()));
        Ok(Secured { transport, session, protocols, is_resumed })
    }

    /// The facts of a session under QUIC, which does not tell its cipher suite.
    pub fn quic_session(
        &self,
        server_name: Option<&str>,
        certificate: Option<&CertificateDer<'_>>,
    ) -> TlsSession {
        TlsSession {
            version: "TLSv1.3",
            cipher_suite: "",
            server_name: server_name.map(str::to_ascii_lowercase),
            certificate: self.resolver.names_for(server_name),
            client_certificate: certificate.and_then(client::facts),
        }
    }

    fn facts(&self, connection: &ServerConnection) -> TlsSession {
        let suite = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
        let certificate = connection.peer_certificates().and_then(|chain| chain.first());
        TlsSession {
            version: match connection.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
                _ => "TLSv1.3",
            },
            cipher_suite: suite.unwrap_or_default(),
            server_name: connection.server_name().map(str::to_ascii_lowercase),
            certificate: self.resolver.names_for(connection.server_name()),
            client_certificate: certificate.and_then(client::facts),
        }
    }
}
