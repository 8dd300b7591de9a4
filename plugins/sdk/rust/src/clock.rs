//! Time. Permission: `clock`.

use std::time::Duration;

use crate::bindings::cloudcup::filter::clock as host;

/// Since 1970-01-01T00:00:00Z.
#[must_use]
pub fn now() -> Duration {
    Duration::from_nanos(host::now())
}

/// Since some moment before the gateway began; never goes back.
#[must_use]
pub fn monotonic() -> Duration {
    Duration::from_nanos(host::monotonic())
}
