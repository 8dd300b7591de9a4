//! Verifying signed tokens against the document's `key_sets`. Permission: `jwt`.
//!
//! A [`Verifier`] is opened in [`Filter::new`](crate::Filter::new) and kept; opening one later fails.
//!
//! ```no_run
//! use cloud_cup_plugin::jwt::{Refusal, Verifier};
//!
//! # fn main() -> Result<(), String> {
//! let verifier = Verifier::open(&["company".to_owned()])?;
//! match verifier.verify("eyJhbGciOi...") {
//!     Ok(claims) => assert!(claims.words("scope").contains(&"read".to_owned())),
//!     Err(Refusal::KeysUnavailable) => { /* the token may be good: 503 */ }
//!     Err(refusal) => println!("{}", refusal.reason()),
//! }
//! # Ok(())
//! # }
//! ```

use std::borrow::Cow;

pub use crate::bindings::cloudcup::filter::jwt::{Claims, Refusal, Verifier};

impl Refusal {
    /// In words for whoever sent the token. What a token asked for stands in backticks and may hold any character.
    #[must_use]
    pub fn reason(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Malformed => "the token is not a signed JSON Web Token",
            Self::Algorithm => "the token's algorithm is not allowed",
            Self::Header(what) => {
                return Cow::Owned(format!("the token's header has `{what}`, which is not supported"));
            }
            Self::UnknownKey => "no key fits the token",
            Self::Signature => "the token's signature is wrong",
            Self::Expired => "the token is expired",
            Self::NotYetValid => "the token is not valid yet",
            Self::Issuer => "the token's issuer is not accepted",
            Self::Audience => "the token is not meant for this audience",
            Self::MissingClaim(claim) => return Cow::Owned(format!("the token has no claim `{claim}`")),
            Self::KeysUnavailable => "the keys are not available",
        })
    }
}
