//! One circuit: who may pass, and what follows upon how it went.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::settings::{MOST_PROBES, Settings};
use super::state::{AtomicWord, Cause, Forced, Phase, State, Word};
use super::window::{Bad, Tally, Window};
use super::{Listener, Permit, Refused, Transition, milliseconds};
use crate::base::sync::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// How long who is refused while probes are under way should wait: nobody knows when they end.
const PROBING: Duration = Duration::from_secs(1);

/// One circuit.
pub struct Breaker {
    name: Arc<str>,
    key: Box<str>,
    settings: Settings,
    epoch: Instant,
    word: AtomicWord,
    /// Failures since the last success.
    row: Tally,
    /// How often in a row it opened again, which lengthens the open time. Written after the transition: a thread that
    /// comes between may see the open time of before.
    reopened: AtomicU32,
    /// When a probe was last let in, or about to be.
    probed: AtomicU64,
    transitions: [AtomicU64; 3],
    refused: AtomicU64,
    listener: Listener,
    window: Window,
}

impl Breaker {
    /// A closed one, with settings that passed [`Settings::check`].
    pub fn new(settings: Settings, name: Arc<str>, key: &str, listener: Listener) -> Self {
        // More would not fit into the state's word, and with none it would never close.
        let settings = Settings { probes: settings.probes.clamp(1, MOST_PROBES), ..settings };
        Self {
            name,
            key: key.into(),
            settings,
            epoch: Instant::now(),
            word: AtomicWord::default(),
            row: Tally::default(),
            reopened: AtomicU32::new(0),
            probed: AtomicU64::new(0),
            transitions: Default::default(),
            refused: AtomicU64::new(0),
            listener,
            window: Window::new(settings.window),
        }
    }

    /// Asks whether a request may pass. The permit is to be reported to count.
    pub fn admit(self: &Arc<Self>) -> Result<Permit, Refused> {
        match self.enter() {
            Ok(stamp) => Ok(Permit { breaker: Some(Arc::clone(self)), stamp }),
            Err(retry_after) => {
                self.refused.fetch_add(1, Relaxed);
                Err(Refused { retry_after: retry_after.max(Duration::from_millis(1)) })
            }
        }
    }

    /// Holds it in a state until it is called again; with none it lets go, and the breaker is closed and has forgotten
    /// everything. Permits from before count for nothing.
    pub fn force(&self, forced: Option<Forced>) {
        loop {
            let word = self.word.load();
            let phase = match (forced, word.phase) {
                (None, Phase::Forced(_)) => Phase::Closed,
                (None, _) => return,
                (Some(forced), Phase::Forced(held)) if forced == held => return,
                (Some(forced), _) => Phase::Forced(forced),
            };
            if self.change(word, word.next(self.now(), phase), Cause::Operator) {
                return;
            }
        }
    }

    /// Its state at this moment. One whose open time is over says so when the next request comes.
    pub fn state(&self) -> State {
        self.word.load().state()
    }

    /// What an operator holds it in.
    pub fn forced(&self) -> Option<Forced> {
        match self.word.load().phase {
            Phase::Forced(forced) => Some(forced),
            _ => None,
        }
    }

    /// Its key among those of its name.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// How often it entered each state: closed, open, half-open, as [`State`] numbers them.
    pub fn transitions(&self) -> [u64; 3] {
        [0, 1, 2].map(|state: usize| self.transitions[state].load(Relaxed))
    }

    /// How many requests it refused.
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// The stamp of the phase that lets a request in, or for how long none will.
    fn enter(&self) -> Result<u64, Duration> {
        loop {
            let word = self.word.load();
            let (next, cause) = match word.phase {
                Phase::Closed | Phase::Forced(Forced::Closed) => return Ok(word.stamp),
                Phase::Forced(Forced::Open) => return Err(self.settings.open_for),
                Phase::Open => (self.begin_probing(word)?, Cause::OpenTimeOver),
                Phase::HalfOpen { places: 0, .. } => {
                    self.renew_places(word)?;
                    continue;
                }
                Phase::HalfOpen { places, succeeded } => {
                    self.probed.fetch_max(self.now(), Relaxed);
                    let phase = Phase::HalfOpen { places: places - 1, succeeded };
                    (Word { phase, ..word }, Cause::OpenTimeOver)
                }
            };
            if self.change(word, next, cause) {
                return Ok(next.stamp);
            }
        }
    }

    /// What follows upon an open phase, where the one who asks is the first probe; or for how long it is open still.
    fn begin_probing(&self, open: Word) -> Result<Word, Duration> {
        let now = self.now();
        let until = open.stamp + milliseconds(self.open_time());
        if now < until {
            return Err(Duration::from_millis(until - now));
        }
        Ok(open.next(now, Phase::HalfOpen { places: self.settings.probes - 1, succeeded: 0 }))
    }

