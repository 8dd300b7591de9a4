//! Key sets as JSON (RFC 7517).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use tracing::debug;

use super::Algorithm;
use super::algorithm::Curve;
use super::json::read_object;
use super::keys::{Key, KeyError, Material};

/// Keys of one set; those behind are left out.
const MOST_KEYS: usize = 256;

/// Why JSON is no key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JwksError {
    /// It is no JSON object, has duplicate members, or no array `keys`.
    #[error("expected a JSON object with an array `keys`")]
    NotJwks,
    /// Keys of other types, for other uses and for other algorithms are passed over, and nothing was left.
    #[error("no key of the set can verify a token with the allowed algorithms")]
    NoUsableKey,
}

/// The keys that can check one of `algorithms`. The others are passed over: an issuer may publish what it likes.
pub(super) fn read_jwks(text: &[u8], algorithms: &[Algorithm]) -> Result<Vec<Key>, JwksError> {
    let object = read_object(text).ok_or(JwksError::NotJwks)?;
    let written = object.get("keys").and_then(Value::as_array).ok_or(JwksError::NotJwks)?;
    let mut keys = Vec::new();
    for (index, jwk) in written.iter().enumerate().take(MOST_KEYS) {
        match jwk.as_object().ok_or(KeyError::Malformed).and_then(|jwk| read_key(jwk, algorithms)) {
            Ok(key) => keys.push(key),
            Err(error) => debug!(index, %error, "a key of the set is passed over"),
        }
    }
    if keys.is_empty() { Err(JwksError::NoUsableKey) } else { Ok(keys) }
}

fn read_key(jwk: &Map<String, Value>, algorithms: &[Algorithm]) -> Result<Key, KeyError> {
    if !is_for_verifying(jwk) {
        return Err(KeyError::NoAlgorithm);
    }
    let kid = match jwk.get("kid") {
        None => None,
        Some(Value::String(kid)) => Some(kid.clone()),
        Some(_) => return Err(KeyError::Malformed),
    };
    let own = match jwk.get("alg") {
        None => algorithms.to_vec(),
        Some(alg) => algorithms.iter().copied().filter(|of| alg.as_str() == Some(of.name())).collect(),
    };
    Key::new(kid, &read_material(jwk)?, &own)
}

fn is_for_verifying(jwk: &Map<String, Value>) -> bool {
    let signs = jwk.get("use").is_none_or(|usage| usage.as_str() == Some("sig"));
    let verifies = jwk.get("key_ops").is_none_or(|operations| {
        operations.as_array().is_some_and(|list| list.iter().any(|operation| operation == "verify"))
    });
    signs && verifies
}

fn read_material(jwk: &Map<String, Value>) -> Result<Material, KeyError> {
    match jwk.get("kty").and_then(Value::as_str) {
        Some("RSA") => {
            let modulus = without_leading_zeros(bytes(jwk, "n")?);
            Ok(Material::Rsa { modulus, exponent: without_leading_zeros(bytes(jwk, "e")?) })
        }
        Some("EC") => read_point(jwk),
        Some("OKP") if is(jwk, "crv", "Ed25519") => Ok(Material::Ed25519(sized(bytes(jwk, "x")?, 32)?)),
        Some("oct") => Ok(Material::Secret(bytes(jwk, "k")?)),
        Some(_) => Err(KeyError::NoAlgorithm),
        None => Err(KeyError::Malformed),
    }
}

fn read_point(jwk: &Map<String, Value>) -> Result<Material, KeyError> {
    let (curve, size) = match jwk.get("crv").and_then(Value::as_str) {
        Some("P-256") => (Curve::P256, 32),
        Some("P-384") => (Curve::P384, 48),
        _ => return Err(KeyError::NoAlgorithm),
    };
    let mut point = vec![4];
    point.extend(sized(bytes(jwk, "x")?, size)?);
    point.extend(sized(bytes(jwk, "y")?, size)?);
    Ok(Material::Elliptic { curve, point })
}

fn is(jwk: &Map<String, Value>, name: &str, value: &str) -> bool {
    jwk.get(name).and_then(Value::as_str) == Some(value)
}

fn bytes(jwk: &Map<String, Value>, name: &str) -> Result<Vec<u8>, KeyError> {
    let text = jwk.get(name).and_then(Value::as_str).ok_or(KeyError::Malformed)?;
    URL_SAFE_NO_PAD.decode(text).map_err(|_| KeyError::Malformed)
}

fn sized(bytes: Vec<u8>, size: usize) -> Result<Vec<u8>, KeyError> {
    if bytes.len() == size { Ok(bytes) } else { Err(KeyError::Malformed) }
}

/// Some issuers write the sign byte of the DER form, which RFC 7518 section 6.3.1.1 warns of.
pub(super) fn without_leading_zeros(bytes: Vec<u8>) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes[zeros..].to_vec()
}
