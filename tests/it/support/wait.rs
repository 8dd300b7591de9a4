//! Waiting with a bound.

use std::panic::Location;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// How long anything may take that is expected to happen. Long, since it only costs time when a test fails.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// Waits until the condition holds.
#[track_caller]
pub fn eventually<F: Future<Output = bool>>(mut condition: impl FnMut() -> F) -> impl Future<Output = ()> {
    found(move || {
        let looked = condition();
        async move { looked.await.then_some(()) }
    })
}

/// Waits until there is something, and returns it.
#[track_caller]
pub fn found<T, F: Future<Output = Option<T>>>(mut look: impl FnMut() -> F) -> impl Future<Output = T> {
    let caller = Location::caller();
    async move {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(value) = look().await {
                return value;
            }
            assert!(Instant::now() < deadline, "what {caller} waits for did not happen");
            sleep(LOOK).await;
        }
    }
}

/// Waits for a future, which must end within [`PATIENCE`].
#[track_caller]
pub fn within<T>(future: impl Future<Output = T>) -> impl Future<Output = T> {
    let caller = Location::caller();
    async move {
        timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("what {caller} waits for did not happen"))
    }
}
