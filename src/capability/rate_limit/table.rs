//! Accounts of a limiter: a table of fixed size, changed without a lock.
//!
//! An account is a key's hash and the moment at which it will be full again (the theoretical arrival time of the
//! algorithm), side by side in one 16-byte word that changes as a whole. So a charge can never reach an account that has
//! just been given to another key, and an account that is being charged cannot be given away unnoticed: whoever loses
//! such a race sees the word changed and looks again. A key may be in any slot of its set, and in no other set. A moment
//! that has passed is a full account, which is as good as none: its slot is free. Where all of a set are indebted, a new
//! key takes the place of the least indebted one, which begins anew when it comes back: an *eviction*.
//!
//! **A key never has two accounts.** Two threads may look for the same new key at once and choose different slots, so a
//! slot is first *claimed*: the word has the key and a number that is used once, and nothing is charged. A claim becomes
//! an account only by a thread that saw it, then looked at the whole set, and found no other slot with the key. Suppose
//! that claims C and D of a key both became accounts, and C was made first. Who confirmed D looked at C's slot after
//! that, when C was there, and must have seen it. That the number is used once keeps a late confirmation from reaching a
//! later claim in the same slot. Of several claims the oldest stays and the others are given back by whoever sees them;
//! their owners look again and use what stayed. Every owner looks at its set again before it leaves, so no claim remains.
//!
//! **Progress.** Nobody waits for anybody: a claim of a thread that was suspended is confirmed by the next one with that
//! key. Each look that has to be repeated is due to a change that another thread made. Only threads that take each
//! other's claims (five new keys in one full set at the same instant) could go on forever: after [`MOST_CLAIMS`] a
//! charge is let through without an account, and counted as an eviction.
//!
//! **What is promised.** No charge is lost, and no account gives more than its quota, unless it is evicted. It is
//! evicted only while at least three others of its set owe as much or more. A charge counts from when its thread read
//! the clock: one that is suspended between that and the charge may find an account gone that was full only since, and
//! charge a full one as of its own time.
//!
//! **How full.** There are at least two slots for each expected key. With as many keys as expected all in debt, at most
//! one in 120 finds its set full (eight slots, four keys on average).

#[cfg(test)]
mod tests;

use std::array;
use std::sync::Arc;
use std::time::Duration;

use governor::nanos::Nanos;
use governor::state::StateStore;
use once_cell::race::OnceBox;

use crate::base::sync::{AtomicU64, AtomicU128, Ordering};

/// Slots of a set: two cache lines.
const SLOTS: usize = 8;
/// Sets of a block, which is the unit of allocation: 2 KiB.
const BLOCK: usize = 16;
/// Blocks that one shelf has room for.
const SHELF: usize = 128;
const MOST_KEYS: usize = 1 << 26;
/// Claims that one charge makes.
const MOST_CLAIMS: u32 = 8;
/// Marks a claim; the other bits are its number. Above all moments, so that claims are given to others last.
const CLAIM: u64 = 1 << 63;

/// What is to be charged: governor's view of a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Charge {
    key: u64,
    /// Nanoseconds that it puts an account into debt.
    debt: u64,
}

impl Charge {
    /// A charge for the key with this hash. Zero stands for no key, so that hash shares an account with its neighbour.
    pub fn new(hash: u64, debt: Duration) -> Self {
        Self { key: hash.max(1), debt: debt.as_nanos() as u64 }
    }
}

/// The table as governor's store.
pub(super) struct Accounts(pub Arc<Table>);

impl StateStore for Accounts {
    type Key = Charge;

    fn measure_and_replace<T, F, E>(&self, charge: &Charge, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        self.0.charge(charge, |full_at| {
            decide(full_at.map(Nanos::new)).map(|(answer, at)| (answer, at.as_u64()))
        })
    }
}

/// A key, and when its account is full, or the number of the claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Account {
    key: u64,
    full_at: u64,
}

impl Account {
    const NONE: Self = Self { key: 0, full_at: 0 };

    fn is_claim(self) -> bool {
        self.full_at & CLAIM != 0
    }

    fn from_word(word: u128) -> Self {
        Self { key: (word >> 64) as u64, full_at: word as u64 }
    }

    fn word(self) -> u128 {
        u128::from(self.key) << 64 | u128::from(self.full_at)
    }
}

/// What was seen in a slot. Equal only if nothing happened to the slot between, or nothing that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    slot: usize,
    account: Account,
}

#[derive(Default)]
#[repr(align(64))]
pub(super) struct Set([AtomicU128; SLOTS]);

impl Set {
    /// Each key has a slot where looking begins: mostly it is there.
    fn slots(&self, key: u64) -> impl Iterator<Item = Seen> {
        let home = (key >> 61) as usize;
        (home..home + SLOTS).map(|slot| self.look(slot % SLOTS))
    }

    fn look_at_all(&self) -> [Seen; SLOTS] {
        array::from_fn(|slot| self.look(slot))
    }

    // The proof above orders looks at some slots against claims of others, which only sequential consistency does.
    fn look(&self, slot: usize) -> Seen {
        Seen { slot, account: Account::from_word(self.0[slot].load(Ordering::SeqCst)) }
    }

