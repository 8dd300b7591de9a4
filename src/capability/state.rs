//! The capability `state`: values that outlive a request, shared by all instances of a plugin on this node.
//!
//! The values are in papaya's map, whose entries never change but are replaced. Every change reads what is there, asks
//! what should become of it, reserves the room, and replaces exactly what it read, or begins again. So room is taken
//! before it is used and given back after, and the quotas are never exceeded, not even for a moment; a change may find
//! the store full while another is just about to give room back.
//!
//! Bytes are those of keys and values. What the map needs beside them (about 100 bytes an entry), and values that were
//! replaced but may still be read by others, do not count.

#[cfg(test)]
mod tests;

use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use papaya::{Compute, Guard, HashMap, Operation};
use thiserror::Error;
use tokio::time::Instant;

const LONGEST_KEY: usize = 512;
const LARGEST_VALUE: usize = 64 << 10;
/// How often a full store is looked through for expired values: it takes time, and the call that finds it full waits.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// What a plugin may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quota {
    /// How many values.
    pub entries: usize,
    /// How many bytes, of keys and values together.
    pub bytes: usize,
}

/// Why a value was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum StateError {
    /// There are as many entries or bytes as there may be.
    #[error("no room for the value")]
    Full,
    /// The key is longer than 512 bytes, or the value larger than 64 KiB.
    #[error("the key is longer than 512 bytes, or the value larger than 64 KiB")]
    TooLarge,
    /// There is a value, and it is not a number as `add` writes it, or the sum does not fit.
    #[error("the value is not a number, or the sum does not fit")]
    NotANumber,
}

struct Entry {
    value: Arc<[u8]>,
    expires: Option<Instant>,
}

impl Entry {
    /// A time to live that reaches beyond what the clock can tell is forever.
    fn new(value: Arc<[u8]>, ttl: Option<Duration>) -> Self {
        Self { value, expires: ttl.and_then(|ttl| Instant::now().checked_add(ttl)) }
    }

    fn is_live(&self, now: Instant) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }

    /// The number, if it is written as `add` writes it: a plus sign or a leading zero is something else's.
    fn number(&self) -> Option<i64> {
        let number: i64 = str::from_utf8(&self.value).ok()?.parse().ok()?;
        (number.to_string().as_bytes() == &*self.value).then_some(number)
    }
}

/// What should become of an entry, and the answer when it has.
enum Change<T> {
    Keep(T),
    Remove(T),
    Put(Entry, T),
}

/// What an entry takes of the quota.
#[derive(Clone, Copy, Default)]
struct Size {
    entries: usize,
    bytes: usize,
}

impl Size {
    fn of(key: &str, entry: &Entry) -> Self {
        Self { entries: 1, bytes: key.len() + entry.value.len() }
    }

    fn beyond(self, other: Self) -> Self {
        let entries = self.entries.saturating_sub(other.entries);
        Self { entries, bytes: self.bytes.saturating_sub(other.bytes) }
    }
}

/// The values of one plugin. What has expired is as if absent, but takes room until it is swept.
pub struct Store {
    quota: Quota,
    values: HashMap<Box<str>, Entry>,
    entries: AtomicUsize,
    bytes: AtomicUsize,
    start: Instant,
    /// Milliseconds after `start` from when on a full store is swept again.
    sweep_due: AtomicU64,
}

