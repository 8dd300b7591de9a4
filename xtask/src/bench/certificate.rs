//! The certificate that every proxy shows, made anew for each run, and the clients that trust it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

/// In the folder of a server, and in that of the benchmark.
pub const CERTIFICATE: &str = "certificate.pem";
pub const KEY: &str = "key.pem";
/// Both in one file, as HAProxy wants them.
pub const CERTIFICATE_AND_KEY: &str = "certificate-and-key.pem";

/// The name that clients ask for.
pub const HOST: &str = "localhost";

/// Of P-256, signed by itself.
pub struct Certificate {
    certificate: String,
    key: String,
}

impl Certificate {
    pub fn generate() -> Result<Self> {
        let names = vec![HOST.to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).context("cannot make a certificate")?;
        Ok(Self { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() })
    }

    pub fn write_to(&self, dir: &Path) -> Result<()> {
        let both = format!("{}{}", self.certificate, self.key);
        let files = [(CERTIFICATE, &self.certificate), (KEY, &self.key), (CERTIFICATE_AND_KEY, &both)];
        for (name, text) in files {
            fs::write(dir.join(name), text).with_context(|| format!("cannot write `{name}`"))?;
        }
        Ok(())
    }
}

pub fn server_name() -> ServerName<'static> {
    ServerName::try_from(HOST).expect("it is a name")
}

/// Whether clients come back with the tickets that they were given.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sessions {
    New,
    Resumed,
}

/// A client that trusts the certificate in a folder. It speaks TLS 1.3 and offers one key exchange and one cipher suite,
/// so that all proxies do the same cryptography.
pub fn client(dir: &Path, protocols: &[&str], sessions: Sessions) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(dir.join(CERTIFICATE))?)?;
    let provider = CryptoProvider {
        cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![aws_lc_rs::kx_group::X25519],
        ..aws_lc_rs::default_provider()
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(provider));
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13])?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    if sessions == Sessions::New {
        config.resumption = Resumption::disabled();
    }
    Ok(config)
}
