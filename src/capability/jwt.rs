//! Verifying signed tokens (RFC 7515, RFC 7519) against the key sets of the document, after RFC 8725.
//!
//! A [`KeySet`] holds the keys of one issuer as they are now, and fetches them where they have a URL. A token is checked
//! in this order: form, algorithm, header, key, signature, claims; the first that fails is the [`Refusal`]. What the token
//! says about itself only ever narrows what the key set allows: the algorithm comes from the set's list, and a key
//! checks the algorithms of its own type only. Tokens that were good are remembered, so that the next request with one
//! costs a hash and a look-up. Nothing here waits but [`KeySet::verify`], and that only for keys under way.

mod algorithm;
mod cache;
mod claims;
mod feed;
mod fetch;
mod json;
mod jwk;
mod keys;
mod pem;
mod set;
mod spec;
#[cfg(test)]
mod tests;
mod token;
mod verifier;

use std::sync::Arc;

pub use algorithm::{Algorithm, AlgorithmError};
pub use claims::Verified;
pub use jwk::JwksError;
pub use keys::KeyError;
pub use pem::PemError;
pub use set::{KeySet, fetcher};
pub use spec::{KeySetSpec, Source, SpecError};
pub use verifier::Verifier;

/// Why a token is not good; the names are those of the WIT variant `refusal`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not a signed JSON Web Token, or larger than 16 KiB, or with duplicate members or a date that is no number.
    #[error("the token is malformed")]
    Malformed,
    /// Its algorithm is not one that the key set allows; `none` never is.
    #[error("the algorithm of the token is not allowed")]
    Algorithm,
    /// Its header asks for what is not supported: a `crit` extension, an embedded key.
    #[error("the header parameter `{0}` of the token is not supported")]
    Header(String),
    /// No key of the set fits it.
    #[error("no key fits the token")]
    UnknownKey,
    /// The signature was not made with a key of the set.
    #[error("the signature of the token is wrong")]
    Signature,
    /// `exp` is past.
    #[error("the token has expired")]
    Expired,
    /// `nbf` is still to come.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// `iss` is missing or not accepted.
    #[error("the issuer of the token is not accepted")]
    Issuer,
    /// `aud` is missing or not accepted.
    #[error("the token is for another audience")]
    Audience,
    /// A claim that the key set requires is missing.
    #[error("the claim `{0}` of the token is missing")]
    MissingClaim(String),
    /// The keys could not be had: the token may be good.
    #[error("the keys cannot be had")]
    KeysUnavailable,
}

/// What can be said of a token at once.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It is good, or it is not.
    Ready(Result<Arc<Verified>, Refusal>),
    /// It may be good: ask [`KeySet::verify`], which fetches keys or waits for those under way.
    NeedsKeys,
}
