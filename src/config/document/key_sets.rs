//! Keys that tokens are verified with.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::DurationText;

/// Keys, and what a token that is verified with them must be like. Exactly one of `jwks_url`, `discovery_url`,
/// `jwks_file`, `jwks`, `pem` and `secret` says where the keys are.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct KeySet {
    /// The URL of a JSON Web Key Set (RFC 7517). It is fetched again before it grows old, and when a token names a key that
    /// is not in it.
    pub jwks_url: Option<String>,
    /// The URL of an OpenID provider, its issuer identifier. Its discovery document says where its keys are, and it is the
    /// issuer of the tokens unless `issuers` says otherwise.
    pub discovery_url: Option<String>,
    /// The path of a file with a JSON Web Key Set.
    #[schemars(length(min = 1))]
    pub jwks_file: Option<String>,
    /// A JSON Web Key Set, written here.
    pub jwks: Option<Value>,
    /// A public key or a certificate as PEM text, usually `$file:PATH`.
    pub pem: Option<String>,
    /// A shared secret, usually `$env:NAME` or `$file:PATH`, for the HS algorithms.
    pub secret: Option<String>,
    /// The algorithms that tokens may be signed with. What a token says of itself does not widen this. Default: `RS256` and
    /// `ES256`, or for a `secret` `HS256`.
    #[schemars(length(min = 1))]
    pub algorithms: Option<Vec<Option<Algorithm>>>,
    /// Values of `iss` of which a token must have one. Default: any, but for `discovery_url`.
    pub issuers: Option<Vec<Option<String>>>,
    /// Values of `aud` of which a token must have one. Default: any.
    pub audiences: Option<Vec<Option<String>>>,
    /// Claims that a token must have. Default: `exp`.
    pub required_claims: Option<Vec<Option<String>>>,
    /// By how much the issuer's clock may differ, `0s` to `10m`. Default: `60s`.
    #[schemars(extend("default" = "60s"))]
    pub clock_skew: Option<DurationText>,
    /// Verified tokens that are remembered until they expire, 0 to 1000000. Default: 10000.
    #[schemars(range(min = 0, max = 1_000_000), extend("default" = 10_000))]
    pub remembered_tokens: Option<u32>,
}

/// A signature algorithm (RFC 7518, RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[schemars(inline)]
#[expect(missing_docs, reason = "named as in the RFC")]
pub enum Algorithm {
    HS256,
    HS384,
    HS512,
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    #[serde(rename = "EdDSA")]
    EdDsa,
}
