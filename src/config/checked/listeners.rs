//! Where clients connect.

use std::path::PathBuf;

use http::{HeaderValue, StatusCode};

use super::TlsProfile;
use crate::base::address::ListenAddress;
use crate::base::network::IpNetwork;

/// An address that clients connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name in the document; `root` for the field of that name.
    pub name: String,
    /// `[::]` is every address, IPv4 too.
    pub address: ListenAddress,
    /// What is spoken there.
    pub protocols: Protocols,
    /// How TLS is spoken; none in the clear.
    pub tls: Option<Tls>,
    /// Where requests in the clear are sent.
    pub https_redirect: Option<HttpsRedirect>,
    /// Peers that say by the PROXY protocol whose connection it is; none where nobody does.
    pub proxies: Option<Vec<IpNetwork>>,
}

/// What clients of a listener may speak; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocols {
    /// HTTP/1.1 and HTTP/1.0.
    pub h1: bool,
    /// HTTP/2: by negotiation over TLS, with prior knowledge in the clear.
    pub h2: bool,
    /// HTTP/3, over TLS only.
    pub h3: bool,
}

/// How a listener speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// At least one.
    pub certificates: Vec<Certificate>,
    /// Versions and suites.
    pub profile: TlsProfile,
    /// What is asked of clients.
    pub clients: Option<ClientCertificates>,
    /// The value of `strict-transport-security`.
    pub hsts: Option<HeaderValue>,
}

/// The files of a certificate, each with its place in the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The chain.
    pub chain: (PathBuf, String),
    /// The private key.
    pub key: (PathBuf, String),
    /// An OCSP response.
    pub ocsp: Option<(PathBuf, String)>,
}

/// What is asked of clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificates {
    /// The file of the authorities, with its place in the document.
    pub ca: (PathBuf, String),
    /// Whether clients without a certificate are refused.
    pub is_required: bool,
    /// Whether backends are told.
    pub forward: bool,
}

/// A redirect to `https`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpsRedirect {
    /// The port to go to.
    pub port: u16,
    /// The status.
    pub status: StatusCode,
}
