//! What the gateway says of itself when it is asked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::capability::Capabilities;
use crate::config::Leader;
use crate::observe::exposition::{self, Facts};
use crate::observe::metrics::WorkerMetrics;
use crate::proxy::{Certificate, Snapshot};
use crate::reload::{Counts, Current, Ledger};
use crate::upstream::{Endpoint, Out};

/// Where everything that is told comes from.
pub struct Sources {
    /// What is served.
    pub current: Current,
    /// By which document.
    pub ledger: Arc<Ledger>,
    /// What the workers count.
    pub workers: Vec<Arc<WorkerMetrics>>,
    /// How reloads ended.
    pub counts: Arc<Counts>,
    /// What plugins share.
    pub capabilities: Arc<Capabilities>,
}

/// The gateway at one moment.
#[derive(Debug, Serialize, Deserialize)]
pub struct Status {
    /// Of the gateway's software.
    pub version: String,
    /// Of the running snapshot.
    pub revision: u64,
    /// The document.
    pub document: DocumentStatus,
    /// Threads that serve.
    pub workers: usize,
    /// Client connections that are open.
    pub connections: u64,
    /// Patterns.
    pub routes: usize,
    /// Those that are attached, by name.
    pub plugins: Vec<PluginStatus>,
    /// Circuit breakers that requests have met.
    pub breakers: Vec<BreakerStatus>,
    /// Keys that tokens are verified with.
    pub key_sets: Vec<KeySetStatus>,
    /// By upstream.
    pub upstreams: Vec<UpstreamStatus>,
    /// What listeners show of themselves.
    pub certificates: Vec<CertificateStatus>,
}

/// The document that is served.
#[derive(Debug, Serialize, Deserialize)]
pub struct DocumentStatus {
    /// Its file.
    pub file: String,
    /// SHA-256 of it.
    pub hash: String,
    /// Who leads when the file differs: `file` or `api`.
    pub source: String,
    /// Whether the file differs.
    pub drifted: bool,
    /// Whether it is taken back unless it is confirmed.
    pub on_trial: bool,
}

/// A certificate of a listener.
#[derive(Debug, Serialize, Deserialize)]
pub struct CertificateStatus {
    /// The listener's name.
    pub listener: String,
    /// The hosts that it is for.
    pub names: Vec<String>,
    /// When it expires, in RFC 3339.
    pub expires: String,
}

/// A plugin at one moment, all its uses together.
#[derive(Debug, Serialize, Deserialize)]
pub struct PluginStatus {
    /// Its name in the document.
    pub name: String,
    /// SHA-256 of its component.
    pub digest: String,
    /// How many different uses of it there are.
    pub attachments: usize,
    /// Whether it is passed over, because it failed again and again.
    pub tripped: bool,
    /// How often that came about.
    pub trips: u64,
}

/// A circuit breaker at one moment.
#[derive(Debug, Serialize, Deserialize)]
pub struct BreakerStatus {
    /// The plugin that opened it.
    pub plugin: String,
    /// Its name.
    pub name: String,
    /// What it watches among those of its name: a route, a backend.
    pub key: String,
    /// `closed`, `half-open` or `open`.
    pub state: String,
    /// Whether the operator holds it there.
    pub forced: bool,
}

/// Keys that tokens are verified with, at one moment.
#[derive(Debug, Serialize, Deserialize)]
pub struct KeySetStatus {
    /// Its name in the document.
    pub name: String,
    /// How many there are.
    pub keys: usize,
    /// Seconds since they were fetched; none where they are not fetched, or could not be.
    pub age: Option<u64>,
    /// Times that they could not be had.
    pub fetch_failures: u64,
    /// Why not, the last time, while nothing has come since.
    pub error: Option<String>,
}

/// An upstream at one moment.
#[derive(Debug, Serialize, Deserialize)]
pub struct UpstreamStatus {
    /// Its name; that of a route's own backends is made of the route's pattern.
    pub name: String,
    /// Requests that it has, waiting ones among them.
    pub requests: u32,
    /// Those of them that wait for a connection.
    pub pending: u32,
    /// Connections to its backends, unused ones among them.
    pub connections: u32,
    /// Requests that are being asked again.
    pub retries: u32,
    /// In the document's order.
    pub backends: Vec<BackendStatus>,
}

/// A backend at one moment.
#[derive(Debug, Serialize, Deserialize)]
pub struct BackendStatus {
    /// As the document has it.
    pub host: String,
    /// Whether it answers as it should.
    pub healthy: bool,
    /// Whether the operator has taken it out.
    pub drained: bool,
    /// Requests that it has.
    pub requests: u32,
    /// How often it was taken out.
    pub ejections: u64,
    /// Why, the last time.
    pub cause: Option<String>,
}

