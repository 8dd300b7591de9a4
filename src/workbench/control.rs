//! A runtime on a thread of its own, as the gateway's control runtime is: keys are fetched there and plugins' own requests
//! run there, in a time that no case moves.

use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

use super::Trouble;

/// Dropping it ends what runs there.
pub(super) struct Control {
    pub handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Control {
    pub fn start() -> Result<Self, Trouble> {
        let unusable = |error: std::io::Error| Trouble::Unusable(format!("no runtime: {error}"));
        let runtime = Builder::new_current_thread().enable_all().build().map_err(unusable)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let run = move || drop(runtime.block_on(stopped));
        let thread = std::thread::Builder::new().name("control".into()).spawn(run).map_err(unusable)?;
        Ok(Self { handle, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // One that panicked has nothing left to stop.
            let _ = thread.join();
        }
    }
}

/// A runtime as a worker has it. Its time stands still when `is_paused`, until it is moved.
pub(super) fn worker(is_paused: bool) -> Result<Runtime, Trouble> {
    let runtime = Builder::new_current_thread().enable_all().start_paused(is_paused).build();
    runtime.map_err(|error| Trouble::Unusable(format!("no runtime: {error}")))
}
