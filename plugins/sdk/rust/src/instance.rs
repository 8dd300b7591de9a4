//! The one filter of an instance: made by `configure`, asked by every hook.

use std::cell::OnceCell;

use crate::{Filter, bindings::cloudcup::filter::config as host, config, panic};

/// What `export!` keeps in a `thread_local!`: on WebAssembly without threads, a plain static.
pub struct Instance<F>(OnceCell<F>);

#[expect(
    clippy::new_without_default,
    reason = "the first value of a `thread_local!` is made by a const function"
)]
impl<F: Filter> Instance<F> {
    /// Before `configure`.
    pub const fn new() -> Self {
        Self(OnceCell::new())
    }

    /// Makes the filter of the attachment's configuration.
    ///
    /// # Errors
    ///
    /// A configuration that does not fit its type, and what [`Filter::new`] refuses.
    pub fn configure(&self) -> Result<(), String> {
        panic::report_panics();
        let filter = F::new(config::parse(&host::get())?).map_err(|error| error.to_string())?;
        self.0.set(filter).map_err(|_| "`configure` was called twice".to_owned())
    }

    /// The filter that a hook asks.
    pub fn filter(&self) -> &F {
        self.0.get().expect("the gateway calls `configure` before any hook")
    }
}
