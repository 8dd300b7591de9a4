//! Circuit breakers: they stop asking what fails, for a while, and then ask carefully.
//!
//! A closed [`Breaker`] opens upon too many failures in a row, or when too large a share of the last while's requests
//! failed or was slow. Open, it refuses everything for a time. Then, half-open, it lets a few probes through: if all
//! of them succeed it closes and has forgotten everything, if one fails it opens again for twice the time.
//!
//! Breakers are shared by all workers, and nobody ever waits: a breaker's state is one word that changes by
//! compare-and-swap, and its counts know by themselves which state they belong to. It has no
//! timer: what time brings about happens when the next request comes. A [`Permit`] carries the stamp of the phase in
//! which it was given, and what is reported with it counts for that phase only. Between looking at the phase and
//! counting, another thread may change the phase; the count then goes where the phase that has passed would look.

mod breaker;
mod breakers;
mod settings;
mod state;
#[cfg(test)]
mod tests;
mod window;

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

pub use self::breaker::Breaker;
pub use self::breakers::{Breakers, LONGEST_KEY, MOST_KEYS};
pub use self::settings::{LONGEST, MOST_PROBES, MOST_REQUESTS, SHORTEST_WINDOW, Settings, SettingsError};
pub use self::state::{Cause, Forced, State};

/// What a listener is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition<'a> {
    /// The breaker's name.
    pub name: &'a str,
    /// Its key among those of that name.
    pub key: &'a str,
    /// The state that it left.
    pub from: State,
    /// The state that it entered; never the same.
    pub to: State,
    /// Why.
    pub cause: Cause,
}

/// Told of each transition once, by the thread that made it, within that thread's `admit`, `report` or `force`: it
/// must neither block nor panic. Of two transitions right after each other it may hear in either order.
pub type Listener = Arc<dyn Fn(&Transition<'_>) + Send + Sync>;

/// The request may not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the circuit is open")]
pub struct Refused {
    /// For how long none may: to the millisecond, and never 0. While probes are under way, and where an operator holds
    /// it open, it is a guess.
    pub retry_after: Duration,
}

/// Leave for one request. Dropped without a report it counts for nothing, and a probe's place is free again.
#[derive(Debug)]
#[must_use = "a permit that is dropped counts for nothing"]
pub struct Permit {
    /// None for a key that is not watched, and once it is reported.
    breaker: Option<Arc<Breaker>>,
    stamp: u64,
}

impl Permit {
    /// How the request went and how long it took. Without effect if the breaker has changed its state since.
    pub fn report(mut self, failed: bool, duration: Duration) {
        if let Some(breaker) = self.breaker.take() {
            breaker.settle(self.stamp, failed, duration);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(breaker) = self.breaker.take() {
            breaker.withdraw(self.stamp);
        }
    }
}

/// Whole milliseconds, rounded up.
fn milliseconds(duration: Duration) -> u64 {
    duration.as_nanos().div_ceil(1_000_000).try_into().unwrap_or(u64::MAX)
}
