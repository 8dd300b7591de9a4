//! The window against a list of everything that ever happened.

use proptest::prelude::*;
use tokio::time::advance;

use super::super::*;
use super::{SECOND, SETTINGS, breaker};

/// A request, and how many milliseconds after the one before.
#[derive(Debug, Clone, Copy)]
struct Request {
    after: u64,
    failed: bool,
    slow: bool,
}

/// The bucket of each request since the breaker closed, and how it went.
#[derive(Default)]
struct Model(Vec<(u64, bool, bool)>);

impl Model {
    fn report(&mut self, now: u64, failed: bool, slow: bool, settings: Settings) -> State {
        let bucket = now / (settings.window.as_millis() as u64 / 10);
        self.0.push((bucket, failed, slow));
        let recent: Vec<_> = self.0.iter().filter(|(other, ..)| other + 10 > bucket).collect();
        let share = |bad: fn(&(u64, bool, bool)) -> bool| {
            recent.iter().filter(|request| bad(request)).count() as f64 / recent.len() as f64 * 100.0
        };
        let reaches =
            |share: f64, percent: Option<u8>| percent.is_some_and(|it| share >= f64::from(it) - 1e-9);
        let enough = recent.len() >= settings.minimum_requests as usize;
        if enough
            && (reaches(share(|r| r.1), settings.failure_percent)
                || reaches(share(|r| r.2), settings.slow_percent))
        {
            return State::Open;
        }
        State::Closed
    }
}

fn requests() -> impl Strategy<Value = Vec<Request>> {
    let after = prop_oneof![4 => 0u64..50, 2 => 50u64..500, 1 => 500u64..3000];
    let request = (after, prop::bool::weighted(0.25), prop::bool::weighted(0.25));
    prop::collection::vec(request.prop_map(|(after, failed, slow)| Request { after, failed, slow }), 1..150)
}

async fn compare(settings: Settings, requests: &[Request]) -> Result<(), TestCaseError> {
    let breaker = breaker(settings);
    // A new breaker's clock stands at 1.
    let (mut model, mut now) = (Model::default(), 1);
    for &Request { after, failed, slow } in requests {
        advance(Duration::from_millis(after)).await;
        now += after;
        breaker.admit().unwrap().report(failed, if slow { SECOND } else { Duration::ZERO });
        let expected = model.report(now, failed, slow, settings);
        prop_assert_eq!(breaker.state(), expected);
        if expected == State::Open {
            // Closed by an operator, it has forgotten everything; its buckets begin at this moment.
            breaker.force(Some(Forced::Closed));
            advance(Duration::from_millis(100)).await;
            breaker.force(None);
            (model, now) = (Model::default(), 0);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn opens_exactly_when_the_model_does(
        requests in requests(),
        failure_percent in 20u8..90,
        slow_percent in 20u8..90,
        minimum_requests in 1u32..20,
        window in 1u64..300,
    ) {
        let settings = Settings {
            consecutive_failures: None,
            failure_percent: Some(failure_percent),
            slow_percent: Some(slow_percent),
            minimum_requests,
            window: Duration::from_millis(window * 10),
            ..SETTINGS
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(compare(settings, &requests))?;
    }
}
