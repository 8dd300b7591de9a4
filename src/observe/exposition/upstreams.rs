//! Upstreams and their backends: how fit they are, and how much they have to do.

use super::Page;

/// An upstream's load.
#[derive(Debug)]
#[allow(missing_docs, reason = "each is a label or the value of its metric")]
pub struct Upstream {
    pub upstream: String,
    pub requests: u32,
    pub pending: u32,
    pub connections: u32,
    pub retries: u32,
    pub backends: Vec<Backend>,
}

/// A backend's state.
#[derive(Debug)]
#[allow(missing_docs, reason = "each is a label or the value of its metric")]
pub struct Backend {
    pub backend: String,
    pub is_healthy: bool,
    pub requests: u32,
    pub ejections: u64,
}

pub(super) fn write(page: &mut Page, upstreams: &[Upstream]) {
    let mut each_upstream = |name: &str, help: &str, value: fn(&Upstream) -> u32| {
        page.head(name, "gauge", help);
        for upstream in upstreams {
            page.line(name, &[("upstream", &upstream.upstream)], value(upstream));
        }
    };
    each_upstream(
        "cloudcup_upstream_requests_active",
        "Requests that an upstream has, waiting ones and tunnels among them.",
        |upstream| upstream.requests,
    );
    each_upstream(
        "cloudcup_upstream_requests_pending",
        "Requests that wait for a connection to the backends of an upstream.",
        |upstream| upstream.pending,
    );
    each_upstream(
        "cloudcup_upstream_connections",
        "Connections to the backends of an upstream, unused ones among them.",
        |upstream| upstream.connections,
    );
    each_upstream(
        "cloudcup_upstream_retries_active",
        "Requests to an upstream that are being asked again.",
        |upstream| upstream.retries,
    );
    let mut each_backend = |name: &str, kind: &str, help: &str, value: fn(&Backend) -> u64| {
        page.head(name, kind, help);
        for Upstream { upstream, backends, .. } in upstreams {
            for backend in backends {
                let labels = [("upstream", upstream.as_str()), ("backend", backend.backend.as_str())];
                page.line(name, &labels, value(backend));
            }
        }
    };
    each_backend(
        "cloudcup_backend_healthy",
        "gauge",
        "1 while a backend takes its turns, 0 while it is ejected.",
        |backend| u64::from(backend.is_healthy),
    );
    each_backend("cloudcup_backend_requests_active", "gauge", "Requests that a backend has.", |backend| {
        u64::from(backend.requests)
    });
    each_backend(
        "cloudcup_backend_ejections_total",
        "counter",
        "How often a backend was ejected.",
        |backend| backend.ejections,
    );
}
