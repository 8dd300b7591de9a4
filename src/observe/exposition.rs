//! Metrics as text, in the Prometheus exposition format 0.0.4.

use std::collections::BTreeMap;
use std::fmt::Write;

mod capabilities;
mod compression;
mod mirrors;
mod tls;
mod upstreams;

pub use tls::Certificate;
pub use upstreams::{Backend, Upstream};

use super::metrics::{BUCKETS, RouteMetrics, WorkerMetrics};

/// What is told beside the workers' numbers.
#[derive(Debug, Default)]
#[allow(missing_docs, reason = "each is described by its metric's help text")]
pub struct Facts {
    pub revision: u64,
    pub reloads_applied: u64,
    pub reloads_rejected: u64,
    pub access_log_dropped: u64,
    pub upstreams: Vec<Upstream>,
    pub certificates: Vec<Certificate>,
    pub plugins: Vec<Plugin>,
    pub limits: Vec<Limit>,
    pub breakers: Vec<Breaker>,
    pub key_sets: Vec<KeySet>,
    pub stores: Vec<Store>,
}

/// A plugin's state, all its uses together.
#[derive(Debug)]
#[allow(missing_docs, reason = "each is a label or the value of its metric")]
pub struct Plugin {
    pub name: String,
    pub is_tripped: bool,
    pub trips: u64,
}

/// A limit of a plugin's.
#[derive(Debug)]
#[allow(missing_docs, reason = "each is a label or the value of its metric")]
pub struct Limit {
    pub plugin: String,
    pub limit: String,
    pub keys: usize,
    pub evictions: u64,
}

