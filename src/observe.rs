//! What the gateway tells of itself: metrics, the access log, the log.

pub mod access_log;
pub mod exposition;
pub mod log;
pub mod metrics;
