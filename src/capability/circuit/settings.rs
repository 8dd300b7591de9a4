//! What opens a breaker and for how long, as a plugin or the document asks for it.

use std::time::Duration;

use thiserror::Error;

/// The longest of all durations here.
pub const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The shortest window: each of its buckets is at least a millisecond.
pub const SHORTEST_WINDOW: Duration = Duration::from_millis(10);

/// The most probes that one half-open phase may have.
pub const MOST_PROBES: u32 = 1000;

/// The largest count that may be waited for. The counters behind it saturate at some 16 million.
pub const MOST_REQUESTS: u32 = 1_000_000;

/// What opens a breaker, and for how long. Of the first three at least one is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Settings {
    /// So many failures in a row.
    pub consecutive_failures: Option<u32>,
    /// So many per cent of the window's requests failed.
    pub failure_percent: Option<u8>,
    /// So many per cent of the window's requests were slow. It also makes a slow probe a bad one.
    pub slow_percent: Option<u8>,
    /// From when on a request is slow. Without meaning where `slow_percent` is absent.
    pub slow_after: Duration,
    /// Requests that the window must have before its percentages count. Without meaning where both are absent.
    pub minimum_requests: u32,
    /// How far back the percentages look, to a tenth. Without meaning where both are absent.
    pub window: Duration,
    /// How long it is open the first time; twice as long each time that a probe fails. Counted in milliseconds.
    pub open_for: Duration,
    /// But no longer than this.
    pub longest_open: Duration,
    /// How many requests are let through half-open, and must all succeed to close it.
    pub probes: u32,
}

/// Why settings are not usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SettingsError {
    /// Nothing would ever open it.
    #[error(
        "nothing opens the breaker: expected one of `consecutive_failures`, `failure_percent`, `slow_percent`"
    )]
    NoTrigger,
    /// A percentage outside of its range.
    #[error("`{field}` is {found}: expected 1 to 100")]
    Percent {
        /// The setting.
        field: &'static str,
        /// Its value.
        found: u8,
    },
    /// A number outside of its range.
    #[error("`{field}` is {found}: expected 1 to {most}")]
    Count {
        /// The setting.
        field: &'static str,
        /// Its value.
        found: u32,
        /// The largest that it may have.
        most: u32,
    },
    /// A duration outside of its range.
    #[error("`{field}` is {found:?}: expected {least:?} to {most:?}")]
    Duration {
        /// The setting.
        field: &'static str,
        /// Its value.
        found: Duration,
        /// The shortest that it may be.
        least: Duration,
        /// The longest that it may be.
        most: Duration,
    },
    /// The bound of the open time lies below its beginning.
    #[error("`longest_open` is {longest_open:?}: expected at least `open_for`, which is {open_for:?}")]
    LongestBelowFirst {
        /// The first open time.
        open_for: Duration,
        /// What should bound it.
        longest_open: Duration,
    },
}

impl Settings {
    /// Whether a breaker can work by them; the first thing that is wrong. A breaker with settings that fail this does
    /// not panic, but what it does is not specified.
    pub fn check(&self) -> Result<(), SettingsError> {
        if self.consecutive_failures.is_none() && !self.looks_back() {
            return Err(SettingsError::NoTrigger);
        }
        if let Some(failures) = self.consecutive_failures {
            check_count("consecutive_failures", failures, MOST_REQUESTS)?;
        }
        check_percent("failure_percent", self.failure_percent)?;
        check_percent("slow_percent", self.slow_percent)?;
        if self.slow_percent.is_some() {
            check_duration("slow_after", self.slow_after, Duration::from_nanos(1))?;
        }
        if self.looks_back() {
            check_count("minimum_requests", self.minimum_requests, MOST_REQUESTS)?;
            check_duration("window", self.window, SHORTEST_WINDOW)?;
        }
        check_duration("open_for", self.open_for, Duration::from_millis(1))?;
        check_duration("longest_open", self.longest_open, Duration::from_millis(1))?;
        if self.longest_open < self.open_for {
            let Self { open_for, longest_open, .. } = *self;
            return Err(SettingsError::LongestBelowFirst { open_for, longest_open });
        }
        check_count("probes", self.probes, MOST_PROBES)
    }

