//! TLS from clients, by rustls. QUIC takes its configuration from here too.

mod certificate;
mod client;
mod resolver;
mod session;

use std::fmt;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{
    NoServerSessionStorage, ProducesTickets, ServerConfig, ServerSessionMemoryCache, WebPkiClientVerifier,
};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, SupportedProtocolVersion};

use crate::base::files::FileContent;
use crate::message::tls::CertificateNames;
use crate::protocol::Protocols;
use certificate::{Certificate, read_chain};
use resolver::Resolver;

pub use session::{Refused, Secured};

/// Sessions of one listener that can be taken up again with early data.
const KEPT_SESSIONS: usize = 4096;

static MODERN: &[&SupportedProtocolVersion] = &[&TLS13];
static INTERMEDIATE: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// What a listener's TLS is made of, as it was read from its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSpec {
    /// At least one. The first one is shown where no other one has the name that a client asks for.
    pub certificates: Vec<CertificateFiles>,
    /// Versions and suites.
    pub profile: Profile,
    /// What is asked of clients; nothing where there is none.
    pub clients: Option<ClientAuthority>,
    /// What may be negotiated (ALPN, RFC 7301).
    pub protocols: Protocols,
    /// Whether clients of HTTP/3 that come back may send requests before their handshake is done (0-RTT).
    pub takes_early_data: bool,
}

/// The files of one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The server's own certificate, then its issuer's and so on, as PEM.
    pub chain: FileContent,
    /// The private key, as PEM.
    pub key: FileContent,
    /// An OCSP response in DER, to be stapled.
    pub ocsp: Option<FileContent>,
}

/// Who vouches for clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientAuthority {
    /// Certificates of authorities, as PEM.
    pub bundle: FileContent,
    /// Whether clients without a certificate are refused.
    pub is_required: bool,
}

/// Versions and suites, by the names that Mozilla's recommendations have made common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// TLS 1.3.
    Modern,
    /// TLS 1.3, and 1.2 with forward secrecy and authenticated encryption.
    #[default]
    Intermediate,
}

/// What is wrong with a [`TlsSpec`].
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which certificate, by its index; none for what concerns clients.
    pub certificate: Option<usize>,
    /// Which of its files.
    pub part: Part,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<&'static str>,
}

/// A file of a [`TlsSpec`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The certificates.
    Chain,
    /// The private key.
    Key,
    /// The authorities of clients.
    ClientBundle,
}

impl Fault {
    fn new(part: Part, message: impl Into<String>) -> Self {
        Self { certificate: None, part, message: message.into(), hint: None }
    }

    fn hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }
}

/// A certificate that is shown to clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownCertificate {
    /// The hosts that it is for.
    pub names: Arc<CertificateNames>,
    /// The last moment at which it is valid, in seconds since the epoch.
    pub not_after: i64,
}

/// A listener's TLS, shared by all workers.
pub struct Tls {
    spec: TlsSpec,
    config: Arc<ServerConfig>,
    quic: Arc<ServerConfig>,
    resolver: Arc<Resolver>,
    shown: Vec<ShownCertificate>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tls").field("shown", &self.shown).finish_non_exhaustive()
    }
}

