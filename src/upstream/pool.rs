//! One worker's connections to backends, by endpoint.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Weak};

use rustc_hash::FxHashMap;
use tokio::time::Instant;

use super::{Endpoint, EndpointId};
use crate::message::http1::IdleConnections;

/// Unused connections, kept across snapshots.
#[derive(Debug, Default)]
pub struct Pools {
    by_endpoint: RefCell<FxHashMap<EndpointId, Pool>>,
}

#[derive(Debug)]
struct Pool {
    endpoint: Weak<Endpoint>,
    idle: Rc<IdleConnections>,
}

impl Pools {
    /// The unused connections to an endpoint, of which at most `most` are kept.
    pub fn of(&self, endpoint: &Arc<Endpoint>, most: usize) -> Rc<IdleConnections> {
        let mut pools = self.by_endpoint.borrow_mut();
        let pool = pools
            .entry(endpoint.id)
            .or_insert_with(|| Pool { endpoint: Arc::downgrade(endpoint), idle: Rc::default() });
        pool.idle.keep(most);
        Rc::clone(&pool.idle)
    }

    /// Closes connections that are unused since before `oldest`, that their backend has ended, or whose endpoint is
    /// in no snapshot any more.
    pub fn sweep(&self, oldest: Instant) {
        self.by_endpoint.borrow_mut().retain(|_, pool| {
            pool.idle.sweep(oldest);
            pool.endpoint.strong_count() > 0
        });
    }

    /// How many connections are unused.
    pub fn idle(&self) -> usize {
        self.by_endpoint.borrow().values().map(|pool| pool.idle.len()).sum()
    }
}
