//! What is told of copies of requests.

use super::{Page, WorkerMetrics};

pub(super) fn write(page: &mut Page, workers: &[&WorkerMetrics]) {
    let sum = |number: fn(&WorkerMetrics) -> u64| workers.iter().map(|worker| number(worker)).sum::<u64>();
    let help = "Copies of requests that are on their way to a mirror.";
    page.single("cloudcup_mirrored_requests", "gauge", help, sum(|worker| worker.mirrored.under_way.read()));
    let name = "cloudcup_mirrored_requests_total";
    page.head(name, "counter", "Copies of requests by what became of them.");
    for (outcome, count) in [
        ("answered", sum(|worker| worker.mirrored.answered.read())),
        ("failed", sum(|worker| worker.mirrored.failed.read())),
        ("dropped", sum(|worker| worker.mirrored.dropped.read())),
    ] {
        page.line(name, &[("outcome", outcome)], count);
    }
}
