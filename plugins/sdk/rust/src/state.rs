//! Values that outlive a request, shared by all instances of a plugin on this node, and by no other plugin. Permission:
//! `state`.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use cloud_cup_plugin::state;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let logins = state::add("logins:alice", 1, Some(Duration::from_secs(3600)))?;
//! state::set("last:alice", b"192.0.2.1", None)?;
//! # Ok(())
//! # }
//! ```
//!
//! The document bounds their number and size. They are gone when the gateway stops.

use std::{fmt, time::Duration};

use crate::{bindings::cloudcup::filter::state as host, nanoseconds};

/// Why a value was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateError {
    /// The plugin has as many entries or bytes as it may have.
    Full,
    /// The key is longer than 512 bytes, or the value larger than 64 KiB.
    TooLarge,
    /// There is a value, and it is not a number that [`add`] made, or the sum does not fit.
    NotANumber,
}

/// The value of a key.
#[must_use]
pub fn get(key: &str) -> Option<Vec<u8>> {
    host::get(key)
}

/// Sets a value, for `ttl` if given.
///
/// # Errors
///
/// [`StateError::Full`] and [`StateError::TooLarge`]; what was there is still there.
pub fn set(key: &str, value: &[u8], ttl: Option<Duration>) -> Result<(), StateError> {
    Ok(host::set(key, value, ttl.map(nanoseconds))?)
}

/// Removes a value, and says whether there was one.
pub fn delete(key: &str) -> bool {
    host::delete(key)
}

/// Adds to a number, which is 0 where there is none, and returns the sum. The value is the number in decimal digits.
/// `ttl` counts when the number is new; one that is there keeps its own.
///
/// # Errors
///
/// See [`StateError`]; what was there is still there.
pub fn add(key: &str, delta: i64, ttl: Option<Duration>) -> Result<i64, StateError> {
    Ok(host::add(key, delta, ttl.map(nanoseconds))?)
}

/// Puts `value` (none: nothing) in the place of `expected` (none: nothing was there), unless something else is there,
/// and says whether it did.
///
/// # Errors
///
/// [`StateError::Full`] and [`StateError::TooLarge`]; what was there is still there.
pub fn compare_and_swap(
    key: &str,
    expected: Option<&[u8]>,
    value: Option<&[u8]>,
    ttl: Option<Duration>,
) -> Result<bool, StateError> {
    Ok(host::compare_and_swap(key, expected, value, ttl.map(nanoseconds))?)
}

impl From<host::StateError> for StateError {
    fn from(error: host::StateError) -> Self {
        match error {
            host::StateError::Full => Self::Full,
            host::StateError::TooLarge => Self::TooLarge,
            host::StateError::NotANumber => Self::NotANumber,
        }
    }
}

impl fmt::Display for StateError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Full => "the plugin's state is full",
            Self::TooLarge => "the key is longer than 512 bytes, or the value larger than 64 KiB",
            Self::NotANumber => "the value is not a number, or the sum does not fit",
        })
    }
}

impl std::error::Error for StateError {}
