//! TLS to backends, by rustls: the one place of this side that knows it.

use std::fmt;
use std::sync::Arc;

use quinn::crypto::rustls::QuicClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_platform_verifier::Verifier;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{ConnectError, Connected, Protocol, quic};
use crate::base::address::{Address, Host};
use crate::base::files::FileContent;
use crate::base::transport::Transport;
use crate::upstream::Endpoint;

/// What the TLS to a cluster is made of, as it was read from its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSpec {
    /// What is asked for (SNI) and what the certificate must be for; none is the backend's own host.
    pub server_name: Option<String>,
    /// Who vouches for backends.
    pub trust: Trust,
    /// What the gateway shows of itself, where it is asked.
    pub identity: Option<Identity>,
    /// What may be agreed on.
    pub protocol: Protocol,
}

/// Who vouches for backends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Whoever this machine trusts.
    System,
    /// These authorities, as PEM.
    Authorities(FileContent),
    /// Nobody: any certificate will do.
    Anybody,
}

/// A certificate with its key, as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The certificate, then its issuer's and so on.
    pub chain: FileContent,
    /// The private key.
    pub key: FileContent,
}

/// What is wrong with a [`TlsSpec`].
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which of its files.
    pub part: Part,
    /// What is wrong.
    pub message: String,
}

/// A file of a [`TlsSpec`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The authorities.
    Authorities,
    /// The certificates that are shown.
    Chain,
    /// Their key.
    Key,
}

/// The TLS to a cluster's backends, shared by all workers. Sessions are taken up again.
pub struct Tls {
    spec: TlsSpec,
    connector: TlsConnector,
    /// For those who need HTTP/1.1 whatever else is spoken.
    to_http1: TlsConnector,
    /// Where HTTP/3 is spoken.
    quic: Option<Arc<QuicClientConfig>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tls").field("spec", &self.spec).finish_non_exhaustive()
    }
}

impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        self.spec == other.spec
    }
}

impl Tls {
    /// Makes it of what the files say; where nothing changed it is `previous` itself.
    pub fn build(spec: TlsSpec, previous: Option<&Arc<Self>>) -> Result<Arc<Self>, Fault> {
        if let Some(same) = previous.filter(|previous| previous.spec == spec) {
            return Ok(Arc::clone(same));
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let failed = |error: Error| Fault { part: Part::Authorities, message: error.to_string() };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(failed)?;
        let builder = match &spec.trust {
            Trust::Authorities(bundle) => builder.with_root_certificates(roots(bundle)?),
            Trust::System => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Verifier::new(provider).map_err(failed)?)),
            Trust::Anybody => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(Unverified(provider)))
            }
        };
        let mut config = match &spec.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let (chain, key) = (certificates(&identity.chain, Part::Chain)?, key(&identity.key)?);
                let unfit = |error: Error| Fault {
                    part: Part::Key,
                    message: format!("the key and the certificate cannot be used: {error}"),
                };
                builder.with_client_auth_cert(chain, key).map_err(unfit)?
            }
        };
        let mut offering = |protocol: Protocol| {
            config.alpn_protocols = protocol.alpn().iter().map(|name| name.to_vec()).collect();
            Arc::new(config.clone())
        };
        let (to_http1, crypto) = (offering(Protocol::H1), offering(spec.protocol));
        let quic = match spec.protocol {
            Protocol::H3 => Some(QuicClientConfig::try_from(Arc::clone(&crypto))),
            _ => None,
        };
        let quic = quic.transpose().map_err(|error| failed(Error::General(error.to_string())))?;
        Ok(Arc::new(Self {
            spec,
            connector: crypto.into(),
            to_http1: to_http1.into(),
            quic: quic.map(Arc::new),
        }))
    }

    pub(super) async fn shake_hands(
        &self,
        io: TcpStream,
        endpoint: &Endpoint,
        protocol: Protocol,
    ) -> Result<Connected, ConnectError> {
        let name = self.server_name(endpoint)?;
        let connector = if protocol == Protocol::H1 { &self.to_http1 } else { &self.connector };
        let stream = connector.connect(name, io).await.map_err(ConnectError::Tls)?;
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let transport = Transport::Tls(Box::new(stream.into()));
        match protocol {
            _ if is_http2 => Ok(Connected::Http2(transport)),
            Protocol::H2 => Err(ConnectError::Protocol),
            _ => Ok(Connected::Http1(transport)),
        }
    }

    /// The same over QUIC, within a moment that the caller sets.
    pub(super) async fn shake_hands_over_quic(&self, endpoint: &Endpoint) -> Result<Connected, ConnectError> {
        let crypto = self.quic.clone().ok_or(ConnectError::Protocol)?;
        let name = self.server_name(endpoint)?.to_str().into_owned();
        let ping = endpoint.dial.ping;
        quic::connect(super::addresses(endpoint).await?, &name, crypto, ping).await.map(Connected::Http3)
    }

    fn server_name(&self, endpoint: &Endpoint) -> Result<ServerName<'static>, ConnectError> {
        let name = match (&self.spec.server_name, &endpoint.address) {
            (Some(name), _) => ServerName::try_from(name.clone()),
            (None, Address::Tcp(address)) => match &address.host {
                Host::Ip(ip) => Ok(ServerName::from(*ip)),
                Host::Name(name) => ServerName::try_from(name.clone()),
            },
            (None, Address::Unix(_) | Address::Service(_)) => ServerName::try_from(String::new()),
        };
        name.map_err(|error| ConnectError::Tls(std::io::Error::other(error)))
    }
}

impl Protocol {
    fn alpn(self) -> &'static [&'static [u8]] {
        match self {
            Self::Auto => &[b"h2", b"http/1.1"],
            Self::H1 => &[b"http/1.1"],
            Self::H2 | Self::H2c => &[b"h2"],
            Self::H3 => &[b"h3"],
        }
    }
}

fn roots(bundle: &FileContent) -> Result<RootCertStore, Fault> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(bundle, Part::Authorities)? {
        roots.add(certificate).map_err(|error| Fault {
            part: Part::Authorities,
            message: format!("an authority cannot be used: {error}"),
        })?;
    }
    Ok(roots)
}

fn certificates(pem: &FileContent, part: Part) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem.0).collect();
    let message = match chain {
        Ok(chain) if !chain.is_empty() => return Ok(chain),
        Ok(_) => "expected a PEM file with a `CERTIFICATE`, found none".to_owned(),
        Err(error) => format!("the PEM file cannot be read: {error}"),
    };
    Err(Fault { part, message })
}

fn key(pem: &FileContent) -> Result<PrivateKeyDer<'static>, Fault> {
    PrivateKeyDer::from_pem_slice(&pem.0).map_err(|_| Fault {
        part: Part::Key,
        message: "expected a PEM file with an unencrypted `PRIVATE KEY`, found none".to_owned(),
    })
}

/// Takes any certificate of whoever has its key.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
