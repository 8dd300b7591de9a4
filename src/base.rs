//! The floor: what every other part stands on and that knows none of them.

pub mod address;
pub mod background;
pub mod backoff;
pub mod buffers;
pub mod drain;
pub mod files;
pub mod immediate;
pub mod line_budget;
pub mod network;
pub mod percent;
pub mod sync;
pub mod timer;
pub mod transport;
pub mod units;
