//! A set of interchangeable endpoints, shared by all workers.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::balance::{HashKey, Strategy};
use super::endpoint::uptime;
use super::health::{HealthCheck, OutlierDetection};
use super::load::{Limits, Load};
use super::{Balancing, Choice, Dial, Endpoint, EndpointId, Fleet, Member, Out, Probe};
use crate::base::address::Address;
use crate::message::Exchange;

/// What the document says of a cluster.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ClusterSpec {
    /// The upstream's name.
    pub name: String,
    /// How requests are shared out.
    pub balancing: Balancing,
    /// What hashed strategies go by.
    pub hash_key: HashKey,
    /// How it is found out whether a member is fit.
    pub probe: Arc<Probe>,
    /// How often that is done.
    pub health_check: Option<HealthCheck>,
    /// How they are judged by what they answer.
    pub outlier_detection: Option<OutlierDetection>,
    /// How much they take together.
    pub limits: Limits,
    /// How the backends are spoken to.
    pub dial: Arc<Dial>,
    /// The backends.
    pub members: Vec<MemberSpec>,
}

/// What the document says of one backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberSpec {
    /// As written.
    pub host: String,
    /// Where it listens.
    pub address: Address,
    /// Consecutive failures that take it out. None where others judge it.
    pub max_failure: Option<u32>,
    /// Its share.
    pub weight: u32,
    /// 0 comes first.
    pub priority: u32,
    /// Where it stands.
    pub zone: Option<String>,
}

/// See the module.
#[derive(Debug)]
pub struct Cluster {
    spec: ClusterSpec,
    /// As the document has them.
    hosts: Arc<[String]>,
    position: Arc<AtomicU64>,
    load: Arc<Load>,
    fleet: ArcSwap<Fleet>,
}

/// The clusters of a snapshot, by name.
pub type Clusters = HashMap<String, Arc<Cluster>>;

impl ClusterSpec {
    fn endpoint(&self, member: &MemberSpec) -> Endpoint {
        let endpoint = Endpoint::new(member.host.clone(), member.address.clone(), Arc::clone(&self.dial));
        if self.health_check.as_ref().is_some_and(|check| !check.is_assumed_healthy) {
            endpoint.assume_unfit();
        }
        endpoint
    }
}

impl Cluster {
    /// Builds a cluster. What `previous`, the cluster of that name so far, knows of endpoints that remain is kept;
    /// where nothing changed it is `previous` itself.
    pub fn build(spec: ClusterSpec, previous: Option<&Arc<Self>>) -> Arc<Self> {
        if let Some(same) = previous.filter(|previous| previous.spec == spec) {
            return Arc::clone(same);
        }
        // To speak to a backend in another way is to know nothing of it.
        let alike = previous.filter(|previous| previous.spec.dial == spec.dial);
        let known = alike.map(|previous| previous.members());
        let known = |host: &str| {
            let mut members = known.iter().flat_map(|known| known.iter());
            members.find(|member| member.endpoint.host == host).map(|member| Arc::clone(&member.endpoint))
        };
        let members = spec.members.iter().map(|member| Member {
            endpoint: known(&member.host).unwrap_or_else(|| Arc::new(spec.endpoint(member))),
            max_failure: member.max_failure,
            weight: member.weight,
            priority: member.priority,
            zone: member.zone.clone(),
            probe: Arc::clone(&spec.probe),
        });
        let members: Arc<[Member]> = members.collect();
        if spec.health_check.is_none() {
            // Nobody would ever find them fit again.
            for member in members.iter() {
                member.endpoint.let_in(Out::Unfit);
            }
        }
        let fleet = Fleet::new(members, &spec.balancing, &spec.name);
        Arc::new(Self {
            hosts: spec.members.iter().map(|member| member.host.clone()).collect(),
            position: previous.map(|previous| Arc::clone(&previous.position)).unwrap_or_default(),
            load: previous.map(|previous| Arc::clone(&previous.load)).unwrap_or_default(),
            fleet: ArcSwap::from_pointee(fleet),
            spec,
        })
    }

    /// The upstream's name.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// What the document says of it.
    pub fn spec(&self) -> &ClusterSpec {
        &self.spec
    }

    /// How its backends are spoken to.
    pub fn dial(&self) -> &Dial {
        &self.spec.dial
    }

    /// How much there is to do.
    pub fn load(&self) -> &Arc<Load> {
        &self.load
    }

    /// The hosts of all members, in the document's order.
    pub fn hosts(&self) -> Arc<[String]> {
        Arc::clone(&self.hosts)
    }