impl Tls {
    /// Makes it of what the files say; where nothing changed it is `previous` itself. `now` is in seconds since the epoch.
    ///
    /// A certificate that has expired is refused, unless it is being shown already: then refusing would not help its
    /// clients, and would hold up whatever else is changed.
    pub fn build(spec: TlsSpec, previous: Option<&Arc<Self>>, now: i64) -> Result<Arc<Self>, Vec<Fault>> {
        if let Some(same) = previous.filter(|previous| previous.spec == spec) {
            return Ok(Arc::clone(same));
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut faults = Vec::new();
        let mut certificates = Vec::new();
        for (index, files) in spec.certificates.iter().enumerate() {
            let is_shown = previous.is_some_and(|previous| previous.spec.certificates.contains(files));
            match Certificate::load(files, &provider, (!is_shown).then_some(now)) {
                Ok(certificate) => certificates.push(certificate),
                Err(fault) => faults.push(Fault { certificate: Some(index), ..fault }),
            }
        }
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(spec.profile.versions())
            .map_err(|error| vec![Fault::new(Part::Chain, error.to_string())])?;
        let builder = match &spec.clients {
            None => builder.with_no_client_auth(),
            Some(authority) => match verifier(authority, provider) {
                Ok(verifier) => builder.with_client_cert_verifier(verifier),
                Err(fault) => {
                    faults.push(fault);
                    return Err(faults);
                }
            },
        };
        if !faults.is_empty() {
            return Err(faults);
        }
        let resolver = Arc::new(Resolver::new(&certificates));
        let mut config = builder.with_cert_resolver(Arc::<Resolver>::clone(&resolver));
        let untouched = spec.takes_early_data().then(|| config.clone());
        config.alpn_protocols = alpn(spec.protocols);
        // Sessions are resumed by tickets, which any worker can read; a store would be one more thing to share.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = match previous.filter(|previous| previous.spec.clients == spec.clients) {
            Some(previous) => Arc::clone(&previous.config.ticketer),
            // A ticket says that its client was verified. It must not be good where other authorities vouch for clients.
            None => ticketer().map_err(|message| vec![Fault::new(Part::Chain, message)])?,
        };
        let shown = certificates.iter().map(|certificate| ShownCertificate {
            names: Arc::clone(&certificate.names),
            not_after: certificate.not_after,
        });
        let shown = shown.collect();
        let mut quic = match untouched {
            None => config.clone(),
            Some(untouched) => with_early_data(untouched, previous),
        };
        quic.alpn_protocols = vec![b"h3".to_vec()];
        Ok(Arc::new(Self { spec, config: Arc::new(config), quic: Arc::new(quic), resolver, shown }))
    }

    /// What is spoken under QUIC (RFC 9001).
    pub fn quic(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.quic)
    }

    /// Whether requests may come before a handshake over QUIC is done.
    pub fn takes_early_data(&self) -> bool {
        self.spec.takes_early_data()
    }

    /// The certificates, the default first.
    pub fn certificates(&self) -> &[ShownCertificate] {
        &self.shown
    }
}

impl TlsSpec {
    /// Who has to show a certificate has to finish the handshake.
    fn takes_early_data(&self) -> bool {
        self.takes_early_data && self.clients.is_none()
    }
}

impl Profile {
    fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            Self::Modern => MODERN,
            Self::Intermediate => INTERMEDIATE,
        }
    }
}

fn alpn(protocols: Protocols) -> Vec<Vec<u8>> {
    let offers = [(protocols.h2, &b"h2"[..]), (protocols.h1, b"http/1.1")];
    offers.iter().filter(|(is_offered, _)| *is_offered).map(|(_, name)| name.to_vec()).collect()
}

/// Keys of tickets are made here, and replaced every six hours.
fn ticketer() -> Result<Arc<dyn ProducesTickets>, String> {
    aws_lc_rs::Ticketer::new().map_err(|error| format!("no keys for session tickets: {error}"))
}

/// Early data can be sent again by whoever has recorded it. Sessions are therefore kept here, and each is good for one
/// handshake (RFC 8446, section 8.1); a ticket that any worker can read would be good for many.
fn with_early_data(mut quic: ServerConfig, previous: Option<&Arc<Tls>>) -> ServerConfig {
    let previous = previous.filter(|previous| previous.takes_early_data());
    quic.session_storage = match previous {
        Some(previous) => Arc::clone(&previous.quic.session_storage),
        None => ServerSessionMemoryCache::new(KEPT_SESSIONS),
    };
    // All or nothing, over QUIC (RFC 9001, section 4.6.1).
    quic.max_early_data_size = u32::MAX;
    quic
}

fn verifier(
    authority: &ClientAuthority,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, Fault> {
    let fault = |message: String| Fault::new(Part::ClientBundle, message);
    let mut roots = RootCertStore::empty();
    for certificate in read_chain(&authority.bundle.0).map_err(fault)? {
        roots.add(certificate).map_err(|error| fault(format!("an authority cannot be used: {error}")))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = if authority.is_required { builder } else { builder.allow_unauthenticated() };
    builder.build().map_err(|error| fault(format!("the authorities cannot be used: {error}")))
}
