//! Consistent hashing by a ring of points, as ketama and Envoy's ring hash have it: a hash belongs to the first point
//! at or after it. When a member goes only its own keys move; the shares are less even than those of `maglev`.

use super::walk::Walk;

/// Points of a member of the least weight. The fewest members that share anything are two, so a ring in use has at
/// least 1,024 points, Envoy's minimum. Unlike Envoy's it does not shrink when members are many: were it to follow
/// their number, each that comes or goes would move keys of all others too.
const POINTS_FOR_THE_LIGHTEST: u64 = 512;

/// What a ring may grow to, unless the caller says otherwise: 16 MiB.
const LARGEST: usize = 1 << 20;

/// Envoy's limit: 128 MiB.
const LARGEST_OF_ALL: usize = 8 << 20;

/// Which member has which arc of all hashes. Immutable: built beside and swapped in when members change.
#[derive(Debug, Clone)]
pub struct Ring {
    /// Where each point is, in that order, and the index of its member.
    points: Box<[(u64, u32)]>,
    members: usize,
    /// How many members have a point.
    present: usize,
}

impl Ring {
    /// Builds a ring of `members`: a hash of the identity of each, which must be the same wherever and whenever it is
    /// computed, and its weight. Who has weight 0 gets nothing.
    pub fn build(members: &[(u64, u32)]) -> Self {
        Self::with_largest(members, LARGEST)
    }

    /// As `build`, with about as many points as the caller allows, at most 8,388,608 of 16 bytes each, but one for
    /// each member.
    pub fn with_largest(members: &[(u64, u32)], largest: usize) -> Self {
        let unit = unit(members, largest.min(LARGEST_OF_ALL) as u64);
        let mut points: Vec<_> = (0..)
            .zip(members)
            .flat_map(|(index, &(hash, weight))| {
                places(hash).zip(0..count(weight, unit)).map(move |(place, _)| (place, index))
            })
            .collect();
        points.sort_unstable();
        let present = members.iter().filter(|(_, weight)| *weight > 0).count();
        Self { points: points.into_boxed_slice(), members: members.len(), present }
    }

    /// The index of the member that a hash belongs to. None where nobody has a weight. The hash should be a good one
    /// in all of its 64 bits.
    #[cfg(test)]
    pub fn pick(&self, hash: u64) -> Option<usize> {
        let (before, from) = self.points.split_at(self.position(hash));
        from.first().or(before.first()).map(|&(_, index)| index as usize)
    }

    /// The same member as `pick`, then every other one once: whom to ask when those before were tried. The second is
    /// the one that gets the key if the first is removed.
    pub fn picks(&self, hash: u64) -> impl Iterator<Item = usize> {
        let (before, from) = self.points.split_at(self.position(hash));
        let circle = from.iter().chain(before).map(|&(_, index)| index as usize);
        Walk::new(circle, self.members, self.present)
    }

    /// How many points it has, of 16 bytes each.
    #[cfg(test)]
    pub fn size(&self) -> usize {
        self.points.len()
    }

    fn position(&self, hash: u64) -> usize {
        self.points.partition_point(|&(place, _)| place < hash)
    }
}

/// The weight for which a member gets `POINTS_FOR_THE_LIGHTEST`: always a power of two, so that it seldom changes when
/// members do, for that moves keys of all of them.
fn unit(members: &[(u64, u32)], largest: u64) -> u64 {
    let weights = || members.iter().map(|&(_, weight)| weight).filter(|weight| *weight > 0);
    let lightest = weights().min().unwrap_or(1);
    let fits = |unit: &u64| weights().map(|weight| count(weight, *unit)).sum::<u64>() <= largest;
    let mut units = (lightest.ilog2()..63).map(|power| 1 << power);
    // Past the last unit each member has one point, which is the least that there can be.
    units.find(fits).unwrap_or(1 << 63)
}

fn count(weight: u32, unit: u64) -> u64 {
    let least = u64::from(weight > 0);
    (u64::from(weight) * POINTS_FOR_THE_LIGHTEST / unit).max(least)
}

/// The points of a member, without end: SplitMix64 with its hash as the seed. However many it gets, it begins with the
/// same ones.
fn places(hash: u64) -> impl Iterator<Item = u64> {
    let first = mix(hash);
    (1..).map(move |turn: u64| mix(first.wrapping_add(turn.wrapping_mul(0x9e37_79b9_7f4a_7c15))))
}

fn mix(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests;
