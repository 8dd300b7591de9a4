//! The capability `rate-limit`: how often something may happen, with an account for each key.
//!
//! Decisions are governor's generic cell rate algorithm. Its own stores take a lock on the way of every request and
//! grow with their keys, so the accounts live in a table of fixed size that takes none.

mod table;
#[cfg(test)]
mod tests;

use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::{StateInformationMiddleware, StateSnapshot};
use governor::nanos::Nanos;
use governor::{NotUntil, RateLimiter};
use thiserror::Error;
use tokio::time::Instant;

use table::{Accounts, Charge, Table};

const SHORTEST_WINDOW: Duration = Duration::from_millis(1);
const LONGEST_WINDOW: Duration = Duration::from_secs(31 * 86_400);
/// Moments and debts are counted in nanoseconds, and their sums have 63 bits: 292 years.
const LONGEST_REFILL: Duration = Duration::from_secs(100 * 365 * 86_400);

/// So many requests within so long, evenly refilled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quota {
    /// At least 1.
    pub requests: u32,
    /// 1 ms to 31 days.
    pub window: Duration,
    /// What may come at once after a pause; at least 1.
    pub burst: u32,
}

/// Why a quota is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum QuotaError {
    /// It would never allow anything.
    #[error("`requests` must be at least 1")]
    NoRequests,
    /// It would never allow anything.
    #[error("`burst` must be at least 1")]
    NoBurst,
    /// Shorter than 1 ms, or longer than 31 days.
    #[error("`window` must be 1 ms to 31 days")]
    Window,
    /// The time between two requests would be nothing.
    #[error("more than one request for each nanosecond of `window`")]
    TooFast,
    /// An empty account would need more than a century.
    #[error("`burst` would take more than 100 years to refill")]
    TooSlow,
}

impl Quota {
    /// Says whether a limiter can hold to it.
    pub fn check(&self) -> Result<(), QuotaError> {
        self.requests().and(self.burst()).and(self.period()).map(|_| ())
    }

    fn requests(&self) -> Result<NonZeroU32, QuotaError> {
        NonZeroU32::new(self.requests).ok_or(QuotaError::NoRequests)
    }

    fn burst(&self) -> Result<NonZeroU32, QuotaError> {
        NonZeroU32::new(self.burst).ok_or(QuotaError::NoBurst)
    }

    /// The time in which one request is refilled: whole nanoseconds, rounded up, so that there are never more requests
    /// than were asked for.
    fn period(&self) -> Result<Duration, QuotaError> {
        if !(SHORTEST_WINDOW..=LONGEST_WINDOW).contains(&self.window) {
            return Err(QuotaError::Window);
        }
        let (window, requests) = (self.window.as_nanos() as u64, u64::from(self.requests()?.get()));
        if requests > window {
            return Err(QuotaError::TooFast);
        }
        let period = Duration::from_nanos(window.div_ceil(requests));
        match period.checked_mul(self.burst) {
            Some(refill) if refill <= LONGEST_REFILL => Ok(period),
            _ => Err(QuotaError::TooSlow),
        }
    }
}

/// What a limiter says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may happen. What is denied is not charged.
    pub allowed: bool,
    /// What is left of the burst.
    pub remaining: u32,
    /// Until all of the burst is there again. Exact where it was denied; otherwise rounded up to the time of whole
    /// requests.
    pub reset: Duration,
    /// Until as much as was asked for is there; zero where it was allowed, and only there.
    pub retry_after: Duration,
}

/// The cost is more than the burst: it would never be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a cost of {cost} is more than the burst of {burst}")]
pub struct TooCostly {
    /// What was asked for.
    pub cost: u32,
    /// The most that may be asked for.
    pub burst: u32,
}

/// The time since the limiter began, by the clock that tests can pause.
#[derive(Clone, Debug)]
pub struct RuntimeClock(Instant);

impl Default for RuntimeClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for RuntimeClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.elapsed().into()
    }
}

type Gcra<C> = RateLimiter<Charge, Accounts, C, StateInformationMiddleware>;

/// One limit, with an account for each key. Accounts that are full are forgotten.
pub struct Limiter<C: Clock<Instant = Nanos> = RuntimeClock> {
    burst: NonZeroU32,
    period: Duration,
    /// Keyed at random, so that clients cannot choose which accounts compete with each other.
    hasher: RandomState,
    table: Arc<Table>,
    gcra: Gcra<C>,
    start: Nanos,
}

impl Limiter {
    /// A limiter that has room for at least twice `most_keys` accounts, at 16 bytes each, of which only what is used is
    /// allocated. More than 2^26 keys are taken as 2^26.
    pub fn new(quota: Quota, most_keys: usize) -> Result<Self, QuotaError> {
        Self::with_clock(quota, most_keys, RuntimeClock::default())
    }
}

impl<C: Clock<Instant = Nanos>> Limiter<C> {
    /// A limiter with a clock of one's own, which must never go back.
    pub fn with_clock(quota: Quota, most_keys: usize, clock: C) -> Result<Self, QuotaError> {
        let (burst, period) = (quota.burst()?, quota.period()?);
        let pace = governor::Quota::with_period(period).ok_or(QuotaError::TooFast)?.allow_burst(burst);
        let table = Arc::new(Table::new(most_keys));
        let start = clock.now();
        let gcra = Gcra::new(pace, Accounts(Arc::clone(&table)), clock);
        Ok(Self { burst, period, hasher: RandomState::new(), table, gcra, start })
    }

    /// Takes `cost` from the account of a key, if it is there. Waits for nobody.
    ///
    /// Two keys share an account if their 64-bit hashes are equal: of a million keys any two do so once in 37 million
    /// runs.
    pub fn check(&self, key: &str, cost: NonZeroU32) -> Result<Decision, TooCostly> {
        let charge = Charge::new(self.hasher.hash_one(key), self.time_of(cost.get()));
        match self.gcra.check_key_n(&charge, cost) {
            Ok(Ok(account)) => Ok(self.allowed(&account)),
            Ok(Err(until)) => Ok(self.denied(&until, cost)),
            Err(_) => Err(TooCostly { cost: cost.get(), burst: self.burst.get() }),
        }
    }

    /// About how many accounts are not full. Reads the whole table: for a metric, not for a request.
    pub fn keys(&self) -> usize {
        let now = self.gcra.clock().now().as_u64();
        self.table.indebted(now.saturating_sub(self.start.as_u64()))
    }

    /// How many accounts were forgotten before they were full, because too many keys came at once.
    pub fn evictions(&self) -> u64 {
        self.table.evictions()
    }

    fn allowed(&self, account: &StateSnapshot) -> Decision {
        let remaining = account.remaining_burst_capacity();
        let reset = self.time_of(self.burst.get() - remaining);
        Decision { allowed: true, remaining, reset, retry_after: Duration::ZERO }
    }

    /// Governor says only when the cost will be there; the rest follows from it. By now that moment may have come, but
    /// what was denied stays so.
    fn denied(&self, until: &NotUntil<Nanos>, cost: NonZeroU32) -> Decision {
        let retry_after = until.wait_time_from(self.gcra.clock().now()).max(Duration::from_nanos(1));
        let there = self.time_of(cost.get()).saturating_sub(retry_after);
        let remaining = (there.as_nanos() / self.period.as_nanos()) as u32;
        let reset = retry_after + self.time_of(self.burst.get() - cost.get());
        Decision { allowed: false, remaining, reset, retry_after }
    }

    /// The time in which so many requests are refilled. Saturates only for costs that are above the burst.
    fn time_of(&self, requests: u32) -> Duration {
        self.period.saturating_mul(requests)
    }
}
