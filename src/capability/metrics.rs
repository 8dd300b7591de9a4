//! Numbers that plugins keep for the gateway's `/metrics`.
//!
//! A plugin opens its series while it is configured, which may wait for a lock; what it then holds is added to and set
//! during requests without any. A series lives as long as somebody holds it: the instance of before a reload and that of
//! after it find the same one, and what nobody opens any more vanishes from the page.
//!
//! A name means the same kind of metric for all plugins, since the page has one `# TYPE` line for it: whoever opens it
//! first decides, and others are refused until nobody holds it. Histograms of one name have the same bounds within a
//! plugin, while another plugin may have others.

mod check;
mod instrument;
mod page;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use self::check::{LONGEST_VALUE, MOST_BOUNDS, MOST_LABELS, MetricError};
pub use self::instrument::{Counter, Gauge, Histogram, Kind};
use self::instrument::{Instrument, Series};

/// All series of all plugins. Clones are the same registry.
#[derive(Debug, Clone, Default)]
pub struct Registry(Arc<Mutex<Families>>);

/// By name.
type Families = BTreeMap<String, Family>;

/// A plugin and its labels, rising by name.
type Key = (String, Vec<(String, String)>);

/// All series of one name, which are of one kind. Some may be gone.
#[derive(Debug)]
struct Family {
    kind: Kind,
    series: BTreeMap<Key, Series>,
}

/// Where one plugin opens its series.
#[derive(Debug, Clone)]
pub struct PluginSeries {
    registry: Registry,
    plugin: String,
    most_series: usize,
}

impl Registry {
    /// Without any series.
    pub fn new() -> Self {
        Self::default()
    }

    /// Where a plugin opens its series, of which it may have so many at a time.
    pub fn plugin(&self, plugin: &str, most_series: usize) -> PluginSeries {
        PluginSeries { registry: self.clone(), plugin: plugin.into(), most_series }
    }

    /// Adds all series that somebody holds to a page in the Prometheus text format 0.0.4, in the order of their names,
    /// plugins and labels. Who opens a series meanwhile waits.
    pub fn write(&self, page: &mut String) {
        page::write(page, &self.held());
    }

    /// The families, without what nobody holds any more.
    fn held(&self) -> MutexGuard<'_, Families> {
        // Nothing that holds the lock leaves a change half done.
        let mut families = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        families.retain(|_, family| {
            family.series.retain(|_, series| series.is_held());
            !family.series.is_empty()
        });
        families
    }
}

impl PluginSeries {
    /// Opens a counter. Equal names and labels, in any order, give the same one. A label with an empty value is as
    /// good as none, as Prometheus has it.
    pub fn open_counter(&self, name: &str, labels: &[(String, String)]) -> Result<Arc<Counter>, MetricError> {
        self.open(name, labels, Counter::default, |_| true)
    }

    /// Opens a gauge, as [`Self::open_counter`] does a counter.
    pub fn open_gauge(&self, name: &str, labels: &[(String, String)]) -> Result<Arc<Gauge>, MetricError> {
        self.open(name, labels, Gauge::default, |_| true)
    }

    /// Opens a histogram with these upper bounds, as [`Self::open_counter`] does a counter. The bound of the last
    /// bucket, which is infinite, is not among them.
    pub fn open_histogram(
        &self,
        name: &str,
        labels: &[(String, String)],
        bounds: &[f64],
    ) -> Result<Arc<Histogram>, MetricError> {
        check::bounds(bounds)?;
        self.open(name, labels, || Histogram::new(bounds), |known: &Histogram| known.bounds() == bounds)
    }

    fn open<T: Instrument>(
        &self,
        name: &str,
        labels: &[(String, String)],
        new: impl FnOnce() -> T,
        fits: impl Fn(&T) -> bool,
    ) -> Result<Arc<T>, MetricError> {
        check::name(T::KIND, name)?;
        let key = (self.plugin.clone(), check::labels(labels)?);
        let mut families = self.registry.held();
        check::no_clash(T::KIND, name, |other| families.get(other).map(|family| family.kind))?;
        let mine = families.get(name).into_iter().flat_map(|family| &family.series);
        for (other, series) in mine.filter(|(other, _)| other.0 == self.plugin) {
            match T::known(series) {
                Some(known) if !fits(&known) => return Err(MetricError::OtherBounds { name: name.into() }),
                Some(known) if *other == key => return Ok(known),
                _ => {}
            }
        }
        self.check_room(&families)?;
        let opened = Arc::new(new());
        let family = families.entry(name.into()).or_insert_with(|| Family::new(T::KIND));
        family.series.insert(key, T::kept(&opened));
        Ok(opened)
    }

    fn check_room(&self, families: &Families) -> Result<(), MetricError> {
        let keys = families.values().flat_map(|family| family.series.keys());
        if keys.filter(|(plugin, _)| *plugin == self.plugin).count() < self.most_series {
            return Ok(());
        }
        Err(MetricError::TooManySeries { most: self.most_series })
    }
}

impl Family {
    fn new(kind: Kind) -> Self {
        Self { kind, series: BTreeMap::new() }
    }
}
