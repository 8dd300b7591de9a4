use super::*;
use governor::clock::FakeRelativeClock;
use proptest::prelude::*;
use std::collections::HashMap;
use std::process::Command;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

const SECOND: Duration = Duration::from_secs(1);

fn quota(requests: u32, window: Duration, burst: u32) -> Quota {
    Quota { requests, window, burst }
}

fn limiter(quota: Quota, most_keys: usize) -> (Limiter<FakeRelativeClock>, FakeRelativeClock) {
    let clock = FakeRelativeClock::default();
    (Limiter::with_clock(quota, most_keys, clock.clone()).unwrap(), clock)
}

fn cost(cost: u32) -> NonZeroU32 {
    NonZeroU32::new(cost).unwrap()
}

fn allowed<C: Clock<Instant = Nanos>>(limiter: &Limiter<C>, key: &str) -> bool {
    limiter.check(key, cost(1)).unwrap().allowed
}

#[test]
fn quotas_that_no_limiter_can_hold_to_are_refused() {
    #[track_caller]
    fn check(requests: u32, window: Duration, burst: u32, expected: Result<(), QuotaError>) {
        let quota = quota(requests, window, burst);
        assert_eq!(quota.check(), expected);
        assert_eq!(Limiter::new(quota, 10).map(|_| ()).err(), expected.err());
    }
    let (month, millisecond) = (31 * 86_400 * SECOND, Duration::from_millis(1));
    check(1, SECOND, 1, Ok(()));
    check(1, month, 1000, Ok(()));
    check(1_000_000, millisecond, u32::MAX, Ok(()));
    check(0, SECOND, 1, Err(QuotaError::NoRequests));
    check(1, SECOND, 0, Err(QuotaError::NoBurst));
    check(1, Duration::ZERO, 1, Err(QuotaError::Window));
    check(1, month + millisecond, 1, Err(QuotaError::Window));
    check(1_000_001, millisecond, 1, Err(QuotaError::TooFast));
    check(1, month, u32::MAX, Err(QuotaError::TooSlow));
}

#[test]
fn a_burst_passes_and_then_one_for_each_interval() {
    let (limiter, clock) = limiter(quota(2, SECOND, 3), 10);
    let second = |retry_after: u64, remaining, reset: u64| Decision {
        allowed: retry_after == 0,
        remaining,
        reset: Duration::from_millis(reset),
        retry_after: Duration::from_millis(retry_after),
    };
    let check = |asked, expected| assert_eq!(limiter.check("key", cost(asked)), Ok(expected));
    check(2, second(0, 1, 1000));
    check(2, second(500, 1, 1000));
    check(1, second(0, 0, 1500));
    clock.advance(Duration::from_millis(100));
    check(1, second(400, 0, 1400));
    check(3, second(1400, 0, 1400));
    clock.advance(Duration::from_millis(900));
    check(1, second(0, 1, 1000));
    assert_eq!(limiter.check("other", cost(4)), Err(TooCostly { cost: 4, burst: 3 }));
    assert_eq!(limiter.keys(), 1);
    clock.advance(SECOND);
    assert_eq!(limiter.keys(), 0);
}

#[tokio::test(start_paused = true)]
async fn time_is_that_of_the_runtime() {
    let limiter = Limiter::new(quota(1, SECOND, 1), 10).unwrap();
    assert!(allowed(&limiter, "key"));
    tokio::time::advance(Duration::from_millis(999)).await;
    assert!(!allowed(&limiter, "key"));
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(allowed(&limiter, "key"));
}

#[test]
fn largest_quota_does_not_overflow() {
    let (limiter, clock) = limiter(quota(1, 31 * 86_400 * SECOND, 1177), 10);
    for _ in 0..50 {
        assert!(limiter.check("key", cost(1177)).unwrap().allowed);
        let denied = limiter.check("key", cost(1177)).unwrap();
        assert_eq!(denied.retry_after, 1177 * 31 * 86_400 * SECOND);
        clock.advance(denied.retry_after / 50);
        if !limiter.check("key", cost(24)).unwrap().allowed {
            break;
        }
    }
}

