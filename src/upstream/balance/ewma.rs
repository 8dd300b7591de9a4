//! The latency of an endpoint as its peaks have it: up at once, down slowly (Finagle's and linkerd's "peak EWMA"). All
//! workers write to it and read from it without waiting for one another.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// After it an unobserved value, and the part that an old observation has in a new value, has come down to 1/e.
const TIME_CONSTANT: f64 = 10.0;

/// Time is counted in these, in 32 bits, which go around in 497 days. An endpoint that was not observed for as long
/// looks for a while as if it had been observed lately.
const TICK: Duration = Duration::from_millis(10);

/// Workers read their clocks at different moments. What is behind by less than this, two days in ticks, is taken for
/// now and not for more than a year later.
const LATE: u32 = 1 << 24;

/// See the module. The average and the moment that it is of lie in one word, so that they always belong together.
///
/// Of two workers that observe at the same time the one that is second has seen an average that is no longer there. It
/// tries again where its sample is a peak, for that would be missed. Otherwise it drops the sample: it would have moved
/// the average by what the other has just moved it, and the clock has hardly gone on since.
#[derive(Debug, Default)]
pub struct Ewma(AtomicU64);

/// What the word says: seconds, and when that was so.
#[derive(Debug, Clone, Copy)]
struct Average {
    seconds: f32,
    tick: u32,
}

impl Ewma {
    /// Nothing was observed yet: the value is 0 and the first sample replaces it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in a sample. `now` is the time since the process began. More than a hundred samples a second that are no
    /// peaks cost a load each, for the time since the one before is then too short to count.
    pub fn observe(&self, now: Duration, latency: Duration) {
        let (now, sample) = (tick(now), latency.as_secs_f32());
        let mut seen = self.0.load(Relaxed);
        while let Some(next) = Average::from_word(seen).observe(now, sample) {
            match self.0.compare_exchange_weak(seen, next.word(), Relaxed, Relaxed) {
                Err(other) if next.seconds == sample => seen = other,
                _ => return,
            }
        }
    }

    /// The average in seconds as it is at `now`, the time since the process began. Unobserved it goes towards 0, so that
    /// an endpoint which was slow once is tried again.
    pub fn value(&self, now: Duration) -> f64 {
        Average::from_word(self.0.load(Relaxed)).at(tick(now))
    }
}

impl Average {
    fn from_word(word: u64) -> Self {
        Self { seconds: f32::from_bits((word >> 32) as u32), tick: word as u32 }
    }

    fn word(self) -> u64 {
        (u64::from(self.seconds.to_bits()) << 32) | u64::from(self.tick)
    }

    fn at(self, now: u32) -> f64 {
        f64::from(self.seconds) * self.remainder(now)
    }

    /// None where the sample makes no difference.
    fn observe(self, now: u32, sample: f32) -> Option<Self> {
        if f64::from(sample) > self.at(now) {
            return Some(Self { seconds: sample, tick: now });
        }
        let remainder = self.remainder(now);
        if remainder >= 1.0 {
            return None;
        }
        let seconds = f64::from(sample) + (f64::from(self.seconds) - f64::from(sample)) * remainder;
        Some(Self { seconds: seconds as f32, tick: now })
    }

    /// What part of an average of then is left now.
    fn remainder(self, now: u32) -> f64 {
        let elapsed = now.wrapping_sub(self.tick);
        if elapsed == 0 || elapsed > u32::MAX - LATE {
            return 1.0;
        }
        (-f64::from(elapsed) * TICK.as_secs_f64() / TIME_CONSTANT).exp()
    }
}

