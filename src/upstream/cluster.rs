//! A set of interchangeable endpoints, shared by all workers.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arc_swap::ArcSwap;

use super::balance::schedule;
use super::{Dial, Endpoint, EndpointId};
use crate::base::address::Address;

/// How a cluster shares out requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// Each endpoint in its turn, as often as its weight says; exact over all workers.
    #[default]
    RoundRobin,
}

/// What the document says of a cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterSpec {
    /// The upstream's name.
    pub name: String,
    /// How requests are shared out.
    pub strategy: Strategy,
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
    /// Consecutive failures that take it out.
    pub max_failure: u32,
    /// Its share.
    pub weight: u32,
}

/// An endpoint in its role in a cluster.
#[derive(Debug, Clone)]
pub struct Member {
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    /// Consecutive failures that take it out.
    pub max_failure: u32,
    weight: u32,
}

/// See the module.
#[derive(Debug)]
pub struct Cluster {
    spec: ClusterSpec,
    members: Vec<Member>,
    /// As the document has them.
    hosts: Arc<[String]>,
    position: Arc<AtomicU64>,
    /// Indices into `members` of those in rotation. Replaced as a whole when health changes.
    rotation: ArcSwap<Vec<u32>>,
}

/// Whose turn it is.
#[derive(Debug)]
pub enum Pick {
    /// Ask this one.
    Member(Member),
    /// None is left that is healthy and was not tried for this request.
    Exhausted,
}

/// The clusters of a snapshot, by name.
pub type Clusters = HashMap<String, Arc<Cluster>>;

impl ClusterSpec {
    fn endpoint(&self, member: &MemberSpec) -> Endpoint {
        Endpoint::new(member.host.clone(), member.address.clone(), Arc::clone(&self.dial))
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
        let known = |host: &str| {
            let mut members = alike.iter().flat_map(|previous| &previous.members);
            members.find(|member| member.endpoint.host == host).map(|member| Arc::clone(&member.endpoint))
        };
        let members = spec.members.iter().map(|member| Member {
            endpoint: known(&member.host).unwrap_or_else(|| Arc::new(spec.endpoint(member))),
            max_failure: member.max_failure,
            weight: member.weight,
        });
        let cluster = Self {
            hosts: spec.members.iter().map(|member| member.host.clone()).collect(),
            members: members.collect(),
            position: previous.map(|previous| Arc::clone(&previous.position)).unwrap_or_default(),
            rotation: ArcSwap::default(),
            spec,
        };
        cluster.refresh();
        Arc::new(cluster)
    }

    /// The upstream's name.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// How its backends are spoken to.
    pub fn dial(&self) -> &Dial {
        &self.spec.dial
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
        let members = self.members.iter().filter(|member| hosts.contains(&member.endpoint.host));
        members.map(|member| member.endpoint.id).collect()
    }

    /// All members, in the document's order.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Puts the endpoints that are healthy now into rotation.
    pub fn refresh(&self) {
        let healthy = self.members.iter().enumerate().filter(|(_, member)| member.endpoint.takes_turns());
        let weights: Vec<_> = healthy.map(|(index, member)| (index, member.weight)).collect();
        self.rotation.store(Arc::new(schedule(&weights)));
    }

    /// The member that has the next turn, which it does not take.
    pub fn next(&self) -> Option<&Member> {
        let rotation = self.rotation.load();
        let length = u64::try_from(rotation.len()).ok().filter(|length| *length > 0)?;
        let position = self.position.load(Relaxed);
        let mut turns = (0..length).map(|offset| rotation[(position.wrapping_add(offset) % length) as usize]);
        turns.find_map(|index| {
            Some(&self.members[index as usize]).filter(|member| member.endpoint.takes_turns())
        })
    }

    /// Takes the next turn, passing over the endpoints in `tried` and those that were ejected a moment ago.
    pub fn pick(&self, tried: &[EndpointId]) -> Pick {
        let rotation = self.rotation.load();
        let Some(length) = u64::try_from(rotation.len()).ok().filter(|length| *length > 0) else {
            return Pick::Exhausted;
        };
        let position = self.position.fetch_add(1, Relaxed);
        let turns = (0..length).map(|offset| rotation[(position.wrapping_add(offset) % length) as usize]);
        let is_fit = |member: &&Member| {
            member.endpoint.takes_turns() && (tried.is_empty() || !tried.contains(&member.endpoint.id))
        };
        turns
            .map(|index| &self.members[index as usize])
            .find(is_fit)
            .map_or(Pick::Exhausted, |member| Pick::Member(member.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(hosts: &[(&str, u32)]) -> ClusterSpec {
        let members = hosts.iter().map(|(host, weight)| MemberSpec {
            host: (*host).to_owned(),
            address: host.parse().unwrap(),
            max_failure: 1,
            weight: *weight,
        });
        ClusterSpec {
            name: "a".into(),
            strategy: Strategy::RoundRobin,
            dial: Arc::default(),
            members: members.collect(),
        }
    }

    fn picks(cluster: &Cluster, count: usize) -> Vec<String> {
        let pick = || match cluster.pick(&[]) {
            Pick::Member(member) => member.endpoint.host.clone(),
            Pick::Exhausted => "none".into(),
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
        assert_eq!(before.members[0].endpoint.id, after.members[0].endpoint.id);
    }

    #[test]
    fn passes_over_what_is_ejected_or_was_tried() {
        let cluster = Cluster::build(spec(&[("a:1", 1), ("b:1", 1), ("c:1", 1)]), None);
        cluster.members[1].endpoint.failed(1);
        assert_eq!(picks(&cluster, 3), ["a:1", "c:1", "c:1"]);
        cluster.refresh();
        assert_eq!(picks(&cluster, 4), ["c:1", "a:1", "c:1", "a:1"]);
        let tried = [cluster.members[0].endpoint.id, cluster.members[2].endpoint.id];
        assert!(matches!(cluster.pick(&tried), Pick::Exhausted));
    }
}
