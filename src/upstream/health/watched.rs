//! What goes on for a cluster all the time: checks, statistics, slow starts.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::mpsc::WeakSender;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

use super::active::keep_checking;
use super::{Report, outlier};
use crate::upstream::{Cluster, EndpointId, Out};

/// How often the shares of members that are new are looked at.
const WARMING: Duration = Duration::from_millis(500);

/// The tasks of all clusters.
#[derive(Debug)]
pub(super) struct Watched {
    suspects: WeakSender<Report>,
    tasks: JoinSet<()>,
    by_cluster: Vec<(Arc<Cluster>, Vec<AbortHandle>)>,
    /// Members that are checked, or were by an earlier cluster.
    checked: HashSet<EndpointId>,
}

impl Watched {
    pub fn new(suspects: WeakSender<Report>) -> Self {
        Self { suspects, tasks: JoinSet::new(), by_cluster: Vec::new(), checked: HashSet::new() }
    }

    /// Watches these from now on, and none else.
    pub fn follow(&mut self, clusters: Vec<Arc<Cluster>>) {
        while self.tasks.try_join_next().is_some() {}
        let mut running: HashMap<_, _> = std::mem::take(&mut self.by_cluster)
            .into_iter()
            .map(|(cluster, tasks)| (Arc::as_ptr(&cluster), (cluster, tasks)))
            .collect();
        let mut checked = HashSet::new();
        for cluster in clusters {
            if cluster.spec().health_check.is_some() {
                checked.extend(cluster.members().iter().map(|member| member.endpoint.id));
            }
            let same = running.remove(&Arc::as_ptr(&cluster));
            let watched = same.unwrap_or_else(|| {
                // Whoever came back while it was being built was looked at by the one before.
                cluster.refresh();
                let tasks = self.begin(&cluster);
                (cluster, tasks)
            });
            self.by_cluster.push(watched);
        }
        self.checked = checked;
        running.into_values().flat_map(|(_, tasks)| tasks).for_each(|task| task.abort());
        self.by_cluster.iter().for_each(|(cluster, _)| forgive_unchecked(cluster));
    }

    fn begin(&mut self, cluster: &Arc<Cluster>) -> Vec<AbortHandle> {
        let (spec, weak) = (cluster.spec(), || Arc::downgrade(cluster));
        let mut begun = Vec::new();
        if let Some(outliers) = &spec.outlier_detection {
            let judging = keep_judging(weak(), outliers.interval, self.suspects.clone());
            begun.push(self.tasks.spawn(judging));
        }
        if spec.balancing.slow_start.is_some() {
            begun.push(self.tasks.spawn(keep_warming(weak())));
        }
        let Some(check) = &spec.health_check else { return begun };
        for member in cluster.members().iter() {
            let endpoint = Arc::downgrade(&member.endpoint);
            let is_known = self.checked.contains(&member.endpoint.id);
            let checking =
                keep_checking(weak(), endpoint, Arc::clone(&member.probe), check.clone(), is_known);
            begun.push(self.tasks.spawn(checking));
        }
        begun
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
