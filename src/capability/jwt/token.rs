//! A signed token in compact form (RFC 7515 section 7.1), taken apart but not believed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::json::read_object;
use super::{Algorithm, Refusal};

/// The largest token.
pub(super) const MOST_TOKEN: usize = 16 * 1024;
/// The longest key identifier, in bytes.
const MOST_KID: usize = 256;

/// Header parameters that bring or fetch a key, or change what is signed: no key set supports them.
const UNSUPPORTED: [&str; 6] = ["crit", "jwk", "jku", "x5u", "x5c", "zip"];

/// The parts of a token. Only what [`super::keys::Keys`] has checked the signature of may be believed.
pub(super) struct Token<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
    /// What is signed: header and claims as they were sent.
    pub(super) message: &'a [u8],
    /// As it was sent, known to be base64url.
    pub(super) signature: &'a str,
    /// The claims set as it was signed: JSON, hopefully.
    pub(super) claims: Vec<u8>,
}

impl<'a> Token<'a> {
    /// Takes a token apart. The algorithm is one of `allowed`, whatever the header says.
    pub(super) fn read(text: &'a str, allowed: &[Algorithm]) -> Result<Self, Refusal> {
        let (header, claims, signature) = split(text).ok_or(Refusal::Malformed)?;
        let message = &text.as_bytes()[..header.len() + 1 + claims.len()];
        let header = decode(header).and_then(|json| read_object(&json)).ok_or(Refusal::Malformed)?;
        let algorithm = read_algorithm(&header, allowed)?;
        refuse_unsupported(&header)?;
        let kid = read_kid(header)?;
        decode(signature).ok_or(Refusal::Malformed)?;
        let claims = decode(claims).ok_or(Refusal::Malformed)?;
        Ok(Self { algorithm, kid, message, signature, claims })
    }
}

/// The claims of a token that nobody has verified: good for choosing who is to verify it, and for nothing else.
pub(super) fn unverified_claims(text: &str) -> Option<Vec<u8>> {
    decode(split(text)?.1)
}

fn split(text: &str) -> Option<(&str, &str, &str)> {
    if text.len() > MOST_TOKEN {
        return None;
    }
    let mut parts = text.split('.');
    let parts = (parts.next()?, parts.next()?, parts.next()?, parts.next());
    match parts {
        (header, claims, signature, None) => Some((header, claims, signature)),
        _ => None,
    }
}

/// Strict: no padding, no white space, and no bits set behind the last byte, so that a token has one spelling.
fn decode(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok()
}

fn read_algorithm(header: &Map<String, Value>, allowed: &[Algorithm]) -> Result<Algorithm, Refusal> {
    let name = header.get("alg").and_then(Value::as_str).ok_or(Refusal::Malformed)?;
    allowed.iter().copied().find(|algorithm| algorithm.name() == name).ok_or(Refusal::Algorithm)
}

fn refuse_unsupported(header: &Map<String, Value>) -> Result<(), Refusal> {
    if let Some(name) = UNSUPPORTED.into_iter().find(|name| header.contains_key(*name)) {
        return Err(Refusal::Header(name.to_owned()));
    }
    // RFC 7797: with `false` the payload is not base64url. `true` says what holds anyway.
    match header.get("b64") {
        None | Some(Value::Bool(true)) => Ok(()),
        Some(_) => Err(Refusal::Header("b64".to_owned())),
    }
}

fn read_kid(mut header: Map<String, Value>) -> Result<Option<String>, Refusal> {
    match header.remove("kid") {
        None => Ok(None),
        Some(Value::String(kid)) if kid.len() <= MOST_KID => Ok(Some(kid)),
        Some(_) => Err(Refusal::Header("kid".to_owned())),
    }
}
