//! Bringing ejected endpoints back: after a back-off, one probe.
//!
//! Workers report an ejection and go on; a task of the control runtime does the waiting and the probing, so that the
//! request path never takes a lock for it. An endpoint that passes is let back on trial.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use super::probe::probe;
use super::{Cluster, Member};
use crate::base::backoff::Backoff;

/// Ejections that may wait for the keeper. An endpoint that finds it full stays in rotation and fails again.
const QUEUE: usize = 1024;
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// A member that was just taken out.
#[derive(Debug)]
struct Ejected {
    upstream: String,
    member: Member,
    /// Its last failure, for a person.
    cause: String,
}

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

    /// An exchange with `member` failed, for this reason.
    pub fn failed(&self, cluster: &Arc<Cluster>, member: &Member, cause: impl fmt::Display) {
        if !member.endpoint.failed(member.max_failure) {
            return;
        }
        let (upstream, cause) = (cluster.name().to_owned(), cause.to_string());
        if self.ejected.try_send(Ejected { upstream, member: member.clone(), cause }).is_err() {
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
                    let Some(Ejected { upstream, member, cause }) = ejected else { return };
                    let (backend, failures) = (&member.endpoint.host, member.max_failure);
                    warn!(upstream, backend, failures, cause, "backend ejected");
                    member.endpoint.blame(cause);
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
    let (endpoint, max_failure) = (Arc::downgrade(&member.endpoint), member.max_failure);
    // It is held only while it is asked: whoever else holds it decides how long it lives.
    drop(member);
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    loop {
        tokio::time::sleep(backoff.advance()).await;
        let Some(endpoint) = endpoint.upgrade() else { return upstream };
        match probe(&endpoint).await {
            Ok(()) => {
                endpoint.readmit(max_failure);
                info!(upstream, backend = endpoint.host, "backend is back after its probe");
                return upstream;
            }
            Err(error) => debug!(upstream, backend = endpoint.host, %error, "backend failed its probe"),
        }
    }
}
