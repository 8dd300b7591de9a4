//! What is told of compression.

use super::{Page, WorkerMetrics};

pub(super) fn write(page: &mut Page, workers: &[&WorkerMetrics]) {
    let sum = |number: fn(&WorkerMetrics) -> u64| workers.iter().map(|worker| number(worker)).sum::<u64>();
    let name = "cloudcup_compression_responses_total";
    page.head(name, "counter", "Responses that were to be compressed, by whether there was memory for it.");
    for (outcome, count) in [
        ("compressed", sum(|worker| worker.compression.responses.read())),
        ("no-memory", sum(|worker| worker.compression.passed_over.read())),
    ] {
        page.line(name, &[("outcome", outcome)], count);
    }
    let name = "cloudcup_compression_bytes_total";
    page.head(name, "counter", "Bytes of bodies that were compressed, before and after.");
    for (side, count) in [
        ("before", sum(|worker| worker.compression.plain_bytes.read())),
        ("after", sum(|worker| worker.compression.encoded_bytes.read())),
    ] {
        page.line(name, &[("side", side)], count);
    }
}
