//! Circuit breakers.

use std::sync::Arc;
use std::time::Duration;

use super::circuit::{Breaker, Permit, Settings, State};
use crate::{both, check};

/// Open for no time at all: the next request is a probe.
const SETTINGS: Settings = Settings {
    consecutive_failures: Some(2),
    failure_percent: None,
    slow_percent: None,
    slow_after: Duration::ZERO,
    minimum_requests: 2,
    window: Duration::from_secs(10),
    open_for: Duration::ZERO,
    longest_open: Duration::from_secs(1),
    probes: 1,
};

fn breaker(settings: Settings) -> Arc<Breaker> {
    Arc::new(Breaker::new(settings, "backend".into(), "a", Arc::new(|_| ())))
}

fn opened(settings: Settings) -> Arc<Breaker> {
    let breaker = breaker(settings);
    (0..2).for_each(|_| admit(&breaker).expect("it is closed").report(true, Duration::ZERO));
    assert_eq!(breaker.state(), State::Open);
    breaker
}

fn admit(breaker: &Arc<Breaker>) -> Option<Permit> {
    breaker.admit().ok()
}

fn admitting(breaker: &Arc<Breaker>) -> impl FnOnce() -> Option<Permit> + Send + 'static {
    let breaker = Arc::clone(breaker);
    move || admit(&breaker)
}

/// Reports two requests at once, by two threads.
fn report(breaker: &Arc<Breaker>, failed: [bool; 2]) {
    let [one, other] = failed.map(|failed| {
        let permit = admit(breaker).expect("there is room");
        move || permit.report(failed, Duration::ZERO)
    });
    both(one, other);
}

/// Two failures at once are two in a row, and open it once.
pub fn failures_at_once_open_it_once() {
    check(|| {
        let breaker = breaker(SETTINGS);
        report(&breaker, [true, true]);
        assert_eq!((breaker.state(), breaker.transitions()), (State::Open, [0, 1, 0]));
    });
}

/// Of two requests that are counted at once, the one that is counted last sees both.
pub fn a_share_of_failures_is_seen_by_whoever_counts_last() {
    check(|| {
        let breaker =
            breaker(Settings { consecutive_failures: None, failure_percent: Some(100), ..SETTINGS });
        report(&breaker, [true, true]);
        assert_eq!((breaker.state(), breaker.transitions()), (State::Open, [0, 1, 0]));
    });
}

/// What is read while others count is too small a share rather than too large: two of four are never 60 per cent.
pub fn no_share_is_seen_that_there_never_was() {
    check(|| {
        let breaker = breaker(Settings { consecutive_failures: None, failure_percent: Some(60), ..SETTINGS });
        (0..2).for_each(|_| admit(&breaker).expect("it is closed").report(false, Duration::ZERO));
        report(&breaker, [true, true]);
        assert_eq!(breaker.state(), State::Closed);
    });
}

/// One probe is one probe, whoever asks at the same time.
pub fn probes_are_no_more_than_there_may_be() {
    check(|| {
        let breaker = opened(SETTINGS);
        let permits = both(admitting(&breaker), admitting(&breaker));
        let mut permits: Vec<_> = permits.into_iter().flatten().collect();
        assert_eq!(permits.len(), 1);
        permits.remove(0).report(false, Duration::ZERO);
        assert_eq!((breaker.state(), breaker.transitions()), (State::Closed, [1, 1, 1]));
    });
}

/// A probe's place that is given back while somebody asks is neither lost nor there twice.
pub fn a_place_that_is_given_back_is_there_once() {
    check(|| {
        let breaker = opened(SETTINGS);
        let permit = admit(&breaker).expect("a probe");
        let dropping = move || {
            drop(permit);
            None
        };
        let [_, taken] = both(dropping, admitting(&breaker));
        let taken = taken.or_else(|| admit(&breaker));
        assert!(taken.is_some(), "the place is lost");
        assert!(admit(&breaker).is_none(), "the place is there twice");
    });
}

/// A bad probe opens it again, whatever else is reported then.
pub fn a_bad_probe_opens_it_again() {
    check(|| {
        let breaker = opened(Settings { probes: 2, ..SETTINGS });
        report(&breaker, [false, true]);
        assert_eq!((breaker.state(), breaker.transitions()), (State::Open, [0, 2, 1]));
    });
}
