//! Certificates that clients would refuse are refused before that.

use rcgen::date_time_ymd;
use serde_json::{Value, json};

use super::{Written, minimal};
use crate::support::Authority;

/// A document whose `root` has this certificate.
fn with_ssl(certificate: &str, key: &str) -> Value {
    let mut document = minimal();
    document["ssl"] = json!({ "ssl_certificate": certificate, "ssl_certificate_key": key });
    document
}

#[tokio::test]
async fn what_cannot_be_read_is_an_error_at_its_place() {
    let issued = Authority::new("the authority").issue(&["a.example"]);
    for (certificate, key, expected) in [
        ("none.pem", "key.pem", vec![("ssl_certificate", "none.pem`: No such file")]),
        (".", "key.pem", vec![("ssl_certificate", "it is not a file")]),
        ("key.pem", "key.pem", vec![("ssl_certificate", "expected a PEM file with a `CERTIFICATE`")]),
        ("cert.pem", "cert.pem", vec![("ssl_certificate_key", "expected a PEM file with a `PRIVATE KEY`")]),
        ("binary.pem", "key.pem", vec![("ssl_certificate", "expected a PEM file with a `CERTIFICATE`")]),
        ("bad.pem", "key.pem", vec![("ssl_certificate", "certificate 1 is malformed")]),
        ("cert.pem", "secret.pem", vec![("ssl_certificate_key", "the key is encrypted")]),
        ("none.pem", "none.pem", vec![("ssl_certificate", "none.pem"), ("ssl_certificate_key", "none.pem")]),
    ] {
        let written = Written::new(with_ssl(certificate, key).to_string())
            .beside("cert.pem", &issued.chain)
            .beside("key.pem", &issued.key)
            .beside("bad.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
            .beside(
                "secret.pem",
                "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n",
            );
        let found = written.beside("binary.pem", [0xff; 100]).rejected().await;
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (diagnostic, (field, words)) in found.iter().zip(expected) {
            assert!(diagnostic.starts_with(&format!("error at /ssl/{field}, line 1, ")), "{diagnostic}");
            assert!(diagnostic.contains(words), "{words}: {diagnostic}");
        }
    }
}

#[tokio::test]
async fn what_clients_would_refuse_is_an_error() {
    let (authority, other) = (Authority::new("the authority"), Authority::new("another authority"));
    let good = authority.issue(&["a.example"]);
    let expired = authority.issue_with(&["a.example"], &rcgen::PKCS_ECDSA_P256_SHA256, |params| {
        params.not_after = date_time_ymd(2020, 1, 1);
    });
    let early = authority.issue_with(&["a.example"], &rcgen::PKCS_ECDSA_P256_SHA256, |params| {
        params.not_before = date_time_ymd(4000, 1, 1);
    });
    let leaf = good.chain.split_inclusive("-----END CERTIFICATE-----\n").next().expect("a certificate");
    let broken = format!("{leaf}{}", other.pem());
    let backwards = format!("{}{leaf}", authority.pem());
    for (chain, key, place, words) in [
        (&good.chain, &expired.key, "ssl_certificate_key", "the key is not that of the certificate"),
        (&expired.chain, &expired.key, "ssl_certificate", "has expired on"),
        (&early.chain, &early.key, "ssl_certificate", "is valid only from"),
        (&broken, &good.key, "ssl_certificate", "the chain is broken"),
        (&backwards, &good.key, "ssl_certificate", "the chain is broken"),
    ] {
        let written = Written::new(with_ssl("cert.pem", "key.pem").to_string());
        let found = written.beside("cert.pem", chain).beside("key.pem", key).rejected().await;
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].starts_with(&format!("error at /ssl/{place}, line 1, ")), "{found:#?}");
        assert!(found[0].contains(words), "{words}: {found:#?}");
    }
    let written = Written::new(with_ssl("cert.pem", "key.pem").to_string());
    let ended = written.beside("cert.pem", &good.chain).beside("key.pem", &good.key).check().await;
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
}

#[tokio::test]
async fn every_certificate_of_a_listener_is_looked_at() {
    let issued = Authority::new("the authority").issue(&["a.example"]);
    let mut document = minimal();
    let certificates = json!([
        { "certificate": "cert.pem", "key": "key.pem" },
        { "certificate": "cert.pem", "key": "cert.pem" },
        { "certificate": "key.pem", "key": "key.pem" },
    ]);
    document["listeners"] = json!({
        "a": { "address": ":1", "tls": { "certificates": certificates, "client_certificates": { "ca": "key.pem" } } },
        "b": { "address": ":2", "tls": { "certificates": [certificates[0]] }, "protocols": ["h1", "h2c"] },
        "c": { "address": ":3", "protocols": ["h2"] },
        "d": { "address": ":4", "tls": { "certificates": [certificates[0]] }, "https_redirect": {} },
    });
    let written = |document: &Value| {
        let written = Written::new(serde_json::to_string_pretty(document).expect("JSON"));
        written.beside("cert.pem", &issued.chain).beside("key.pem", &issued.key)
    };
    let places = |found: Vec<String>| -> Vec<_> {
        let place = |found: &String| found.split([' ', ',']).nth(2).expect("a place").to_owned();
        found.iter().map(place).collect()
    };
    let found = places(written(&document).rejected().await);
    assert_eq!(
        found,
        ["/listeners/b/protocols/1", "/listeners/c/protocols/0", "/listeners/d/https_redirect"]
    );
    for name in ["b", "c", "d"] {
        document["listeners"].as_object_mut().expect("an object").remove(name);
    }
    let found = places(written(&document).rejected().await);
    let list = "/listeners/a/tls/certificates";
    let expected = [
        format!("{list}/1/key"),
        format!("{list}/2/certificate"),
        "/listeners/a/tls/client_certificates/ca".into(),
    ];
    assert_eq!(found, expected);
}
