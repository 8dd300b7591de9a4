//! Many threads at one breaker.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Barrier, Mutex};
use std::thread;

use tokio::runtime::Handle;
use tokio::time::advance;

use super::super::*;
use super::{SECOND, SETTINGS, breaker, quiet};

const THREADS: usize = 64;

/// Runs `work` on all threads at once, each with the test's clock.
fn together(work: impl Fn(usize) + Sync) {
    let (barrier, handle) = (Barrier::new(THREADS), Handle::current());
    thread::scope(|scope| {
        for index in 0..THREADS {
            let (barrier, handle, work) = (&barrier, &handle, &work);
            scope.spawn(move || {
                let _clock = handle.enter();
                barrier.wait();
                work(index);
            });
        }
    });
}

async fn let_its_open_time_pass(breaker: &Arc<Breaker>) {
    (0..3).for_each(|_| breaker.admit().unwrap().report(true, Duration::ZERO));
    advance(5 * SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn probes_are_never_more_than_there_may_be() {
    for probes in [1, 7, 64] {
        let breaker = breaker(Settings { probes, ..SETTINGS });
        let_its_open_time_pass(&breaker).await;
        let permits = Mutex::new(Vec::new());
        together(|_| {
            let admitted = breaker.admit();
            permits.lock().unwrap().extend(admitted);
        });
        assert_eq!(permits.into_inner().unwrap().len(), probes as usize);
        assert_eq!(breaker.refused(), u64::from(64 - probes));
    }
}

#[tokio::test(start_paused = true)]
async fn places_that_are_given_back_are_neither_lost_nor_doubled() {
    let breaker = breaker(Settings { probes: 5, ..SETTINGS });
    let_its_open_time_pass(&breaker).await;
    let under_way = AtomicUsize::new(0);
    together(|_| {
        for _ in 0..500 {
            let Ok(permit) = breaker.admit() else { continue };
            assert!(under_way.fetch_add(1, Relaxed) < 5);
            under_way.fetch_sub(1, Relaxed);
            drop(permit);
        }
    });
    let permits: Vec<_> = (0..6).map_while(|_| breaker.admit().ok()).collect();
    assert_eq!(permits.len(), 5);
    permits.into_iter().for_each(|permit| permit.report(false, Duration::ZERO));
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn lost_places_are_given_to_others_once() {
    let breaker = breaker(Settings { probes: 5, ..SETTINGS });
    let_its_open_time_pass(&breaker).await;
    let lost: Vec<_> = (0..5).map(|_| breaker.admit().unwrap()).collect();
    advance(15 * SECOND).await;
    let permits = Mutex::new(Vec::new());
    together(|_| {
        let admitted = breaker.admit();
        permits.lock().unwrap().extend(admitted);
    });
    assert!((1..=5).contains(&permits.lock().unwrap().len()));
    drop(lost);
}

#[tokio::test(start_paused = true)]
async fn every_transition_is_told_once() {
    let told = Arc::new([const { AtomicUsize::new(0) }; 3]);
    let listener: Listener = {
        let told = Arc::clone(&told);
        Arc::new(move |transition| _ = told[transition.to as usize].fetch_add(1, Relaxed))
    };
    let settings = Settings { open_for: Duration::from_millis(1), ..SETTINGS };
    let breaker = Arc::new(Breaker::new(settings, "backend".into(), "a", listener));
    for round in 0..50 {
        together(|index| {
            let Ok(permit) = breaker.admit() else { return };
            permit.report((index + round) % 3 == 0, Duration::ZERO);
        });
        advance(20 * SECOND).await;
    }
    let [closed, open, half_open] = breaker.transitions();
    assert_eq!([0, 1, 2].map(|state: usize| told[state].load(Relaxed) as u64), [closed, open, half_open]);
    assert!(open >= half_open && half_open >= closed && open > 0, "{closed} {open} {half_open}");
}

#[tokio::test(start_paused = true)]
async fn failures_in_a_row_open_it_once_and_at_the_right_one() {
    let settings = Settings { consecutive_failures: Some(63), failure_percent: None, ..SETTINGS };
    let breaker = breaker(settings);
    let permits: Vec<_> = (0..THREADS).map(|_| Mutex::new(breaker.admit().ok())).collect();
    together(|index| {
        let permit = permits[index].lock().unwrap().take();
        permit.unwrap().report(true, Duration::ZERO);
    });
    assert_eq!((breaker.state(), breaker.transitions()), (State::Open, [0, 1, 0]));
}

#[tokio::test(start_paused = true)]
async fn keys_are_never_more_than_there_may_be() {
    let breakers = Breakers::new("backend", SETTINGS, quiet());
    together(|index| {
        for key in 0..1200 {
            let key = (key * 7 + index) % 1200;
            drop(breakers.admit(&key.to_string()));
        }
    });
    let mut keys = 0;
    breakers.for_each(|_, _| keys += 1);
    assert_eq!(keys, MOST_KEYS);
}
