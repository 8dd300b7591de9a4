//! The floor, as far as the sources here stand on it.

#[path = "../../src/base/address.rs"]
#[allow(dead_code, reason = "a model needs a part of it")]
pub mod address;
#[path = "sync.rs"]
pub mod sync;
