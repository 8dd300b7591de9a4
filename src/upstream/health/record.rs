//! How an endpoint has answered lately, as workers note it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use http::StatusCode;

use super::OutlierDetection;

/// Counts that those reset who look at them.
#[derive(Debug, Default)]
pub struct Record {
    requests: AtomicU64,
    successes: AtomicU64,
    server_errors: AtomicU32,
    gateway_failures: AtomicU32,
    /// Ejections that count for how long the next one lasts.
    ejections: AtomicU32,
}

/// What an endpoint did once too often in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Streak {
    ServerErrors(u32),
    GatewayFailures(u32),
}

impl Record {
    /// It answered with this status, or not at all. What it did too often in a row, if so.
    pub(super) fn note(&self, status: Option<StatusCode>, spec: &OutlierDetection) -> Option<Streak> {
        self.requests.fetch_add(1, Relaxed);
        let is_gateway_failure = status.is_none_or(|status| matches!(status.as_u16(), 502..=504));
        if status.is_some_and(|status| !status.is_server_error()) {
            self.successes.fetch_add(1, Relaxed);
            reset(&self.server_errors);
            reset(&self.gateway_failures);
            return None;
        }
        // Each streak is told of once: the next one begins from nothing.
        let is_full = |counter: &AtomicU32, most: u32| {
            let count = counter.fetch_add(1, Relaxed) + 1;
            (most > 0 && count == most).then(|| reset(counter)).is_some()
        };
        if !is_gateway_failure {
            reset(&self.gateway_failures);
        } else if is_full(&self.gateway_failures, spec.consecutive_gateway_failures) {
            reset(&self.server_errors);
            return Some(Streak::GatewayFailures(spec.consecutive_gateway_failures));
        }
        is_full(&self.server_errors, spec.consecutive_5xx)
            .then_some(Streak::ServerErrors(spec.consecutive_5xx))
    }

    /// It was ejected. For which time in a row.
    pub(super) fn ejected(&self) -> u32 {
        self.ejections.fetch_add(1, Relaxed) + 1
    }

    /// An interval went by without an ejection.
    pub(super) fn forgive(&self) {
        // Only the keeper writes to it.
        self.ejections.store(self.ejections.load(Relaxed).saturating_sub(1), Relaxed);
    }

    /// Requests and successes since somebody asked.
    pub(super) fn take(&self) -> (u64, u64) {
        // In this order, so that there are never more successes than requests.
        let successes = self.successes.swap(0, Relaxed);
        (self.requests.swap(0, Relaxed).max(successes), successes)
    }
}

fn reset(counter: &AtomicU32) {
    // A load first: the line stays shared between workers while all is well.
    if counter.load(Relaxed) != 0 {
        counter.store(0, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(record: &Record, statuses: &[u16], spec: &OutlierDetection) -> Vec<Option<Streak>> {
        let status = |status: &u16| StatusCode::from_u16(*status).ok();
        statuses.iter().map(|one| record.note(status(one), spec)).collect()
    }

    #[test]
    fn streaks_are_told_of_once_and_broken_by_what_is_none() {
        let spec = OutlierDetection {
            consecutive_5xx: 4,
            consecutive_gateway_failures: 2,
            ..OutlierDetection::default()
        };
        let record = Record::default();
        // 0 stands for no answer.
        assert_eq!(note(&record, &[500, 0], &spec), [None, None]);
        assert_eq!(note(&record, &[503, 503], &spec), [Some(Streak::GatewayFailures(2)), None]);
        assert_eq!(note(&record, &[200, 500, 500, 500], &spec), [None; 4]);
        assert_eq!(note(&record, &[500, 500], &spec), [Some(Streak::ServerErrors(4)), None]);
        assert_eq!(record.take(), (10, 1));
        assert_eq!(record.take(), (0, 0));
        let never = OutlierDetection { consecutive_5xx: 0, consecutive_gateway_failures: 0, ..spec };
        assert_eq!(note(&record, &[0; 50], &never), [None; 50]);
    }
}
