//! What plugins share, as the operator sees and changes it.

use serde::{Deserialize, Serialize};

use super::status::{BreakerStatus, KeySetStatus, Sources};
use crate::capability::circuit::{Forced, State};
use crate::observe::exposition::{self, Facts};
use crate::upstream::{Member, Out};

/// What the operator wants of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BreakerAction {
    /// Let nothing pass until it is reset.
    Open,
    /// Let everything pass until it is reset.
    Close,
    /// Go by what the requests tell again.
    Reset,
}

impl Sources {
    pub(super) fn breakers(&self) -> Vec<BreakerStatus> {
        let mut breakers = Vec::new();
        for ((plugin, name, _), group) in self.capabilities.all_breakers() {
            group.for_each(|key, breaker| {
                breakers.push(BreakerStatus {
                    plugin: plugin.clone(),
                    name: name.clone(),
                    key: key.to_owned(),
                    state: breaker.state().as_str().to_owned(),
                    forced: breaker.forced().is_some(),
                });
            });
        }
        let place =
            |breaker: &BreakerStatus| (breaker.plugin.clone(), breaker.name.clone(), breaker.key.clone());
        breakers.sort_by_key(place);
        breakers
    }

    /// Forces all breakers of this name, or those that have this key, and says how many names or keys those are. A name is
    /// known from the document on, a key from its first request.
    pub(super) fn force_breakers(&self, wanted: &str, action: BreakerAction) -> usize {
        let forced = match action {
            BreakerAction::Open => Some(Forced::Open),
            BreakerAction::Close => Some(Forced::Closed),
            BreakerAction::Reset => None,
        };
        let mut count = 0;
        for ((_, name, _), group) in self.capabilities.all_breakers() {
            if name == wanted {
                group.force(forced);
                count += 1;
                continue;
            }
            group.for_each(|key, breaker| {
                if key == wanted {
                    breaker.force(forced);
                    count += 1;
                }
            });
        }
        count
    }

    /// Lets a plugin be called again, and says how many uses of it there are.
    pub(super) fn reset_plugin(&self, name: &str) -> usize {
        let snapshot = self.current.load();
        let attachments = snapshot.attachments.iter().filter(|attachment| attachment.plugin.name == name);
        attachments.map(|attachment| attachment.reset()).count()
    }

    /// Takes a plugin out of the way, and says how many uses of it there are.
    pub(super) fn trip_plugin(&self, name: &str) -> usize {
        let snapshot = self.current.load();
        let attachments = snapshot.attachments.iter().filter(|attachment| attachment.plugin.name == name);
        attachments.map(|attachment| attachment.trip()).count()
    }

    /// Takes backends out or lets them back in, and says how many have this host.
    pub(super) fn drain_backend(&self, host: &str, is_drained: bool) -> usize {
        let snapshot = self.current.load();
        let mut count = 0;
        for cluster in &snapshot.clusters {
            let members = cluster.members();
            let mut found = 0;
            for Member { endpoint, .. } in members.iter().filter(|member| member.endpoint.host == host) {
                match is_drained {
                    true => endpoint.take_out(Out::Drained),
                    false => endpoint.let_in(Out::Drained),
                };
                found += 1;
            }
            if found > 0 {
                cluster.refresh();
            }
            count += found;
        }
        count
    }

    pub(super) fn key_sets(&self) -> Vec<KeySetStatus> {
        let key_sets = self.capabilities.all_key_sets().into_iter();
        let mut key_sets: Vec<_> = key_sets
            .map(|key_set| KeySetStatus {
                name: key_set.spec().name.clone(),
                keys: key_set.keys(),
                age: key_set.age().map(|age| age.as_secs()),
                fetch_failures: key_set.fetch_failures(),
                error: key_set.last_error(),
            })
            .collect();
        key_sets.sort_by(|one, other| one.name.cmp(&other.name));
        key_sets
    }

    /// Everything of this that has a metric.
    pub(super) fn capability_facts(&self) -> Facts {
        let limits = self.capabilities.all_limiters().into_iter();
        let limits = limits.map(|((plugin, limit, _), limiter)| exposition::Limit {
            plugin,
            limit,
            keys: limiter.keys(),
            evictions: limiter.evictions(),
        });
        let mut breakers = Vec::new();
        for ((plugin, name, _), group) in self.capabilities.all_breakers() {
            group.for_each(|key, breaker| {
                let [closed, open, half_open] = breaker.transitions();
                breakers.push(exposition::Breaker {
                    plugin: plugin.clone(),
                    breaker: name.clone(),
                    key: key.to_owned(),
                    state: match breaker.state() {
                        State::Closed => 0,
                        State::HalfOpen => 1,
                        State::Open => 2,
                    },
                    transitions: [("closed", closed), ("open", open), ("half-open", half_open)],
                    refused: breaker.refused(),
                });
            });
        }
        let key_sets = self.capabilities.all_key_sets().into_iter();
        let key_sets = key_sets.map(|key_set| exposition::KeySet {
            key_set: key_set.spec().name.clone(),
            keys: key_set.keys(),
            age: key_set.age(),
            fetches: key_set.fetches(),
            fetch_failures: key_set.fetch_failures(),
            remembered: key_set.cached(),
        });
        let stores = self.capabilities.all_stores().into_iter();
        let stores = stores.map(|(plugin, store)| exposition::Store {
            plugin,
            entries: store.entries(),
            bytes: store.bytes(),
        });
        Facts {
            limits: limits.collect(),
            breakers,
            key_sets: key_sets.collect(),
            stores: stores.collect(),
            ..Facts::default()
        }
    }
}
