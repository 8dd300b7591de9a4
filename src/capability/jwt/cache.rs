//! Tokens that were verified already.
//!
//! A table of a fixed size, by the SHA-256 of the whole token: a token has four places where it can be, and the places of
//! all tokens are there from the start. So it is bounded, neither readers nor writers wait for one another, and making
//! room is the choice among four. Only good tokens get in: what a client makes up pushes nothing out.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::Verified;

const PLACES: usize = 4;

pub(super) struct Cache {
    rows: Box<[[ArcSwapOption<Entry>; PLACES]]>,
}

pub(super) struct Entry {
    pub(super) digest: [u8; 32],
    /// Of the keys that verified it.
    pub(super) generation: u64,
    /// In seconds since 1970; infinite for a token that does not expire.
    pub(super) until: f64,
    pub(super) verified: Arc<Verified>,
}

impl Entry {
    fn is_good(&self, generation: u64, now: f64) -> bool {
        self.generation == generation && now < self.until
    }
}

impl Cache {
    /// For `size` tokens, rounded up to whole rows.
    pub(super) fn new(size: usize) -> Self {
        Self { rows: (0..size.div_ceil(PLACES)).map(|_| Default::default()).collect() }
    }

    /// The token of this digest, if it was verified with this generation of keys and still holds.
    pub(super) fn find(&self, digest: &[u8; 32], generation: u64, now: f64) -> Option<Arc<Verified>> {
        self.row(digest)?.iter().find_map(|place| {
            let entry = place.load();
            let entry = entry.as_ref().filter(|entry| entry.digest == *digest)?;
            entry.is_good(generation, now).then(|| entry.verified.clone())
        })
    }

    /// Remembers a token: in its own place, in one that is free or useless, or else in one by chance.
    pub(super) fn insert(&self, entry: Entry, now: f64) {
        let Some(row) = self.row(&entry.digest) else { return };
        let is_free = |place: &ArcSwapOption<Entry>| {
            let old = place.load();
            old.as_ref().is_none_or(|old| old.digest == entry.digest || !old.is_good(entry.generation, now))
        };
        let chance = usize::from(entry.digest[31]) % PLACES;
        let place = row.iter().position(is_free).unwrap_or(chance);
        row[place].store(Some(Arc::new(entry)));
    }

    /// How many tokens would be found. Looks at every place: for metrics.
    pub(super) fn len(&self, generation: u64, now: f64) -> usize {
        let places = self.rows.iter().flatten();
        places
            .filter(|place| place.load().as_ref().is_some_and(|entry| entry.is_good(generation, now)))
            .count()
    }

    fn row(&self, digest: &[u8; 32]) -> Option<&[ArcSwapOption<Entry>; PLACES]> {
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        let rows = self.rows.len() as u64;
        // Digests are even already.
        self.rows.get(u64::from_le_bytes(first).checked_rem(rows)? as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::jwt::keys::sha256;

    fn entry(name: u32, generation: u64, until: f64) -> Entry {
        let claims = serde_json::json!({});
        let verified = Verified { key_set: "k".into(), claims, json: String::new(), expires: None };
        let digest = sha256(&name.to_be_bytes());
        Entry { digest, generation, until, verified: Arc::new(verified) }
    }

    #[test]
    fn holds_no_more_than_its_size() {
        let cache = Cache::new(64);
        for name in 0..10_000 {
            cache.insert(entry(name, 1, 100.0), 0.0);
            assert!(cache.find(&sha256(&name.to_be_bytes()), 1, 0.0).is_some());
        }
        assert_eq!(cache.len(1, 0.0), 64);
        assert_eq!(cache.len(2, 0.0), 0);
        assert_eq!(cache.len(1, 100.0), 0);
    }

    #[test]
    fn forgets_what_is_past_or_of_other_keys() {
        let cache = Cache::new(1);
        let digest = sha256(&7_u32.to_be_bytes());
        cache.insert(entry(7, 1, 100.0), 0.0);
        let check = |generation, now, expected| {
            assert_eq!(cache.find(&digest, generation, now).is_some(), expected, "{generation} {now}");
        };
        check(1, 99.9, true);
        check(1, 100.0, false);
        check(2, 0.0, false);
        cache.insert(entry(7, 2, 100.0), 0.0);
        check(2, 0.0, true);
        check(1, 0.0, false);
    }

    #[test]
    fn a_cache_of_nothing_remembers_nothing() {
        let cache = Cache::new(0);
        cache.insert(entry(7, 1, 100.0), 0.0);
        assert!(cache.find(&sha256(&7_u32.to_be_bytes()), 1, 0.0).is_none());
    }
}