    /// A probe whose permit got lost would hold its place for ever, and the breaker half-open. So when nobody has been
    /// let in for as long as it may be open at most, the places of those under way are given to others. They may be
    /// only slow: what they report counts all the same, or else a breaker would never close where requests take
    /// longer than this. So there can be more probes under way than settings say, but no more new ones in that time.
    fn renew_places(&self, full: Word) -> Result<(), Duration> {
        let now = self.now();
        let probed = self.probed.load(Relaxed);
        let due = probed.max(full.stamp) + milliseconds(self.settings.longest_open);
        // Only one does it: a second one would give away again what others have just been given.
        if now < due || self.probed.compare_exchange(probed, now, Relaxed, Relaxed).is_err() {
            return Err(self.settings.open_for.min(PROBING));
        }
        self.update_probes(full.stamp, |_, succeeded| (self.settings.probes, succeeded));
        Ok(())
    }

    /// Counts what is reported with a permit of this stamp.
    pub(super) fn settle(&self, stamp: u64, failed: bool, duration: Duration) {
        let slow = self.settings.is_slow(duration);
        let word = self.word.load();
        if word.stamp != stamp {
            return;
        }
        match word.phase {
            Phase::Closed => self.settle_closed(word, failed, slow),
            Phase::HalfOpen { .. } if failed || slow => self.settle_bad_probe(stamp),
            Phase::HalfOpen { .. } => {
                self.update_probes(stamp, |places, succeeded| (places, succeeded + 1));
            }
            Phase::Open | Phase::Forced(_) => {}
        }
    }

    /// Takes back a permit of this stamp that was not reported.
    pub(super) fn withdraw(&self, stamp: u64) {
        self.update_probes(stamp, |places, succeeded| (places + 1, succeeded));
    }

    fn settle_closed(&self, closed: Word, failed: bool, slow: bool) {
        if let Some(cause) = self.count(closed.stamp, failed, slow) {
            // Where this fails, another thread has opened or forced it.
            self.change(closed, closed.next(self.now(), Phase::Open), cause);
        }
    }

    /// Counts, and says why the breaker has to open, if it has to.
    fn count(&self, since: u64, failed: bool, slow: bool) -> Option<Cause> {
        let Settings { consecutive_failures, failure_percent, slow_percent, minimum_requests, .. } =
            self.settings;
        if !failed {
            self.row.clear(since);
        } else if let Some(most) = consecutive_failures
            && self.row.add(since).is_some_and(|failures| failures >= u64::from(most))
        {
            return Some(Cause::ConsecutiveFailures);
        }
        // The clock is asked only for the window's sake.
        if !self.settings.looks_back() {
            return None;
        }
        let place = self.window.place(since, self.now());
        self.window.add(place, failed, slow);
        let reaches = |bad, percent: Option<u8>| {
            percent.is_some_and(|percent| self.window.reaches(place, bad, percent, minimum_requests))
        };
        if reaches(Bad::Failed, failure_percent) {
            return Some(Cause::FailurePercent);
        }
        reaches(Bad::Slow, slow_percent).then_some(Cause::SlowPercent)
    }

    fn settle_bad_probe(&self, stamp: u64) {
        loop {
            let word = self.word.load();
            if word.stamp != stamp
                || self.change(word, word.next(self.now(), Phase::Open), Cause::ProbeFailed)
            {
                return;
            }
        }
    }

    /// Changes the places and successes of a half-open phase, unless it has passed. With the last success it closes.
    fn update_probes(&self, stamp: u64, update: impl Fn(u32, u32) -> (u32, u32)) {
        let probes = self.settings.probes;
        loop {
            let word = self.word.load();
            let Phase::HalfOpen { places, succeeded } = word.phase else { return };
            if word.stamp != stamp {
                return;
            }
            let (places, succeeded) = update(places, succeeded);
            let next = if succeeded < probes {
                // After places were renewed there are more probes than should be: no more of them than can count.
                Word { phase: Phase::HalfOpen { places: places.min(probes - succeeded), succeeded }, ..word }
            } else {
                word.next(self.now(), Phase::Closed)
            };
            if self.change(word, next, Cause::ProbesSucceeded) {
                return;
            }
        }
    }

    /// Makes a change, unless another thread made one meanwhile. A change of state is counted and told.
    fn change(&self, from: Word, to: Word, cause: Cause) -> bool {
        if !self.word.replace(from, to) {
            return false;
        }
        match (from.phase, to.phase) {
            (Phase::HalfOpen { .. }, Phase::Open) => _ = self.reopened.fetch_add(1, Relaxed),
            (_, Phase::Closed) => self.reopened.store(0, Relaxed),
            _ => {}
        }
        let (from, to) = (from.state(), to.state());
        if from != to {
            self.transitions[to as usize].fetch_add(1, Relaxed);
            (self.listener)(&Transition { name: &self.name, key: &self.key, from, to, cause });
        }
        true
    }

    fn open_time(&self) -> Duration {
        let Settings { open_for, longest_open, .. } = self.settings;
        // Past the 31st time a millisecond has long become more than a day.
        let doublings = self.reopened.load(Relaxed).min(31);
        open_for.saturating_mul(1 << doublings).min(longest_open)
    }

    /// Milliseconds since it was made, and one: stamp 0 is the first phase's, and what follows upon it is later.
    fn now(&self) -> u64 {
        let elapsed = self.epoch.elapsed();
        elapsed.as_secs() * 1000 + u64::from(elapsed.subsec_millis()) + 1
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, key, .. } = self;
        f.debug_struct("Breaker").field("name", name).field("key", key).finish_non_exhaustive()
    }
}
