//! What a document grants to a plugin, and what the plugin has of the host for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::load::Permission;
use crate::base::network::IpNetwork;
use crate::capability::Capabilities;
use crate::capability::circuit::{Breakers, Settings};
use crate::capability::jwt::{KeySet, KeySetSpec, Verifier};
use crate::capability::metrics::PluginSeries;
use crate::capability::outbound::{Grant, HostPattern, Outbound};
use crate::capability::rate_limit::{Limiter, Quota};
use crate::capability::state::{self, Store};

/// What a document grants to a plugin.
#[derive(Clone, Default, PartialEq)]
pub struct Grants {
    /// Capabilities.
    pub permissions: BTreeSet<Permission>,
    /// Whom it may send requests to.
    pub hosts: Vec<HostPattern>,
    /// Private addresses that those may have.
    pub private_networks: Vec<IpNetwork>,
    /// Names and values.
    pub secrets: BTreeMap<String, String>,
    /// Those of the document.
    pub key_sets: Vec<KeySetSpec>,
    /// How much it may keep.
    pub quotas: Quotas,
}

/// What all uses of a plugin may keep in the gateway together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "named as in the document, where each is described")]
pub struct Quotas {
    pub rate_limit_keys: usize,
    pub state_entries: usize,
    pub state_size: usize,
    pub metric_series: usize,
    pub http_requests: usize,
    pub http_time: Duration,
    pub http_response_size: usize,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            rate_limit_keys: 1_000_000,
            state_entries: 10_000,
            state_size: 16 << 20,
            metric_series: 100,
            http_requests: 64,
            http_time: Duration::from_secs(5),
            http_response_size: 1 << 20,
        }
    }
}

impl fmt::Debug for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grants").field("permissions", &self.permissions).finish_non_exhaustive()
    }
}

/// What a plugin has of the host for what it was granted. It is shared with the same plugin of an earlier document, so
/// that a change elsewhere does not lose it.
pub(super) struct Granted {
    capabilities: Arc<Capabilities>,
    plugin: String,
    quotas: Quotas,
    key_sets: Vec<Arc<KeySet>>,
    series: Option<Arc<PluginSeries>>,
    pub store: Option<Arc<Store>>,
    pub outbound: Option<Arc<Outbound>>,
}

impl Granted {
    pub fn open(plugin: &str, grants: &Grants, capabilities: &Arc<Capabilities>) -> Result<Self, String> {
        let has = |permission| grants.permissions.contains(&permission);
        let quotas = grants.quotas;
        let key_sets = grants.key_sets.iter().filter(|_| has(Permission::Jwt));
        let state = state::Quota { entries: quotas.state_entries, bytes: quotas.state_size };
        let outbound = Grant {
            hosts: grants.hosts.clone(),
            private: grants.private_networks.clone(),
            timeout: quotas.http_time,
            response_size: quotas.http_response_size,
            concurrency: quotas.http_requests,
        };
        Ok(Self {
            key_sets: key_sets.map(|spec| capabilities.key_set(spec)).collect::<Result<_, _>>()?,
            series: has(Permission::Metrics).then(|| capabilities.series(plugin, quotas.metric_series)),
            store: has(Permission::State).then(|| capabilities.store(plugin, state)),
            outbound: has(Permission::Http).then(|| capabilities.outbound(plugin, outbound)).transpose()?,
            capabilities: Arc::clone(capabilities),
            plugin: plugin.to_owned(),
            quotas,
        })
    }

    pub fn limiter(&self, name: &str, quota: Quota) -> Result<Arc<Limiter>, String> {
        self.capabilities.limiter(&self.plugin, name, quota, self.quotas.rate_limit_keys)
    }

    pub fn breakers(&self, name: &str, settings: Settings) -> Result<Arc<Breakers>, String> {
        self.capabilities.breakers(&self.plugin, name, settings)
    }

    pub fn verifier(&self, names: &[String]) -> Result<Arc<Verifier>, String> {
        if names.is_empty() {
            return Err("a verifier needs at least one key set".to_owned());
        }
        let find = |name: &String| {
            let found = self.key_sets.iter().find(|key_set| key_set.spec().name == *name);
            found.cloned().ok_or_else(|| format!("the document has no key set `{name}`"))
        };
        let key_sets = names.iter().map(find).collect::<Result<Vec<_>, _>>()?;
        Ok(Arc::new(Verifier::new(key_sets)))
    }

    pub fn series(&self) -> Result<&PluginSeries, String> {
        self.series.as_deref().ok_or_else(|| "the permission `metrics` is not granted".to_owned())
    }
}
