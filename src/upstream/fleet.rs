//! The members of a cluster at one moment, and how one of them is chosen.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::balance::{Affinity, Candidate, Draw, Level as Counts, Picker, Strategy, shares};
use super::endpoint::uptime;
use super::{Endpoint, EndpointId, Probe};

/// A level is taken for whole as long as so many per cent of its members, more than all of them, would be healthy.
const OVERPROVISIONING: u32 = 140;
/// What a weight is multiplied by where members get a part of it.
const STEPS: u32 = 10;
/// Draws in search of a member that may be asked, before all are looked at.
const DRAWS: usize = 4;
/// What a latency is taken for that was not observed yet, in seconds: newcomers are tried, and not by everybody at once.
const UNKNOWN_LATENCY: f64 = 1e-3;

/// An endpoint in its role in a cluster.
#[derive(Debug, Clone)]
pub struct Member {
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    /// Its host as the document has it, of which it may be one address among several.
    pub written: Arc<str>,
    /// Consecutive failures that take it out. None where others judge it.
    pub max_failure: Option<u32>,
    /// Its share.
    pub weight: u32,
    /// 0 comes first.
    pub priority: u32,
    /// Where it stands.
    pub zone: Option<String>,
    /// How it is found out whether it is fit.
    pub probe: Arc<Probe>,
}

/// How a cluster balances.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Balancing {
    /// Who is chosen.
    pub strategy: Strategy,
    /// Whether clients come back to whom they had.
    pub affinity: Option<Affinity>,
    /// How long a member takes to get its full share.
    pub slow_start: Option<Duration>,
    /// The share of healthy members, in per cent, below which all are asked.
    pub panic_threshold: u32,
    /// Where this gateway stands.
    pub zone: Option<String>,
}

/// What a choice goes by.
#[derive(Debug, Clone, Copy, Default)]
pub struct Choice<'a> {
    /// Who was asked already, or is to be avoided.
    pub tried: &'a [EndpointId],
    /// The hash of the request's key.
    pub hash: Option<u64>,
    /// The cookie by which the client comes back.
    pub cookie: Option<&'a str>,
}

/// See the module. Replaced as a whole when health or members change.
#[derive(Debug, Default)]
pub struct Fleet {
    members: Arc<[Member]>,
    levels: Vec<Level>,
    by_cookie: FxHashMap<String, u32>,
    /// Whether a member has not got its full share yet.
    pub(super) is_warming: bool,
}

/// Members of one priority that are in this gateway's zone, or are not.
#[derive(Debug)]
struct Level {
    /// The part of all requests that goes here or to levels before, in per cent.
    upto: u32,
    /// Whether so few are healthy that all are asked.
    panics: bool,
    /// Indices into the fleet's.
    members: Vec<u32>,
    picker: Picker,
}

impl Fleet {
    /// Looks at the health of `members` as it is now.
    pub(super) fn new(members: Arc<[Member]>, balancing: &Balancing, upstream: &str) -> Self {
        let mut by_rank = BTreeMap::<_, Vec<u32>>::new();
        for (index, member) in members.iter().enumerate() {
            let is_near = balancing.zone.is_some() && member.zone == balancing.zone;
            by_rank.entry((member.priority, !is_near)).or_default().push(index as u32);
        }
        let is_fit = |index: &&u32| members[**index as usize].endpoint.takes_turns();
        let counts = by_rank
            .values()
            .map(|all| Counts { healthy: all.iter().filter(is_fit).count() as u64, total: all.len() as u64 });
        let shares = shares(&counts.collect::<Vec<_>>(), OVERPROVISIONING, balancing.panic_threshold);
        let mut upto = 0;
        let levels = by_rank.into_values().zip(shares).map(|(all, share)| {
            upto += share.percent;
            let asked = |index: &u32| {
                let endpoint = &members[*index as usize].endpoint;
                if share.panics { !endpoint.is_out(super::Out::Drained) } else { endpoint.takes_turns() }
            };
            Level::new(all.into_iter().filter(asked).collect(), &members, balancing, upto, share.panics)
        });
        let levels = levels.collect();
        let cookies = balancing.affinity.iter().flat_map(|affinity| {
            let values = members.iter().map(|member| affinity.value(upstream, &member.endpoint.host));
            values.zip(0..)
        });
        let warming = |window| members.iter().any(|member| member.endpoint.age() < window);
        Self {
            by_cookie: cookies.collect(),
            is_warming: balancing.slow_start.is_some_and(warming),
            levels,
            members,
        }
    }

    /// All members, in the document's order.
    pub fn members(&self) -> &Arc<[Member]> {
        &self.members
    }

