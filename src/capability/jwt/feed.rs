//! The life of keys that are fetched: at the start, before they go stale, and when a token names one that is not there.
//!
//! One task fetches, so that there is never more than one fetch at a time, however many verifiers wait for it. It is
//! the only one that replaces the keys. Old keys stay while the issuer is down.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tracing::{info, warn};

use super::fetch::{FetchError, Fetched, Remote};
use super::keys::{Key, Keys};
use crate::base::backoff::Backoff;

/// Tokens with unknown keys cause no fetch for so long after the last one that they caused. A fetch for another reason, the
/// first one say, does not count: keys may be rotated right behind it.
pub(super) const COOL_DOWN: Duration = Duration::from_secs(30);
/// For keys that do not say how long they are good.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(600);
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// The keys of one set, shared by its verifiers and the task that fetches.
pub(super) struct Feed {
    /// Empty until the first fetch.
    pub(super) keys: ArcSwap<Keys>,
    name: Arc<str>,
    wanted: Notify,
    /// Counts the fetches that have ended.
    ended: watch::Sender<u64>,
    fetching: AtomicBool,
    /// Moments are milliseconds since `born`, plus one; 0 is never.
    born: Instant,
    /// When a fetch was begun because somebody wanted keys.
    demanded: AtomicU64,
    succeeded: AtomicU64,
    failures: AtomicU64,
    last_error: ArcSwapOption<String>,
}

/// How often to fetch.
pub(super) struct Pace {
    pub(super) min: Duration,
    pub(super) max: Duration,
}

impl Feed {
    pub(super) fn new(name: Arc<str>, keys: Vec<Key>) -> Self {
        Self {
            keys: ArcSwap::from_pointee(Keys { generation: 0, keys }),
            name,
            wanted: Notify::new(),
            ended: watch::Sender::new(0),
            fetching: AtomicBool::new(false),
            born: Instant::now(),
            demanded: AtomicU64::new(0),
            succeeded: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            last_error: ArcSwapOption::empty(),
        }
    }

    /// Whether waiting may bring a key that is not there: a fetch is under way, or may begin.
    pub(super) fn may_bring_more(&self) -> bool {
        self.fetching.load(Ordering::Acquire) || self.has_cooled_down()
    }

    /// Asks for a fetch, and waits until one has ended or `most` has passed. `is_done` is asked once more when nothing
    /// can be missed any more. Dropping the future leaves the fetch to the others.
    pub(super) async fn wait(&self, most: Duration, is_done: impl FnOnce() -> bool) {
        let mut ended = self.ended.subscribe();
        if is_done() {
            return;
        }
        // Whoever comes in the middle of a fetch waits for that one.
        if !self.fetching.load(Ordering::Acquire) {
            self.wanted.notify_one();
        }
        // However it ends, the caller looks at the keys that are there then.
        let _ = tokio::time::timeout(most, ended.changed()).await;
    }

    /// The first fetch is as good as under way.
    pub(super) fn begin(&self) {
        self.fetching.store(true, Ordering::Release);
    }

    /// Fetches for as long as it is polled.
    pub(super) async fn keep(self: Arc<Self>, mut remote: Remote, pace: Pace) {
        let new_backoff = || Backoff::new(FIRST_RETRY, LONGEST_RETRY);
        let mut backoff = new_backoff();
        loop {
            self.fetching.store(true, Ordering::Release);
            let pause = match remote.fetch().await {
                Ok(fetched) => {
                    backoff = new_backoff();
                    pace.until_next(self.accept(fetched))
                }
                Err(error) => {
                    self.note(&error);
                    between(0.5, 1.0, backoff.advance())
                }
            };
            self.fetching.store(false, Ordering::Release);
            self.ended.send_modify(|count| *count += 1);
            self.rest(pause).await;
        }
    }

    /// Until the time has come, or somebody wants keys and may have them.
    async fn rest(&self, pause: Duration) {
        let end = Instant::now() + pause;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(end) => return,
                () = self.wanted.notified() => if self.has_cooled_down() {
                    self.demanded.store(self.moment(), Ordering::Release);
                    return;
                },
            }
        }
    }

    fn accept(&self, fetched: Fetched) -> Option<Duration> {
        if let Some(keys) = fetched.keys {
            let old = self.keys.load_full();
            let new = old.replace(keys);
            if new.generation != old.generation {
                info!(key_set = &*self.name, keys = new.keys.len(), "the keys have changed");
            }
            self.keys.store(Arc::new(new));
        }
        self.succeeded.store(self.moment(), Ordering::Release);
        self.last_error.store(None);
        fetched.lifetime
    }

    fn note(&self, error: &FetchError) {
        warn!(key_set = &*self.name, %error, "the keys could not be fetched");
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.last_error.store(Some(Arc::new(error.to_string())));
    }

    fn has_cooled_down(&self) -> bool {
        self.since(&self.demanded).is_none_or(|passed| passed >= COOL_DOWN)
    }

    fn moment(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).map_or(u64::MAX, |passed| passed.saturating_add(1))
    }

    fn since(&self, moment: &AtomicU64) -> Option<Duration> {
        let then = moment.load(Ordering::Acquire);
        (then != 0).then(|| Duration::from_millis(self.moment().saturating_sub(then)))
    }

    /// Since keys last came, or were found to be the same.
    pub(super) fn age(&self) -> Option<Duration> {
        self.since(&self.succeeded)
    }

    /// Fetches that have ended, one way or the other.
    pub(super) fn fetches(&self) -> u64 {
        *self.ended.borrow()
    }

    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    pub(super) fn last_error(&self) -> Option<String> {
        self.last_error.load().as_ref().map(|error| error.to_string())
    }
}

impl Pace {
    /// Somewhat before the keys go stale, and not all gateways at once.
    fn until_next(&self, lifetime: Option<Duration>) -> Duration {
        let lifetime = lifetime.unwrap_or(DEFAULT_LIFETIME).clamp(self.min, self.max);
        between(0.8, 0.95, lifetime).max(self.min)
    }
}

/// A share of `whole`, by chance.
fn between(low: f64, high: f64, whole: Duration) -> Duration {
    let chance = (RandomState::new().hash_one(0) >> 11) as f64 / (1_u64 << 53) as f64;
    whole.mul_f64(low + (high - low) * chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refreshes_within_bounds_and_before_the_end() {
        let pace = Pace { min: Duration::from_secs(30), max: Duration::from_secs(3600) };
        let check = |lifetime: Option<u64>, low: f64, high: f64| {
            for _ in 0..100 {
                let next = pace.until_next(lifetime.map(Duration::from_secs)).as_secs_f64();
                assert!((low..=high).contains(&next), "{lifetime:?}: {next}");
            }
        };
        check(None, 480.0, 570.0);
        check(Some(0), 30.0, 30.0);
        check(Some(100), 80.0, 95.0);
        check(Some(u64::MAX), 2880.0, 3420.0);
    }
}