impl Sources {
    fn document(&self) -> DocumentStatus {
        let served = self.ledger.served();
        DocumentStatus {
            file: self.ledger.path().display().to_string(),
            hash: served.hash.clone(),
            source: match served.leader {
                Leader::File => "file".to_owned(),
                Leader::Api => "api".to_owned(),
            },
            drifted: self.ledger.has_drifted(),
            on_trial: served.is_on_trial,
        }
    }

    /// Everything but the numbers. Blocks.
    pub fn status(&self) -> Status {
        let snapshot = self.current.load();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revision: snapshot.revision,
            document: self.document(),
            workers: self.workers.len(),
            connections: self.workers.iter().map(|worker| worker.connections.read()).sum(),
            routes: snapshot.routes.len(),
            plugins: plugins(&snapshot),
            breakers: self.breakers(),
            key_sets: self.key_sets(),
            upstreams: upstreams(&snapshot),
            certificates: snapshot.certificates.iter().map(certificate_status).collect(),
        }
    }

    /// All numbers, for Prometheus.
    pub fn metrics(&self) -> String {
        let snapshot = self.current.load();
        let upstreams = upstreams(&snapshot).into_iter().map(|upstream| exposition::Upstream {
            upstream: upstream.name,
            requests: upstream.requests,
            pending: upstream.pending,
            connections: upstream.connections,
            retries: upstream.retries,
            backends: upstream.backends.into_iter().map(backend_facts).collect(),
        });
        let facts = Facts {
            revision: snapshot.revision,
            reloads_applied: self.counts.applied.load(Relaxed),
            reloads_rejected: self.counts.rejected.load(Relaxed),
            access_log_dropped: snapshot.access_log.as_ref().map_or(0, |sink| sink.dropped()),
            upstreams: upstreams.collect(),
            certificates: snapshot.certificates.iter().map(certificate_facts).collect(),
            plugins: plugins(&snapshot).into_iter().map(plugin_facts).collect(),
            ..self.capability_facts()
        };
        let mut page = exposition::write(&self.workers, &facts);
        self.capabilities.write_metrics(&mut page);
        page
    }
}

fn plugins(snapshot: &Snapshot) -> Vec<PluginStatus> {
    let mut plugins: BTreeMap<(&str, String), PluginStatus> = BTreeMap::new();
    for attachment in &snapshot.attachments {
        let (name, digest) = (attachment.plugin.name.as_str(), attachment.plugin.digest.to_string());
        let (trips, tripped) = attachment.trips();
        let entry = plugins.entry((name, digest.clone()));
        let name = name.to_owned();
        let plugin = entry.or_insert(PluginStatus { name, digest, attachments: 0, tripped: false, trips: 0 });
        plugin.attachments += 1;
        plugin.tripped |= tripped;
        plugin.trips += trips;
    }
    plugins.into_values().collect()
}

fn certificate_status(certificate: &Certificate) -> CertificateStatus {
    let seconds = Duration::from_secs(certificate.not_after.max(0).unsigned_abs());
    CertificateStatus {
        listener: certificate.listener.to_string(),
        names: certificate.names.0.clone(),
        expires: humantime::format_rfc3339_seconds(UNIX_EPOCH + seconds).to_string(),
    }
}

fn certificate_facts(certificate: &Certificate) -> exposition::Certificate {
    exposition::Certificate {
        listener: certificate.listener.to_string(),
        name: certificate.names.0.first().cloned().unwrap_or_default(),
        not_after: certificate.not_after,
    }
}

fn plugin_facts(plugin: PluginStatus) -> exposition::Plugin {
    exposition::Plugin { name: plugin.name, is_tripped: plugin.tripped, trips: plugin.trips }
}

fn backend_facts(backend: BackendStatus) -> exposition::Backend {
    let BackendStatus { host, healthy, requests, ejections, .. } = backend;
    exposition::Backend { backend: host, is_healthy: healthy, requests, ejections }
}

fn upstreams(snapshot: &Snapshot) -> Vec<UpstreamStatus> {
    let upstream = |cluster: &Arc<crate::upstream::Cluster>| {
        let [requests, pending, connections, retries] = cluster.load().now();
        UpstreamStatus {
            name: cluster.name().to_owned(),
            requests,
            pending,
            connections,
            retries,
            backends: cluster.members().iter().map(|member| backend(&member.endpoint)).collect(),
        }
    };
    snapshot.clusters.iter().map(upstream).collect()
}

fn backend(endpoint: &Endpoint) -> BackendStatus {
    BackendStatus {
        host: endpoint.host.clone(),
        healthy: endpoint.is_healthy(),
        drained: endpoint.is_out(Out::Drained),
        requests: endpoint.active(),
        ejections: endpoint.ejections(),
        cause: endpoint.cause().map(|cause| cause.to_string()),
    }
}
