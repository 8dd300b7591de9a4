//! Passwords that were right a while ago, so that their hashes need not be computed for each request.
//!
//! They are kept by a digest with a key that this instance alone has: neither a password nor anything that could be tried
//! out elsewhere lies in its memory. What is right stays right as long as the instance lives, for another configuration has
//! other instances.

use std::{cell::RefCell, collections::BTreeSet, mem};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

pub type Digest = [u8; 32];

pub struct Recent {
    keyed: Hmac<Sha256>,
    generations: RefCell<Generations>,
}

/// When the young are many, they become the old ones, and the old ones are forgotten.
#[derive(Default)]
struct Generations {
    young: BTreeSet<Digest>,
    old: BTreeSet<Digest>,
}

const MOST_YOUNG: usize = 256;

impl Recent {
    pub fn new(key: &[u8]) -> Self {
        let keyed = Hmac::new_from_slice(key).expect("a key has any length");
        Self { keyed, generations: RefCell::default() }
    }

    /// Of a user and a password; the length keeps them apart.
    pub fn digest(&self, user: &str, password: &[u8]) -> Digest {
        let mut mac = self.keyed.clone();
        mac.update(&(user.len() as u64).to_le_bytes());
        mac.update(user.as_bytes());
        mac.update(password);
        mac.finalize().into_bytes().into()
    }

    /// A number that belongs to a user, and that nobody else can tell.
    pub fn number(&self, user: &str) -> usize {
        let [a, b, c, d, ..] = self.digest(user, b"");
        u32::from_le_bytes([a, b, c, d]) as usize
    }

    pub fn has(&self, digest: &Digest) -> bool {
        let is_young = self.generations.borrow().young.contains(digest);
        if is_young {
            return true;
        }
        let was_old = self.generations.borrow_mut().old.remove(digest);
        if was_old {
            self.remember(*digest);
        }
        was_old
    }

    pub fn remember(&self, digest: Digest) {
        let mut generations = self.generations.borrow_mut();
        if generations.young.len() >= MOST_YOUNG {
            generations.old = mem::take(&mut generations.young);
        }
        generations.young.insert(digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_password_are_kept_apart() {
        let recent = Recent::new(b"key");
        assert_eq!(recent.digest("a", b"bc"), recent.digest("a", b"bc"));
        assert_ne!(recent.digest("a", b"bc"), recent.digest("ab", b"c"));
        assert_ne!(recent.digest("a", b"b"), Recent::new(b"other").digest("a", b"b"));
    }

    #[test]
    fn forgets_what_was_not_used_for_long() {
        let recent = Recent::new(b"key");
        let digest = |number: usize| recent.digest("user", &number.to_le_bytes());
        for number in 0..10 * MOST_YOUNG {
            assert!(!recent.has(&digest(number)));
            recent.remember(digest(number));
            assert!(recent.has(&digest(0)), "what is used stays");
        }
        assert!(!recent.has(&digest(1)));
        let generations = recent.generations.borrow();
        assert!(generations.young.len() <= MOST_YOUNG && generations.old.len() <= MOST_YOUNG);
    }
}
