//! Work that has time, while requests have none.

use std::io;

use tokio::sync::oneshot;

/// By how much others go before it. A worker that has something to do gets the processor at once, and shares it three to
/// one where there is only one.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 5;

/// Why work has no result.
#[derive(Debug, thiserror::Error)]
pub enum BackgroundError {
    /// There is no thread for it.
    #[error("no thread can be started: {0}")]
    Thread(#[from] io::Error),
    /// It panicked.
    #[error("a part of it panicked; the log says where")]
    Panicked,
}

/// Does work that may block or compute for long on a thread of its own, which gives way to all that serves requests. So do
/// the threads that it starts, such as those that compile.
pub async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, BackgroundError> {
    let (done, told) = oneshot::channel();
    let thread = std::thread::Builder::new().name("change".to_owned());
    thread.spawn(move || {
        give_way();
        // Whoever asked may have gone.
        let _ = done.send(work());
    })?;
    told.await.map_err(|_| BackgroundError::Panicked)
}

/// On Linux niceness is a thread's own; elsewhere it is the whole process's, and stays.
fn give_way() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!(%error, "the thread of a change does not give way to workers");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_has_a_result_or_says_that_it_panicked() {
        assert_eq!(in_background(|| 1).await.unwrap(), 1);
        let panicked = in_background(|| {
            if true {
                panic!("planted")
            }
        })
        .await;
        assert!(matches!(panicked, Err(BackgroundError::Panicked)), "{panicked:?}");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn only_its_own_thread_gives_way() {
        let niceness = || rustix::process::getpriority_process(None).unwrap();
        let before = niceness();
        let inside = in_background(niceness).await.unwrap();
        assert_eq!((inside, niceness()), ((before + NICENESS).min(19), before));
    }
}
