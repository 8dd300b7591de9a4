//! Lines in the gateway's log, which names the plugin and the route in each. Permission: `log`.
//!
//! ```no_run
//! use cloud_cup_plugin::log;
//!
//! let tenant = "acme";
//! log::warn!("unknown tenant `{tenant}`");
//! ```
//!
//! Lines above the plugin's `log_rate` limit are counted and dropped.

pub use crate::bindings::cloudcup::filter::log::{Level, write};
#[doc(inline)]
pub use crate::{
    __log_debug as debug, __log_error as error, __log_info as info, __log_trace as trace, __log_warn as warn,
};

/// Writes a line at this level; takes what `format!` takes.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_trace {
    ($($line:tt)+) => { $crate::log::write($crate::log::Level::Trace, &::std::format!($($line)+)) };
}

/// Writes a line at this level; takes what `format!` takes.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_debug {
    ($($line:tt)+) => { $crate::log::write($crate::log::Level::Debug, &::std::format!($($line)+)) };
}

/// Writes a line at this level; takes what `format!` takes.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_info {
    ($($line:tt)+) => { $crate::log::write($crate::log::Level::Info, &::std::format!($($line)+)) };
}

/// Writes a line at this level; takes what `format!` takes.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_warn {
    ($($line:tt)+) => { $crate::log::write($crate::log::Level::Warn, &::std::format!($($line)+)) };
}

/// Writes a line at this level; takes what `format!` takes.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_error {
    ($($line:tt)+) => { $crate::log::write($crate::log::Level::Error, &::std::format!($($line)+)) };
}
