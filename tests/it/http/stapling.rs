//! OCSP responses that are stapled to a certificate (RFC 6066, section 8).

use std::sync::{Arc, Mutex};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::with;
use crate::support::{Authority, Backend, Gateway, TlsClient, document, eventually};

/// Remembers what was stapled, and takes any certificate.
#[derive(Debug, Default)]
struct Stapled(Mutex<Vec<u8>>);

impl ServerCertVerifier for Stapled {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        response: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        response.clone_into(&mut self.0.lock().expect("nobody panics with it"));
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

/// What the gateway staples to a new handshake.
async fn stapled(gateway: &Gateway) -> Vec<u8> {
    let seen = Arc::<Stapled>::default();
    let verifier = Arc::<Stapled>::clone(&seen);
    let builder = ClientConfig::builder().dangerous().with_custom_certificate_verifier(verifier);
    let client = TlsClient::of(builder.with_no_client_auth());
    client.connect(gateway.address(), "a.example").await.expect("a session");
    let response = seen.0.lock().expect("nobody panics with it");
    response.clone()
}

fn document_with(backend: &Backend, certificate: Value) -> Value {
    let listener = json!({ "address": "127.0.0.1:0", "tls": { "certificates": [certificate] } });
    let routes = json!({ "*": { "backends": [backend.host()] } });
    with(document(routes), json!({ "listeners": { "secure": listener } }))
}

#[tokio::test]
async fn a_response_is_stapled_and_renewed_with_its_file() {
    let backend = Backend::echo("a");
    let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new("the authority"));
    authority.issue(&["a.example"]).write(folder.path(), "a");
    // What it says is between the authority and the client.
    std::fs::write(folder.path().join("a.ocsp"), b"first").expect("the folder can be written to");
    let files = json!({ "certificate": "a.pem", "key": "a.key", "ocsp": "a.ocsp" });
    let started = Gateway::try_start_in(folder, document_with(&backend, files)).await;
    let gateway = started.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(stapled(&gateway).await, b"first");
    std::fs::write(gateway.folder().join("a.ocsp"), b"second").expect("the folder can be written to");
    eventually(|| async { stapled(&gateway).await == b"second" }).await;
    gateway.change(document_with(&backend, json!({ "certificate": "a.pem", "key": "a.key" }))).await;
    eventually(|| async { stapled(&gateway).await.is_empty() }).await;
}
