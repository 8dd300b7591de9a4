//! Limits on how often something may happen. Permission: `rate-limit`.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use cloud_cup_plugin::rate_limit::{Limiter, Quota};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let quota = Quota { requests: 100, window: Duration::from_secs(60), burst: 20 };
//! let limiter = Limiter::open("per-minute", quota)?; // in `Filter::new`
//!
//! let decision = limiter.check("192.0.2.1", 1)?;
//! if !decision.allowed {
//!     println!("come back in {:?}", decision.retry_after);
//! }
//! # Ok(())
//! # }
//! ```

use std::{fmt, time::Duration};

use crate::{bindings::cloudcup::filter::rate_limit as host, nanoseconds};

/// So many within so long, evenly refilled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// At least 1.
    pub requests: u32,
    /// 1 ms to 31 days.
    pub window: Duration,
    /// What may come at once after a pause; at least 1. Usually `requests`.
    pub burst: u32,
}

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The cost was there, and was taken.
    pub allowed: bool,
    /// What is left of the burst.
    pub remaining: u32,
    /// Until all of the burst is there again.
    pub reset: Duration,
    /// Until as much as was asked for is there; zero where it was allowed.
    pub retry_after: Duration,
}

/// Why a limit could not be checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitError {
    /// The cost is more than the burst: it would never be allowed.
    TooCostly,
    /// The limit cannot be asked now.
    Unavailable(String),
}

/// One limit, with an account for each key. It belongs to the gateway: all instances share it.
#[derive(Debug)]
pub struct Limiter(host::Limiter);

impl Limiter {
    /// Opens a limit by name. One plugin's limits of the same name and quota are one, wherever they are attached.
    ///
    /// # Errors
    ///
    /// A quota that is out of bounds, and a call that does not come from [`Filter::new`](crate::Filter::new).
    pub fn open(name: &str, quota: Quota) -> Result<Self, String> {
        let Quota { requests, window, burst } = quota;
        host::Limiter::open(name, host::Quota { requests, window: nanoseconds(window), burst }).map(Self)
    }

    /// Takes `cost`, at least 1, from the account of a key, if it is there. May wait where limits are kept elsewhere.
    ///
    /// # Errors
    ///
    /// See [`LimitError`]; nothing was taken.
    pub fn check(&self, key: &str, cost: u32) -> Result<Decision, LimitError> {
        let decision = self.0.check(key, cost).map_err(|error| match error {
            host::LimitError::TooCostly => LimitError::TooCostly,
            host::LimitError::Unavailable(why) => LimitError::Unavailable(why),
        })?;
        Ok(Decision {
            allowed: decision.allowed,
            remaining: decision.remaining,
            reset: Duration::from_nanos(decision.reset),
            retry_after: Duration::from_nanos(decision.retry_after),
        })
    }
}

impl fmt::Display for LimitError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooCostly => formatter.write_str("it costs more than the limit's burst"),
            Self::Unavailable(why) => write!(formatter, "the limit cannot be asked: {why}"),
        }
    }
}

impl std::error::Error for LimitError {}
