//! Keys that tokens are verified with.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

pub use crate::config::document::Algorithm;

/// Keys, and what a token that is verified with them must be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySet {
    /// Its name in the document.
    pub name: String,
    /// Where the keys are.
    pub source: KeySource,
    /// Those that tokens may be signed with.
    pub algorithms: Vec<Algorithm>,
    /// None is any.
    pub issuers: Vec<String>,
    /// None is any.
    pub audiences: Vec<String>,
    /// Claims that a token must have.
    pub required_claims: Vec<String>,
    /// By how much the issuer's clock may differ.
    pub clock_skew: Duration,
    /// How many verified tokens are remembered.
    pub remembered_tokens: u32,
    /// JSON pointer of its definition.
    pub pointer: String,
}

/// Where keys are.
#[derive(Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A JSON Web Key Set that is fetched.
    Url(String),
    /// The issuer identifier of an OpenID provider.
    Discovery(String),
    /// The text of a JSON Web Key Set.
    Jwks(String),
    /// The same, from a file.
    JwksFile {
        /// Where it was read.
        path: PathBuf,
        /// What it held.
        text: String,
    },
    /// A public key or a certificate.
    Pem(String),
    /// A shared secret.
    Secret(String),
}

/// Without keys, of which some are secret.
impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => f.debug_tuple("Url").field(url).finish(),
            Self::Discovery(url) => f.debug_tuple("Discovery").field(url).finish(),
            Self::JwksFile { path, .. } => f.debug_struct("JwksFile").field("path", path).finish(),
            Self::Jwks(_) => f.write_str("Jwks"),
            Self::Pem(_) => f.write_str("Pem"),
            Self::Secret(_) => f.write_str("Secret"),
        }
    }
}
