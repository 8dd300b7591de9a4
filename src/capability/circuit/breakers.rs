//! Breakers by key, all with the same settings.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use arc_swap::ArcSwapOption;
use papaya::HashMap;

use super::{Breaker, Forced, Listener, Permit, Refused, Settings};

/// How many keys have a breaker.
pub const MOST_KEYS: usize = 1000;

/// The longest key, in bytes, that has a breaker.
pub const LONGEST_KEY: usize = 512;

/// One breaker for each key, made when it is first asked for, and kept.
///
/// Keys beyond [`MOST_KEYS`], and those longer than [`LONGEST_KEY`], have none: their requests pass, and are counted as
/// unwatched. Keys should therefore come from the configuration, or from a set that is known to be small.
pub struct Breakers {
    name: Arc<str>,
    settings: Settings,
    listener: Listener,
    breakers: HashMap<Box<str>, Arc<Breaker>>,
    keys: AtomicUsize,
    unwatched: AtomicU64,
    /// What an operator wants of all of them, those that are still to come too.
    forced: ArcSwapOption<Forced>,
}

impl Breakers {
    /// Without any keys yet. The settings are to have passed [`Settings::check`].
    pub fn new(name: &str, settings: Settings, listener: Listener) -> Self {
        Self {
            name: name.into(),
            settings,
            listener,
            // All the room there will ever be: to grow, the map would take a lock.
            breakers: HashMap::with_capacity(MOST_KEYS),
            keys: AtomicUsize::new(0),
            unwatched: AtomicU64::new(0),
            forced: ArcSwapOption::empty(),
        }
    }

    /// Asks the breaker of a key whether a request may pass.
    pub fn admit(&self, key: &str) -> Result<Permit, Refused> {
        let breakers = self.breakers.pin();
        if let Some(breaker) = breakers.get(key) {
            return breaker.admit();
        }
        if !self.reserve(key) {
            self.unwatched.fetch_add(1, Relaxed);
            return Ok(Permit { breaker: None, stamp: 0 });
        }
        let breaker = Breaker::new(self.settings, Arc::clone(&self.name), key, Arc::clone(&self.listener));
        if let Some(forced) = self.forced.load().as_deref() {
            breaker.force(Some(*forced));
        }
        match breakers.try_insert(key.into(), Arc::new(breaker)) {
            Ok(breaker) => breaker.admit(),
            Err(occupied) => {
                // Another thread was first. A third may have been turned away meanwhile, and is unwatched once.
                self.keys.fetch_sub(1, Relaxed);
                occupied.current.admit()
            }
        }
    }

    /// Holds all breakers of this name in a state, those of keys that are asked for later too, or lets go of them.
    pub fn force(&self, forced: Option<Forced>) {
        self.forced.store(forced.map(Arc::new));
        self.for_each(|_, breaker| breaker.force(forced));
    }

    /// The name that all of them have.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The breaker of a key, if it has one.
    pub fn get(&self, key: &str) -> Option<Arc<Breaker>> {
        self.breakers.pin().get(key).map(Arc::clone)
    }

    /// Visits all breakers, in no particular order.
    pub fn for_each(&self, mut visit: impl FnMut(&str, &Arc<Breaker>)) {
        for (key, breaker) in &self.breakers.pin() {
            visit(key, breaker);
        }
    }

    /// How many requests passed without a breaker.
    pub fn unwatched(&self) -> u64 {
        self.unwatched.load(Relaxed)
    }

    /// Takes the room for a key, if there is some.
    fn reserve(&self, key: &str) -> bool {
        let take = |keys| (keys < MOST_KEYS).then_some(keys + 1);
        key.len() <= LONGEST_KEY && self.keys.fetch_update(Relaxed, Relaxed, take).is_ok()
    }
}

impl fmt::Debug for Breakers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breakers").field("name", &self.name).finish_non_exhaustive()
    }
}
