//! The keys of a set, each with the algorithms that it may check.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, ParsedPublicKey, RsaPublicKeyComponents};

use jsonwebtoken::DecodingKey;

use super::algorithm::{Curve, Scheme};
use super::token::Token;
use super::{Algorithm, Refusal};

/// Keys that one token is tried against, where its header does not say which.
const MOST_TRIES: usize = 8;
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// What a key is made of, whichever way it was written.
pub(super) enum Material {
    /// Big-endian modulus and exponent.
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// An uncompressed point.
    Elliptic {
        curve: Curve,
        point: Vec<u8>,
    },
    Ed25519(Vec<u8>),
    Secret(Vec<u8>),
}

/// Why a key is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// NIST SP 800-131A.
    #[error("expected an RSA key of 2048 to 8192 bits, found one of {0}")]
    RsaSize(usize),
    /// The point is not on the curve, the modulus is even, and so on.
    #[error("the key is not a valid public key")]
    NotValid,
    /// It is of another type than the allowed algorithms, or says that it is for something else.
    #[error("the key fits none of the allowed algorithms")]
    NoAlgorithm,
    /// RFC 7518 section 3.2.
    #[error("expected a secret of at least {expected} bytes for `{algorithm}`, found {found}")]
    ShortSecret {
        /// The algorithm that asks for it.
        algorithm: Algorithm,
        /// Bytes of its hash.
        expected: usize,
        /// Bytes of the secret.
        found: usize,
    },
    /// Members of a JWK are missing or of the wrong form.
    #[error("the key is malformed")]
    Malformed,
}

/// One key, with the algorithms that it may check.
pub(super) struct Key {
    kid: Option<String>,
    key: DecodingKey,
    algorithms: Vec<Algorithm>,
    /// Tells keys apart without keeping a secret.
    identity: [u8; 32],
}

/// The keys as they are now. Tokens that were verified with another generation are verified again.
pub(super) struct Keys {
    pub(super) generation: u64,
    pub(super) keys: Vec<Key>,
}

impl Key {
    /// A key for those of `algorithms` that take its type.
    pub(super) fn new(
        kid: Option<String>,
        material: &Material,
        algorithms: &[Algorithm],
    ) -> Result<Self, KeyError> {
        material.check_size()?;
        let mut fitting = Vec::new();
        for &algorithm in algorithms {
            if material.fits(algorithm)? {
                fitting.push(algorithm);
            }
        }
        if fitting.is_empty() {
            return Err(KeyError::NoAlgorithm);
        }
        let identity = identify(kid.as_deref(), material, &fitting);
        Ok(Self { kid, key: material.decoding_key(), algorithms: fitting, identity })
    }

    /// A key without an identifier may be meant by any.
    fn fits(&self, kid: Option<&str>) -> bool {
        self.kid.is_none() || kid.is_none() || self.kid.as_deref() == kid
    }

    fn accepts(&self, token: &Token<'_>) -> bool {
        jsonwebtoken::crypto::verify(token.signature, token.message, &self.key, token.algorithm.into())
            .unwrap_or(false)
    }
}

impl Material {
    fn check_size(&self) -> Result<(), KeyError> {
        let Self::Rsa { modulus, .. } = self else { return Ok(()) };
        let leading = modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
        let bits = (modulus.len() * 8).saturating_sub(leading);
        if RSA_BITS.contains(&bits) { Ok(()) } else { Err(KeyError::RsaSize(bits)) }
    }

    /// Not where the algorithm is for another type of key: that is what keeps an RSA key from being a secret. A key of the
    /// right type that is no key is an error now, and not the refusal of every token later.
    fn fits(&self, algorithm: Algorithm) -> Result<bool, KeyError> {
        let parsed = match (self, algorithm.scheme()) {
            (Self::Rsa { modulus: n, exponent: e }, Scheme::Rsa(parameters)) => {
                RsaPublicKeyComponents { n, e }.to_parsed_public_key(parameters)
            }
            (Self::Elliptic { curve, point }, Scheme::Ecdsa(of, parameters)) if *curve == of => {
                ParsedPublicKey::new(parameters, point)
            }
            (Self::Ed25519(bytes), Scheme::Ed25519) => ParsedPublicKey::new(&ED25519, bytes),
            (Self::Secret(secret), Scheme::Hmac) => return secret_fits(secret, algorithm),
            _ => return Ok(false),
        };
        parsed.map(|_| true).map_err(|_| KeyError::NotValid)
    }

    fn decoding_key(&self) -> DecodingKey {
        match self {
            Self::Rsa { modulus, exponent } => DecodingKey::from_rsa_raw_components(modulus, exponent),
            Self::Elliptic { point, .. } => DecodingKey::from_ec_der(point),
            Self::Ed25519(bytes) => DecodingKey::from_ed_der(bytes),
            Self::Secret(secret) => DecodingKey::from_secret(secret),
        }
    }
}

impl Keys {
    /// Checks the signature with the keys that may have made it.
    pub(super) fn check(&self, token: &Token<'_>) -> Result<(), Refusal> {
        let kid = token.kid.as_deref();
        let mut refusal = Refusal::UnknownKey;
        let fitting =
            self.keys.iter().filter(|key| key.fits(kid) && key.algorithms.contains(&token.algorithm));
        for key in fitting.take(MOST_TRIES) {
            if key.accepts(token) {
                return Ok(());
            }
            refusal = Refusal::Signature;
        }
        Err(refusal)
    }

    /// The keys as they were fetched: the same ones keep their generation, and with it the tokens that they verified.
    pub(super) fn replace(&self, keys: Vec<Key>) -> Self {
        let sorted = |keys: &[Key]| {
            let mut identities: Vec<[u8; 32]> = keys.iter().map(|key| key.identity).collect();
            identities.sort_unstable();
            identities
        };
        let changed = sorted(&self.keys) != sorted(&keys);
        Self { generation: self.generation + u64::from(changed), keys }
    }
}

fn secret_fits(secret: &[u8], algorithm: Algorithm) -> Result<bool, KeyError> {
    let (expected, found) = (algorithm.least_secret(), secret.len());
    if found < expected {
        return Err(KeyError::ShortSecret { algorithm, expected, found });
    }
    Ok(true)
}

fn identify(kid: Option<&str>, material: &Material, algorithms: &[Algorithm]) -> [u8; 32] {
    let mut all = format!("{kid:?} ").into_bytes();
    for algorithm in algorithms {
        all.extend_from_slice(algorithm.name().as_bytes());
    }
    let parts: [&[u8]; 2] = match material {
        Material::Rsa { modulus, exponent } => [modulus, exponent],
        Material::Elliptic { point: bytes, .. } | Material::Ed25519(bytes) | Material::Secret(bytes) => {
            [bytes, &[]]
        }
    };
    for part in parts {
        all.extend_from_slice(&part.len().to_be_bytes());
        all.extend_from_slice(part);
    }
    sha256(&all)
}

/// SHA-256 by the processor's own instructions where it has them.
pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut sum = [0; 32];
    sum.copy_from_slice(digest(&SHA256, bytes).as_ref());
    sum
}
