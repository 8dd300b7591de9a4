//! Certificates of an authority of the test's own, and clients that trust it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SignatureAlgorithm,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::within;

/// An authority that vouches for servers and clients.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key.
pub struct Issued {
    /// The certificate and its issuer's, as PEM.
    pub chain: String,
    /// The key, as PEM.
    pub key: String,
    der: CertificateDer<'static>,
    private: Vec<u8>,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    /// Its own certificate, as PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// The same in DER.
    pub fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    /// A certificate for these names.
    pub fn issue(&self, names: &[&str]) -> Issued {
        self.issue_with(names, &rcgen::PKCS_ECDSA_P256_SHA256, |_| ())
    }

    /// The same, with a key of this kind and whatever else a test needs.
    pub fn issue_with(
        &self,
        names: &[&str],
        algorithm: &'static SignatureAlgorithm,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Issued {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let common = names.first().cloned().unwrap_or_default();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, common);
        change(&mut params);
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        Issued {
            chain: format!("{}{}", certificate.pem(), self.0.pem()),
            key: key.serialize_pem(),
            der: certificate.der().clone(),
            private: key.serialize_der(),
        }
    }

    /// A client that trusts it and shows this certificate.
    pub fn client(&self, alpn: &[&str], shows: Option<&Issued>) -> TlsClient {
        TlsClient(TlsConnector::from(Arc::new(self.client_config(alpn, shows))))
    }

    /// What such a client is made of.
    pub fn client_config(&self, alpn: &[&str], shows: Option<&Issued>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).expect("an authority");
        let builder = ClientConfig::builder().with_root_certificates(roots);
        let mut config = match shows {
            None => builder.with_no_client_auth(),
            Some(issued) => {
                let key = PrivateKeyDer::try_from(issued.private.clone()).expect("a key");
                builder.with_client_auth_cert(vec![issued.der.clone()], key).expect("a certificate")
            }
        };
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }
}

impl Issued {
    /// A server that shows it, and asks for a certificate of `clients` where there is one.
    pub fn acceptor(&self, alpn: &[&str], clients: Option<&Authority>) -> TlsAcceptor {
        let key = PrivateKeyDer::try_from(self.private.clone()).expect("a key");
        let builder = match clients {
            None => ServerConfig::builder().with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.der()).expect("an authority");
                let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().expect("a verifier");
                ServerConfig::builder().with_client_cert_verifier(verifier)
            }
        };
        let mut config =
            builder.with_single_cert(vec![self.der.clone()], key).expect("a certificate and its key");
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }

    /// Whether this is the certificate.
    pub fn is(&self, der: &CertificateDer<'_>) -> bool {
        self.der == *der
    }

    /// Writes both files, `NAME.pem` and `NAME.key`.
    pub fn write(&self, folder: &Path, name: &str) {
        fs::write(folder.join(format!("{name}.pem")), &self.chain).expect("the folder can be written to");
        fs::write(folder.join(format!("{name}.key")), &self.key).expect("the folder can be written to");
    }
}

/// A client that remembers its sessions.
#[derive(Clone)]
pub struct TlsClient(TlsConnector);

impl TlsClient {
    /// One that is made of this.
    pub fn of(config: ClientConfig) -> Self {
        Self(TlsConnector::from(Arc::new(config)))
    }

    /// Connects and shakes hands, asking for this name.
    pub async fn connect(&self, address: SocketAddr, name: &str) -> std::io::Result<TlsStream<TcpStream>> {
        self.connect_over(within(TcpStream::connect(address)).await?, name).await
    }

    /// Shakes hands on a connection.
    pub async fn connect_over(&self, tcp: TcpStream, name: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        within(Box::pin(self.0.connect(name, tcp))).await
    }
}
