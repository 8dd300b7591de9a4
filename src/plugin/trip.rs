//! Taking a plugin that fails again and again out of the way for a while.

use std::time::Duration;

use tokio::time::Instant;

use crate::base::sync::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// Faults in a row, on whatever worker, after which an attachment is tripped. One success between them starts the count
/// again, so that a request which always fails cannot take the plugin away from those that do not.
const FAULTS: u32 = 5;
/// Hooks that are called for a request.
const HOOKS: usize = 3;
/// A call that ran out of time has kept a worker from everybody else for as long, and no success makes up for that: those
/// are forgotten when none has come for this long. Without it a plugin that loops on every second request would have
/// half of a worker's time for ever.
const LATE_FORGOTTEN: Duration = Duration::from_secs(300);
/// The first pause; each that follows without a success between them is twice as long.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// In the place of a pause's end, where only the operator ends it.
const FORCED: u64 = u64::MAX;

/// One attachment's faults, as all workers see them. After a pause one request is let through to all of its hooks; when
/// they succeed, all requests are again, and when one fails or does not come back, the next pause begins.
///
/// Each hook has a row of its own: a request hook that succeeds says nothing of a response hook that never does.
#[derive(Debug)]
pub(super) struct Trip {
    start: Instant,
    faults: [AtomicU32; HOOKS],
    /// Calls that ran out of time, and when the last of them did, in milliseconds since `start`.
    late: AtomicU32,
    last_late: AtomicU64,
    /// Milliseconds since `start` until which nothing is called; 0 when it is not tripped.
    until: AtomicU64,
    trips: AtomicU64,
}

impl Default for Trip {
    fn default() -> Self {
        let (faults, late, last_late, until, trips) = Default::default();
        Self { start: Instant::now(), faults, late, last_late, until, trips }
    }
}

/// On what terms a call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// Nothing speaks against it.
    Free,
    /// To find out whether the plugin is well again.
    Probe,
}

impl Trip {
    /// Whether a call may be made. A request that was let through as a probe is to be called at its other hooks too.
    pub fn admits(&self) -> Option<Admission> {
        let until = self.until.load(Relaxed);
        if until == 0 {
            return Some(Admission::Free);
        }
        let now = self.now();
        let probe = now + SHORTEST_PAUSE.as_millis() as u64;
        let is_claimed = now >= until && self.until.compare_exchange(until, probe, Relaxed, Relaxed).is_ok();
        is_claimed.then_some(Admission::Probe)
    }

    /// A call of a hook ended well.
    pub fn succeeded(&self, hook: usize, admission: Admission) {
        if self.faults[hook].load(Relaxed) == 0 && admission == Admission::Free {
            return;
        }
        self.faults[hook].store(0, Relaxed);
        if self.faults.iter().all(|faults| faults.load(Relaxed) < FAULTS) {
            self.pass_over_until(0);
        }
    }

    /// A call of a hook failed. Returns the pause if one begins with it. What was under way when a pause began does not
    /// make that longer.
    pub fn failed(&self, hook: usize, admission: Admission, is_late: bool) -> Option<Duration> {
        if admission == Admission::Free && self.is_tripped() {
            return None;
        }
        let faults = self.faults[hook].fetch_add(1, Relaxed).saturating_add(1);
        let late = if is_late { self.count_late() } else { 0 };
        let beyond = faults.max(late).checked_sub(FAULTS)?;
        let pause = SHORTEST_PAUSE.saturating_mul(1 << beyond.min(6)).min(LONGEST_PAUSE);
        let begins = self.pass_over_until(self.now() + pause.as_millis() as u64);
        begins.then(|| self.trips.fetch_add(1, Relaxed)).map(|_| pause)
    }

    /// Unless the operator has tripped it: a call that was under way then ends, and has no say in that.
    fn pass_over_until(&self, until: u64) -> bool {
        self.until.fetch_update(Relaxed, Relaxed, |now| (now != FORCED).then_some(until)).is_ok()
    }

    fn count_late(&self) -> u32 {
        let now = self.now();
        let last = self.last_late.swap(now, Relaxed);
        if now.saturating_sub(last) > LATE_FORGOTTEN.as_millis() as u64 {
            self.late.store(0, Relaxed);
        }
        self.late.fetch_add(1, Relaxed).saturating_add(1)
    }

    /// Whether calls are passed over at this moment.
    pub fn is_tripped(&self) -> bool {
        self.until.load(Relaxed) != 0
    }

