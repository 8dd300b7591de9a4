//! Whether backends answer, when somebody asks.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::status::Sources;
use crate::upstream::{Cluster, Member, PROBE_TIMEOUT};

/// What a backend has answered, as a probe of an ejected one would have been.
#[derive(Debug, Serialize, Deserialize)]
pub struct ProbeResult {
    /// The upstream.
    pub upstream: String,
    /// As the document has it.
    pub host: String,
    /// How long it took.
    pub milliseconds: u64,
    /// Why it is not fit to be asked, if so.
    pub error: Option<String>,
}

impl Sources {
    /// The backends of this host, and those of this pattern's rules, each with its upstream's name.
    pub(super) fn members(&self, host: Option<&str>, route: Option<&str>) -> Vec<(String, Member)> {
        let snapshot = self.current.load();
        let routes = snapshot.routes.iter().filter(|one| Some(&*one.pattern) == route);
        let rules = routes.flat_map(|route| &route.rules);
        let mut of_route: Vec<usize> = rules.flat_map(|rule| rule.action.upstreams()).collect();
        of_route.dedup();
        let all = |cluster: &Cluster| -> Vec<_> {
            cluster.members().iter().map(|member| (cluster.name().to_owned(), member.clone())).collect()
        };
        let of_route = of_route.into_iter().flat_map(|index| all(&snapshot.clusters[index]));
        let of_host = snapshot.clusters.iter().flat_map(|cluster| all(cluster));
        let of_host = of_host.filter(|(_, member)| {
            host.is_some_and(|host| member.endpoint.host == host || *member.written == *host)
        });
        of_route.chain(of_host).collect()
    }
}

/// Asks all of them at one time.
pub(super) async fn probe_all(members: Vec<(String, Member)>) -> Vec<ProbeResult> {
    let probing = members.into_iter().map(|(upstream, member)| async move {
        let (started, host) = (Instant::now(), member.endpoint.host.clone());
        let error =
            member.probe.ask(&member.endpoint, PROBE_TIMEOUT).await.err().map(|error| error.to_string());
        ProbeResult { upstream, host, milliseconds: started.elapsed().as_millis() as u64, error }
    });
    let mut results = probing.collect::<JoinSet<_>>().join_all().await;
    results.sort_by(|one, other| (&one.upstream, &one.host).cmp(&(&other.upstream, &other.host)));
    results
}
