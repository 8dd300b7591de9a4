//! Certificates: read, and refused where clients would refuse them.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::{CertificateFiles, Fault, Part};
use crate::message::tls::CertificateNames;

/// A certificate that can be shown.
#[derive(Debug)]
pub(super) struct Certificate {
    pub key: Arc<CertifiedKey>,
    pub names: Arc<CertificateNames>,
    /// The last moment at which it is valid, in seconds since the epoch.
    pub not_after: i64,
}

impl Certificate {
    /// Reads a chain and its key. `now` is in seconds since the epoch; none where validity is not looked at.
    pub fn load(
        files: &CertificateFiles,
        provider: &CryptoProvider,
        now: Option<i64>,
    ) -> Result<Self, Fault> {
        let chain = read_chain(&files.chain.0).map_err(|message| Fault::new(Part::Chain, message))?;
        let key = read_key(&files.key.0)?;
        let facts = check_chain(&chain, now)?;
        let mut key = CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                Fault::new(Part::Key, "the key is not that of the certificate")
                    .hint("the first certificate of the file must be the one that was issued for this key")
            }
            error => Fault::new(Part::Key, format!("the key cannot be used: {error}")),
        })?;
        key.ocsp = files.ocsp.as_ref().map(|response| response.0.clone());
        Ok(Self { key: Arc::new(key), names: Arc::new(facts.names), not_after: facts.not_after })
    }
}

/// The certificates of a PEM file, at least one.
pub(super) fn read_chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match chain {
        Ok(chain) if chain.is_empty() => {
            Err("expected a PEM file with a `CERTIFICATE`, found none".to_owned())
        }
        Ok(chain) => Ok(chain),
        Err(error) => Err(format!("the PEM file cannot be read: {error}")),
    }
}

fn read_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, Fault> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        let is_encrypted = pem.windows(21).any(|window| window == b"ENCRYPTED PRIVATE KEY");
        match is_encrypted || pem.windows(9).any(|window| window == b"ENCRYPTED") {
            true => Fault::new(Part::Key, "the key is encrypted")
                .hint("decrypt it: `openssl pkey -in FILE -out FILE.plain`"),
            false => Fault::new(Part::Key, "expected a PEM file with a `PRIVATE KEY`, found none"),
        }
    })
}

struct Facts {
    names: CertificateNames,
    not_after: i64,
}

/// Each certificate must be signed by the next one, and all must be valid now.
fn check_chain(chain: &[CertificateDer<'_>], now: Option<i64>) -> Result<Facts, Fault> {
    let broken = |message: String| Fault::new(Part::Chain, message);
    let mut parsed = Vec::new();
    for (index, der) in chain.iter().enumerate() {
        let (_, certificate) = X509Certificate::from_der(der)
            .map_err(|error| broken(format!("certificate {} is malformed: {error}", index + 1)))?;
        check_validity(&certificate, index, now)?;
        parsed.push(certificate);
    }
    for (index, pair) in parsed.windows(2).enumerate() {
        let [certificate, issuer] = pair else { continue };
        let is_issuer = certificate.issuer() == issuer.subject()
            && certificate.verify_signature(Some(issuer.public_key())).is_ok();
        if !is_issuer {
            let message = format!(
                "the chain is broken: certificate {} ({}) is not issued by the one behind it ({})",
                index + 1,
                certificate.subject(),
                issuer.subject()
            );
            return Err(broken(message)
                .hint("the server's own certificate comes first, then its issuer's, and so on"));
        }
    }
    let leaf = &parsed[0];
    let names = names(leaf);
    if leaf.is_ca() && chain.len() > 1 {
        let message = format!("the first certificate ({}) is an authority's, not a server's", leaf.subject());
        return Err(
            broken(message).hint("the server's own certificate comes first, then its issuer's, and so on")
        );
    }
    Ok(Facts { names: CertificateNames(names), not_after: leaf.validity().not_after.timestamp() })
}

fn check_validity(certificate: &X509Certificate<'_>, index: usize, now: Option<i64>) -> Result<(), Fault> {
    let Some(now) = now else { return Ok(()) };
    let validity = certificate.validity();
    let which = format!("certificate {} ({})", index + 1, certificate.subject());
    if validity.not_after.timestamp() < now {
        return Err(Fault::new(Part::Chain, format!("{which} has expired on {}", validity.not_after)));
    }
    if validity.not_before.timestamp() > now {
        return Err(Fault::new(Part::Chain, format!("{which} is valid only from {}", validity.not_before)));
    }
    Ok(())
}

/// The hosts that a certificate is for. One without alternative names, as old tools make them, is for its common name.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let names = alternative.iter().flat_map(|names| &names.value.general_names);
    let names: Vec<_> = names.filter_map(host).collect();
    if !names.is_empty() {
        return names;
    }
    let common = certificate.subject().iter_common_name();
    common.filter_map(|name| Some(name.as_str().ok()?.to_ascii_lowercase())).collect()
}

fn host(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        GeneralName::IPAddress(bytes) => address(bytes),
        _ => None,
    }
}

pub(super) fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(std::net::Ipv4Addr::from(v4).to_string());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|v6| std::net::Ipv6Addr::from(v6).to_string())
}
