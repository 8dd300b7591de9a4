//! What an attachment has opened by name: its limits, breakers, verifiers and series.
//!
//! The first instance opens while the document is checked. Those that follow are given the same, so that starting one in
//! the middle of a request takes no lock, and no plugin can open more the longer it runs.

use std::fmt;
use std::sync::Arc;

use crate::capability::circuit::{Breakers, Settings};
use crate::capability::jwt;
use crate::capability::metrics;
use crate::capability::rate_limit::{Limiter, Quota};

/// Things of each kind that one attachment may open.
const MOST: usize = 64;

/// See the module.
#[derive(Default)]
pub(super) struct Opened {
    pub limiters: Vec<((String, Quota), Arc<Limiter>)>,
    pub breakers: Vec<((String, Settings), Arc<Breakers>)>,
    pub verifiers: Vec<(Vec<String>, Arc<jwt::Verifier>)>,
    pub counters: Vec<(Series, Arc<metrics::Counter>)>,
    pub gauges: Vec<(Series, Arc<metrics::Gauge>)>,
    pub histograms: Vec<(Buckets, Arc<metrics::Histogram>)>,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").finish_non_exhaustive()
    }
}

/// A histogram's series and the bits of its bounds.
pub(super) type Buckets = (Series, Vec<u64>);

/// A metric's name and its labels.
pub(super) type Series = (String, Vec<(String, String)>);

/// What was opened with this key.
pub(super) fn find<K: PartialEq, V>(list: &[(K, Arc<V>)], key: &K) -> Option<Arc<V>> {
    list.iter().find(|(known, _)| known == key).map(|(_, value)| Arc::clone(value))
}

/// What was opened with this key, or a new one if there is room.
pub(super) fn find_or_open<K: PartialEq, V>(
    list: &mut Vec<(K, Arc<V>)>,
    key: K,
    open: impl FnOnce(&K) -> Result<Arc<V>, String>,
) -> Result<Arc<V>, String> {
    if let Some(known) = find(list, &key) {
        return Ok(known);
    }
    if list.len() >= MOST {
        return Err(format!("a plugin opens at most {MOST} of a kind"));
    }
    let value = open(&key)?;
    list.push((key, Arc::clone(&value)));
    Ok(value)
}
