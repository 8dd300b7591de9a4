//! Breakers as those see them who use them.

mod concurrency;
mod model;

use std::sync::Mutex;

use tokio::time::advance;

use super::*;

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// Three failures in a row, or half of at least ten, or half of at least ten slow.
pub(super) const SETTINGS: Settings = Settings {
    consecutive_failures: Some(3),
    failure_percent: Some(50),
    slow_percent: Some(50),
    slow_after: SECOND,
    minimum_requests: 10,
    window: Duration::from_secs(10),
    open_for: Duration::from_secs(5),
    longest_open: Duration::from_secs(15),
    probes: 2,
};

pub(super) fn quiet() -> Listener {
    Arc::new(|_| ())
}

pub(super) fn breaker(settings: Settings) -> Arc<Breaker> {
    settings.check().unwrap();
    Arc::new(Breaker::new(settings, "backend".into(), "a", quiet()))
}

fn ask(breaker: &Arc<Breaker>, failed: bool) {
    breaker.admit().unwrap().report(failed, Duration::ZERO);
}

fn open(breaker: &Arc<Breaker>) {
    (0..3).for_each(|_| ask(breaker, true));
    assert_eq!(breaker.state(), State::Open);
}

async fn half_open(breaker: &Arc<Breaker>) {
    open(breaker);
    advance(5 * SECOND).await;
    drop(breaker.admit().unwrap());
    assert_eq!(breaker.state(), State::HalfOpen);
}

fn retry_after(breaker: &Arc<Breaker>) -> Duration {
    breaker.admit().unwrap_err().retry_after
}

/// Plays a script: `.` succeeds, `f` fails, `s` is slow, `x` is refused, `-` is a second later.
async fn check(settings: Settings, script: &str, expected: &[(State, State, Cause)]) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let listener: Listener = {
        let told = Arc::clone(&told);
        Arc::new(move |t| {
            assert_eq!((t.name, t.key), ("backend", "a"));
            told.lock().unwrap().push((t.from, t.to, t.cause));
        })
    };
    let breaker = Arc::new(Breaker::new(settings, "backend".into(), "a", listener));
    for step in script.chars() {
        match step {
            '-' => advance(SECOND).await,
            'x' => assert!(breaker.admit().is_err(), "{script}"),
            's' => breaker.admit().expect(script).report(false, SECOND),
            _ => breaker.admit().expect(script).report(step == 'f', SECOND / 2),
        }
    }
    assert_eq!(*told.lock().unwrap(), expected, "{script}");
    let count = |state| expected.iter().filter(|(_, to, _)| *to == state).count() as u64;
    assert_eq!(breaker.transitions(), [State::Closed, State::Open, State::HalfOpen].map(count));
    assert_eq!(breaker.refused(), script.matches('x').count() as u64);
}

#[tokio::test(start_paused = true)]
async fn changes_its_state_as_the_table_says() {
    let opened = |cause| (State::Closed, State::Open, cause);
    let in_a_row = opened(Cause::ConsecutiveFailures);
    let probing = (State::Open, State::HalfOpen, Cause::OpenTimeOver);
    let reopened = (State::HalfOpen, State::Open, Cause::ProbeFailed);
    let closed = (State::HalfOpen, State::Closed, Cause::ProbesSucceeded);
    check(SETTINGS, "ff.ff.sff", &[]).await;
    check(SETTINGS, "fffx----x", &[in_a_row]).await;
    check(SETTINGS, "fff-----.", &[in_a_row, probing]).await;
    check(SETTINGS, "fff-----..ff", &[in_a_row, probing, closed]).await;
    check(SETTINGS, "fff-----.fx", &[in_a_row, probing, reopened]).await;
    check(SETTINGS, "fff-----.sx", &[in_a_row, probing, reopened]).await;
}

