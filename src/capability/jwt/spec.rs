//! A key set as the document describes it.

use std::fmt;
use std::time::Duration;

use reqwest::Url;

use super::Algorithm;
use super::jwk::{JwksError, read_jwks};
use super::keys::{Key, KeyError, Material};
use super::pem::{PemError, read_pem};

/// Where keys come from, and what tokens they verify.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeySetSpec {
    /// The name in the document.
    pub name: String,
    /// Where the keys come from.
    pub source: Source,
    /// What tokens may be signed with. The token has no say in this.
    pub algorithms: Vec<Algorithm>,
    /// The `iss` that are accepted; empty: any, or none.
    pub issuers: Vec<String>,
    /// The `aud` that are accepted; empty: any, or none.
    pub audiences: Vec<String>,
    /// Claims that must be there and not be null.
    pub required: Vec<String>,
    /// Whether a token must have an `exp`. One that is there counts either way.
    pub require_exp: bool,
    /// How far the issuer's clock may be off.
    pub clock_skew: Duration,
    /// How many verified tokens to remember; rounded up to a multiple of 4. 0: none.
    pub cache_size: usize,
    /// Keys are fetched no sooner than this after the last time, whatever their `Cache-Control` says.
    pub min_refresh: Duration,
    /// And no later.
    pub max_refresh: Duration,
}

/// Where keys come from.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// A JSON Web Key Set at a URL.
    Jwks {
        /// Of scheme `http` or `https`.
        url: String,
    },
    /// An OpenID Connect issuer, whose metadata name the URL of its key set.
    Discovery {
        /// As the metadata have it in `issuer`, byte by byte.
        issuer_url: String,
    },
    /// The text of a JSON Web Key Set.
    JwksText(String),
    /// A public key or certificate.
    Pem(String),
    /// A shared secret.
    Secret(Vec<u8>),
}

/// What is wrong with a [`KeySetSpec`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// There would be no token to accept.
    #[error("expected at least one algorithm")]
    NoAlgorithm,
    /// Whoever knows a public key could sign with it as if it were a secret.
    #[error("`{0}` takes a shared secret, and the keys of this source are public")]
    SymmetricForPublic(Algorithm),
    /// A secret is no public key.
    #[error("`{0}` takes a public key, and this source is a shared secret")]
    PublicForSecret(Algorithm),
    /// One set is of secrets or of public keys.
    #[error("`{0}` takes a shared secret, and other algorithms of the list a public key: make two key sets")]
    Mixed(Algorithm),
    /// The PEM text.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// The text of the key set.
    #[error(transparent)]
    Jwks(#[from] JwksError),
    /// The secret.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// It may have a secret in it, so that it is not repeated here.
    #[error("expected a URL of scheme `http` or `https`, without user name and fragment")]
    Url,
    /// The bounds are the wrong way round.
    #[error("expected a shortest refresh that is above zero and not above the longest")]
    Refresh,
}

impl KeySetSpec {
    /// A key set with the defaults: `exp` required, 60 s of clock skew, 10,000 tokens remembered, keys fetched every 30 s
    /// to 1 h.
    pub fn new(name: impl Into<String>, source: Source, algorithms: Vec<Algorithm>) -> Self {
        Self {
            name: name.into(),
            source,
            algorithms,
            issuers: Vec::new(),
            audiences: Vec::new(),
            required: Vec::new(),
            require_exp: true,
            clock_skew: Duration::from_secs(60),
            cache_size: 10_000,
            min_refresh: Duration::from_secs(30),
            max_refresh: Duration::from_secs(3600),
        }
    }

    /// Everything that is wrong with it. Keys that have to be fetched are not looked at.
    ///
    /// # Errors
    ///
    /// Never an empty list.
    pub fn check(&self) -> Result<(), Vec<SpecError>> {
        self.fixed_keys().map(drop)
    }

    /// The keys that need no fetching; empty where they do.
    pub(super) fn fixed_keys(&self) -> Result<Vec<Key>, Vec<SpecError>> {
        let mut errors = self.algorithm_errors();
        if self.min_refresh.is_zero() || self.min_refresh > self.max_refresh {
            errors.push(SpecError::Refresh);
        }
        // A key that fits no algorithm says nothing new where the algorithms are wrong already.
        let algorithms = if errors.is_empty() { &self.algorithms[..] } else { &Algorithm::ALL };
        match self.source.fixed_keys(algorithms) {
            Ok(keys) if errors.is_empty() => return Ok(keys),
            Ok(_) => {}
            Err(error) => errors.push(error),
        }
        Err(errors)
    }

    fn algorithm_errors(&self) -> Vec<SpecError> {
        if self.algorithms.is_empty() {
            return vec![SpecError::NoAlgorithm];
        }
        let mixed = self.algorithms.iter().any(|algorithm| !algorithm.is_symmetric());
        let error = |&algorithm: &Algorithm| match (&self.source, algorithm.is_symmetric()) {
            (Source::Secret(_), false) => Some(SpecError::PublicForSecret(algorithm)),
            (Source::JwksText(_), true) if mixed => Some(SpecError::Mixed(algorithm)),
            (Source::Jwks { .. } | Source::Discovery { .. } | Source::Pem(_), true) => {
                Some(SpecError::SymmetricForPublic(algorithm))
            }
            _ => None,
        };
        self.algorithms.iter().filter_map(error).collect()
    }
}

impl Source {
    fn fixed_keys(&self, algorithms: &[Algorithm]) -> Result<Vec<Key>, SpecError> {
        match self {
            Self::Jwks { url } | Self::Discovery { issuer_url: url } => check_url(url).map(|()| Vec::new()),
            Self::JwksText(text) => Ok(read_jwks(text.as_bytes(), algorithms)?),
            Self::Pem(text) => Ok(vec![read_pem(text, algorithms)?]),
            Self::Secret(secret) => Ok(vec![Key::new(None, &Material::Secret(secret.clone()), algorithms)?]),
        }
    }
}

/// Shows where keys come from, and none of them: a key set may have secrets, and a URL may carry one in its query.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bare = |url: &str| url.split(['?', '#']).next().unwrap_or_default().to_owned();
        match self {
            Self::Jwks { url } => f.debug_tuple("Jwks").field(&bare(url)).finish(),
            Self::Discovery { issuer_url } => f.debug_tuple("Discovery").field(&bare(issuer_url)).finish(),
            Self::JwksText(_) => f.write_str("JwksText"),
            Self::Pem(_) => f.write_str("Pem"),
            Self::Secret(_) => f.write_str("Secret"),
        }
    }
}

fn check_url(text: &str) -> Result<(), SpecError> {
    let plain = |url: &Url| {
        matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none()
    };
    if Url::parse(text).is_ok_and(|url| plain(&url)) { Ok(()) } else { Err(SpecError::Url) }
}