/// Goes around, see `TICK`.
fn tick(now: Duration) -> u32 {
    (now.as_millis() / TICK.as_millis()) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MILLISECOND: Duration = Duration::from_millis(1);
    const SECOND: Duration = Duration::from_secs(1);

    #[track_caller]
    fn check(ewma: &Ewma, now: Duration, expected: f64) {
        let value = ewma.value(now);
        assert!((value - expected).abs() < 1e-6, "{value} instead of {expected}");
    }

    #[test]
    fn nothing_observed_is_nothing() {
        check(&Ewma::new(), SECOND * 1000, 0.0);
    }

    #[test]
    fn the_first_sample_and_every_peak_replace_it() {
        let ewma = Ewma::new();
        ewma.observe(SECOND, 20 * MILLISECOND);
        check(&ewma, SECOND, 0.020);
        ewma.observe(SECOND, 50 * MILLISECOND);
        check(&ewma, SECOND, 0.050);
        // Lower than the average was, but higher than what is left of it.
        ewma.observe(11 * SECOND, 20 * MILLISECOND);
        check(&ewma, 11 * SECOND, 0.020);
    }

    #[test]
    fn it_decays_unobserved() {
        let ewma = Ewma::new();
        ewma.observe(SECOND, SECOND);
        check(&ewma, 11 * SECOND, (-1f64).exp());
        check(&ewma, 21 * SECOND, (-2f64).exp());
        assert!(ewma.value(1000 * SECOND) < 1e-40);
    }

    #[test]
    fn lower_samples_bring_it_down_in_the_same_time() {
        let ewma = Ewma::new();
        ewma.observe(Duration::ZERO, SECOND);
        (1..=1000).for_each(|tick| ewma.observe(10 * tick * MILLISECOND, 100 * MILLISECOND));
        let expected = 0.1 + 0.9 * (-1f64).exp();
        assert!((ewma.value(10 * SECOND) - expected).abs() < 1e-4, "{}", ewma.value(10 * SECOND));
    }

    #[test]
    fn a_clock_that_is_behind_neither_decays_nor_lifts() {
        let ewma = Ewma::new();
        ewma.observe(10 * SECOND, SECOND);
        check(&ewma, 9 * SECOND, 1.0);
        ewma.observe(9 * SECOND, MILLISECOND);
        check(&ewma, 10 * SECOND, 1.0);
    }

    #[test]
    fn it_outlives_the_turn_of_its_clock() {
        let turn = TICK * u32::MAX;
        let ewma = Ewma::new();
        ewma.observe(turn - SECOND, SECOND);
        check(&ewma, turn + 9 * SECOND + TICK, (-1.001f64).exp());
        ewma.observe(turn + 9 * SECOND, 2 * SECOND);
        check(&ewma, turn + 19 * SECOND, 2.0 * (-1f64).exp());
    }

    #[test]
    fn no_thread_loses_a_peak() {
        let ewma = Ewma::new();
        std::thread::scope(|scope| {
            for worker in 0..4u32 {
                let ewma = &ewma;
                scope.spawn(move || {
                    (0..20_000)
                        .for_each(|turn| ewma.observe(TICK * turn, MILLISECOND * (turn % 97 + worker)));
                    ewma.observe(TICK * 20_000, SECOND * (worker + 1));
                });
            }
        });
        assert!(ewma.value(TICK * 20_000) >= 3.999);
    }

    proptest! {
        #[test]
        fn it_stays_between_the_samples_and_nothing(samples in prop::collection::vec((0u32..5000, 1u32..10_000), 1..50)) {
            let ewma = Ewma::new();
            let mut now = Duration::ZERO;
            let most = samples.iter().map(|(_, latency)| f64::from(*latency) / 1000.0).fold(0.0, f64::max);
            for (pause, latency) in samples {
                now += MILLISECOND * pause;
                let before = ewma.value(now);
                ewma.observe(now, MILLISECOND * latency);
                let (after, sample) = (ewma.value(now), f64::from(latency) / 1000.0);
                prop_assert!(after >= sample.min(before) - 1e-6 && after <= most + 1e-6);
                prop_assert!(sample < before || (after - sample).abs() < 1e-6);
            }
        }
    }
}