#[tokio::test(start_paused = true)]
async fn a_share_counts_from_the_minimum_on() {
    let failed = [(State::Closed, State::Open, Cause::FailurePercent)];
    let slow = [(State::Closed, State::Open, Cause::SlowPercent)];
    check(SETTINGS, "f.f.f.f.f", &[]).await;
    check(SETTINGS, "f.f.f.f.f.x", &failed).await;
    check(SETTINGS, "f.f.f.f...f.f", &[]).await;
    check(SETTINGS, "s.s.s.s.s.x", &slow).await;
    check(Settings { slow_percent: None, ..SETTINGS }, "ssssssssssss", &[]).await;
    check(Settings { failure_percent: None, ..SETTINGS }, "f.f.f.f.f.f.f.f.", &[]).await;
    // The successes have left the window when the last one is reported.
    check(SETTINGS, "......-f.f.f-f.f---------f.f.", &[]).await;
    check(SETTINGS, "......-f.f.f.f.f--------.", &[]).await;
    check(SETTINGS, "......-f.f.f.f.f---------.x", &failed).await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_probe_is_good_where_slow_ones_do_not_count() {
    let breaker = breaker(Settings { slow_percent: None, probes: 1, ..SETTINGS });
    half_open(&breaker).await;
    breaker.admit().unwrap().report(false, 9 * SECOND);
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn open_time_doubles_up_to_its_bound_and_begins_anew_once_closed() {
    let breaker = breaker(SETTINGS);
    open(&breaker);
    for seconds in [5, 10, 15, 15] {
        assert_eq!(retry_after(&breaker), seconds * SECOND);
        advance(seconds * SECOND - Duration::from_millis(1)).await;
        assert_eq!(retry_after(&breaker), Duration::from_millis(1));
        advance(Duration::from_millis(1)).await;
        let probe = breaker.admit().unwrap();
        advance(SECOND).await;
        probe.report(true, SECOND);
    }
    advance(15 * SECOND).await;
    (0..2).for_each(|_| ask(&breaker, false));
    advance(SECOND).await;
    open(&breaker);
    assert_eq!(retry_after(&breaker), 5 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn half_open_lets_as_many_in_as_there_are_probes() {
    let breaker = breaker(SETTINGS);
    half_open(&breaker).await;
    let (first, second) = (breaker.admit().unwrap(), breaker.admit().unwrap());
    assert_eq!(retry_after(&breaker), SECOND);
    first.report(false, Duration::ZERO);
    // In total, not only at the same time.
    assert_eq!(retry_after(&breaker), SECOND);
    drop(second);
    let again = breaker.admit().unwrap();
    assert_eq!(retry_after(&breaker), SECOND);
    again.report(false, Duration::ZERO);
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn reports_from_an_earlier_phase_change_nothing() {
    let breaker = breaker(Settings { consecutive_failures: Some(1), probes: 1, ..SETTINGS });
    let (early, late) = (breaker.admit().unwrap(), breaker.admit().unwrap());
    ask(&breaker, true);
    advance(5 * SECOND).await;
    let probe = breaker.admit().unwrap();
    early.report(false, Duration::ZERO);
    assert_eq!(breaker.state(), State::HalfOpen);
    probe.report(false, Duration::ZERO);
    late.report(true, Duration::ZERO);
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(breaker.transitions(), [1, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_permit_from_an_earlier_phase_gives_no_place_back() {
    let breaker = breaker(Settings { probes: 1, ..SETTINGS });
    let early = breaker.admit().unwrap();
    half_open(&breaker).await;
    let _probe = breaker.admit().unwrap();
    drop(early);
    assert!(breaker.admit().is_err());
}

#[tokio::test(start_paused = true)]
async fn probes_that_never_report_do_not_hold_it_half_open() {
    let breaker = breaker(SETTINGS);
    half_open(&breaker).await;
    let lost = [breaker.admit().unwrap(), breaker.admit().unwrap()];
    advance(15 * SECOND - Duration::from_millis(1)).await;
    assert!(breaker.admit().is_err());
    advance(Duration::from_millis(1)).await;
    let (first, second) = (breaker.admit().unwrap(), breaker.admit().unwrap());
    assert!(breaker.admit().is_err());
    first.report(false, Duration::ZERO);
    second.report(false, Duration::ZERO);
    assert_eq!(breaker.state(), State::Closed);
    drop(lost);
    assert_eq!(breaker.transitions(), [1, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn probes_that_are_slow_to_report_count_when_they_do() {
    let breaker = breaker(SETTINGS);
    half_open(&breaker).await;
    let late = [breaker.admit().unwrap(), breaker.admit().unwrap()];
    advance(15 * SECOND).await;
    let _given_again = breaker.admit().unwrap();
    late.into_iter().for_each(|permit| permit.report(false, Duration::ZERO));
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn renewed_places_are_not_given_back_as_well() {
    let breaker = breaker(SETTINGS);
    half_open(&breaker).await;
    let lost = [breaker.admit().unwrap(), breaker.admit().unwrap()];
    advance(15 * SECOND).await;
    let _first = breaker.admit().unwrap();
    drop(lost);
    let _places = [breaker.admit().unwrap(), breaker.admit().unwrap()];
    assert!(breaker.admit().is_err());
}

#[tokio::test(start_paused = true)]
async fn places_are_not_renewed_while_probes_come_and_go() {
    let breaker = breaker(Settings { probes: 1, ..SETTINGS });
    half_open(&breaker).await;
    for _ in 0..10 {
        advance(14 * SECOND).await;
        let _probe = breaker.admit().unwrap();
        assert!(breaker.admit().is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn an_operator_holds_it_until_he_lets_go() {
    let breaker = breaker(SETTINGS);
    breaker.force(None);
    breaker.force(Some(Forced::Open));
    breaker.force(Some(Forced::Open));
    advance(60 * SECOND).await;
    assert_eq!((breaker.state(), breaker.forced()), (State::Open, Some(Forced::Open)));
    assert_eq!(retry_after(&breaker), 5 * SECOND);
    breaker.force(Some(Forced::Closed));
    let before = breaker.admit().unwrap();
    (0..100).for_each(|_| ask(&breaker, true));
    assert_eq!((breaker.state(), breaker.forced()), (State::Closed, Some(Forced::Closed)));
    breaker.force(None);
    before.report(true, Duration::ZERO);
    ask(&breaker, true);
    ask(&breaker, true);
    assert_eq!((breaker.state(), breaker.forced()), (State::Closed, None));
    ask(&breaker, true);
    assert_eq!(breaker.state(), State::Open);
    assert_eq!(breaker.transitions(), [1, 2, 0]);
}

#[tokio::test(start_paused = true)]
async fn keys_have_breakers_of_their_own() {
    let breakers = Breakers::new("backend", SETTINGS, quiet());
    (0..3).for_each(|_| breakers.admit("a").unwrap().report(true, Duration::ZERO));
    assert!(breakers.admit("a").is_err());
    assert!(breakers.admit("b").is_ok());
    assert_eq!(breakers.get("a").unwrap().state(), State::Open);
    assert!(breakers.get("c").is_none());
    let mut keys = Vec::new();
    breakers.for_each(|key, breaker| keys.push((key.to_owned(), breaker.state())));
    keys.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(keys, [("a".into(), State::Open), ("b".into(), State::Closed)]);
}

#[tokio::test(start_paused = true)]
async fn keys_beyond_the_bound_pass_unwatched() {
    let breakers = Breakers::new("backend", SETTINGS, quiet());
    for key in 0..MOST_KEYS + 5 {
        (0..4).for_each(|_| _ = breakers.admit(&key.to_string()).map(|permit| permit.report(true, SECOND)));
    }
    breakers.admit(&"k".repeat(LONGEST_KEY + 1)).unwrap().report(true, SECOND);
    assert_eq!(breakers.unwatched(), 21);
    let mut watched = 0;
    breakers.for_each(|_, breaker| watched += breaker.transitions()[1]);
    assert_eq!(watched, MOST_KEYS as u64);
}