    /// The endpoints with these hosts.
    pub fn ids(&self, hosts: &[String]) -> Vec<EndpointId> {
        if hosts.is_empty() {
            return Vec::new();
        }
        let fleet = self.fleet.load();
        let members = fleet.members().iter().filter(|member| hosts.contains(&member.endpoint.host));
        members.map(|member| member.endpoint.id).collect()
    }

    /// All members, in the document's order.
    pub fn members(&self) -> Arc<[Member]> {
        Arc::clone(self.fleet.load().members())
    }

    /// Goes by the health of the members as it is now.
    pub fn refresh(&self) {
        let fleet = Fleet::new(self.members(), &self.spec.balancing, &self.spec.name);
        self.fleet.store(Arc::new(fleet));
    }

    /// Whether a member has not got its full share yet, so that it is worth refreshing again.
    pub(super) fn is_warming(&self) -> bool {
        self.fleet.load().is_warming
    }

    /// What a request's choice goes by.
    pub fn choice<'a>(&self, exchange: &'a Exchange, tried: &'a [EndpointId]) -> Choice<'a> {
        let balancing = &self.spec.balancing;
        let is_hashed = matches!(balancing.strategy, Strategy::Maglev | Strategy::RingHash);
        Choice {
            tried,
            hash: if is_hashed { self.spec.hash_key.hash(exchange) } else { None },
            cookie: balancing.affinity.as_ref().and_then(|affinity| affinity.shown(&exchange.headers)),
        }
    }

    /// The member that would be picked next, where that is settled. It does not take its turn.
    pub fn next(&self, choice: &Choice<'_>) -> Option<Member> {
        self.fleet.load().next(choice.hash, &self.position).cloned()
    }

    /// Takes the next turn. None when nobody is left who is healthy and was not tried.
    pub fn pick(&self, choice: &Choice<'_>) -> Option<Member> {
        self.fleet.load().pick(choice, &self.position).cloned()
    }

    /// Whether a request has to know the parameters of its route's pattern for a choice.
    pub fn looks_at_parameters(&self) -> bool {
        matches!(self.spec.hash_key, HashKey::Parameter(_))
    }

    /// A member took so long to answer.
    pub fn answered_in(&self, member: &Member, latency: Duration) {
        if self.spec.balancing.strategy == Strategy::PeakEwma {
            member.endpoint.latency.observe(uptime(), latency);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(hosts: &[(&str, u32)]) -> ClusterSpec {
        let members = hosts.iter().map(|(host, weight)| MemberSpec {
            host: (*host).to_owned(),
            address: host.parse().unwrap(),
            max_failure: Some(1),
            weight: *weight,
            priority: 0,
            zone: None,
        });
        ClusterSpec { name: "a".into(), members: members.collect(), ..ClusterSpec::default() }
    }

    fn picks(cluster: &Cluster, count: usize) -> Vec<String> {
        let pick = || {
            let member = cluster.pick(&Choice::default());
            member.map_or_else(|| "none".into(), |member| member.endpoint.host.clone())
        };
        (0..count).map(|_| pick()).collect()
    }

    #[test]
    fn takes_turns_and_goes_on_where_it_was_after_a_change() {
        let before = Cluster::build(spec(&[("a:1", 1), ("b:1", 1)]), None);
        assert_eq!(picks(&before, 3), ["a:1", "b:1", "a:1"]);
        let same = Cluster::build(spec(&[("a:1", 1), ("b:1", 1)]), Some(&before));
        assert!(Arc::ptr_eq(&before, &same));
        let after = Cluster::build(spec(&[("a:1", 1), ("b:1", 1), ("c:1", 1)]), Some(&before));
        assert_eq!(picks(&after, 3), ["a:1", "b:1", "c:1"]);
        assert_eq!(before.members()[0].endpoint.id, after.members()[0].endpoint.id);
    }

    #[test]
    fn passes_over_what_is_ejected_or_was_tried() {
        let cluster = Cluster::build(spec(&[("a:1", 1), ("b:1", 1), ("c:1", 1)]), None);
        let members = cluster.members();
        members[1].endpoint.failed(1);
        assert_eq!(picks(&cluster, 3), ["a:1", "c:1", "c:1"]);
        cluster.refresh();
        assert_eq!(picks(&cluster, 4), ["c:1", "a:1", "c:1", "a:1"]);
        let tried = [members[0].endpoint.id, members[2].endpoint.id];
        assert!(cluster.pick(&Choice { tried: &tried, ..Choice::default() }).is_none());
    }
}
