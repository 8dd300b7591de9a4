//! A change that is taken back unless it is confirmed, or as soon as it does harm.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::observe::metrics::WorkerMetrics;

/// Fewer answers than these say nothing.
const FEWEST: u64 = 20;
/// By how much the share of failed requests may grow.
const TOLERATED: f64 = 0.05;

/// A document on trial, and the one to go back to.
#[derive(Debug)]
pub(super) struct Trial {
    /// The document before.
    pub previous: Arc<str>,
    /// When it ends by itself.
    pub deadline: Instant,
    allowed: Duration,
    /// The share of requests that failed before it.
    usual: f64,
    begun: Answers,
}

/// How many requests were answered, and how many of them with a status of 500 or more.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Answers {
    all: u64,
    failed: u64,
}

impl Answers {
    /// Those of all workers until now.
    pub fn of<'a>(workers: impl Iterator<Item = &'a Arc<WorkerMetrics>>) -> Self {
        workers.fold(Self::default(), |sum, worker| Self {
            all: sum.all + worker.answered.read(),
            failed: sum.failed + worker.failed.read(),
        })
    }

    fn since(self, earlier: Self) -> Self {
        Self { all: self.all - earlier.all, failed: self.failed - earlier.failed }
    }

    /// The share that failed; none of too few.
    fn share(self) -> Option<f64> {
        (self.all >= FEWEST).then(|| self.failed as f64 / self.all as f64)
    }
}

impl Trial {
    /// Begins, at the `now` of the workers; the document before was served since `then`.
    pub fn new(previous: Arc<str>, allowed: Duration, then: Answers, now: Answers) -> Self {
        let usual = now.since(then).share().unwrap_or_default();
        Self { previous, deadline: Instant::now() + allowed, allowed, usual, begun: now }
    }

    /// Why it must not go on, if so.
    pub fn ended(&self, now: Answers) -> Option<String> {
        if Instant::now() >= self.deadline {
            return Some(format!("it was not confirmed within {}", humantime::format_duration(self.allowed)));
        }
        let share = now.since(self.begun).share().filter(|share| *share > self.usual + TOLERATED)?;
        let (share, usual) = (share * 100.0, self.usual * 100.0);
        Some(format!("{share:.0} % of requests failed, where {usual:.0} % did before"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(all: u64, failed: u64) -> Answers {
        Answers { all, failed }
    }

    fn trial(usual: Answers) -> Trial {
        Trial::new("".into(), Duration::from_secs(60), Answers::default(), usual)
    }

    #[test]
    fn few_answers_say_nothing() {
        assert_eq!(trial(answers(100, 0)).ended(answers(119, 19)), None);
    }

    #[test]
    fn it_ends_when_more_requests_fail_than_before() {
        let trial = trial(answers(100, 10));
        assert_eq!(trial.ended(answers(200, 25)), None, "15 % is what is tolerated");
        let reason = trial.ended(answers(200, 30));
        assert_eq!(reason.as_deref(), Some("20 % of requests failed, where 10 % did before"));
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_when_nobody_confirms_it() {
        let trial = trial(answers(0, 0));
        tokio::time::advance(Duration::from_secs(59)).await;
        assert_eq!(trial.ended(answers(0, 0)), None);
        tokio::time::advance(Duration::from_secs(1)).await;
        let reason = trial.ended(answers(0, 0));
        assert_eq!(reason.as_deref(), Some("it was not confirmed within 1m"));
    }
}
