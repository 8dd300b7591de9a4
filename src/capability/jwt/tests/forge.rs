//! Making keys and tokens, good and bad.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeySize, PublicKey};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RsaEncoding, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::capability::jwt::{Algorithm, KeySet, KeySetSpec, Refusal, Source, Verdict, Verified, fetcher};

/// What time it is for key sets of tests without a paused clock.
pub(super) const NOW: u64 = 1_800_000_000;

pub(super) static RSA: LazyLock<RsaKeyPair> =
    LazyLock::new(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap());
pub(super) static OTHER_RSA: LazyLock<RsaKeyPair> =
    LazyLock::new(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap());
pub(super) static P256: LazyLock<EcdsaKeyPair> =
    LazyLock::new(|| EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap());
pub(super) static P384: LazyLock<EcdsaKeyPair> =
    LazyLock::new(|| EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap());
pub(super) static ED: LazyLock<Ed25519KeyPair> = LazyLock::new(|| Ed25519KeyPair::generate().unwrap());
pub(super) const SECRET: &[u8; 64] = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

pub(super) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A token of any header and claims, signed by any means.
pub(super) fn token(header: &str, claims: &str, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", base64url(header), base64url(claims));
    let signature = base64url(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

pub(super) fn header(algorithm: &str, kid: Option<&str>) -> String {
    match kid {
        Some(kid) => json!({"typ": "JWT", "alg": algorithm, "kid": kid}).to_string(),
        None => json!({"typ": "JWT", "alg": algorithm}).to_string(),
    }
}

pub(super) fn claims() -> String {
    json!({"iss": "https://issuer.example", "aud": "api", "sub": "anna", "exp": NOW + 600}).to_string()
}

pub(super) fn by_rsa(key: &RsaKeyPair, encoding: &'static dyn RsaEncoding, message: &[u8]) -> Vec<u8> {
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(encoding, &SystemRandom::new(), message, &mut signature).unwrap();
    signature
}

pub(super) fn rs256(message: &[u8]) -> Vec<u8> {
    by_rsa(&RSA, &aws_lc_rs::signature::RSA_PKCS1_SHA256, message)
}

pub(super) fn by_ecdsa(key: &EcdsaKeyPair, message: &[u8]) -> Vec<u8> {
    key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
}

/// The same key with the signature as X.509 has it, which JOSE has not.
pub(super) fn es256_in_der(message: &[u8]) -> Vec<u8> {
    resign(&P256, &ECDSA_P256_SHA256_ASN1_SIGNING, message)
}

fn resign(key: &EcdsaKeyPair, algorithm: &'static EcdsaSigningAlgorithm, message: &[u8]) -> Vec<u8> {
    let pkcs8 = key.to_pkcs8v1().unwrap();
    by_ecdsa(&EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref()).unwrap(), message)
}

pub(super) fn by_hmac(hash: hmac::Algorithm, secret: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hash, secret), message).as_ref().to_vec()
}

pub(super) fn hs256(message: &[u8]) -> Vec<u8> {
    by_hmac(hmac::HMAC_SHA256, SECRET, message)
}

pub(super) fn rsa_jwk(key: &RsaKeyPair, kid: &str) -> Value {
    let key: &PublicKey = key.public_key();
    let (n, e) =
        (key.modulus().big_endian_without_leading_zero(), key.exponent().big_endian_without_leading_zero());
    json!({"kty": "RSA", "kid": kid, "n": base64url(n), "e": base64url(e)})
}

pub(super) fn ec_jwk(key: &EcdsaKeyPair, curve: &str, kid: &str) -> Value {
    let point = &key.public_key().as_ref()[1..];
    let (x, y) = point.split_at(point.len() / 2);
    json!({"kty": "EC", "kid": kid, "crv": curve, "x": base64url(x), "y": base64url(y)})
}

pub(super) fn ed_jwk(kid: &str) -> Value {
    json!({"kty": "OKP", "kid": kid, "crv": "Ed25519", "x": base64url(ED.public_key())})
}

pub(super) fn jwks(keys: &[Value]) -> String {
    json!({"keys": keys}).to_string()
}

pub(super) fn rsa_spki() -> Vec<u8> {
    let der: aws_lc_rs::encoding::PublicKeyX509Der<'_> = RSA.public_key().as_der().unwrap();
    der.as_ref().to_vec()
}

/// The SubjectPublicKeyInfo of a point on P-256.
pub(super) fn p256_spki() -> Vec<u8> {
    let mut der = vec![0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    der.extend([0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00]);
    der.extend(P256.public_key().as_ref());
    der
}

pub(super) fn ed_spki() -> Vec<u8> {
    let mut der = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    der.extend(ED.public_key().as_ref());
    der
}

pub(super) fn pem(tag: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {tag}-----\n{}\n-----END {tag}-----\n", lines.join("\n"))
}

/// Each kind of key once, named after its kind.
pub(super) fn every_key() -> String {
    jwks(&[
        rsa_jwk(&RSA, "rsa"),
        ec_jwk(&P256, "P-256", "p256"),
        ec_jwk(&P384, "P-384", "p384"),
        ed_jwk("ed"),
    ])
}

/// Every algorithm that takes a public key.
pub(super) fn asymmetric() -> Vec<Algorithm> {
    Algorithm::ALL.into_iter().filter(|algorithm| !algorithm.is_symmetric()).collect()
}

pub(super) fn spec(source: Source, algorithms: &[Algorithm]) -> KeySetSpec {
    KeySetSpec::new("staff", source, algorithms.to_vec())
}

pub(super) fn key_set(spec: KeySetSpec) -> Arc<KeySet> {
    let fetch = fetcher(tokio::runtime::Handle::current()).unwrap();
    KeySet::with_clock(spec, fetch, || Duration::from_secs(NOW)).unwrap()
}

/// A verdict of keys that are there.
pub(super) fn judge(set: &KeySet, token: &str) -> Result<Arc<Verified>, Refusal> {
    match set.verify_now(token) {
        Verdict::Ready(result) => result,
        Verdict::NeedsKeys => panic!("it would wait for keys"),
    }
}