impl Store {
    /// An empty store.
    pub fn new(quota: Quota) -> Self {
        Self {
            quota,
            values: HashMap::new(),
            entries: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            start: Instant::now(),
            sweep_due: AtomicU64::new(0),
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        let values = self.values.pin();
        let entry = values.get(key)?;
        entry.is_live(Instant::now()).then(|| entry.value.to_vec())
    }

    /// Sets a value, for `ttl` if given.
    pub fn set(&self, key: &str, value: Vec<u8>, ttl: Option<Duration>) -> Result<(), StateError> {
        check_sizes(key, &value)?;
        let value: Arc<[u8]> = value.into();
        self.change(key, |_| Ok(Change::Put(Entry::new(Arc::clone(&value), ttl), ())))
    }

    /// Removes a value, and says whether there was one.
    pub fn delete(&self, key: &str) -> bool {
        // Nothing is put, so nothing can fail.
        self.change(key, |old| Ok(Change::Remove(old.is_some()))).unwrap_or_default()
    }

    /// Adds to a number, which is 0 where there is none, and returns the sum. `ttl` counts when the number is new; one
    /// that is there keeps its own.
    pub fn add(&self, key: &str, delta: i64, ttl: Option<Duration>) -> Result<i64, StateError> {
        check_sizes(key, &[])?;
        self.change(key, |old| {
            let number = old.map_or(Some(0), Entry::number);
            let sum = number.and_then(|number| number.checked_add(delta)).ok_or(StateError::NotANumber)?;
            let mut entry = Entry::new(sum.to_string().into_bytes().into(), ttl);
            if let Some(old) = old {
                entry.expires = old.expires;
            }
            Ok(Change::Put(entry, sum))
        })
    }

    /// Puts `value` (none: nothing) in the place of `expected` (none: nothing was there), and says whether that was
    /// there.
    pub fn compare_and_swap(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        value: Option<Vec<u8>>,
        ttl: Option<Duration>,
    ) -> Result<bool, StateError> {
        check_sizes(key, value.as_deref().unwrap_or_default())?;
        let value: Option<Arc<[u8]>> = value.map(Arc::from);
        self.change(key, |old| {
            if old.map(|old| &*old.value) != expected {
                return Ok(Change::Keep(false));
            }
            Ok(match &value {
                Some(value) => Change::Put(Entry::new(Arc::clone(value), ttl), true),
                None => Change::Remove(true),
            })
        })
    }

    /// Removes what has expired. Reads all entries: for the control side, now and then.
    pub fn sweep(&self) {
        let (now, guard) = (Instant::now(), self.values.guard());
        for (key, entry) in self.values.iter(&guard) {
            if !entry.is_live(now) {
                self.remove(key, entry, &guard);
            }
        }
    }

    /// How many entries count toward the quota: also what has expired since the last sweep, and what is being put.
    pub fn entries(&self) -> usize {
        self.entries.load(Ordering::Relaxed)
    }

    /// How many bytes count toward the quota.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Does what `decide` says about the live entry of a key. It is asked again whenever another change came between.
    fn change<T>(
        &self,
        key: &str,
        decide: impl Fn(Option<&Entry>) -> Result<Change<T>, StateError>,
    ) -> Result<T, StateError> {
        let guard = self.values.guard();
        loop {
            let old = self.values.get(key, &guard);
            let now = Instant::now();
            let (done, answer) = match decide(old.filter(|old| old.is_live(now)))? {
                Change::Keep(answer) => (true, answer),
                Change::Remove(answer) => (old.is_none_or(|old| self.remove(key, old, &guard)), answer),
                Change::Put(entry, answer) => (self.put(key, old, entry, &guard)?, answer),
            };
            if done {
                return Ok(answer);
            }
        }
    }

    /// Puts an entry in the place of `old`, unless something else is there by now.
    fn put(
        &self,
        key: &str,
        old: Option<&Entry>,
        new: Entry,
        guard: &impl Guard,
    ) -> Result<bool, StateError> {
        let before = old.map(|old| Size::of(key, old)).unwrap_or_default();
        let after = Size::of(key, &new);
        self.reserve(after.beyond(before))?;
        let done = self.replace(key, old, new, guard);
        self.release(if done { before.beyond(after) } else { after.beyond(before) });
        Ok(done)
    }

    fn replace(&self, key: &str, old: Option<&Entry>, new: Entry, guard: &impl Guard) -> bool {
        let mut new = Some(new);
        // The guard keeps the address of `old` from being used again: the same address is the same entry.
        let compute = |current: Option<(&Box<str>, &Entry)>| {
            let unchanged = current.map(|(_, entry)| ptr::from_ref(entry)) == old.map(ptr::from_ref);
            new.take_if(|_| unchanged).map_or(Operation::Abort(()), Operation::Insert)
        };
        !matches!(self.values.compute(key.into(), compute, guard), Compute::Aborted(()))
    }

    /// Removes `old`, unless something else is there by now.
    fn remove(&self, key: &str, old: &Entry, guard: &impl Guard) -> bool {
        let removed = self.values.remove_if(key, |_, entry| ptr::eq(entry, old), guard);
        let done = matches!(removed, Ok(Some(_)));
        if done {
            self.release(Size::of(key, old));
        }
        done
    }

    fn reserve(&self, size: Size) -> Result<(), StateError> {
        if self.try_reserve(size) {
            return Ok(());
        }
        if self.may_sweep() {
            self.sweep();
        }
        if self.try_reserve(size) { Ok(()) } else { Err(StateError::Full) }
    }

    fn try_reserve(&self, size: Size) -> bool {
        if !take(&self.entries, size.entries, self.quota.entries) {
            return false;
        }
        let fits = take(&self.bytes, size.bytes, self.quota.bytes);
        if !fits {
            self.entries.fetch_sub(size.entries, Ordering::Relaxed);
        }
        fits
    }

    fn release(&self, size: Size) {
        self.entries.fetch_sub(size.entries, Ordering::Relaxed);
        self.bytes.fetch_sub(size.bytes, Ordering::Relaxed);
    }

    /// Whether a sweep is due. Says so to one caller only.
    fn may_sweep(&self) -> bool {
        let now = self.start.elapsed().as_millis() as u64;
        let next = now.saturating_add(SWEEP_INTERVAL.as_millis() as u64);
        let claim = |due| (due <= now).then_some(next);
        self.sweep_due.fetch_update(Ordering::Relaxed, Ordering::Relaxed, claim).is_ok()
    }
}

fn check_sizes(key: &str, value: &[u8]) -> Result<(), StateError> {
    let fits = key.len() <= LONGEST_KEY && value.len() <= LARGEST_VALUE;
    if fits { Ok(()) } else { Err(StateError::TooLarge) }
}

/// Adds to a counter, unless it would become more than it may be.
fn take(counter: &AtomicUsize, amount: usize, most: usize) -> bool {
    let add = |used: usize| used.checked_add(amount).filter(|used| *used <= most);
    amount == 0 || counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
}
