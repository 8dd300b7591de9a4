//! Which certificate a client is shown.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::SignatureAlgorithm;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certificate::Certificate;
use crate::message::tls::CertificateNames;

/// By the name that the client asks for: an exact name before a wildcard, the first certificate where none has it. Of
/// several with one name the first whose kind of key the client can verify, ECDSA before RSA, which costs more.
#[derive(Debug)]
pub(super) struct Resolver {
    /// Wildcards are under `*.` and their domain.
    by_name: HashMap<String, Vec<usize>>,
    certificates: Vec<(Arc<CertifiedKey>, Arc<CertificateNames>)>,
    default: Vec<usize>,
}

impl Resolver {
    /// At least one certificate is needed.
    pub fn new(certificates: &[Certificate]) -> Self {
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, certificate) in certificates.iter().enumerate() {
            for name in &certificate.names.0 {
                by_name.entry(name.clone()).or_default().push(index);
            }
        }
        let cost = |index: &usize| certificates[*index].key.key.algorithm() == SignatureAlgorithm::RSA;
        by_name.values_mut().for_each(|indexes| indexes.sort_by_key(cost));
        // The first one's twin of the other kind stands in for it too.
        let default = certificates.first().map(|first| {
            let twins = certificates.iter().enumerate().filter(|(_, other)| other.names == first.names);
            let mut indexes: Vec<_> = twins.map(|(index, _)| index).collect();
            indexes.sort_by_key(cost);
            indexes
        });
        let shown =
            |certificate: &Certificate| (Arc::clone(&certificate.key), Arc::clone(&certificate.names));
        let certificates = certificates.iter().map(shown).collect();
        Self { by_name, certificates, default: default.unwrap_or_default() }
    }

    /// The names of the certificate that a client is shown which asks for this name. Of several those of the first.
    pub fn names_for(&self, name: Option<&str>) -> Arc<CertificateNames> {
        let first = self.candidates(name).first();
        first.map(|index| Arc::clone(&self.certificates[*index].1)).unwrap_or_default()
    }

    fn candidates(&self, name: Option<&str>) -> &[usize] {
        let Some(name) = name.map(str::to_ascii_lowercase) else { return &self.default };
        let wildcard = || Some(format!("*.{}", name.split_once('.')?.1));
        let found = self.by_name.get(&name).or_else(|| self.by_name.get(&wildcard()?));
        found.unwrap_or(&self.default)
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let candidates = self.candidates(hello.server_name());
        let can_verify = |index: &&usize| {
            self.certificates[**index].0.key.choose_scheme(hello.signature_schemes()).is_some()
        };
        // Where it can verify none, the handshake fails with the alert that says so.
        let chosen = candidates.iter().find(can_verify).or(candidates.first())?;
        Some(Arc::clone(&self.certificates[*chosen].0))
    }
}
