//! Passive ejection: backends are judged by what they answer, with the parameters of Envoy's outlier detection.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::statistics::{ejection_time, failure_percentage_outliers, may_eject, success_rate_outliers};
use crate::upstream::probe::TIMEOUT;
use crate::upstream::{Cluster, Endpoint, Member, Out, Probe};

/// See the document's `outlier_detection`.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "named as in the document, where each is described")]
pub struct OutlierDetection {
    pub consecutive_5xx: u32,
    pub consecutive_gateway_failures: u32,
    pub interval: Duration,
    pub base_ejection_time: Duration,
    pub max_ejection_time: Duration,
    pub max_ejection_percent: u32,
    pub success_rate: Option<SuccessRate>,
    pub failure_percentage: Option<FailurePercentage>,
}

/// Backends that fail more often than the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as in the document, where each is described")]
pub struct SuccessRate {
    pub minimum_hosts: u32,
    pub request_volume: u32,
    pub stdev_factor: u32,
}

/// Backends that fail too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as in the document, where each is described")]
pub struct FailurePercentage {
    pub threshold: u32,
    pub minimum_hosts: u32,
    pub request_volume: u32,
}

/// Envoy's.
impl Default for OutlierDetection {
    fn default() -> Self {
        Self {
            consecutive_5xx: 5,
            consecutive_gateway_failures: 5,
            interval: Duration::from_secs(10),
            base_ejection_time: Duration::from_secs(30),
            max_ejection_time: Duration::from_secs(300),
            max_ejection_percent: 10,
            success_rate: Some(SuccessRate { minimum_hosts: 5, request_volume: 100, stdev_factor: 1900 }),
            failure_percentage: None,
        }
    }
}

impl OutlierDetection {
    /// Those among some members that stand out by what they have answered since the last time, and how.
    fn outliers(&self, members: &[Member]) -> Vec<(Member, String)> {
        let judged: Vec<_> = members.iter().filter(|member| !member.endpoint.is_out(Out::Ejected)).collect();
        let tallies: Vec<_> = judged.iter().map(|member| member.endpoint.record.take()).collect();
        let mut found = Vec::new();
        let cause = |index: usize, words: &str| {
            let (requests, successes) = tallies[index];
            format!("{words}: {} of its last {requests} requests failed", requests - successes)
        };
        if let Some(SuccessRate { minimum_hosts, request_volume, stdev_factor }) = self.success_rate {
            let hosts = minimum_hosts as usize;
            let outliers = success_rate_outliers(&tallies, hosts, request_volume.into(), stdev_factor);
            let words = "it fails far more often than the others";
            found.extend(outliers.into_iter().map(|index| (index, cause(index, words))));
        }
        if let Some(FailurePercentage { threshold, minimum_hosts, request_volume }) = self.failure_percentage
        {
            let hosts = minimum_hosts as usize;
            let outliers = failure_percentage_outliers(&tallies, hosts, request_volume.into(), threshold);
            found.extend(outliers.into_iter().map(|index| (index, cause(index, "it fails too often"))));
        }
        found.into_iter().map(|(index, cause)| (judged[index].clone(), cause)).collect()
    }
}

/// Takes a member out for a while, if so many may be out. The ejection, which has to be waited for.
pub(super) fn eject(cluster: &Arc<Cluster>, member: &Member, cause: String) -> Option<Ejection> {
    let spec = cluster.spec().outlier_detection.as_ref()?;
    let members = cluster.members();
    let out = members.iter().filter(|member| member.endpoint.is_out(Out::Ejected)).count();
    let (upstream, endpoint) = (cluster.name(), &member.endpoint);
    let backend = &endpoint.host;
    if !may_eject(out as u64, members.len() as u64, spec.max_ejection_percent) {
        debug!(upstream, backend, cause, "backend stays: `max_ejection_percent` are out");
        return None;
    }
    if !endpoint.take_out(Out::Ejected) {
        return None;
    }
    let rests = ejection_time(spec.base_ejection_time, spec.max_ejection_time, endpoint.record.ejected());
    warn!(upstream, backend, cause, seconds = rests.as_secs_f32(), "backend ejected");
    endpoint.blame(cause);
    cluster.refresh();
    let (upstream, endpoint) = (upstream.to_owned(), Arc::downgrade(endpoint));
    Some(Ejection { upstream, endpoint, probe: Arc::clone(&member.probe), spec: spec.clone(), rests })
}

/// A member that is out for a while.
pub(super) struct Ejection {
    /// By its name: a change may put another cluster in the place of the one that it was taken out of.
    upstream: String,
    endpoint: Weak<Endpoint>,
    probe: Arc<Probe>,
    spec: OutlierDetection,
    rests: Duration,
}

impl Ejection {
    /// Ends with its upstream's name when the member is back, or nobody's any more. It comes back by one probe, so that no request has to try it;
    /// as long as that fails it stays out for longer and longer.
    pub async fn over(mut self) -> String {
        loop {
            sleep(self.rests).await;
            let Some(endpoint) = self.endpoint.upgrade() else { return self.upstream };
            let upstream = &self.upstream;
            match self.probe.ask(&endpoint, TIMEOUT).await {
                Ok(()) => {
                    endpoint.let_in(Out::Ejected);
                    info!(upstream, backend = endpoint.host, "backend is back after its ejection");
                    return self.upstream;
                }
                Err(error) => {
                    let (base, most) = (self.spec.base_ejection_time, self.spec.max_ejection_time);
                    self.rests = ejection_time(base, most, endpoint.record.ejected());
                    debug!(upstream, backend = endpoint.host, %error, "backend failed its probe");
                }
            }
        }
    }
}

/// Looks at all members of a cluster, and says who is to be ejected.
pub(super) fn look(cluster: &Cluster) -> Vec<(Member, String)> {
    let Some(spec) = &cluster.spec().outlier_detection else { return Vec::new() };
    let members = cluster.members();
    let good = members.iter().filter(|member| !member.endpoint.is_out(Out::Ejected));
    good.for_each(|member| member.endpoint.record.forgive());
    spec.outliers(&members)
}