/// A circuit breaker.
#[derive(Debug)]
#[allow(missing_docs, reason = "each is a label or the value of its metric")]
pub struct Breaker {
    pub plugin: String,
    pub breaker: String,
    pub key: String,
    /// 0 closed, 1 half-open, 2 open.
    pub state: u8,
    /// By the state that was entered.
    pub transitions: [(&'static str, u64); 3],
    pub refused: u64,
}

/// Keys that tokens are verified with.
#[derive(Debug)]
#[allow(missing_docs, reason = "each is a label or the value of its metric")]
pub struct KeySet {
    pub key_set: String,
    pub keys: usize,
    pub age: Option<std::time::Duration>,
    pub fetches: u64,
    pub fetch_failures: u64,
    pub remembered: usize,
}

/// A plugin's key-value store.
#[derive(Debug)]
#[allow(missing_docs, reason = "each is a label or the value of its metric")]
pub struct Store {
    pub plugin: String,
    pub entries: usize,
    pub bytes: usize,
}

/// Adds the shards up and writes everything down.
pub fn write(workers: &[impl AsRef<WorkerMetrics>], facts: &Facts) -> String {
    let mut page = Page(String::with_capacity(16 << 10));
    let workers: Vec<_> = workers.iter().map(AsRef::as_ref).collect();
    write_requests(&mut page, &workers);
    write_plugins(&mut page, &workers);
    upstreams::write(&mut page, &facts.upstreams);
    capabilities::write(&mut page, facts);
    compression::write(&mut page, &workers);
    mirrors::write(&mut page, &workers);
    tls::write(&mut page, &workers, facts);
    let sum = |number: fn(&WorkerMetrics) -> u64| workers.iter().map(|worker| number(worker)).sum::<u64>();
    page.single(
        "cloudcup_connections",
        "gauge",
        "Client connections that are open.",
        sum(|w| w.connections.read()),
    );
    page.single(
        "cloudcup_connections_accepted_total",
        "counter",
        "Client connections that were accepted.",
        sum(|w| w.accepted.read()),
    );
    page.single(
        "cloudcup_tunnels",
        "gauge",
        "WebSockets and other tunnels that are open.",
        sum(|w| w.tunnels.read()),
    );
    page.single(
        "cloudcup_tunnels_opened_total",
        "counter",
        "WebSockets and other tunnels that were opened.",
        sum(|w| w.opened_tunnels.read()),
    );
    page.single(
        "cloudcup_backend_connections_idle",
        "gauge",
        "Backend connections that wait for their next request.",
        sum(|w| w.idle_backend_connections.read()),
    );
    page.single(
        "cloudcup_backend_retries_total",
        "counter",
        "Attempts at backends beyond the first of a request.",
        sum(|w| w.retries.read()),
    );
    page.single(
        "cloudcup_access_log_dropped_lines_total",
        "counter",
        "Access log lines that could not be written.",
        facts.access_log_dropped,
    );
    page.single("cloudcup_snapshot_revision", "gauge", "Revision of the running snapshot.", facts.revision);
    page.head("cloudcup_reloads_total", "counter", "Reloads by outcome.");
    for (outcome, count) in [("applied", facts.reloads_applied), ("rejected", facts.reloads_rejected)] {
        page.line("cloudcup_reloads_total", &[("outcome", outcome)], count);
    }
    page.0
}

fn write_requests(page: &mut Page, workers: &[&WorkerMetrics]) {
    let mut routes: BTreeMap<String, RouteSum> = BTreeMap::new();
    for worker in workers {
        for (route, metrics) in worker.routes() {
            routes.entry(route).or_default().add(&metrics);
        }
        routes.entry(String::new()).or_default().add(&worker.unrouted);
    }
    page.head(
        "cloudcup_requests_total",
        "counter",
        "Requests by route and class of status; no route is empty.",
    );
    for (route, sum) in &routes {
        for (class, count) in ["1xx", "2xx", "3xx", "4xx", "5xx"].iter().zip(sum.by_class) {
            page.line("cloudcup_requests_total", &[("route", route), ("status", class)], count);
        }
    }
    let name = "cloudcup_request_duration_seconds";
    page.head(name, "histogram", "Time from a request's head to the end of its response.");
    for (route, sum) in &routes {
        let mut count = 0;
        for (bucket, more) in sum.buckets.iter().enumerate() {
            count += more;
            let bound =
                BUCKETS.get(bucket).map_or("+Inf".to_owned(), |bound| (*bound as f64 / 1e6).to_string());
            page.line(&format!("{name}_bucket"), &[("route", route), ("le", &bound)], count);
        }
        page.line(&format!("{name}_sum"), &[("route", route)], sum.seconds);
        page.line(&format!("{name}_count"), &[("route", route)], count);
    }
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    for (reason, count) in workers.iter().flat_map(|worker| worker.reasons()) {
        *reasons.entry(reason).or_default() += count;
    }
    let name = "cloudcup_gateway_responses_total";
    page.head(name, "counter", "Responses that the gateway made itself, by reason.");
    for (reason, count) in reasons {
        page.line(name, &[("reason", reason)], count);
    }
}

fn write_plugins(page: &mut Page, workers: &[&WorkerMetrics]) {
    let mut plugins: BTreeMap<String, (u64, u64, BTreeMap<&str, u64>)> = BTreeMap::new();
    for (name, metrics) in workers.iter().flat_map(|worker| worker.plugins()) {
        let (calls, nanoseconds, faults) = plugins.entry(name).or_default();
        *calls += metrics.calls.read();
        *nanoseconds += metrics.nanoseconds.read();
        for (code, count) in metrics.faults() {
            *faults.entry(code).or_default() += count;
        }
    }
    page.head("cloudcup_plugin_calls_total", "counter", "Calls of a plugin's hooks.");
    for (plugin, (calls, ..)) in &plugins {
        page.line("cloudcup_plugin_calls_total", &[("plugin", plugin)], calls);
    }
    page.head("cloudcup_plugin_seconds_total", "counter", "Time spent in a plugin's hooks.");
    for (plugin, (_, nanoseconds, _)) in &plugins {
        page.line("cloudcup_plugin_seconds_total", &[("plugin", plugin)], *nanoseconds as f64 / 1e9);
    }
    page.head("cloudcup_plugin_faults_total", "counter", "Calls that ended in a fault, by its code.");
    for (plugin, (.., faults)) in &plugins {
        for (code, count) in faults {
            page.line("cloudcup_plugin_faults_total", &[("plugin", plugin), ("code", code)], count);
        }
    }
}

#[derive(Default)]
struct RouteSum {
    by_class: [u64; 5],
    buckets: [u64; BUCKETS.len() + 1],
    seconds: f64,
}

impl RouteSum {
    fn add(&mut self, metrics: &RouteMetrics) {
        for (sum, class) in self.by_class.iter_mut().zip(&metrics.by_class) {
            *sum += class.read();
        }
        let (buckets, seconds) = metrics.duration.read();
        for (sum, bucket) in self.buckets.iter_mut().zip(buckets) {
            *sum += bucket;
        }
        self.seconds += seconds;
    }
}

struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string does not fail; so in the two functions below.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
            let _ = write!(self.0, "{}{label}=\"{text}\"", if index == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.head(name, kind, help);
        self.line(name, &[], value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn adds_the_shards_up() {
        let workers = [Arc::new(WorkerMetrics::default()), Arc::new(WorkerMetrics::default())];
        for worker in &workers {
            let route = worker.route(r#"/a"b"#);
            route.answered(204, Duration::from_micros(300));
        }
        let page = write(&workers, &Facts::default());
        assert!(page.contains("cloudcup_requests_total{route=\"/a\\\"b\",status=\"2xx\"} 2\n"), "{page}");
        assert!(page.contains("_bucket{route=\"/a\\\"b\",le=\"0.00025\"} 0\n"), "{page}");
        assert!(page.contains("_bucket{route=\"/a\\\"b\",le=\"0.0005\"} 2\n"), "{page}");
        assert!(page.contains("_count{route=\"/a\\\"b\"} 2\n"), "{page}");
    }
}
