//! What the gateway says of itself when it is asked.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use serde::{Deserialize, Serialize};

use crate::observe::exposition::{self, Facts};
use crate::observe::metrics::WorkerMetrics;
use crate::proxy::Snapshot;
use crate::reload::{Counts, Current};

/// Where everything that is told comes from.
pub struct Sources {
    /// What is served.
    pub current: Current,
    /// What the workers count.
    pub workers: Vec<Arc<WorkerMetrics>>,
    /// How reloads ended.
    pub counts: Arc<Counts>,
}

/// The gateway at one moment.
#[derive(Debug, Serialize, Deserialize)]
pub struct Status {
    /// Of the gateway's software.
    pub version: String,
    /// Of the running snapshot.
    pub revision: u64,
    /// Threads that serve.
    pub workers: usize,
    /// Client connections that are open.
    pub connections: u64,
    /// Patterns.
    pub routes: usize,
    /// Attachments of plugins.
    pub plugins: usize,
    /// By upstream.
    pub upstreams: Vec<UpstreamStatus>,
}

/// An upstream at one moment.
#[derive(Debug, Serialize, Deserialize)]
pub struct UpstreamStatus {
    /// Its name; that of a route's own backends is made of the route's pattern.
    pub name: String,
    /// In the document's order.
    pub backends: Vec<BackendStatus>,
}

/// A backend at one moment.
#[derive(Debug, Serialize, Deserialize)]
pub struct BackendStatus {
    /// As the document has it.
    pub host: String,
    /// Whether it takes its turns.
    pub healthy: bool,
    /// How often it was taken out.
    pub ejections: u64,
}

impl Sources {
    /// Everything but the numbers.
    pub fn status(&self) -> Status {
        let snapshot = self.current.load();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revision: snapshot.revision,
            workers: self.workers.len(),
            connections: self.workers.iter().map(|worker| worker.connections.read()).sum(),
            routes: snapshot.routes.len(),
            plugins: snapshot.attachments.len(),
            upstreams: upstreams(&snapshot),
        }
    }

    /// All numbers, for Prometheus.
    pub fn metrics(&self) -> String {
        let snapshot = self.current.load();
        let backends = upstreams(&snapshot).into_iter().flat_map(|upstream| {
            upstream.backends.into_iter().map(move |backend| exposition::Backend {
                upstream: upstream.name.clone(),
                backend: backend.host,
                is_healthy: backend.healthy,
                ejections: backend.ejections,
            })
        });
        let facts = Facts {
            revision: snapshot.revision,
            reloads_applied: self.counts.applied.load(Relaxed),
            reloads_rejected: self.counts.rejected.load(Relaxed),
            access_log_dropped: snapshot.access_log.as_ref().map_or(0, |sink| sink.dropped()),
            backends: backends.collect(),
        };
        exposition::write(&self.workers, &facts)
    }
}

fn upstreams(snapshot: &Snapshot) -> Vec<UpstreamStatus> {
    let upstream = |cluster: &Arc<crate::upstream::Cluster>| UpstreamStatus {
        name: cluster.name().to_owned(),
        backends: cluster
            .members()
            .iter()
            .map(|member| BackendStatus {
                host: member.endpoint.host.clone(),
                healthy: member.endpoint.is_healthy(),
                ejections: member.endpoint.ejections(),
            })
            .collect(),
    };
    snapshot.clusters.iter().map(upstream).collect()
}
