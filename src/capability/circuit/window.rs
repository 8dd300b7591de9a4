//! Counts over the last so many milliseconds, in ten buckets.
//!
//! Nothing is ever cleared. Each counter carries the moment that it counts from, and who adds to it finds out by the
//! same instruction whether it still is the right one; who reads it passes over the counts of another time. A breaker
//! that closes again begins at a new moment, so that all older counts are passed over at once.
//!
//! What may be off. A bucket ends for a thread when that thread reads the clock, so a request at a bucket's end may
//! be counted in the one before. A thread that stands still between reading a counter and adding to it, for as long as
//! it takes the buckets to come round or the breaker to open and close again, adds its one request to the newer
//! counter, or makes the newer counts of one bucket be passed over. Otherwise every report is counted once. Requests
//! are added before what is bad about them, and read after it: a share that is read meanwhile is too small rather than
//! too large, and whoever adds last sees all.

use std::cmp::Ordering;
use std::time::Duration;

use super::state::STAMP_BITS;
use crate::base::sync::{
    AtomicU64,
    Ordering::{AcqRel, Acquire},
};

const BUCKETS: u64 = 10;
const COUNT_BITS: u32 = u64::BITS - STAMP_BITS;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;

/// Where a counter stays. The room above is for threads that add at the same time.
const FULL: u64 = COUNT_MASK - (1 << 16);

/// A count and the moment that it counts from.
#[derive(Debug, Default)]
pub(super) struct Tally(AtomicU64);

impl Tally {
    /// Counts one from `since` on, and returns the count with it. None where it was not counted: the tally is full,
    /// or counts from a later moment already.
    pub fn add(&self, since: u64) -> Option<u64> {
        let mut seen = self.0.load(Acquire);
        loop {
            match from(seen).cmp(&since) {
                Ordering::Greater => return None,
                Ordering::Equal if count(seen) >= FULL => return None,
                Ordering::Equal => {
                    let before = self.0.fetch_add(1, AcqRel);
                    return (from(before) == since).then(|| count(before) + 1);
                }
                Ordering::Less => match self.0.compare_exchange(seen, first(since), AcqRel, Acquire) {
                    Ok(_) => return Some(1),
                    Err(other) => seen = other,
                },
            }
        }
    }

    /// Begins at 0 again, unless it counts from another moment.
    pub fn clear(&self, since: u64) {
        let mut seen = self.0.load(Acquire);
        // Mostly it is 0 already: the line stays shared between workers while all is well.
        while from(seen) == since && count(seen) != 0 {
            match self.0.compare_exchange(seen, since << COUNT_BITS, AcqRel, Acquire) {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
    }

    /// The count, if it is from this moment on.
    fn count(&self, since: u64) -> u64 {
        let seen = self.0.load(Acquire);
        if from(seen) == since { count(seen) } else { 0 }
    }
}

fn from(bits: u64) -> u64 {
    bits >> COUNT_BITS
}

fn count(bits: u64) -> u64 {
    bits & COUNT_MASK
}

fn first(since: u64) -> u64 {
    since << COUNT_BITS | 1
}

/// One kind of request in all buckets. Aligned, so that the counts of all requests, which every report writes, do not
/// share a cache line with those of bad ones, which every report reads.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Buckets([Tally; BUCKETS as usize]);

/// Requests, and what was bad about them, over the last while.
#[derive(Debug)]
pub(super) struct Window {
    /// Milliseconds of a bucket.
    length: u64,
    requests: Buckets,
    failed: Buckets,
    slow: Buckets,
}

/// The bucket of a moment, and when the first one began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    since: u64,
    bucket: u64,
}

/// What may be bad about a request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bad {
    Failed,
    Slow,
}

impl Window {
    /// An empty one. Its length is rounded up to whole milliseconds for each bucket.
    pub fn new(length: Duration) -> Self {
        let length = super::milliseconds(length).div_ceil(BUCKETS).max(1);
        Self { length, requests: Buckets::default(), failed: Buckets::default(), slow: Buckets::default() }
    }

