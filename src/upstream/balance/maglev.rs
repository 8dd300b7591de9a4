//! Consistent hashing by Google's Maglev table (Eisenbud and others, NSDI 2016, section 3.4): one look-up in an array,
//! shares as even as the array is long, and little that moves when a member comes or goes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::walk::Walk;

/// The size that the paper and Envoy take for granted, a prime. It does not follow the number of members: where the
/// size changes nearly all keys move, which is what the table is there to prevent. With it the share of a member that
/// has one part in 600 of all weight is exact to 1 %, and removing one of N members moves 1/N of all keys and less
/// than another 1 % (measured; see the tests).
const SIZE: u32 = 65_537;

const UNCLAIMED: u32 = u32::MAX;

/// Which member has which part of all hashes. Immutable: built beside and swapped in when members change.
#[derive(Debug, Clone)]
pub struct Table {
    /// Indices into the members.
    entries: Box<[u32]>,
    members: usize,
    /// How many members have an entry.
    present: usize,
}

/// A member while the table is built.
struct Claimant {
    index: u32,
    /// Claims are due at multiples of it: the heavier the sooner.
    period: u64,
    /// The entry that it would like next, and the step from there to the one after.
    next: u32,
    step: u32,
}

impl Table {
    /// Builds a table of `members`: a hash of the identity of each, which must be the same wherever and whenever it is
    /// computed, and its weight. Who has weight 0 gets nothing. The order of the members makes no difference to which
    /// of them has which hash.
    pub fn build(members: &[(u64, u32)]) -> Self {
        Self::with_size(members, SIZE)
    }

    /// As `build`, with a size of the caller's: a prime, greater than 2, and the same as long as the keys should
    /// stay where they are. With a hundred entries for each member removing one moves up to 2.5 % of the others' keys,
    /// with two hundred 1.6 %, with thirteen hundred 0.5 %.
    pub fn with_size(members: &[(u64, u32)], size: u32) -> Self {
        let mut claimants = claimants(members, size);
        let entries = if claimants.is_empty() { Box::default() } else { fill(&mut claimants, size) };
        let mut has_entry = vec![false; members.len()];
        entries.iter().for_each(|&index| has_entry[index as usize] = true);
        let present = has_entry.into_iter().filter(|has_entry| *has_entry).count();
        Self { entries, members: members.len(), present }
    }

    /// The index of the member that a hash belongs to. None where nobody has a weight.
    #[cfg(test)]
    pub fn pick(&self, hash: u64) -> Option<usize> {
        self.entries.get(self.place(hash)).map(|&index| index as usize)
    }

    /// The same member as `pick`, then every other one once: whom to ask when those before were tried. The keys of a
    /// member that is passed over are spread over all others.
    pub fn picks(&self, hash: u64) -> impl Iterator<Item = usize> {
        let (before, from) = self.entries.split_at(self.place(hash));
        let circle = from.iter().chain(before).map(|&index| index as usize);
        Walk::new(circle, self.members, self.present)
    }

    fn place(&self, hash: u64) -> usize {
        // The remainder is less than a `usize`.
        (hash % (self.entries.len() as u64).max(1)) as usize
    }
}

/// In the order of their hashes: so the order in the document does not matter.
fn claimants(members: &[(u64, u32)], size: u32) -> Vec<Claimant> {
    let mut ranked: Vec<_> = (0..).zip(members).filter(|(_, (_, weight))| *weight > 0).collect();
    ranked.sort_unstable_by_key(|&(index, &(hash, _))| (hash, index));
    let claimant = |(index, &(hash, weight)): (u32, &(u64, u32))| Claimant {
        index,
        period: (1 << 32) / u64::from(weight),
        next: (mix(hash) % u64::from(size)) as u32,
        step: (mix(hash ^ 0x5bf0_3635_dcf8_5ca1) % u64::from(size - 1)) as u32 + 1,
    };
    ranked.into_iter().map(claimant).collect()
}

/// Whoever's claim is due next gets the first unclaimed entry of those that it would like.
fn fill(claimants: &mut [Claimant], size: u32) -> Box<[u32]> {
    let mut entries = vec![UNCLAIMED; size as usize].into_boxed_slice();
    let mut due: BinaryHeap<_> =
        claimants.iter().enumerate().map(|(rank, claimant)| Reverse((claimant.period, rank))).collect();
    for _ in 0..size {
        let Some(mut first) = due.peek_mut() else { break };
        let Reverse((time, rank)) = &mut *first;
        let claimant = &mut claimants[*rank];
        *time += claimant.period;
        claimant.claim(&mut entries, size);
    }
    entries
}

impl Claimant {
    /// The size is prime, so the steps come by every entry, and the caller claims no more than there are.
    fn claim(&mut self, entries: &mut [u32], size: u32) {
        while entries[self.next as usize] != UNCLAIMED {
            self.advance(size);
        }
        entries[self.next as usize] = self.index;
    }

    fn advance(&mut self, size: u32) {
        let left = size - self.next;
        self.next = if self.step < left { self.next + self.step } else { self.step - left };
    }
}

/// The finalizer of SplitMix64: identities may be hashed by something that leaves patterns.
fn mix(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests;
