//! Taking backends out and bringing them back.
//!
//! Workers note how exchanges ended and report what that may mean; a task of the control runtime does the judging, the
//! waiting and the probing, so that the request path never takes a lock for it.

mod active;
mod outlier;
mod record;
mod statistics;
mod watched;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::probe::TIMEOUT;
use super::{Cluster, Member};
use crate::base::backoff::Backoff;
use record::Streak;
use watched::Watched;

pub use active::HealthCheck;
pub use outlier::{FailurePercentage, OutlierDetection, SuccessRate};
pub(super) use record::Record;

/// Reports that may wait for the keeper. An endpoint that finds it full stays in rotation and fails again.
const QUEUE: usize = 1024;
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// A member that failed too often.
#[derive(Debug)]
struct Report {
    upstream: String,
    member: Member,
    /// For a person.
    cause: String,
    /// Whether it was taken out by whoever reports it.
    is_out: bool,
}

/// The workers' end: reports what happened to an endpoint.
#[derive(Debug, Clone)]
pub struct Health {
    reports: mpsc::Sender<Report>,
    published: Arc<Notify>,
}

/// The control runtime's end.
#[derive(Debug)]
pub struct HealthKeeper {
    reports: mpsc::Receiver<Report>,
    suspects: mpsc::WeakSender<Report>,
    published: Arc<Notify>,
}

/// The clusters that are served by, as they are when it is asked.
pub trait Live: Send + 'static {
    /// The one of that name.
    fn find(&self, name: &str) -> Option<Arc<Cluster>>;
    /// All of them.
    fn all(&self) -> Vec<Arc<Cluster>>;
}

impl Health {
    /// Both ends.
    pub fn new() -> (Self, HealthKeeper) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let published = Arc::<Notify>::default();
        let suspects = sender.downgrade();
        let keeper = HealthKeeper { reports: receiver, suspects, published: Arc::clone(&published) };
        (Self { reports: sender, published }, keeper)
    }

    /// Other clusters are served by than before, perhaps.
    pub fn published(&self) {
        self.published.notify_one();
    }

    /// An exchange with `member` came to its end.
    pub fn succeeded(&self, member: &Member) {
        member.endpoint.succeeded();
    }

    /// `member` began to answer.
    pub fn answered(&self, cluster: &Cluster, member: &Member, status: StatusCode) {
        let Some(spec) = &cluster.spec().outlier_detection else { return };
        if let Some(streak) = member.endpoint.record.note(Some(status), spec) {
            self.suspect(cluster, member, format!("{streak}; the last one was {}", status.as_u16()));
        }
    }

    /// An exchange with `member` failed, for this reason.
    pub fn failed(&self, cluster: &Cluster, member: &Member, cause: impl fmt::Display) {
        if let Some(spec) = &cluster.spec().outlier_detection {
            if let Some(streak) = member.endpoint.record.note(None, spec) {
                self.suspect(cluster, member, format!("{streak}; the last one: {cause}"));
            }
            return;
        }
        let Some(max_failure) = member.max_failure else { return };
        if !member.endpoint.failed(max_failure) {
            return;
        }
        let report = Report {
            upstream: cluster.name().to_owned(),
            member: member.clone(),
            cause: cause.to_string(),
            is_out: true,
        };
        if self.reports.try_send(report).is_err() {
            member.endpoint.readmit(max_failure);
        }
    }

    fn suspect(&self, cluster: &Cluster, member: &Member, cause: String) {
        let upstream = cluster.name().to_owned();
        // A keeper that has too much to do hears of it the next time.
        let _ = self.reports.try_send(Report { upstream, member: member.clone(), cause, is_out: false });
    }
}

impl fmt::Display for Streak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ServerErrors(count) => write!(f, "{count} server errors in a row"),
            Self::GatewayFailures(count) => write!(f, "{count} gateway failures in a row"),
        }
    }
}

impl HealthKeeper {
    /// Watches over backends until the workers are gone. Dropping it drops the probes under way.
    pub async fn run(mut self, live: impl Live) {
        let refresh = |name: &str| {
            if let Some(cluster) = live.find(name) {
                cluster.refresh();
            }
        };
        // Each ends with the name of a cluster to be looked at again.
        let mut returns = JoinSet::new();
        let mut watched = Watched::new(self.suspects.clone(), Arc::clone(&self.published));
        watched.follow(live.all());
        loop {
            tokio::select! {
                report = self.reports.recv() => {
                    let Some(Report { upstream, member, cause, is_out }) = report else { return };
                    if is_out {
                        let (backend, failures) = (&member.endpoint.host, member.max_failure);
                        warn!(upstream, backend, failures, cause, "backend ejected");
                        member.endpoint.blame(cause);
                        refresh(&upstream);
                        returns.spawn(bring_back(upstream, member));
                    } else if let Some(cluster) = live.find(&upstream)
                        && let Some(ejection) = outlier::eject(&cluster, &member, cause)
                    {
                        returns.spawn(ejection.over());
                    }
                }
                () = self.published.notified() => watched.follow(live.all()),
                Some(Ok(upstream)) = returns.join_next() => refresh(&upstream),
            }
        }
    }
}

/// Ends with the name of the cluster when the endpoint is back, or is in no snapshot any more.
async fn bring_back(upstream: String, member: Member) -> String {
    let (endpoint, probe) = (Arc::downgrade(&member.endpoint), Arc::clone(&member.probe));
    let max_failure = member.max_failure.unwrap_or(1);
    // It is held only while it is asked: whoever else holds it decides how long it lives.
    drop(member);
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    loop {
        sleep(backoff.advance()).await;
        let Some(endpoint) = endpoint.upgrade() else { return upstream };
        match probe.ask(&endpoint, TIMEOUT).await {
            Ok(()) => {
                endpoint.readmit(max_failure);
                info!(upstream, backend = endpoint.host, "backend is back after its probe");
                return upstream;
            }
            Err(error) => debug!(upstream, backend = endpoint.host, %error, "backend failed its probe"),
        }
    }
}