    /// Takes the next turn.
    pub(super) fn pick(&self, choice: &Choice<'_>, position: &AtomicU64) -> Option<&Member> {
        let is_untried = |member: &Member| !choice.tried.contains(&member.endpoint.id);
        if let Some(&index) = choice.cookie.and_then(|cookie| self.by_cookie.get(cookie)) {
            let member = &self.members[index as usize];
            if member.endpoint.takes_turns() && is_untried(member) {
                return Some(member);
            }
        }
        let first = match &*self.levels {
            [_] => 0,
            levels => {
                let drawn = fastrand::u32(0..100);
                levels.iter().position(|level| drawn < level.upto).unwrap_or_default()
            }
        };
        let (before, from) = self.levels.split_at(first.min(self.levels.len()));
        from.iter().chain(before).find_map(|level| {
            let may_be_asked =
                |member: &Member| (level.panics || member.endpoint.takes_turns()) && is_untried(member);
            level.pick(&self.members, choice.hash, position, may_be_asked)
        })
    }

    /// Who would be picked next, where that is settled.
    pub(super) fn next(&self, hash: Option<u64>, position: &AtomicU64) -> Option<&Member> {
        let level = self.levels.iter().find(|level| level.upto > 0)?;
        let is_settled = match &level.picker {
            Picker::Turns(_) => true,
            Picker::Maglev(_) | Picker::Ring(_) => hash.is_some(),
            Picker::Drawn(..) => level.members.len() == 1,
        };
        let position = AtomicU64::new(position.load(Relaxed));
        let may_be_asked = |member: &Member| level.panics || member.endpoint.takes_turns();
        level.pick(&self.members, hash, &position, may_be_asked).filter(|_| is_settled)
    }
}

impl Level {
    fn new(asked: Vec<u32>, members: &[Member], balancing: &Balancing, upto: u32, panics: bool) -> Self {
        let candidates = asked.iter().map(|&index| {
            let member = &members[index as usize];
            let weight = match balancing.slow_start {
                Some(window) => member.weight * steps(member.endpoint.age(), window),
                None => member.weight,
            };
            Candidate { host: &member.endpoint.host, weight }
        });
        let picker = Picker::new(balancing.strategy, &candidates.collect::<Vec<_>>());
        Self { upto, panics, members: asked, picker }
    }

    fn pick<'m>(
        &self,
        members: &'m [Member],
        hash: Option<u64>,
        position: &AtomicU64,
        may_be_asked: impl Fn(&Member) -> bool,
    ) -> Option<&'m Member> {
        let member = |index: usize| &members[self.members[index] as usize];
        let fit = |index: usize| Some(member(index)).filter(|member| may_be_asked(member));
        match &self.picker {
            Picker::Turns(turns) => {
                let length = u64::try_from(turns.len()).ok().filter(|length| *length > 0)?;
                let position = position.fetch_add(1, Relaxed);
                let turns =
                    (0..length).map(|offset| turns[(position.wrapping_add(offset) % length) as usize]);
                turns.map(|index| index as usize).find_map(fit)
            }
            Picker::Maglev(table) => table.picks(hash.unwrap_or_else(random)).find_map(fit),
            Picker::Ring(ring) => ring.picks(hash.unwrap_or_else(random)).find_map(fit),
            Picker::Drawn(weighted, draw) => {
                let drawn = || {
                    let mut draws = (0..DRAWS).filter_map(|_| weighted.draw(random()));
                    draws.find_map(fit).or_else(|| {
                        let all = self.members.len();
                        let first = fastrand::usize(..all.max(1));
                        (0..all).find_map(|offset| fit((first + offset) % all))
                    })
                };
                let one = drawn()?;
                if *draw == Draw::Any {
                    return Some(one);
                }
                let other = drawn()?;
                Some(if load(other, *draw) < load(one, *draw) { other } else { one })
            }
        }
    }
}

fn random() -> u64 {
    fastrand::u64(..)
}

/// How much of its weight a member gets, in tenths.
fn steps(age: Duration, window: Duration) -> u32 {
    let part = age.as_secs_f64() / window.as_secs_f64() * f64::from(STEPS);
    (part as u32).clamp(1, STEPS)
}

/// What a further request would find. Weights count in the draw already, so that idle members get what they should; they
/// count here too for the busy: one is as busy as the share that it is there for.
fn load(member: &Member, draw: Draw) -> f64 {
    let requests = f64::from(member.endpoint.active());
    match draw {
        Draw::Any => 0.0,
        Draw::Requests => requests / f64::from(member.weight),
        Draw::Latency => {
            let latency = member.endpoint.latency.value(uptime()).max(UNKNOWN_LATENCY);
            latency * (1.0 + requests / f64::from(member.weight))
        }
    }
}

#[cfg(test)]
mod tests;
