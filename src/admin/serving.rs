//! What is served, and where.

use serde::{Deserialize, Serialize};

use super::status::Sources;
use crate::proxy::{Rule, Snapshot};

/// A pattern with its rules.
#[derive(Debug, Serialize, Deserialize)]
pub struct RouteStatus {
    /// As the document has it.
    pub pattern: String,
    /// Tried in order.
    pub rules: Vec<RuleStatus>,
}

/// What happens to a request.
#[derive(Debug, Serialize, Deserialize)]
pub struct RuleStatus {
    /// Whether it is for some requests of the route alone.
    pub conditional: bool,
    /// Where they go; none where the gateway answers.
    pub upstream: Option<String>,
    /// `forward`, `redirect` or `reply`.
    pub action: String,
    /// Who sees them, in order.
    pub plugins: Vec<String>,
}

/// An address that is listened on.
#[derive(Debug, Serialize, Deserialize)]
pub struct ListenerStatus {
    /// Its name in the document.
    pub name: String,
    /// As the document has it.
    pub address: String,
    /// `h1`, `h2`, `h3`.
    pub protocols: Vec<String>,
    /// Whether it is for TLS.
    pub tls: bool,
}

impl Sources {
    pub(super) fn routes(&self) -> Vec<RouteStatus> {
        let snapshot = self.current.load();
        let route = |route: &crate::proxy::Route| RouteStatus {
            pattern: route.pattern.to_string(),
            rules: route.rules.iter().map(|one| rule(&snapshot, one)).collect(),
        };
        snapshot.routes.iter().map(route).collect()
    }

    pub(super) fn listeners(&self) -> Vec<ListenerStatus> {
        let served = self.ledger.served();
        let listener = |spec: &crate::listener::ListenerSpec| {
            let protocols = [(spec.protocols.h1, "h1"), (spec.protocols.h2, "h2"), (spec.protocols.h3, "h3")];
            let spoken = protocols.iter().filter(|(is_spoken, _)| *is_spoken);
            ListenerStatus {
                name: spec.name().to_string(),
                address: spec.address.to_string(),
                protocols: spoken.map(|(_, name)| (*name).to_owned()).collect(),
                tls: spec.tls.is_some(),
            }
        };
        served.listeners.iter().map(listener).collect()
    }
}

fn rule(snapshot: &Snapshot, rule: &Rule) -> RuleStatus {
    let attached = rule.plugins.iter().map(|link| &snapshot.attachments[link.slot]);
    let upstreams: Vec<_> =
        rule.action.upstreams().map(|cluster| snapshot.clusters[cluster].name()).collect();
    RuleStatus {
        conditional: !rule.conditions.is_empty(),
        upstream: (!upstreams.is_empty()).then(|| upstreams.join(", ")),
        action: rule.action.name().to_owned(),
        plugins: attached.map(|attachment| attachment.plugin.name.clone()).collect(),
    }
}
