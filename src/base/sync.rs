//! The words that all workers share without a lock. The package `models` puts those of a model checker in their place,
//! and tries every order in which threads could take their steps; so whoever shares words takes them from here.

pub use portable_atomic::AtomicU128;
pub use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
