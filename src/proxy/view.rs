//! One worker's view of a snapshot: the snapshot and what this worker has for it.

use std::sync::Arc;

use super::Snapshot;
use crate::observe::access_log::AccessLog;
use crate::observe::metrics::{RouteMetrics, WorkerMetrics};
use crate::plugin::Instances;

/// Held by every request that it serves, and gone when the last of them is.
pub struct View {
    /// What all workers share.
    pub snapshot: Arc<Snapshot>,
    /// This worker's plugin instances.
    pub(super) instances: Instances,
    /// This worker's numbers, per route.
    pub(super) routes: Vec<Arc<RouteMetrics>>,
    /// This worker's end of the access log.
    pub access_log: Option<AccessLog>,
}

impl View {
    /// Prepares a worker for a snapshot. Instances that `previous` has warm move over.
    pub fn new(snapshot: Arc<Snapshot>, previous: Option<&Self>, metrics: &WorkerMetrics) -> Self {
        let none = Instances::default();
        let warm = previous.map_or(&none, |previous| &previous.instances);
        Self {
            instances: Instances::new(&snapshot.attachments, warm, |name| metrics.plugin(name)),
            routes: snapshot.routes.iter().map(|route| metrics.route(&route.pattern)).collect(),
            access_log: snapshot.access_log.clone().map(AccessLog::new),
            snapshot,
        }
    }
}
