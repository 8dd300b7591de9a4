//! What serving a document would change, without serving it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Outcome, Ready, Reloader, Served};
use crate::action::{Action, Split};
use crate::config::{Attachment, Checked, Diagnostic, Differences, Rule};
use crate::listener::ListenerSpec;
use crate::proxy::Snapshot;

/// See the module.
#[derive(Debug, Serialize, Deserialize)]
pub struct Plan {
    /// The running revision, with which the document is compared.
    pub revision: u64,
    /// Whether serving it would change anything.
    pub changes: bool,
    /// In what the two documents differ. Secrets are not shown.
    pub differences: Differences,
    /// By pattern.
    pub routes: Changes,
    /// By name. Those that are kept keep their connections, their backends' health and their positions.
    pub upstreams: Changes,
    /// By name. Those that are kept keep their instances and their state.
    pub plugins: Changes,
    /// By name. Connections of those that are removed end within `drain`; those of the others stay.
    pub listeners: Changes,
    /// How long connections of listeners that are removed may take, in milliseconds.
    pub drain: u64,
    /// What its author may have meant otherwise.
    pub warnings: Vec<Diagnostic>,
}

/// What becomes of things of one kind.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// New ones.
    pub added: Vec<String>,
    /// Those that are replaced.
    pub changed: Vec<String>,
    /// Those that end.
    pub removed: Vec<String>,
    /// How many stay as they are.
    pub kept: usize,
}

impl Changes {
    /// Of things by name, with what tells whether two of them are the same.
    fn between<T>(
        old: &BTreeMap<&str, T>,
        new: &BTreeMap<&str, T>,
        are_same: impl Fn(&T, &T) -> bool,
    ) -> Self {
        let mut changes = Self::default();
        for (name, new) in new {
            match old.get(name) {
                None => changes.added.push((*name).to_owned()),
                Some(old) if are_same(old, new) => changes.kept += 1,
                Some(_) => changes.changed.push((*name).to_owned()),
            }
        }
        let removed = old.keys().filter(|name| !new.contains_key(*name));
        changes.removed = removed.map(|name| (*name).to_owned()).collect();
        changes
    }
}

impl Reloader {
    /// What serving a document would change. Everything that can be found out before is.
    pub async fn plan(&mut self, text: String) -> Result<Plan, Outcome> {
        let log = self.running.access_log.clone();
        let ready = self.prepare_with(text.into(), move |checked| checked.access_log = log).await?;
        let served = self.ledger.served();
        let (old, new) = (&self.running, &ready.loaded.checked);
        let (was, is) = (self.current.load(), &ready.snapshot);
        let mut warnings = ready.loaded.warnings.clone();
        warnings.extend(self.needs_restart(&ready.loaded));
        Ok(Plan {
            revision: served.revision,
            changes: !self.is_running(&ready),
            differences: between(&served, &ready),
            routes: Changes::between(&routes(old), &routes(new), |(one, rules), (other, others)| {
                rules.len() == others.len()
                    && rules
                        .iter()
                        .zip(*others)
                        .all(|(rule, other_rule)| are_same(one, rule, other, other_rule))
            }),
            upstreams: Changes::between(&clusters(&was), &clusters(is), |one, other| Arc::ptr_eq(one, other)),
            plugins: Changes::between(&plugins(&was), &plugins(is), PartialEq::eq),
            listeners: Changes::between(
                &listeners(&self.listeners),
                &listeners(&ready.listeners),
                PartialEq::eq,
            ),
            drain: is.settings.timeouts.drain.as_millis() as u64,
            warnings,
        })
    }
}

fn between(served: &Served, ready: &Ready) -> Differences {
    let parsed = |text: &str| serde_json::from_str(text).unwrap_or_default();
    Differences::between(&parsed(&served.text), &parsed(&ready.loaded.text)).redacted()
}

fn routes(checked: &Checked) -> BTreeMap<&str, (&Checked, &[Rule])> {
    checked.routes.iter().map(|route| (route.text.as_str(), (checked, route.rules.as_slice()))).collect()
}

/// Whether two rules are the same, wherever in their documents the things are that they name.
fn are_same(one: &Checked, rule: &Rule, other: &Checked, other_rule: &Rule) -> bool {
    let anywhere = |attachment: &Attachment| Attachment {
        plugin: 0,
        pointer: String::new(),
        config_pointer: String::new(),
        ..attachment.clone()
    };
    let attachments = |rule: &Rule| rule.attachments.iter().map(anywhere).collect::<Vec<_>>();
    let mirrors = |document: &Checked, rule: &Rule| {
        let mirrors = rule.mirrors.iter();
        mirrors.map(|one| (document.upstreams[one.upstream].name.clone(), one.percent)).collect::<Vec<_>>()
    };
    // By name, so that no field is forgotten.
    let Rule {
        matches,
        action,
        sticky,
        mirrors: _,
        fault,
        edits,
        upgrades,
        grpc_web,
        takes_early_data,
        retry,
        timeouts,
        max_requests,
        compress,
        attachments: _,
    } = rule;
    are_same_actions((one, action), (other, &other_rule.action))
        && mirrors(one, rule) == mirrors(other, other_rule)
        && attachments(rule) == attachments(other_rule)
        && *matches == other_rule.matches
        && *sticky == other_rule.sticky
        && *fault == other_rule.fault
        && *edits == other_rule.edits
        && *upgrades == other_rule.upgrades
        && *grpc_web == other_rule.grpc_web
        && *takes_early_data == other_rule.takes_early_data
        && *retry == other_rule.retry
        && *timeouts == other_rule.timeouts
        && *max_requests == other_rule.max_requests
        && *compress == other_rule.compress
}

fn are_same_actions((one, action): (&Checked, &Action), (other, other_action): (&Checked, &Action)) -> bool {
    match (action, other_action) {
        (Action::Forward(upstream), Action::Forward(other_upstream)) => {
            one.upstreams[*upstream].name == other.upstreams[*other_upstream].name
        }
        (Action::Split(split), Action::Split(other_split)) => {
            let named = |document: &Checked, split: &Split| {
                let shares = split.shares().iter();
                shares
                    .map(|share| (document.upstreams[share.upstream].name.clone(), share.weight))
                    .collect::<Vec<_>>()
            };
            named(one, split) == named(other, other_split)
        }
        (action, other_action) => action == other_action,
    }
}

fn clusters(snapshot: &Snapshot) -> BTreeMap<&str, &Arc<crate::upstream::Cluster>> {
    snapshot.clusters.iter().map(|cluster| (cluster.name(), cluster)).collect()
}

/// All uses of each plugin.
fn plugins(snapshot: &Snapshot) -> BTreeMap<&str, BTreeSet<*const crate::plugin::Attachment>> {
    let mut plugins: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for attachment in &snapshot.attachments {
        plugins.entry(&*attachment.plugin.name).or_default().insert(Arc::as_ptr(attachment));
    }
    plugins
}

fn listeners(specs: &[ListenerSpec]) -> BTreeMap<&str, &ListenerSpec> {
    specs.iter().map(|spec| (&**spec.name(), spec)).collect()
}
