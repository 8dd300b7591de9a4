//! What goes on for a cluster all the time: names are resolved, members checked and compared, and newcomers let in step by
//! step.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::mpsc::WeakSender;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

use super::active::keep_checking;
use super::{Report, outlier};
use crate::upstream::resolve::keep_resolving;
use crate::upstream::{Cluster, EndpointId, Out};

/// How often the shares of members that are new are looked at.
const WARMING: Duration = Duration::from_millis(500);

/// The tasks of all clusters.
#[derive(Debug)]
pub(super) struct Watched {
    suspects: WeakSender<Report>,
    /// To be told when a cluster has other members.
    changed: Arc<Notify>,
    tasks: JoinSet<()>,
    clusters: Vec<Watch>,
    /// Members that are checked, or were by an earlier cluster.
    checked: HashSet<EndpointId>,
}

/// The tasks of one cluster.
#[derive(Debug)]
struct Watch {
    cluster: Arc<Cluster>,
    general: Vec<AbortHandle>,
    checks: HashMap<EndpointId, AbortHandle>,
}

impl Watched {
    pub fn new(suspects: WeakSender<Report>, changed: Arc<Notify>) -> Self {
        Self { suspects, changed, tasks: JoinSet::new(), clusters: Vec::new(), checked: HashSet::new() }
    }

    /// Watches these from now on, with the members that they have now, and none else.
    pub fn follow(&mut self, clusters: Vec<Arc<Cluster>>) {
        while self.tasks.try_join_next().is_some() {}
        let running = std::mem::take(&mut self.clusters).into_iter();
        let mut running: HashMap<_, _> = running.map(|watch| (Arc::as_ptr(&watch.cluster), watch)).collect();
        for cluster in clusters {
            let same = running.remove(&Arc::as_ptr(&cluster));
            let watch = same.unwrap_or_else(|| {
                // Whoever came back while it was being built was looked at by the one before.
                cluster.refresh();
                self.begin(cluster)
            });
            self.clusters.push(watch);
        }
        for gone in running.into_values() {
            gone.general.iter().chain(gone.checks.values()).for_each(AbortHandle::abort);
        }
        self.check();
        self.clusters.iter().for_each(|watch| forgive_unchecked(&watch.cluster));
    }

    fn begin(&mut self, cluster: Arc<Cluster>) -> Watch {
        let (spec, weak) = (cluster.spec(), || Arc::downgrade(&cluster));
        let mut general = Vec::new();
        if let Some(outliers) = &spec.outlier_detection {
            let judging = keep_judging(weak(), outliers.interval, self.suspects.clone());
            general.push(self.tasks.spawn(judging));
        }
        if spec.balancing.slow_start.is_some() {
            general.push(self.tasks.spawn(keep_warming(weak())));
        }
        let named = spec.members.iter().filter(|member| member.address.name().is_some());
        for (member, resolver) in named.zip(spec.resolver.iter().cycle()) {
            let (host, address) = (member.host.clone(), member.address.clone());
            let changed = Arc::clone(&self.changed);
            let resolving = keep_resolving(weak(), Arc::clone(resolver), host, address, changed);
            general.push(self.tasks.spawn(resolving));
        }
        Watch { cluster, general, checks: HashMap::new() }
    }

    /// Begins the checks of new members and ends those of others.
    fn check(&mut self) {
        let mut checked = HashSet::new();
        for watch in &mut self.clusters {
            let Some(check) = &watch.cluster.spec().health_check else { continue };
            let mut running = std::mem::take(&mut watch.checks);
            for member in watch.cluster.members().iter() {
                let id = member.endpoint.id;
                let task = running.remove(&id).unwrap_or_else(|| {
                    let (cluster, endpoint) =
                        (Arc::downgrade(&watch.cluster), Arc::downgrade(&member.endpoint));
                    let (probe, is_known) = (Arc::clone(&member.probe), self.checked.contains(&id));
                    self.tasks.spawn(keep_checking(cluster, endpoint, probe, check.clone(), is_known))
                });
                watch.checks.insert(id, task);
                checked.insert(id);
            }
            running.into_values().for_each(|task| task.abort());
        }
        self.checked = checked;
    }
}

/// Lets in whom nobody checks any more. A check that ended while this change was on its way may have found it unfit once
/// more, and nobody else would ever find otherwise.
fn forgive_unchecked(cluster: &Cluster) {
    if cluster.spec().health_check.is_some() {
        return;
    }
    let members = cluster.members();
    if members.iter().filter(|member| member.endpoint.let_in(Out::Unfit)).count() > 0 {
        cluster.refresh();
    }
}

async fn keep_judging(cluster: Weak<Cluster>, interval: Duration, suspects: WeakSender<Report>) {
    loop {
        sleep(interval).await;
        let (Some(cluster), Some(suspects)) = (cluster.upgrade(), suspects.upgrade()) else { return };
        for (member, cause) in outlier::look(&cluster) {
            let upstream = cluster.name().to_owned();
            // Of what finds no room the next interval tells again.
            let _ = suspects.try_send(Report { upstream, member, cause, is_out: false });
        }
    }
}

async fn keep_warming(cluster: Weak<Cluster>) {
    loop {
        sleep(WARMING).await;
        let Some(cluster) = cluster.upgrade() else { return };
        if cluster.is_warming() {
            cluster.refresh();
        }
    }
}