/// A bucket that is filled at an even rate, in nanoseconds of refilling: what GCRA is equal to.
struct Bucket {
    credit: u128,
    filled: u128,
}

impl Bucket {
    fn check(&mut self, quota: Quota, now: u128, cost: u32) -> Decision {
        let period = quota.period().unwrap().as_nanos();
        let (full, price) = (period * u128::from(quota.burst), period * u128::from(cost));
        self.credit = full.min(self.credit + now - self.filled);
        self.filled = now;
        let allowed = self.credit >= price;
        let retry_after = price.saturating_sub(self.credit);
        self.credit -= if allowed { price } else { 0 };
        let remaining = (self.credit / period) as u32;
        let reset = if allowed { period * u128::from(quota.burst - remaining) } else { full - self.credit };
        let [reset, retry_after] = [reset, retry_after].map(|nanos| Duration::from_nanos(nanos as u64));
        Decision { allowed, remaining, reset, retry_after }
    }
}

proptest! {
    #[test]
    fn decides_like_a_bucket_for_each_key(
        requests in 1u32..1000,
        window in 1u64..100_000,
        burst in 1u32..50,
        steps in prop::collection::vec((0u8..6, 1u32..60, 0.0..2.0), 1..200),
    ) {
        let quota = quota(requests, Duration::from_millis(window), burst);
        let (limiter, clock) = limiter(quota, 6);
        let (mut buckets, mut now) = (HashMap::new(), 0);
        for (key, asked, periods) in steps {
            let pause = quota.period().unwrap().mul_f64(periods);
            clock.advance(pause);
            now += pause.as_nanos();
            let full = || Bucket { credit: u128::from(u64::MAX), filled: now };
            let bucket = buckets.entry(key).or_insert_with(full);
            let expected = if asked > burst { Err(TooCostly { cost: asked, burst }) } else { Ok(bucket.check(quota, now, asked)) };
            prop_assert_eq!(limiter.check(&key.to_string(), cost(asked)), expected);
        }
        prop_assert_eq!(limiter.evictions(), 0);
    }
}

/// Many rounds, since each is one chance for two threads to open the same account in different slots. The accounts of
/// earlier rounds are full by then, at different moments, so that threads that look a little later choose differently.
#[test]
fn threads_that_open_one_account_at_once_get_one_burst() {
    const THREADS: u32 = 6;
    let (limiter, clock) = limiter(quota(1000, SECOND, 10), 4);
    let barrier = Barrier::new(THREADS as usize);
    let [passed, wrong] = [AtomicU32::new(0), AtomicU32::new(0)];
    let work = |thread: u32| {
        for round in 0..2000 {
            barrier.wait();
            let own = thread == 0 || allowed(&limiter, &format!("{thread} of {round}"));
            wrong.fetch_add(u32::from(!own), Ordering::Relaxed);
            let shared = format!("shared {round}");
            let count = (0..5).filter(|_| allowed(&limiter, &shared)).count();
            passed.fetch_add(count as u32, Ordering::Relaxed);
            if barrier.wait().is_leader() {
                wrong.fetch_add(u32::from(passed.swap(0, Ordering::Relaxed) != 10), Ordering::Relaxed);
                clock.advance(SECOND);
            }
        }
    };
    thread::scope(|scope| {
        (0..THREADS).for_each(|thread| {
            _ = scope.spawn({
                let work = &work;
                move || work(thread)
            })
        })
    });
    assert_eq!(wrong.into_inner(), 0, "rounds");
    assert_eq!(limiter.evictions(), 0);
}

