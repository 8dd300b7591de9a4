//! What plugins can do beyond looking at heads, as state that outlives requests, instances and reloads: limits, breakers,
//! verified tokens, values, numbers, requests to other servers.
//!
//! Nothing in here knows WebAssembly; `plugin::host` translates between guests and this. What a request touches takes no
//! lock: atomics, and maps that readers and writers share without one. What is opened by name is shared by all who open
//! it alike, and lives for as long as one of them holds it, so that a reload that changes nothing about it keeps it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tracing::info;

pub mod circuit;
pub mod jwt;
pub mod metrics;
pub mod outbound;
pub mod rate_limit;
mod registry;
pub mod state;
#[cfg(test)]
mod tests;

use registry::Registry;

use crate::base::line_budget::LineBudget;

/// Between two looks for values that have expired.
const BETWEEN_SWEEPS: Duration = Duration::from_secs(10);

/// The plugin and the name of something, and what it was opened with.
pub type Named<T> = (String, String, T);
/// A limit's quota and its number of keys.
pub type Limit = (rate_limit::Quota, usize);

/// Everything that the plugins of a process share.
pub struct Capabilities {
    /// Where fetches run: the runtime that this was made on.
    control: Option<Handle>,
    limiters: Registry<Named<Limit>, rate_limit::Limiter>,
    breakers: Registry<Named<circuit::Settings>, circuit::Breakers>,
    key_sets: Registry<jwt::KeySetSpec, jwt::KeySet>,
    stores: Registry<(String, state::Quota), state::Store>,
    outbounds: Registry<(String, outbound::Grant), outbound::Outbound>,
    fetcher: Registry<(), outbound::Outbound>,
    metrics: metrics::Registry,
}

impl Default for Capabilities {
    /// Nothing is open yet. Fetches will run on the runtime that this is called on.
    fn default() -> Self {
        Self {
            control: Handle::try_current().ok(),
            limiters: Registry::default(),
            breakers: Registry::default(),
            key_sets: Registry::default(),
            stores: Registry::default(),
            outbounds: Registry::default(),
            fetcher: Registry::default(),
            metrics: metrics::Registry::new(),
        }
    }
}

impl Capabilities {
    /// A plugin's limit of that name and quota.
    pub fn limiter(
        &self,
        plugin: &str,
        name: &str,
        quota: rate_limit::Quota,
        keys: usize,
    ) -> Result<Arc<rate_limit::Limiter>, String> {
        let key = (plugin.to_owned(), name.to_owned(), (quota, keys));
        let make = || rate_limit::Limiter::new(quota, keys).map(Arc::new).map_err(|error| error.to_string());
        self.limiters.open(&key, make)
    }

    /// A plugin's breakers of that name and settings.
    pub fn breakers(
        &self,
        plugin: &str,
        name: &str,
        settings: circuit::Settings,
    ) -> Result<Arc<circuit::Breakers>, String> {
        let key = (plugin.to_owned(), name.to_owned(), settings);
        self.breakers.open(&key, || {
            settings.check().map_err(|error| error.to_string())?;
            let lines = LineBudget::default();
            let listener = move |transition: &circuit::Transition<'_>| tell(transition, &lines);
            Ok(Arc::new(circuit::Breakers::new(name, settings, Arc::new(listener))))
        })
    }

    /// The keys of that description. Where there is a runtime for it, they are fetched from now on.
    pub fn key_set(&self, spec: &jwt::KeySetSpec) -> Result<Arc<jwt::KeySet>, String> {
        self.key_sets.open(spec, || {
            let key_set = jwt::KeySet::new(spec.clone(), self.fetcher()?)
                .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
            key_set.start(&self.control()?);
            Ok(key_set)
        })
    }

    /// A plugin's key-value store.
    pub fn store(&self, plugin: &str, quota: state::Quota) -> Arc<state::Store> {
        let opened: Result<_, std::convert::Infallible> =
            self.stores.open(&(plugin.to_owned(), quota), || Ok(Arc::new(state::Store::new(quota))));
        match opened {
            Ok(store) => store,
        }
    }

    /// A plugin's way to other servers.
    pub fn outbound(&self, plugin: &str, grant: outbound::Grant) -> Result<Arc<outbound::Outbound>, String> {
        self.outbounds.open(&(plugin.to_owned(), grant.clone()), || {
            let outbound = outbound::Outbound::new(grant, self.control()?);
            outbound.map(Arc::new).map_err(|error| error.to_string())
        })
    }

    fn control(&self) -> Result<Handle, String> {
        self.control.clone().ok_or_else(|| "there is no runtime for requests to other servers".to_owned())
    }

    /// What key sets are fetched with.
    fn fetcher(&self) -> Result<Arc<outbound::Outbound>, String> {
        self.fetcher.open(&(), || jwt::fetcher(self.control()?).map_err(|error| error.to_string()))
    }

    /// Where a plugin opens numbers of its own.
    pub fn series(&self, plugin: &str, most: usize) -> Arc<metrics::PluginSeries> {
        Arc::new(self.metrics.plugin(plugin, most))
    }

    /// All breakers.
    pub fn all_breakers(&self) -> Vec<(Named<circuit::Settings>, Arc<circuit::Breakers>)> {
        self.breakers.all()
    }

    /// All limits.
    pub fn all_limiters(&self) -> Vec<(Named<Limit>, Arc<rate_limit::Limiter>)> {
        self.limiters.all()
    }

    /// All key sets.
    pub fn all_key_sets(&self) -> Vec<Arc<jwt::KeySet>> {
        self.key_sets.all().into_iter().map(|(_, key_set)| key_set).collect()
    }

    /// All key-value stores, by plugin.
    pub fn all_stores(&self) -> Vec<(String, Arc<state::Store>)> {
        self.stores.all().into_iter().map(|((plugin, _), store)| (plugin, store)).collect()
    }

    /// Gives back what has expired, now and then, for ever.
    pub async fn keep_swept(self: Arc<Self>) {
        loop {
            tokio::time::sleep(BETWEEN_SWEEPS).await;
            self.all_stores().iter().for_each(|(_, store)| store.sweep());
        }
    }

    /// Adds the plugins' own numbers to a page for Prometheus.
    pub fn write_metrics(&self, page: &mut String) {
        self.metrics.write(page);
    }
}

/// Transitions of breakers of one name that are told in a second: keys are the plugin's, and so is how often they change.
const TRANSITION_LINES: u32 = 10;

fn tell(transition: &circuit::Transition<'_>, lines: &LineBudget) {
    let Some(dropped) = lines.admit(TRANSITION_LINES) else { return };
    let circuit::Transition { name, key, from, to, cause } = transition;
    let (from, to, cause) = (from.as_str(), to.as_str(), cause.as_str());
    info!(breaker = name, key, from, to, cause, dropped, "circuit breaker changed its state");
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capabilities").finish_non_exhaustive()
    }
}
