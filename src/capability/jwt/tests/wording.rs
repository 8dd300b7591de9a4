//! What people read must not give secrets away.

use super::forge::*;
use crate::capability::jwt::{Algorithm, Source};

#[tokio::test]
async fn debug_shows_no_secret() {
    let secret = String::from_utf8(SECRET.to_vec()).unwrap();
    let oct = serde_json::json!({"kty": "oct", "k": base64url(SECRET)});
    for source in [
        Source::Secret(SECRET.to_vec()),
        Source::JwksText(jwks(&[oct])),
        Source::Jwks { url: format!("https://a.example/keys?key={secret}") },
    ] {
        let algorithm = match source {
            Source::Jwks { .. } => Algorithm::Rs256,
            _ => Algorithm::Hs256,
        };
        let shown = format!("{:?}", key_set(spec(source, &[algorithm])));
        assert!(!shown.contains(&secret) && !shown.contains(&base64url(SECRET)), "{shown}");
        assert!(!shown.contains("48, 49"), "{shown}");
    }
}