#[test]
fn many_threads_on_one_key_get_no_more_than_burst_and_refill() {
    const BURST: u32 = 100;
    let limiter = Limiter::new(quota(1000, SECOND, BURST), 100_000).unwrap();
    let (passed, start) = (AtomicU32::new(0), Instant::now());
    thread::scope(|scope| {
        for thread in 0..64 {
            let (limiter, passed) = (&limiter, &passed);
            scope.spawn(move || {
                for count in 0..1000 {
                    passed.fetch_add(u32::from(allowed(limiter, "shared")), Ordering::Relaxed);
                    assert!(allowed(limiter, &format!("{thread} {count}")));
                }
            });
        }
    });
    let refill = start.elapsed().as_millis() as u32;
    let passed = passed.into_inner();
    assert!((BURST..=BURST + refill + 1).contains(&passed), "{passed} passed, {refill} were refilled");
}

#[test]
fn threads_that_fight_for_one_set_all_get_an_answer() {
    let (limiter, _) = limiter(quota(1, SECOND, 2), 4);
    assert!(limiter.check("deepest", cost(2)).unwrap().allowed);
    thread::scope(|scope| {
        for thread in 0..32 {
            let limiter = &limiter;
            scope.spawn(move || {
                (0..2000).for_each(|count| assert!(allowed(limiter, &format!("{thread} {count}"))))
            });
        }
    });
    assert!(limiter.keys() <= 8);
    assert_eq!(limiter.evictions() as usize + limiter.keys(), 64_001);
    assert!(!allowed(&limiter, "deepest"));
}

#[test]
fn the_least_indebted_account_is_forgotten_first() {
    let (limiter, clock) = limiter(quota(1, SECOND, 20), 4);
    for debt in 1..=8 {
        assert!(limiter.check(&debt.to_string(), cost(debt)).unwrap().allowed);
    }
    assert_eq!((limiter.keys(), limiter.evictions()), (8, 0));
    assert!(limiter.check("new", cost(9)).unwrap().allowed);
    assert_eq!((limiter.keys(), limiter.evictions()), (8, 1));
    assert_eq!(limiter.check("2", cost(1)).unwrap().remaining, 17);
    clock.advance(Duration::from_secs(4));
    assert!(limiter.check("newer", cost(9)).unwrap().allowed);
    assert_eq!(limiter.evictions(), 1, "that of a full account is none");
}

#[test]
fn a_flood_of_keys_leaves_a_deep_debt_alone() {
    let (limiter, _) = limiter(quota(1, SECOND, 10), 1000);
    assert!(limiter.check("heavy", cost(10)).unwrap().allowed);
    for key in 0..200_000 {
        assert!(allowed(&limiter, &key.to_string()));
    }
    assert!(!allowed(&limiter, "heavy"));
    assert!(limiter.keys() <= 2048);
    assert_eq!(limiter.evictions() as usize + limiter.keys(), 200_001);
}

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// In a process of its own, since other tests need memory too.
#[test]
fn memory_is_that_of_the_keys_in_use() {
    const ALONE: &str = "MEMORY_OF_ONE_LIMITER";
    if std::env::var_os(ALONE).is_none() {
        let mut test = Command::new(std::env::current_exe().unwrap());
        let output = test.env(ALONE, "1").arg("memory_is_that_of_the_keys_in_use").output().unwrap();
        return assert!(output.status.success(), "{output:?}");
    }
    let (limiter, _) = limiter(quota(1, 3600 * SECOND, 10), 1_000_000);
    for key in ["a", "b", "c"] {
        assert!(allowed(&limiter, key));
    }
    assert!(limiter.table.blocks().count() <= 3);
    let before = resident();
    for key in 0..1_000_000 {
        assert!(allowed(&limiter, &key.to_string()));
    }
    let used = resident() - before;
    assert!((30 << 20..40 << 20).contains(&used), "{used} bytes");
    assert!(limiter.evictions() < 10_000 && limiter.keys() > 990_000);
}
