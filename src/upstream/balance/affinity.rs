//! A cookie that leads a client back to the backend that it had.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue};

use super::key::cookie;
use crate::message::exchange::field_value;

/// Bytes of a MAC that stand in a cookie: nobody guesses one of 2^128.
const LENGTH: usize = 16;

/// How the cookie is made.
#[derive(Clone)]
pub struct Affinity {
    /// Its name.
    pub cookie: String,
    /// What is signed with.
    pub secret: [u8; 32],
    /// How long browsers keep it.
    pub max_age: Option<Duration>,
    /// From where they send it.
    pub same_site: SameSite,
    /// Whether it is for TLS only. None is where it was set over TLS.
    pub secure: Option<bool>,
}

/// From where browsers send a cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the words of RFC 6265bis")]
pub enum SameSite {
    Lax,
    Strict,
    None,
}

impl Affinity {
    /// The value that stands for a backend of an upstream.
    pub fn value(&self, upstream: &str, host: &str) -> String {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.secret));
        // A name has no zero in it, so that no two pairs are signed alike.
        [upstream.as_bytes(), b"\0", host.as_bytes()].into_iter().for_each(|part| context.update(part));
        URL_SAFE_NO_PAD.encode(&context.sign().as_ref()[..LENGTH])
    }

    /// What a client has shown.
    pub fn shown<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        cookie(headers, &self.cookie)
    }

    /// `set-cookie`, for a client that came over TLS or in the clear.
    pub fn field(&self, value: &str, is_secure: bool) -> HeaderValue {
        let age = self.max_age.map(|age| format!("; Max-Age={}", age.as_secs())).unwrap_or_default();
        let secure = if self.secure.unwrap_or(is_secure) { "; Secure" } else { "" };
        let (cookie, site) = (&self.cookie, self.same_site);
        field_value(format!("{cookie}={value}; Path=/{age}; HttpOnly; SameSite={site:?}{secure}"))
    }
}

impl PartialEq for Affinity {
    fn eq(&self, other: &Self) -> bool {
        let facts = |one: &Self| (one.cookie.clone(), one.secret, one.max_age, one.same_site, one.secure);
        facts(self) == facts(other)
    }
}

impl fmt::Debug for Affinity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Affinity").field("cookie", &self.cookie).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_value_depends_on_secret_upstream_and_host() {
        let affinity = |secret| Affinity {
            cookie: "cup".into(),
            secret: [secret; 32],
            max_age: Some(Duration::from_secs(60)),
            same_site: SameSite::Lax,
            secure: None,
        };
        let one = affinity(1);
        let values = [
            one.value("a", "b:1"),
            one.value("a", "b:2"),
            one.value("b", "b:1"),
            affinity(2).value("a", "b:1"),
        ];
        assert!((1..4).all(|other| values[0] != values[other]), "{values:?}");
        assert_eq!(values[0], one.value("a", "b:1"));
        let field = one.field("x", true);
        assert_eq!(field, "cup=x; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure");
        assert_eq!(one.field("x", false), "cup=x; Path=/; Max-Age=60; HttpOnly; SameSite=Lax");
    }
}
