//! How much the members of a cluster have to do together, and how much they may.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::base::sync::{AtomicU32, Ordering::SeqCst};

/// What one cluster takes at one time, from all workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections.
    pub connections: u32,
    /// Requests that wait for one.
    pub pending: u32,
    /// Requests.
    pub requests: u32,
    /// Retries that are allowed in any case.
    pub retries: u32,
    /// Further retries, in per cent of the requests.
    pub retry_budget: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 1024, pending: 1024, requests: 1024, retries: 3, retry_budget: 20 }
    }
}

/// What there is of each at this moment.
#[derive(Debug, Default)]
pub struct Load {
    requests: Gauge,
    pending: Gauge,
    connections: Gauge,
    retries: Gauge,
    /// Tells those who wait that a connection has become free, or room for one.
    freed: Notify,
}

/// How many of something there may be.
#[derive(Debug)]
pub struct Quota {
    most: u32,
    gauge: Arc<Gauge>,
}

/// One of them.
#[derive(Debug)]
pub struct Share(Arc<Gauge>);

impl Quota {
    /// Those that `previous` counts are there already.
    pub fn new(most: u32, previous: Option<&Self>) -> Self {
        Self { most, gauge: previous.map(|previous| Arc::clone(&previous.gauge)).unwrap_or_default() }
    }

    /// One more.
    pub fn take(&self) -> Option<Share> {
        self.gauge.add(self.most).then(|| Share(Arc::clone(&self.gauge)))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.0.remove();
    }
}

/// In one order for all: whoever begins to wait is counted before he looks for room, and whoever makes room looks for
/// those who wait after that, so that one of the two sees the other.
#[derive(Debug, Default)]
struct Gauge(AtomicU32);

impl Gauge {
    fn now(&self) -> u32 {
        self.0.load(SeqCst)
    }

    /// One more, unless there are `most`.
    fn add(&self, most: u32) -> bool {
        // Adding first and taking it back would refuse others meanwhile.
        let next = |now: u32| if now < most { now.checked_add(1) } else { None };
        self.0.fetch_update(SeqCst, SeqCst, next).is_ok()
    }

    fn remove(&self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// Something that a limit counts, for as long as this lives.
#[derive(Debug)]
pub struct Permit {
    load: Arc<Load>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Request,
    Pending,
    Connection,
    Retry,
}

impl Load {
    /// For one more request.
    pub fn request(self: &Arc<Self>, limits: &Limits) -> Option<Permit> {
        self.requests.add(limits.requests).then(|| self.permit(Kind::Request))
    }

    /// For one more request that waits for a connection.
    pub fn pending(self: &Arc<Self>, limits: &Limits) -> Option<Permit> {
        self.pending.add(limits.pending).then(|| self.permit(Kind::Pending))
    }

    /// For one more connection. `has_none` is a worker's that would have to wait for others'.
    pub fn connection(self: &Arc<Self>, limits: &Limits, has_none: bool) -> Option<Permit> {
        let most = if has_none { u32::MAX } else { limits.connections };
        self.connections.add(most).then(|| self.permit(Kind::Connection))
    }

    /// For one more retry.
    pub fn retry(self: &Arc<Self>, limits: &Limits) -> Option<Permit> {
        let requests = u64::from(self.requests.now());
        let budget = requests * u64::from(limits.retry_budget) / 100;
        let most = limits.retries.max(u32::try_from(budget).unwrap_or(u32::MAX));
        self.retries.add(most).then(|| self.permit(Kind::Retry))
    }

    /// Requests, waiting ones, connections and retries.
    pub fn now(&self) -> [u32; 4] {
        [&self.requests, &self.pending, &self.connections, &self.retries].map(Gauge::now)
    }

    /// Waits until somebody may have better luck with a connection.
    pub fn freed(&self) -> impl Future<Output = ()> {
        self.freed.notified()
    }

    /// A connection has become free.
    pub fn free(&self) {
        // Nobody waits, as a rule.
        if self.pending.now() > 0 {
            self.freed.notify_waiters();
        }
    }

    fn permit(self: &Arc<Self>, kind: Kind) -> Permit {
        Permit { load: Arc::clone(self), kind }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        match self.kind {
            // What it was sent on has gone home before.
            Kind::Request => {
                self.load.requests.remove();
                self.load.free();
            }
            Kind::Pending => self.load.pending.remove(),
            Kind::Retry => self.load.retries.remove(),
            Kind::Connection => {
                self.load.connections.remove();
                self.load.free();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_are_given_up_to_the_limit_and_come_back() {
        let limits = Limits { connections: 1, pending: 1, requests: 10, retries: 1, retry_budget: 20 };
        let load = Arc::new(Load::default());
        let connection = load.connection(&limits, false);
        assert!(connection.is_some());
        assert!(load.connection(&limits, false).is_none());
        assert!(load.connection(&limits, true).is_some(), "a worker has one in any case");
        let requests: Vec<_> = (0..10).filter_map(|_| load.request(&limits)).collect();
        assert_eq!((requests.len(), load.request(&limits).is_none()), (10, true));
        let retries: Vec<_> = (0..10).filter_map(|_| load.retry(&limits)).collect();
        assert_eq!(retries.len(), 2, "a fifth of the requests");
        drop(requests);
        drop(retries);
        assert!(
            [load.retry(&limits), load.retry(&limits)].iter().filter(|retry| retry.is_some()).count() == 1
        );
        drop(connection);
        assert_eq!(load.now(), [0, 0, 0, 0]);
    }
}
