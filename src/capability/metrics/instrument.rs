//! What a plugin adds to and sets during requests: atomics only.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only rises.
    Counter,
    /// It rises and falls.
    Gauge,
    /// It counts values by their size.
    Histogram,
}

impl Kind {
    /// As a `# TYPE` line has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A number that only rises.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it. Past the largest number it begins at 0 again, which is read as a restart.
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Relaxed);
    }

    /// The sum so far.
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that rises and falls. What is not a number and what is infinite is kept as it is, since Prometheus has a
/// way of writing it; setting the gauge mends it.
#[derive(Debug, Default)]
pub struct Gauge(Float);

impl Gauge {
    /// Sets it.
    pub fn set(&self, value: f64) {
        self.0.0.store(value.to_bits(), Relaxed);
    }

    /// Adds to it; a negative amount takes away.
    pub fn add(&self, amount: f64) {
        self.0.add(amount);
    }

    /// The number at this moment.
    pub fn value(&self) -> f64 {
        self.0.load()
    }
}

/// Values counted by their size.
#[derive(Debug)]
pub struct Histogram {
    bounds: Box<[f64]>,
    /// One for each bound, and the last for what is above. Not cumulative.
    buckets: Box<[AtomicU64]>,
    sum: Float,
}

impl Histogram {
    /// Without any values. The bounds are rising.
    pub(super) fn new(bounds: &[f64]) -> Self {
        let buckets = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds: bounds.into(), buckets, sum: Float::default() }
    }

    /// Counts a value. One that is not a number, or infinite, is not counted: the sum would never be a number again.
    pub fn observe(&self, value: f64) {
        if !value.is_finite() {
            return;
        }
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.sum.add(value);
    }

    /// The upper bounds of its buckets but the last.
    pub fn bounds(&self) -> &[f64] {
        &self.bounds
    }

    /// How many values each bucket has, not cumulated; the last has what is above all bounds.
    pub fn counts(&self) -> impl Iterator<Item = u64> {
        self.buckets.iter().map(|bucket| bucket.load(Relaxed))
    }

    /// The sum of all values. While values are added it may lack some that are counted.
    pub fn sum(&self) -> f64 {
        self.sum.load()
    }
}

/// A floating-point number that threads share, as its bits. 0 when new.
#[derive(Debug, Default)]
struct Float(AtomicU64);

impl Float {
    fn add(&self, amount: f64) {
        let mut seen = self.0.load(Relaxed);
        loop {
            let sum = (f64::from_bits(seen) + amount).to_bits();
            match self.0.compare_exchange_weak(seen, sum, Relaxed, Relaxed) {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
    }

    fn load(&self) -> f64 {
        f64::from_bits(self.0.load(Relaxed))
    }
}

/// What the registry keeps of a series: not enough to keep it alive.
#[derive(Debug)]
pub(super) enum Series {
    Counter(Weak<Counter>),
    Gauge(Weak<Gauge>),
    Histogram(Weak<Histogram>),
}

impl Series {
    /// Whether anybody still has it.
    pub fn is_held(&self) -> bool {
        let holders = match self {
            Self::Counter(counter) => counter.strong_count(),
            Self::Gauge(gauge) => gauge.strong_count(),
            Self::Histogram(histogram) => histogram.strong_count(),
        };
        holders > 0
    }
}

/// A kind of metric as the registry handles it.
pub(super) trait Instrument: Sized {
    const KIND: Kind;
    /// The instrument behind a series of this kind, if it is still held.
    fn known(series: &Series) -> Option<Arc<Self>>;
    /// What the registry keeps of it.
    fn kept(opened: &Arc<Self>) -> Series;
}

macro_rules! instrument {
    ($kind:ident) => {
        impl Instrument for $kind {
            const KIND: Kind = Kind::$kind;

            fn known(series: &Series) -> Option<Arc<Self>> {
                match series {
                    Series::$kind(known) => known.upgrade(),
                    _ => None,
                }
            }

            fn kept(opened: &Arc<Self>) -> Series {
                Series::$kind(Arc::downgrade(opened))
            }
        }
    };
}

instrument!(Counter);
instrument!(Gauge);
instrument!(Histogram);
