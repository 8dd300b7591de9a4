//! The three policies of a gateway on one route: a token is verified, a rate limit is kept, a circuit breaker watches.
//!
//! The key that signed the token is gone; the token is good until 2100.

use serde_json::{Value, json};

/// Signed by RS256 with the key of [`KEYS`].
pub const TOKEN: &str = include_str!("policies/token.txt");
/// A JSON Web Key Set.
pub const KEYS: &str = include_str!("policies/jwks.json");

/// The plugins, each as a route attaches it. The limit is never reached.
pub fn attachments() -> [(&'static str, Value); 3] {
    let limit = json!({ "requests": 1_000_000_000, "window": "1s" });
    [
        ("jwt-auth", json!({ "use": "jwt-auth", "config": { "key_sets": ["bench"] } })),
        ("rate-limit", json!({ "use": "rate-limit", "config": limit })),
        ("circuit-breaker", json!("circuit-breaker")),
    ]
}

/// The `key_sets` of the document.
pub fn key_sets() -> Value {
    let keys: Value = serde_json::from_str(KEYS).expect("it is part of this program");
    json!({ "bench": { "jwks": keys, "issuers": ["https://issuer.example"], "audiences": ["bench"] } })
}
