//! Where clients connect, and by what.

use schemars::JsonSchema;
use serde::Deserialize;

use super::DurationText;

/// An address to listen on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Listener {
    /// The address and port: `127.0.0.1:8080`, `[::1]:8080`, or `:8080` for every address of the machine. Port 0 takes a
    /// free one. Or a socket of this machine, `unix:/run/cup.sock`, whose clients count as `127.0.0.1`; or
    /// `systemd:NAME`, a socket of that name that systemd has opened (`FileDescriptorName`).
    #[schemars(required)]
    pub address: Option<String>,
    /// The protocols that clients may speak: `h1` and `h2c` without `tls`, `h1`, `h2` and `h3` with it. With `h3` the port is
    /// opened for UDP too, and clients of the others are told of it (`Alt-Svc`). Default: all of them but `h3`.
    #[schemars(length(min = 1))]
    pub protocols: Option<Vec<Option<Protocol>>>,
    /// Makes this a listener for TLS.
    pub tls: Option<Tls>,
    /// Takes the address of the client from the PROXY protocol, version 1 or 2.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Answers every request with a redirect to the same resource under `https`. Not with `tls`.
    pub https_redirect: Option<HttpsRedirect>,
}

/// Load balancers in front that say whose connection it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ProxyProtocol {
    /// Who is believed, as IP addresses or networks (`10.0.0.0/8`): their connections must begin with the protocol, and
    /// those of others must not. On a socket of this machine everybody is believed.
    #[schemars(required)]
    pub trusted: Option<Vec<Option<String>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(in crate::config) enum Protocol {
    /// HTTP/1.1 and HTTP/1.0.
    H1,
    /// HTTP/2 over TLS.
    H2,
    /// HTTP/2 without TLS, by prior knowledge.
    H2c,
    /// HTTP/3 over QUIC.
    H3,
}

/// How TLS is spoken. Certificates are read again when their files change.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Tls {
    /// Certificates, 1 to 1000. A client is shown the one that has the name it asks for among its subject alternative names,
    /// an exact one before a wildcard; the first one of the list where none has it, or it asks for none. Of several with
    /// the name it is shown one that it can verify, ECDSA before RSA.
    #[schemars(required, length(min = 1, max = 1000))]
    pub certificates: Option<Vec<Option<Certificate>>>,
    /// Versions and cipher suites. Default: `intermediate`.
    #[schemars(extend("default" = "intermediate"))]
    pub profile: Option<TlsProfile>,
    /// Asks clients for certificates.
    pub client_certificates: Option<ClientCertificates>,
    /// Tells browsers to come back over https only (RFC 6797).
    pub hsts: Option<Hsts>,
}

/// A certificate and its key, as PEM files.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Certificate {
    /// The path of the certificate chain: the server's own certificate, then its issuer's and so on.
    #[schemars(required, length(min = 1))]
    pub certificate: Option<String>,
    /// The path of the private key, RSA, ECDSA or Ed25519, unencrypted.
    #[schemars(required, length(min = 1))]
    pub key: Option<String>,
    /// The path of an OCSP response in DER, to be stapled.
    #[schemars(length(min = 1))]
    pub ocsp: Option<String>,
}

/// Versions and cipher suites, as Mozilla recommends them. Key exchange is X25519MLKEM768 where the client has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum TlsProfile {
    /// TLS 1.3.
    Modern,
    /// TLS 1.3, and TLS 1.2 with forward secrecy and authenticated encryption.
    #[default]
    Intermediate,
}

/// Certificates of clients.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ClientCertificates {
    /// The path of a PEM file with the certificates of the authorities that vouch for clients.
    #[schemars(required, length(min = 1))]
    pub ca: Option<String>,
    /// What becomes of clients without a certificate. Default: `required`.
    #[schemars(extend("default" = "required"))]
    pub mode: Option<ClientMode>,
    /// Whether backends are sent the client's certificate in `Client-Cert` (RFC 9440). Default: false.
    #[schemars(extend("default" = false))]
    pub forward: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(in crate::config) enum ClientMode {
    /// Their handshake fails.
    Required,
    /// They are served.
    Optional,
}

/// `Strict-Transport-Security`, in every response over TLS; a backend's own is replaced.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Hsts {
    /// How long browsers are to remember it, at most `87600h`. Default: `8760h`, a year.
    #[schemars(extend("default" = "8760h"))]
    pub max_age: Option<DurationText>,
    /// Whether it is for all subdomains too. Default: false.
    #[schemars(extend("default" = false))]
    pub include_subdomains: Option<bool>,
    /// Whether browsers may carry the host in their lists. Default: false.
    #[schemars(extend("default" = false))]
    pub preload: Option<bool>,
}

/// A redirect to `https`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct HttpsRedirect {
    /// The port to go to, as clients see it. Default: 443.
    #[schemars(range(min = 1, max = 65535), extend("default" = 443))]
    pub port: Option<u16>,
    /// 301, 302, 307 or 308. Default: 308, with which the method stays.
    #[schemars(extend("enum" = [301, 302, 307, 308], "default" = 308))]
    pub status: Option<u16>,
}

/// A certificate and its key, as PEM files.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Ssl {
    /// The path of the certificate chain: the server's own certificate, then its issuer's and so on.
    #[schemars(required, length(min = 1))]
    pub ssl_certificate: Option<String>,
    /// The path of the private key, RSA, ECDSA or Ed25519, unencrypted.
    #[schemars(required, length(min = 1))]
    pub ssl_certificate_key: Option<String>,
}
