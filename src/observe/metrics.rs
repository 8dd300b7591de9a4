//! Numbers, in one shard per worker.
//!
//! A worker writes to its own shard without atomic read-modify-write: each number has one writer. Whoever reads adds
//! the shards up and sees each number at some moment of the recent past.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A number with one writer.
#[derive(Debug, Default)]
pub struct Number(AtomicU64);

impl Number {
    /// Adds. Only the shard's own worker may.
    pub fn add(&self, more: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(more), Relaxed);
    }

    /// Takes off. Only the shard's own worker may.
    pub fn subtract(&self, less: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(less), Relaxed);
    }

    /// Sets. Only the shard's own worker may.
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// As of a moment ago.
    pub fn read(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Upper bounds of the duration buckets, in microseconds.
pub const BUCKETS: [u64; 14] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000,
    30_000_000,
];

/// Durations by size.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Number; BUCKETS.len() + 1],
    nanoseconds: Number,
}

impl Histogram {
    fn record(&self, duration: Duration) {
        let micros = duration.as_micros() as u64;
        let bucket = BUCKETS.iter().position(|bound| micros <= *bound).unwrap_or(BUCKETS.len());
        self.buckets[bucket].add(1);
        self.nanoseconds.add(duration.as_nanos() as u64);
    }

    /// Counts per bucket, the last one for everything longer, and the sum in seconds.
    pub fn read(&self) -> ([u64; BUCKETS.len() + 1], f64) {
        (std::array::from_fn(|index| self.buckets[index].read()), self.nanoseconds.read() as f64 / 1e9)
    }
}

/// What a worker knows of a route.
#[derive(Debug, Default)]
pub struct RouteMetrics {
    /// Responses by the first digit of their status, less one.
    pub by_class: [Number; 5],
    /// From the request's head to the end of the response.
    pub duration: Histogram,
}

impl RouteMetrics {
    /// A request was answered.
    pub fn answered(&self, status: u16, duration: Duration) {
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        self.by_class[class].add(1);
        self.duration.record(duration);
    }
}

/// What a worker knows of a plugin.
#[derive(Debug, Default)]
pub struct PluginMetrics {
    /// Calls of a hook.
    pub calls: Number,
    /// Time spent in them.
    pub nanoseconds: Number,
    faults: Mutex<BTreeMap<&'static str, u64>>,
}

impl PluginMetrics {
    /// A hook was called.
    pub fn called(&self, duration: Duration) {
        self.calls.add(1);
        self.nanoseconds.add(duration.as_nanos() as u64);
    }

    /// A call ended in a fault.
    pub fn faulted(&self, code: &'static str) {
        *locked(&self.faults).entry(code).or_default() += 1;
    }

    /// Faults by code.
    pub fn faults(&self) -> BTreeMap<&'static str, u64> {
        locked(&self.faults).clone()
    }
}

/// One worker's numbers.
#[derive(Debug, Default)]
pub struct WorkerMetrics {
    /// Client connections that are open.
    pub connections: Number,
    /// Client connections that were accepted.
    pub accepted: Number,
    /// Tunnels that are open.
    pub tunnels: Number,
    /// Tunnels that were opened.
    pub opened_tunnels: Number,
    /// TLS handshakes with clients.
    pub handshakes: HandshakeMetrics,
    /// Responses that were compressed.
    pub compression: CompressionMetrics,
    /// Copies of requests.
    pub mirrored: MirrorMetrics,
    /// Backend connections that wait for their next request.
    pub idle_backend_connections: Number,
    /// Requests that were answered.
    pub answered: Number,
    /// Those of them with a status of 500 or more.
    pub failed: Number,
    /// Requests that no route matched or that were refused before matching.
    pub unrouted: RouteMetrics,
    /// Attempts at backends beyond the first.
    pub retries: Number,
    routes: Mutex<BTreeMap<String, Arc<RouteMetrics>>>,
    plugins: Mutex<BTreeMap<String, Arc<PluginMetrics>>>,
    reasons: Mutex<BTreeMap<&'static str, u64>>,
}

/// Responses that were compressed.
#[derive(Debug, Default)]
pub struct CompressionMetrics {
    /// How many.
    pub responses: Number,
    /// Those that went as they were because the worker's encoders take as much memory as they may.
    pub passed_over: Number,
    /// Bytes of bodies before.
    pub plain_bytes: Number,
    /// Bytes of the same bodies afterwards.
    pub encoded_bytes: Number,
}

/// Copies of requests to other upstreams.
#[derive(Debug, Default)]
pub struct MirrorMetrics {
    /// Those that are on their way.
    pub under_way: Number,
    /// Those that were answered, whatever the status.
    pub answered: Number,
    /// Those that no answer came to.
    pub failed: Number,
    /// Those that were not sent, or given up, since there was no room for them.
    pub dropped: Number,
}

/// How TLS handshakes ended.
#[derive(Debug, Default)]
pub struct HandshakeMetrics {
    /// In a new session.
    pub full: Number,
    /// In a session that was taken up again.
    pub resumed: Number,
    /// In none.
    pub failed: Number,
}

impl WorkerMetrics {
    /// The numbers of a route, begun at its first mention.
    pub fn route(&self, pattern: &str) -> Arc<RouteMetrics> {
        Arc::clone(locked(&self.routes).entry(pattern.to_owned()).or_default())
    }

    /// The numbers of a plugin, begun at its first mention.
    pub fn plugin(&self, name: &str) -> Arc<PluginMetrics> {
        Arc::clone(locked(&self.plugins).entry(name.to_owned()).or_default())
    }

    /// Forgets the routes and plugins that nobody holds any more, so that reloads do not pile them up.
    pub fn forget_unused(&self) {
        locked(&self.routes).retain(|_, metrics| Arc::strong_count(metrics) > 1);
        locked(&self.plugins).retain(|_, metrics| Arc::strong_count(metrics) > 1);
    }

    /// The gateway answered by itself, for this reason.
    pub fn answered_itself(&self, reason: &'static str) {
        *locked(&self.reasons).entry(reason).or_default() += 1;
    }

    /// All routes.
    pub fn routes(&self) -> BTreeMap<String, Arc<RouteMetrics>> {
        locked(&self.routes).clone()
    }

    /// All plugins.
    pub fn plugins(&self) -> BTreeMap<String, Arc<PluginMetrics>> {
        locked(&self.plugins).clone()
    }

    /// Responses that the gateway made itself, by reason.
    pub fn reasons(&self) -> BTreeMap<&'static str, u64> {
        locked(&self.reasons).clone()
    }
}

/// What a panicking holder leaves behind is still a map of numbers. Only a reader of the metrics ever contends.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