    /// Where a moment lies in a window that began at `since`.
    pub fn place(&self, since: u64, now: u64) -> Place {
        Place { since, bucket: now.saturating_sub(since) / self.length }
    }

    /// Counts a request.
    pub fn add(&self, place: Place, failed: bool, slow: bool) {
        // A full bucket counts neither, so that its shares stay what they were.
        if self.add_to(&self.requests, place).is_none() {
            return;
        }
        if failed {
            self.add_to(&self.failed, place);
        }
        if slow {
            self.add_to(&self.slow, place);
        }
    }

    /// Whether at least `percent` of the window's requests were bad, and there were at least `minimum` of them.
    pub fn reaches(&self, place: Place, bad: Bad, percent: u8, minimum: u32) -> bool {
        let bad = match bad {
            Bad::Failed => self.sum(&self.failed, place),
            Bad::Slow => self.sum(&self.slow, place),
        };
        // Mostly it ends here, and what all workers write is not read.
        if bad == 0 {
            return false;
        }
        let requests = self.sum(&self.requests, place);
        requests >= u64::from(minimum) && bad * 100 >= requests * u64::from(percent)
    }

    fn add_to(&self, buckets: &Buckets, place: Place) -> Option<u64> {
        let Place { since, bucket } = place;
        buckets.0[(bucket % BUCKETS) as usize].add(since + bucket * self.length)
    }

    fn sum(&self, buckets: &Buckets, place: Place) -> u64 {
        let Place { since, bucket } = place;
        let oldest = bucket.saturating_sub(BUCKETS - 1);
        let counts = (oldest..=bucket)
            .map(|bucket| buckets.0[(bucket % BUCKETS) as usize].count(since + bucket * self.length));
        counts.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_counts_from_one_moment() {
        let tally = Tally::default();
        assert_eq!([5, 5, 7, 5, 7].map(|since| tally.add(since)), [Some(1), Some(2), Some(1), None, Some(2)]);
        tally.clear(5);
        assert_eq!((tally.count(5), tally.count(7)), (0, 2));
        tally.clear(7);
        assert_eq!(tally.add(7), Some(1));
    }

    #[test]
    fn a_full_tally_stays_full() {
        let tally = Tally(AtomicU64::new(3 << COUNT_BITS | (FULL - 1)));
        assert_eq!([(); 3].map(|()| tally.add(3)), [Some(FULL), None, None]);
        assert_eq!(tally.add(4), Some(1));
    }

    #[test]
    fn buckets_leave_the_window_one_by_one() {
        let window = Window::new(Duration::from_millis(100));
        let sum = |now| window.sum(&window.requests, window.place(0, now));
        for now in [0, 9, 10, 95] {
            window.add(window.place(0, now), false, false);
        }
        assert_eq!([95, 99, 100, 110, 184, 194, 195, 1000].map(sum), [4u64, 4, 2, 1, 1, 0, 0, 0]);
    }

    #[test]
    fn a_window_that_begins_anew_is_empty() {
        let window = Window::new(Duration::from_millis(100));
        for now in 0..50 {
            window.add(window.place(0, now), true, true);
        }
        let place = window.place(50, 55);
        window.add(place, false, true);
        assert!(!window.reaches(place, Bad::Failed, 1, 1));
        assert!(window.reaches(place, Bad::Slow, 100, 1));
        assert!(!window.reaches(place, Bad::Slow, 100, 2));
    }

    #[test]
    fn threads_lose_no_count_when_buckets_turn() {
        let window = Window::new(Duration::from_millis(10_000));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..40_000).for_each(|now| window.add(window.place(0, now / 4), true, false)));
            }
        });
        let place = window.place(0, 9_999);
        assert_eq!(
            (window.sum(&window.requests, place), window.sum(&window.failed, place)),
            (160_000, 160_000)
        );
    }
}
