//! Numbers for the gateway's /metrics, as `cloudcup_plugin_<name>` with the label `plugin` and those given here.
//! Permission: `metrics`.
//!
//! A series is opened in [`Filter::new`](crate::Filter::new) and kept. Label values come from the configuration or a fixed
//! set, never from a request: each combination is a series, and the document bounds their number.
//!
//! ```no_run
//! use cloud_cup_plugin::metrics::{Counter, Histogram};
//!
//! # fn main() -> Result<(), String> {
//! let refused = Counter::open("refused_total", &[("reason", "expired")])?;
//! let cost = Histogram::open("cost", &[], &[1.0, 10.0, 100.0])?;
//! refused.add(1);
//! cost.observe(7.0);
//! # Ok(())
//! # }
//! ```

use crate::bindings::cloudcup::filter::metrics as host;

/// A number that only grows. Its name ends in `_total`.
#[derive(Debug)]
pub struct Counter(host::Counter);

/// A number that goes up and down.
#[derive(Debug)]
pub struct Gauge(host::Gauge);

/// How often values fell into each of some buckets.
#[derive(Debug)]
pub struct Histogram(host::Histogram);

impl Counter {
    /// Opens a series. The name is of lower-case letters, digits and `_`.
    ///
    /// # Errors
    ///
    /// A name that is none, more series than granted, and a call that does not come from `Filter::new`.
    pub fn open(name: &str, labels: &[(&str, &str)]) -> Result<Self, String> {
        host::Counter::open(name, &owned(labels)).map(Self)
    }

    /// Adds to it.
    pub fn add(&self, amount: u64) {
        self.0.add(amount);
    }
}

impl Gauge {
    /// Opens a series, as [`Counter::open`] does.
    ///
    /// # Errors
    ///
    /// Those of [`Counter::open`].
    pub fn open(name: &str, labels: &[(&str, &str)]) -> Result<Self, String> {
        host::Gauge::open(name, &owned(labels)).map(Self)
    }

    /// Makes it this.
    pub fn set(&self, value: f64) {
        self.0.set(value);
    }

    /// Adds to it, or takes away.
    pub fn add(&self, amount: f64) {
        self.0.add(amount);
    }
}

impl Histogram {
    /// Opens a series, as [`Counter::open`] does. `bounds` are the upper bounds of the buckets, rising, at most 32.
    ///
    /// # Errors
    ///
    /// Those of [`Counter::open`], and bounds that do not rise.
    pub fn open(name: &str, labels: &[(&str, &str)], bounds: &[f64]) -> Result<Self, String> {
        host::Histogram::open(name, &owned(labels), bounds).map(Self)
    }

    /// Counts a value.
    pub fn observe(&self, value: f64) {
        self.0.observe(value);
    }
}

fn owned(labels: &[(&str, &str)]) -> Vec<(String, String)> {
    labels.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}
