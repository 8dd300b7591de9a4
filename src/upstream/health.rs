//! Bringing ejected endpoints back: after a back-off, one probe.
//!
//! Workers report an ejection and go on; a task of the control runtime does the waiting and the probing, so that the
//! request path never takes a lock for it. A probe is a TCP connection. An endpoint that passes is let back on trial.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{info, warn};

use super::{Cluster, Member, connect};
use crate::base::backoff::Backoff;

/// Ejections that may wait for the keeper. An endpoint that finds it full stays in rotation and fails again.
const QUEUE: usize = 1024;
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// A member that was just taken out, with its cluster's name.
type Ejected = (String, Member);

/// The workers' end: reports what happened to an endpoint.
#[derive(Debug, Clone)]
pub struct Health {
    ejected: mpsc::Sender<Ejected>,
}

/// The control runtime's end.
#[derive(Debug)]
pub struct HealthKeeper {
    ejected: mpsc::Receiver<Ejected>,
}

impl Health {
    /// Both ends.
    pub fn new() -> (Self, HealthKeeper) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self { ejected: sender }, HealthKeeper { ejected: receiver })
    }

    /// An exchange with `member` succeeded.
    pub fn succeeded(&self, member: &Member) {
        member.endpoint.succeeded();
    }

    /// An exchange with `member` failed.
    pub fn failed(&self, cluster: &Arc<Cluster>, member: &Member) {
        if !member.endpoint.failed(member.max_failure) {
            return;
        }
        if self.ejected.try_send((cluster.name().to_owned(), member.clone())).is_err() {
            member.endpoint.readmit(member.max_failure);
        }
    }
}

impl HealthKeeper {
    /// Brings ejected endpoints back until the workers are gone. `live` finds the cluster of a name as it is now: a
    /// reload may have replaced the one that an endpoint was ejected from. Dropping it drops the probes under way.
    pub async fn run(mut self, live: impl Fn(&str) -> Option<Arc<Cluster>>) {
        let refresh = |name: &str| {
            if let Some(cluster) = live(name) {
                cluster.refresh();
            }
        };
        let mut probes = JoinSet::new();
        loop {
            tokio::select! {
                ejected = self.ejected.recv() => {
                    let Some((upstream, member)) = ejected else { return };
                    warn!(upstream, backend = member.endpoint.host, failures = member.max_failure, "backend ejected");
                    refresh(&upstream);
                    probes.spawn(bring_back(upstream, member));
                }
                Some(Ok(upstream)) = probes.join_next() => refresh(&upstream),
            }
        }
    }
}

/// Ends with the name of the cluster when the endpoint is back, or is in no snapshot any more.
async fn bring_back(upstream: String, member: Member) -> String {
    let Member { endpoint, max_failure, .. } = member;
    let (address, endpoint) = (endpoint.address.clone(), Arc::downgrade(&endpoint));
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    while endpoint.strong_count() > 0 {
        tokio::time::sleep(backoff.advance()).await;
        if connect(&address, PROBE_TIMEOUT).await.is_err() {
            continue;
        }
        if let Some(endpoint) = endpoint.upgrade() {
            endpoint.readmit(max_failure);
            info!(upstream, backend = endpoint.host, "backend is back after its probe");
        }
        break;
    }
    upstream
}
