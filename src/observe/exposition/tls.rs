//! What is told of TLS.

use super::{Facts, Page, WorkerMetrics};

/// A certificate that is shown to clients.
#[derive(Debug)]
#[allow(missing_docs, reason = "each is a label or the value of its metric")]
pub struct Certificate {
    pub listener: String,
    pub name: String,
    pub not_after: i64,
}

pub(super) fn write(page: &mut Page, workers: &[&WorkerMetrics], facts: &Facts) {
    let sum = |number: fn(&WorkerMetrics) -> u64| workers.iter().map(|worker| number(worker)).sum::<u64>();
    let name = "cloudcup_tls_handshakes_total";
    page.head(name, "counter", "TLS handshakes with clients, by how they ended.");
    for (outcome, count) in [
        ("full", sum(|worker| worker.handshakes.full.read())),
        ("resumed", sum(|worker| worker.handshakes.resumed.read())),
        ("failed", sum(|worker| worker.handshakes.failed.read())),
    ] {
        page.line(name, &[("outcome", outcome)], count);
    }
    if facts.certificates.is_empty() {
        return;
    }
    let name = "cloudcup_certificate_not_after_timestamp_seconds";
    page.head(name, "gauge", "When a listener's certificate expires, in seconds since the epoch.");
    for certificate in &facts.certificates {
        let labels = [("listener", certificate.listener.as_str()), ("name", &certificate.name)];
        page.line(name, &labels, certificate.not_after);
    }
}