    fn replace(&self, seen: Seen, account: Account) -> bool {
        let (old, new) = (seen.account.word(), account.word());
        self.0[seen.slot].compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// The account of a key, if it has been seen on the way to the end of the set.
    fn account(&self, key: u64) -> Option<Seen> {
        self.slots(key).find(|seen| seen.account.key == key && !seen.account.is_claim())
    }

    /// Looks at the whole set: the account of a key or else its oldest claim, and whether it is the only one. Other
    /// claims are given back.
    fn settle(&self, key: u64) -> Option<(Seen, bool)> {
        let slots = self.look_at_all();
        let found = slots.iter().filter(|seen| seen.account.key == key);
        let best = *found.clone().min_by_key(|seen| seen.account.full_at)?;
        let mut alone = true;
        for other in found.filter(|seen| seen.slot != best.slot) {
            self.replace(*other, Account::NONE);
            alone = false;
        }
        Some((best, alone))
    }

    /// The slot for a new key: a free one, or else that of the account that is the least indebted. But no more than half
    /// of a set is given to claims, since accounts are worth more: after that, the oldest claim has to try again.
    fn victim(&self, key: u64, now: u64) -> Option<Seen> {
        let free = self.slots(key).find(|seen| seen.account.full_at <= now);
        free.or_else(|| {
            let slots = self.look_at_all();
            let claims = slots.iter().filter(|seen| seen.account.is_claim()).count();
            let candidates = slots.into_iter().filter(|seen| claims <= SLOTS / 2 || seen.account.is_claim());
            candidates.min_by_key(|seen| seen.account.full_at)
        })
    }
}

pub(super) type Block = [Set; BLOCK];
type Shelf = [OnceBox<Block>; SHELF];

/// All accounts. Blocks appear when they are first touched; two threads that do so at once both build one, and one of
/// them is thrown away.
pub(super) struct Table {
    shelves: Box<[OnceBox<Shelf>]>,
    /// The number of sets is a power of two.
    mask: usize,
    claims: AtomicU64,
    evictions: AtomicU64,
}

impl Table {
    /// A table with room for at least twice as many accounts.
    pub fn new(most_keys: usize) -> Self {
        let slots = 2 * most_keys.clamp(1, MOST_KEYS);
        let sets = slots.div_ceil(SLOTS).next_power_of_two();
        let shelves = (0..sets.div_ceil(BLOCK * SHELF)).map(|_| OnceBox::new()).collect();
        Self { shelves, mask: sets - 1, claims: AtomicU64::new(0), evictions: AtomicU64::new(0) }
    }

    pub fn evictions(&self) -> u64 {
        self.evictions.load(Ordering::Relaxed)
    }

    /// How many accounts are not full.
    pub fn indebted(&self, now: u64) -> usize {
        let slots = self.blocks().flatten().flat_map(|set| (0..SLOTS).map(|slot| set.look(slot).account));
        slots.filter(|account| account.full_at > now && !account.is_claim()).count()
    }

    /// The blocks that exist.
    pub fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.shelves.iter().filter_map(OnceBox::get).flatten().filter_map(OnceBox::get)
    }

    fn set(&self, key: u64) -> &Set {
        let index = key as usize & self.mask;
        let block = index / BLOCK;
        let shelf = self.shelves[block / SHELF].get_or_init(|| Box::new(array::from_fn(|_| OnceBox::new())));
        let block = shelf[block % SHELF].get_or_init(|| Box::new(array::from_fn(|_| Set::default())));
        &block[index % BLOCK]
    }

    /// Puts before `decide` when the account is full (none: it is), and writes down what that says.
    pub fn charge<T, E>(
        &self,
        charge: &Charge,
        decide: impl Fn(Option<u64>) -> Result<(T, u64), E>,
    ) -> Result<T, E> {
        let set = self.set(charge.key);
        while let Some(seen) = set.account(charge.key) {
            let (answer, full_at) = decide(Some(seen.account.full_at))?;
            if set.replace(seen, Account { full_at, ..seen.account }) {
                return Ok(answer);
            }
        }
        self.open(set, charge, decide)
    }

    /// Charges the account of a key that seems to have none.
    fn open<T, E>(
        &self,
        set: &Set,
        charge: &Charge,
        decide: impl Fn(Option<u64>) -> Result<(T, u64), E>,
    ) -> Result<T, E> {
        let (mut claims, mut claim) = (0, None);
        loop {
            let Some((seen, alone)) = set.settle(charge.key) else {
                let (answer, full_at) = decide(None)?;
                if claims == MOST_CLAIMS {
                    self.evictions.fetch_add(1, Ordering::Relaxed);
                    return Ok(answer);
                }
                // From a full account the time now is read off: governor does not pass it on.
                claim = self.claim(set, charge.key, full_at - charge.debt);
                claims += u32::from(claim.is_some());
                continue;
            };
            let is_claim = seen.account.is_claim();
            if is_claim && !(alone && claim == Some(seen)) {
                claim = Some(seen);
                continue;
            }
            let (answer, full_at) = decide((!is_claim).then_some(seen.account.full_at))?;
            if set.replace(seen, Account { full_at, ..seen.account }) {
                return Ok(answer);
            }
        }
    }

    fn claim(&self, set: &Set, key: u64, now: u64) -> Option<Seen> {
        let victim = set.victim(key, now)?;
        let number = self.claims.fetch_add(1, Ordering::Relaxed);
        let account = Account { key, full_at: CLAIM | number };
        if !set.replace(victim, account) {
            return None;
        }
        if victim.account.full_at > now && !victim.account.is_claim() {
            self.evictions.fetch_add(1, Ordering::Relaxed);
        }
        Some(Seen { account, ..victim })
    }
}