    /// Whether a percentage is watched, for which the window has to be kept.
    pub(super) fn looks_back(&self) -> bool {
        self.failure_percent.is_some() || self.slow_percent.is_some()
    }

    /// Whether a request that took this long is a slow one.
    pub(super) fn is_slow(&self, duration: Duration) -> bool {
        self.slow_percent.is_some() && duration >= self.slow_after
    }
}

fn check_percent(field: &'static str, percent: Option<u8>) -> Result<(), SettingsError> {
    match percent {
        Some(found) if !(1..=100).contains(&found) => Err(SettingsError::Percent { field, found }),
        _ => Ok(()),
    }
}

fn check_count(field: &'static str, found: u32, most: u32) -> Result<(), SettingsError> {
    if (1..=most).contains(&found) {
        return Ok(());
    }
    Err(SettingsError::Count { field, found, most })
}

fn check_duration(field: &'static str, found: Duration, least: Duration) -> Result<(), SettingsError> {
    if (least..=LONGEST).contains(&found) {
        return Ok(());
    }
    Err(SettingsError::Duration { field, found, least, most: LONGEST })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Settings = Settings {
        consecutive_failures: Some(5),
        failure_percent: Some(50),
        slow_percent: Some(50),
        slow_after: Duration::from_secs(1),
        minimum_requests: 10,
        window: Duration::from_secs(10),
        open_for: Duration::from_secs(5),
        longest_open: Duration::from_secs(60),
        probes: 3,
    };

    fn check(change: impl FnOnce(&mut Settings), expected: &str) {
        let mut settings = GOOD;
        change(&mut settings);
        let found = settings.check().map_or_else(|error| error.to_string(), |()| "good".into());
        assert_eq!(found, expected);
    }

    #[test]
    fn says_what_is_wrong() {
        check(|_| (), "good");
        check(|s| s.consecutive_failures = Some(0), "`consecutive_failures` is 0: expected 1 to 1000000");
        check(|s| s.failure_percent = Some(0), "`failure_percent` is 0: expected 1 to 100");
        check(|s| s.slow_percent = Some(101), "`slow_percent` is 101: expected 1 to 100");
        check(|s| s.slow_after = Duration::ZERO, "`slow_after` is 0ns: expected 1ns to 86400s");
        check(|s| s.minimum_requests = 0, "`minimum_requests` is 0: expected 1 to 1000000");
        check(|s| s.window = Duration::from_millis(9), "`window` is 9ms: expected 10ms to 86400s");
        check(|s| s.open_for = Duration::ZERO, "`open_for` is 0ns: expected 1ms to 86400s");
        check(|s| s.longest_open = LONGEST * 2, "`longest_open` is 172800s: expected 1ms to 86400s");
        check(
            |s| s.longest_open = Duration::from_secs(4),
            "`longest_open` is 4s: expected at least `open_for`, which is 5s",
        );
        check(|s| s.probes = 0, "`probes` is 0: expected 1 to 1000");
        check(|s| s.probes = 1001, "`probes` is 1001: expected 1 to 1000");
    }

    #[test]
    fn needs_a_trigger_and_nothing_for_those_that_are_absent() {
        check(
            |s| (s.consecutive_failures, s.failure_percent, s.slow_percent) = (None, None, None),
            "nothing opens the breaker: expected one of `consecutive_failures`, `failure_percent`, `slow_percent`",
        );
        check(|s| (s.slow_percent, s.slow_after) = (None, Duration::ZERO), "good");
        let without_window = |s: &mut Settings| {
            (s.failure_percent, s.slow_percent) = (None, None);
            (s.window, s.minimum_requests) = (Duration::ZERO, 0);
        };
        check(without_window, "good");
    }
}
