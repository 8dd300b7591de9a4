//! What is known of a client's TLS session.

use std::sync::Arc;

use http::HeaderValue;

/// A TLS session, as far as requests are concerned with it.
#[derive(Debug, Default)]
pub struct TlsSession {
    /// `TLSv1.3`, for example.
    pub version: &'static str,
    /// The cipher suite's name in the IANA registry.
    pub cipher_suite: &'static str,
    /// The name that the client asked for (SNI, RFC 6066, section 3), in lower case.
    pub server_name: Option<String>,
    /// The names of the certificate that it was shown.
    pub certificate: Arc<CertificateNames>,
    /// The certificate that it has shown, verified.
    pub client_certificate: Option<ClientCertificate>,
}

/// A client's certificate.
#[derive(Debug)]
pub struct ClientCertificate {
    /// The subject's distinguished name: `CN=alice, O=Example`.
    pub subject: String,
    /// The issuer's.
    pub issuer: String,
    /// The serial number in hexadecimal.
    pub serial: String,
    /// SHA-256 of the certificate, in hexadecimal.
    pub fingerprint: String,
    /// The names among its subject alternative names: DNS names, addresses, URIs and mailboxes.
    pub names: Vec<String>,
    /// As RFC 9440 has it in the field `client-cert`.
    pub field: HeaderValue,
}

/// Host names that a certificate is for: DNS names in lower case, perhaps with `*` as their first label, and addresses.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct CertificateNames(pub Vec<String>);

impl TlsSession {
    /// Whether a request for `host` may come over this session (RFC 9110, section 7.4): the name was asked for, or is one
    /// of the certificate's, so that a client may use its connection for both. A client that asked for no name can have
    /// any, and a request that names no host, as HTTP/1.0 allows, is for the one that was asked for.
    pub fn is_for(&self, host: &str) -> bool {
        match &self.server_name {
            _ if host.is_empty() => true,
            Some(name) => name.eq_ignore_ascii_case(host) || self.certificate.cover(host),
            None => true,
        }
    }
}

impl CertificateNames {
    /// Whether the certificate is for this host (RFC 9525, section 6.3): `*` stands for one whole label.
    pub fn cover(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        let parent = host.split_once('.').filter(|(label, _)| !label.is_empty()).map(|(_, parent)| parent);
        self.0.iter().any(|name| match name.strip_prefix("*.") {
            Some(domain) => parent.is_some_and(|parent| parent.eq_ignore_ascii_case(domain)),
            None => name.eq_ignore_ascii_case(host),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_for_its_names() {
        let names = ["example.com", "*.example.com", "192.0.2.1"].map(str::to_owned);
        let names = CertificateNames(names.to_vec());
        for host in ["example.com", "Example.COM", "example.com.", "a.example.com", "192.0.2.1"] {
            assert!(names.cover(host), "{host}");
        }
        for host in ["a.b.example.com", "example.org", "", "com", ".example.com.", "192.0.2.2"] {
            assert!(!names.cover(host), "{host}");
        }
    }

    #[test]
    fn a_session_is_for_the_name_that_was_asked_for_and_those_of_its_certificate() {
        let certificate = Arc::new(CertificateNames(vec!["b.example".to_owned()]));
        let with = |server_name: Option<&str>| TlsSession {
            server_name: server_name.map(str::to_owned),
            certificate: Arc::clone(&certificate),
            ..TlsSession::default()
        };
        assert!(with(Some("a.example")).is_for("A.example"));
        assert!(with(Some("a.example")).is_for("b.example"));
        assert!(!with(Some("a.example")).is_for("c.example"));
        assert!(with(None).is_for("c.example"));
        assert!(with(Some("a.example")).is_for(""));
    }
}
