//! Tokens of several issuers.

use std::sync::Arc;

use serde::Deserialize;
use tokio::time::Instant;

use super::keys::sha256;
use super::set::LONGEST_WAIT;
use super::token::{MOST_TOKEN, unverified_claims};
use super::{KeySet, Refusal, Verdict, Verified};

/// Verifies a token with the key set that names its issuer, or, where none does, with those that name no issuer, in their
/// order. The issuer is the token's own word: it chooses who is to judge, and each set still checks it.
#[derive(Debug)]
pub struct Verifier {
    sets: Vec<Arc<KeySet>>,
}

/// serde refuses a second `iss`; the set that is chosen refuses any other duplicate.
#[derive(Deserialize)]
struct Issuer {
    iss: Option<String>,
}

impl Verifier {
    /// For these key sets. Without any, every token's issuer is refused.
    pub fn new(sets: Vec<Arc<KeySet>>) -> Self {
        Self { sets }
    }

    /// Verifies a token. Ready at once, unless it takes keys that are not there: then it waits for them, at most 5 s for
    /// all sets together. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// What the key set says that came furthest with it.
    pub async fn verify(&self, token: &str) -> Result<Arc<Verified>, Refusal> {
        if let Verdict::Ready(result) = self.verify_now(token) {
            return result;
        }
        let end = Instant::now() + LONGEST_WAIT;
        let mut refusal = Refusal::Issuer;
        for set in self.judges(read_issuer(token)?.as_deref()) {
            let left = end.saturating_duration_since(Instant::now());
            match set.verify_within(token, left).await {
                Ok(verified) => return Ok(verified),
                Err(other) => refusal = further(refusal, other),
            }
        }
        Err(refusal)
    }

    /// Verifies a token with the keys that are there. Neither waits nor fetches.
    pub fn verify_now(&self, token: &str) -> Verdict {
        if let [only] = &self.sets[..] {
            return only.verify_now(token);
        }
        if token.len() > MOST_TOKEN {
            return Verdict::Ready(Err(Refusal::Malformed));
        }
        let digest = sha256(token.as_bytes());
        if let Some(verified) = self.cached(&digest) {
            return Verdict::Ready(Ok(verified));
        }
        match read_issuer(token) {
            Ok(issuer) => self.judge(token, digest, issuer.as_deref()),
            Err(refusal) => Verdict::Ready(Err(refusal)),
        }
    }

    fn judge(&self, token: &str, digest: [u8; 32], issuer: Option<&str>) -> Verdict {
        let mut refusal = Refusal::Issuer;
        let mut needs_keys = false;
        for set in self.judges(issuer) {
            match set.verify_digest(token, digest) {
                Verdict::Ready(Ok(verified)) => return Verdict::Ready(Ok(verified)),
                Verdict::Ready(Err(other)) => refusal = further(refusal, other),
                Verdict::NeedsKeys => needs_keys = true,
            }
        }
        if needs_keys { Verdict::NeedsKeys } else { Verdict::Ready(Err(refusal)) }
    }

    /// A set may remember a token that another verifier showed it: it counts only where it would be asked first here.
    fn cached(&self, digest: &[u8; 32]) -> Option<Arc<Verified>> {
        self.sets.iter().find_map(|set| {
            let verified = set.recall(digest)?;
            let issuer = verified.claims.get("iss").and_then(serde_json::Value::as_str);
            let first = self.judges(issuer).next()?;
            Arc::ptr_eq(first, set).then_some(verified)
        })
    }

    fn judges(&self, issuer: Option<&str>) -> impl Iterator<Item = &Arc<KeySet>> {
        let names = move |set: &KeySet| issuer.is_some_and(|issuer| set.names(issuer));
        let named = self.sets.iter().any(|set| names(set));
        self.sets.iter().filter(move |set| if named { names(set) } else { set.names_no_issuer() })
    }
}

fn read_issuer(token: &str) -> Result<Option<String>, Refusal> {
    let claims = unverified_claims(token).ok_or(Refusal::Malformed)?;
    serde_json::from_slice(&claims).map(|Issuer { iss }| iss).map_err(|_| Refusal::Malformed)
}

/// A set that has the key, or may have it, knows more than one that has not; one that was asked more than none.
fn further(one: Refusal, other: Refusal) -> Refusal {
    let rank = |refusal: &Refusal| match refusal {
        Refusal::Issuer => 0,
        Refusal::Algorithm => 1,
        Refusal::UnknownKey => 2,
        Refusal::Signature => 3,
        _ => 4,
    };
    if rank(&other) >= rank(&one) { other } else { one }
}