    /// How often a pause began.
    pub fn trips(&self) -> u64 {
        self.trips.load(Relaxed)
    }

    /// Lets no call be made until [`Self::reset`], by the operator's word.
    pub fn force(&self) {
        // A swap, since loom puts a plain store in no order with what others do to the same word.
        self.until.swap(FORCED, Relaxed);
        self.trips.fetch_add(1, Relaxed);
    }

    /// Forgets all faults, by the operator's word.
    pub fn reset(&self) {
        self.faults.iter().chain([&self.late]).for_each(|faults| faults.store(0, Relaxed));
        self.until.store(0, Relaxed);
    }

    fn now(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::Admission::{Free, Probe};
    use super::*;

    async fn advance(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_until_a_call_succeeds() {
        let trip = Trip::default();
        for _ in 1..FAULTS {
            assert_eq!(trip.failed(0, Free, false), None);
            assert_eq!(trip.admits(), Some(Free));
        }
        let mut admission = Free;
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(trip.failed(0, admission, false), Some(Duration::from_secs(seconds)));
            assert_eq!(trip.failed(0, Free, false), None, "it was under way");
            assert_eq!(trip.admits(), None);
            advance(seconds).await;
            admission = trip.admits().expect("a probe");
            assert_eq!((admission, trip.admits()), (Probe, None), "one only");
        }
        assert!(trip.is_tripped());
        trip.succeeded(0, Probe);
        assert_eq!((trip.admits(), trip.admits(), trip.is_tripped()), (Some(Free), Some(Free), false));
        assert_eq!(trip.failed(0, Free, false), None);
        assert_eq!(trip.trips(), 8);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_never_returns_is_followed_by_another() {
        let trip = Trip::default();
        (0..FAULTS).for_each(|_| _ = trip.failed(0, Free, false));
        advance(1).await;
        assert_eq!(trip.admits(), Some(Probe));
        advance(1).await;
        assert_eq!(trip.admits(), Some(Probe));
    }

    #[tokio::test(start_paused = true)]
    async fn a_hook_that_always_fails_trips_though_another_never_does() {
        let trip = Trip::default();
        for _ in 1..FAULTS {
            trip.succeeded(0, Free);
            assert_eq!(trip.failed(1, Free, false), None);
        }
        trip.succeeded(0, Free);
        assert_eq!(trip.failed(1, Free, false), Some(SHORTEST_PAUSE));
        advance(1).await;
        assert_eq!(trip.admits(), Some(Probe));
        trip.succeeded(0, Probe);
        assert!(trip.is_tripped(), "the hook that failed did not succeed yet");
        trip.succeeded(1, Probe);
        assert_eq!(trip.admits(), Some(Free));
    }

    #[tokio::test(start_paused = true)]
    async fn success_makes_up_for_no_lost_time() {
        let trip = Trip::default();
        let loops_by_turns = || {
            trip.succeeded(0, trip.admits().expect("it may be called"));
            trip.failed(0, trip.admits().expect("it may be called"), true)
        };
        (1..FAULTS).for_each(|_| assert_eq!(loops_by_turns(), None));
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(loops_by_turns(), Some(Duration::from_secs(seconds)));
            assert_eq!(trip.admits(), None);
            advance(seconds).await;
        }
        trip.succeeded(0, trip.admits().expect("a probe"));
        advance(LATE_FORGOTTEN.as_secs() + 1).await;
        assert_eq!(loops_by_turns(), None, "that was long ago");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_under_way_does_not_undo_the_operators_word() {
        let trip = Trip::default();
        trip.failed(0, Free, false);
        trip.force();
        trip.succeeded(0, Free);
        assert_eq!((trip.admits(), trip.is_tripped()), (None, true));
        trip.reset();
        (0..FAULTS).for_each(|_| _ = trip.failed(0, Free, false));
        advance(1).await;
        for ends in [|trip: &Trip| trip.succeeded(0, Probe), |trip: &Trip| _ = trip.failed(0, Probe, false)] {
            trip.force();
            ends(&trip);
            advance(3600).await;
            assert_eq!((trip.admits(), trip.is_tripped()), (None, true));
        }
        trip.reset();
        assert_eq!(trip.admits(), Some(Free));
    }

    #[tokio::test(start_paused = true)]
    async fn one_success_begins_the_count_again() {
        let trip = Trip::default();
        for _ in 0..10 {
            (1..FAULTS).for_each(|_| assert_eq!(trip.failed(0, Free, false), None));
            trip.succeeded(0, Free);
        }
        assert!(!trip.is_tripped());
    }
}
