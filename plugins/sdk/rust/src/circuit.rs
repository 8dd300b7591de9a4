//! Circuit breakers. Permission: `circuit`.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use cloud_cup_plugin::circuit::{Breaker, Settings};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // in `Filter::new`
//! let settings = Settings { consecutive_failures: Some(5), ..Settings::default() };
//! let breaker = Breaker::open("orders", &settings)?;
//! // in `on_request`
//! if let Err(open) = breaker.admit("/orders/*") {
//!     println!("none may pass for {:?}", open.retry_after);
//! }
//! // in `on_finish`
//! breaker.report("/orders/*", false, Duration::from_millis(7));
//! # Ok(())
//! # }
//! ```

use std::{fmt, time::Duration};

pub use crate::bindings::cloudcup::filter::circuit::State;
use crate::{bindings::cloudcup::filter::circuit as host, nanoseconds};

/// What opens a breaker, and for how long. One of the first three is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// So many failures in a row.
    pub consecutive_failures: Option<u32>,
    /// So many per cent of the window's requests failed.
    pub failure_percent: Option<u8>,
    /// So many per cent of the window's requests were slow.
    pub slow_percent: Option<u8>,
    /// From when on a request is slow.
    pub slow_after: Duration,
    /// Requests that the window must have before its percentages count.
    pub minimum_requests: u32,
    /// How far back the percentages look.
    pub window: Duration,
    /// How long it is open the first time; each time that a probe fails, twice as long.
    pub open_for: Duration,
    /// But no longer than this.
    pub longest_open: Duration,
    /// How many requests are let through half-open, and must all succeed to close it.
    pub probes: u32,
}

/// Opened by nothing yet; the rest is a sound start.
impl Default for Settings {
    fn default() -> Self {
        Self {
            consecutive_failures: None,
            failure_percent: None,
            slow_percent: None,
            slow_after: Duration::from_secs(5),
            minimum_requests: 20,
            window: Duration::from_secs(10),
            open_for: Duration::from_secs(5),
            longest_open: Duration::from_secs(60),
            probes: 3,
        }
    }
}

/// The breaker is open, or half-open with all of its probes under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    /// For how long no request may pass.
    pub retry_after: Duration,
}

/// One breaker for each key, all with the same settings. It belongs to the gateway: all instances share it.
#[derive(Debug)]
pub struct Breaker(host::Breaker);

impl Breaker {
    /// Opens a breaker by name. One plugin's breakers of the same name and settings are one, wherever they are attached.
    ///
    /// # Errors
    ///
    /// Settings that are out of bounds, and a call that does not come from [`Filter::new`](crate::Filter::new).
    pub fn open(name: &str, settings: &Settings) -> Result<Self, String> {
        let settings = host::Settings {
            consecutive_failures: settings.consecutive_failures,
            failure_percent: settings.failure_percent,
            slow_percent: settings.slow_percent,
            slow_after: nanoseconds(settings.slow_after),
            minimum_requests: settings.minimum_requests,
            window: nanoseconds(settings.window),
            open_for: nanoseconds(settings.open_for),
            longest_open: nanoseconds(settings.longest_open),
            probes: settings.probes,
        };
        host::Breaker::open(name, settings).map(Self)
    }

    /// Asks whether a request may pass. What is let through counts when this exchange is reported; an exchange that ends
    /// without a report counts for nothing.
    ///
    /// # Errors
    ///
    /// It may not, for so long.
    pub fn admit(&self, key: &str) -> Result<(), Open> {
        self.0.admit(key).map_err(|wait| Open { retry_after: Duration::from_nanos(wait) })
    }

    /// How the request that was admitted with this key went, and how long it took. Without an admission it does nothing.
    pub fn report(&self, key: &str, failed: bool, duration: Duration) {
        self.0.report(key, failed, nanoseconds(duration));
    }

    /// Takes an admission back: the request did not go where it was admitted to.
    pub fn withdraw(&self, key: &str) {
        self.0.withdraw(key);
    }

    /// Whether the breaker of this key is closed, open or half-open.
    #[must_use]
    pub fn state(&self, key: &str) -> State {
        self.0.state(key)
    }
}

impl fmt::Display for Open {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the circuit breaker is open for another {:?}", self.retry_after)
    }
}

impl std::error::Error for Open {}
