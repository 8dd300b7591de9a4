//! Which endpoints the members of a cluster are: those of the document, and in the place of a name those that it was
//! resolved to.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::{ClusterSpec, Endpoint, Member, MemberSpec};
use crate::base::address::{Address, Host, HostPort};

/// The largest weight that a service's record has, in shares of its backend's weight.
const LARGEST: u32 = 256;

/// Where DNS says that a member is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Answer {
    /// Lower numbers come first.
    pub priority: u16,
    /// The share among those of the same priority.
    pub weight: u16,
    /// The name, of the service's server where there is one.
    pub name: String,
    /// Its port.
    pub port: u16,
    /// Its address.
    pub ip: IpAddr,
}

/// What names were resolved to, the last time that it succeeded.
#[derive(Debug, Default, Clone)]
pub(super) struct Roster(HashMap<String, Vec<Answer>>);

impl Roster {
    /// Takes in what a host of the document was resolved to. Whether it differs from before.
    pub fn answer(&mut self, host: &str, mut answers: Vec<Answer>) -> bool {
        answers.sort();
        answers.dedup();
        let before = self.0.insert(host.to_owned(), answers);
        before.as_ref() != self.0.get(host)
    }

    /// The same for the members of a changed specification.
    pub fn retain(mut self, spec: &ClusterSpec) -> Self {
        self.0.retain(|host, _| spec.members.iter().any(|member| member.host == *host));
        self
    }

    /// The members, with the endpoints among `known` that they have already.
    pub fn members(&self, spec: &ClusterSpec, known: &[Member]) -> Arc<[Member]> {
        let members = spec.members.iter().flat_map(|member| match self.0.get(&member.host) {
            Some(answers) => resolved(member, answers).collect::<Vec<_>>(),
            None => as_written(member).into_iter().collect(),
        });
        let member = |(role, endpoint): (MemberSpec, Wanted)| {
            let mut same =
                known.iter().map(|known| &known.endpoint).filter(|known| known.host == endpoint.host);
            Member {
                endpoint: same.next().map_or_else(|| Arc::new(endpoint.make(spec)), Arc::clone),
                written: role.host.into(),
                max_failure: role.max_failure,
                weight: role.weight,
                priority: role.priority,
                zone: role.zone,
                probe: Arc::clone(&spec.probe),
            }
        };
        members.map(member).collect()
    }
}

/// An endpoint that may be there already.
struct Wanted {
    host: String,
    address: Address,
    resolved: Option<IpAddr>,
}

impl Wanted {
    fn make(self, spec: &ClusterSpec) -> Endpoint {
        let mut endpoint = Endpoint::new(self.host, self.address, Arc::clone(&spec.dial));
        endpoint.resolved = self.resolved;
        if spec.health_check.as_ref().is_some_and(|check| !check.is_assumed_healthy) {
            endpoint.assume_unfit();
        }
        endpoint
    }
}

/// A name is looked up with each connection until it was resolved; of a service nothing is known before.
fn as_written(member: &MemberSpec) -> Option<(MemberSpec, Wanted)> {
    let is_service = matches!(member.address, Address::Service(_));
    let wanted = Wanted { host: member.host.clone(), address: member.address.clone(), resolved: None };
    (!is_service).then(|| (member.clone(), wanted))
}

fn resolved<'m>(
    member: &'m MemberSpec,
    answers: &'m [Answer],
) -> impl Iterator<Item = (MemberSpec, Wanted)> + 'm {
    let mut priorities: Vec<u16> = answers.iter().map(|answer| answer.priority).collect();
    priorities.sort_unstable();
    priorities.dedup();
    let heaviest = answers.iter().map(|answer| u32::from(answer.weight)).max().unwrap_or_default().max(1);
    answers.iter().map(move |answer| {
        let rank = priorities.iter().position(|priority| *priority == answer.priority).unwrap_or_default();
        // Where all weigh the same, as addresses of a name do, each weighs as much as the member.
        let share = match answers.iter().all(|other| other.weight == answer.weight) {
            true => 1,
            false => (u32::from(answer.weight) * LARGEST / heaviest).max(1),
        };
        let role = MemberSpec {
            weight: member.weight * share,
            priority: member.priority + rank as u32,
            ..member.clone()
        };
        let address = HostPort { host: Host::Name(answer.name.clone()), port: answer.port };
        let wanted = Wanted {
            host: format!("{address} ({})", answer.ip),
            address: Address::Tcp(address),
            resolved: Some(answer.ip),
        };
        (role, wanted)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(hosts: &[&str]) -> ClusterSpec {
        let member = |host: &&str| MemberSpec {
            host: (*host).to_owned(),
            address: host.parse().unwrap(),
            max_failure: Some(1),
            weight: 2,
            priority: 1,
            zone: None,
        };
        ClusterSpec { members: hosts.iter().map(member).collect(), ..ClusterSpec::default() }
    }

    fn answer(priority: u16, weight: u16, ip: &str) -> Answer {
        Answer { priority, weight, name: "s.internal".into(), port: 81, ip: ip.parse().unwrap() }
    }

    fn shown(members: &[Member]) -> Vec<(String, u32, u32)> {
        members.iter().map(|one| (one.endpoint.host.clone(), one.weight, one.priority)).collect()
    }

    #[test]
    fn names_stand_for_what_they_were_resolved_to() {
        let spec = spec(&["127.0.0.1:80", "s.internal:81", "srv:_a._tcp.internal"]);
        let mut roster = Roster::default();
        let first = roster.members(&spec, &[]);
        assert_eq!(shown(&first), [("127.0.0.1:80".into(), 2, 1), ("s.internal:81".into(), 2, 1)]);
        assert!(roster.answer("s.internal:81", vec![answer(0, 0, "10.0.0.2"), answer(0, 0, "10.0.0.1")]));
        let services = vec![answer(20, 5, "10.0.0.5"), answer(10, 100, "10.0.0.3"), answer(10, 50, "::4")];
        assert!(roster.answer("srv:_a._tcp.internal", services));
        let second = roster.members(&spec, &first);
        let expected = [
            ("127.0.0.1:80", 2, 1),
            ("s.internal:81 (10.0.0.1)", 2, 1),
            ("s.internal:81 (10.0.0.2)", 2, 1),
            ("s.internal:81 (::4)", 256, 1),
            ("s.internal:81 (10.0.0.3)", 512, 1),
            ("s.internal:81 (10.0.0.5)", 24, 2),
        ];
        assert_eq!(
            shown(&second),
            expected.map(|(host, weight, priority)| (host.to_owned(), weight, priority))
        );
        assert_eq!(second[1].endpoint.resolved, Some("10.0.0.1".parse().unwrap()));
        assert!(Arc::ptr_eq(&first[0].endpoint, &second[0].endpoint));
        // Another order is no other answer.
        assert!(!roster.answer("s.internal:81", vec![answer(0, 0, "10.0.0.1"), answer(0, 0, "10.0.0.2")]));
        assert!(roster.answer("s.internal:81", vec![answer(0, 0, "10.0.0.2")]));
        let third = roster.members(&spec, &second);
        assert!(Arc::ptr_eq(&second[2].endpoint, &third[1].endpoint));
    }
}
