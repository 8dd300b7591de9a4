//! One worker's view of a snapshot: the snapshot and what this worker has for it.

use std::sync::Arc;

use super::Snapshot;
use crate::observe::access_log::AccessLog;
use crate::observe::metrics::{RouteMetrics, WorkerMetrics};
use crate::plugin::Instances;

/// What a worker is to serve by. It is made outside of the worker's thread, and whoever made it keeps it until the worker
/// has let go of it: taking up and dropping many routes costs milliseconds, in which the worker would serve nobody.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// What all workers share.
    pub snapshot: Arc<Snapshot>,
    routes: Arc<[Arc<RouteMetrics>]>,
}

/// Held by every request that it serves, and gone when the last of them is.
pub struct View {
    /// What all workers share.
    pub snapshot: Arc<Snapshot>,
    /// This worker's plugin instances.
    pub(super) instances: Instances,
    /// This worker's numbers, per route.
    pub(super) routes: Arc<[Arc<RouteMetrics>]>,
    /// This worker's end of the access log.
    pub access_log: Option<AccessLog>,
}

impl Prepared {
    /// Finds the numbers of a snapshot's routes among those of a worker.
    pub fn new(snapshot: Arc<Snapshot>, metrics: &WorkerMetrics) -> Self {
        let routes = snapshot.routes.iter().map(|route| metrics.route(&route.pattern)).collect();
        Self { snapshot, routes }
    }

    /// Whether somebody else has it too.
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.routes) > 1
    }
}

impl View {
    /// Takes up what was prepared. Instances that `previous` has warm move over.
    pub fn new(prepared: Prepared, previous: Option<&Self>, metrics: &WorkerMetrics) -> Self {
        let Prepared { snapshot, routes } = prepared;
        let none = Instances::default();
        let warm = previous.map_or(&none, |previous| &previous.instances);
        Self {
            instances: Instances::new(&snapshot.attachments, warm, |name| metrics.plugin(name)),
            routes,
            access_log: snapshot.access_log.clone().map(AccessLog::new),
            snapshot,
        }
    }
}
