//! What two documents differ in, for people and programs.
//!
//! Objects are compared by key, and their order does not matter. Arrays are compared by position, but items that are
//! known by a member of theirs (`host`, `use`, ...) are looked for by it, so that a backend that is removed is one
//! difference, however many come behind it.

use std::collections::HashMap;
use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::path::Path;

mod redaction;
mod terminal;
#[cfg(test)]
mod tests;

pub use redaction::redact;

/// The differences that are listed of two documents. What stands behind the last one is not compared.
pub const MOST_DIFFERENCES: usize = 10_000;

/// Members by which an item of an array is known, in the order in which they are tried: of backends, attachments of
/// plugins, certificates, keys of a JSON Web Key Set, and others.
const IDENTIFYING: [&str; 5] = ["host", "use", "certificate", "kid", "name"];

/// An attachment of a plugin may be only the plugin's name.
const IDENTIFYING_A_TEXT: &str = "use";

/// One difference between an old and a new document: `{"pointer", "change": "added|removed|changed", "old"?, "new"?}`
/// in JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The JSON pointer (RFC 6901) of the value, empty for the whole document: in the old document of what was removed,
    /// in the new one of what was added or changed. The two differ in the indexes of items alone.
    pub pointer: String,
    /// What became of it.
    #[serde(flatten)]
    pub change: Change,
}

/// What became of a value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "lowercase")]
pub enum Change {
    /// Only the new document has it.
    Added {
        /// What it is.
        new: Value,
    },
    /// Only the old document has it.
    Removed {
        /// What it was.
        old: Value,
    },
    /// Both documents have it. Of an array as a whole: its items are the same in another order.
    Changed {
        /// What it was.
        old: Value,
        /// What it is.
        new: Value,
    },
}

/// The differences between two documents: and whether these are all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Differences {
    /// In the order of the new document. What was removed stands behind what it stood behind in the old one.
    pub differences: Vec<Difference>,
    /// Whether there are more than are listed (10,000).
    #[serde(default)]
    pub more: bool,
}

impl Differences {
    /// Compares two documents. The order of fields is no difference. The differences are of the values as they are, see
    /// [`Self::redacted`].
    ///
    /// Removing in the old document what was removed, from the last to the first, and then adding and changing from the
    /// first to the last makes the new document of it, but for the order of fields. An item that is added is inserted.
    ///
    /// Where the items of an array that are known by a member are the same in another order and nothing else about them
    /// has changed, the array is one [`Change::Changed`]. Otherwise those that left the order of the others are
    /// removed from their old place and added at their new one. Items of the same name are taken in their order.
    pub fn between(old: &Value, new: &Value) -> Self {
        let mut found = Self::default();
        // That it ended early is noted in `more`.
        let _ = found.compare(old, new, At { old: &Path::ROOT, new: &Path::ROOT });
        found
    }

    fn compare(&mut self, old: &Value, new: &Value, at: At<'_>) -> ControlFlow<()> {
        match (old, new) {
            (Value::Object(old), Value::Object(new)) => self.compare_fields(old, new, at),
            (Value::Array(_), Value::Array(_)) if is_same(old, new) => ControlFlow::Continue(()),
            (Value::Array(old), Value::Array(new)) => match partners(old, new) {
                Some(partners) => self.compare_known_items(old, new, &partners, at),
                None => self.compare_items(old, new, at),
            },
            _ if old == new => ControlFlow::Continue(()),
            _ => self.add(at.new, Change::Changed { old: old.clone(), new: new.clone() }),
        }
    }

    fn compare_fields(
        &mut self,
        old: &Map<String, Value>,
        new: &Map<String, Value>,
        at: At<'_>,
    ) -> ControlFlow<()> {
        if has_same_names(old, new) {
            return old.iter().zip(new.values()).try_for_each(|((name, old), new)| {
                self.compare(old, new, At { old: &at.old.field(name), new: &at.new.field(name) })
            });
        }
        let removed = removed_fields(old, new);
        self.remove_fields(&removed, None, at)?;
        for (name, value) in new {
            let at_field = At { old: &at.old.field(name), new: &at.new.field(name) };
            match old.get(name) {
                Some(old) => self.compare(old, value, at_field)?,
                None => self.add(at_field.new, Change::Added { new: value.clone() })?,
            }
            self.remove_fields(&removed, Some(name), at)?;
        }
        ControlFlow::Continue(())
    }

    fn remove_fields(
        &mut self,
        removed: &RemovedFields<'_>,
        behind: Option<&str>,
        at: At<'_>,
    ) -> ControlFlow<()> {
        for (name, old) in removed.get(&behind).into_iter().flatten() {
            self.add(&at.old.field(name), Change::Removed { old: (*old).clone() })?;
        }
        ControlFlow::Continue(())
    }

    /// By position.
    fn compare_items(&mut self, old: &[Value], new: &[Value], at: At<'_>) -> ControlFlow<()> {
        for (index, (old, new)) in old.iter().zip(new).enumerate() {
            self.compare(old, new, At { old: &at.old.item(index), new: &at.new.item(index) })?;
        }
        for (index, old) in old.iter().enumerate().skip(new.len()) {
            self.add(&at.old.item(index), Change::Removed { old: old.clone() })?;
        }
        for (index, new) in new.iter().enumerate().skip(old.len()) {
            self.add(&at.new.item(index), Change::Added { new: new.clone() })?;
        }
        ControlFlow::Continue(())
    }

    /// By what the items are known by: each new item has a partner among the old ones, or none.
    fn compare_known_items(
        &mut self,
        old: &[Value],
        new: &[Value],
        partners: &[Option<usize>],
        at: At<'_>,
    ) -> ControlFlow<()> {
        let is_as_it_was = |(new, partner): (&Value, &Option<usize>)| {
            partner.is_some_and(|partner| is_same(&old[partner], new))
        };
        if old.len() == new.len() && new.iter().zip(partners).all(is_as_it_was) {
            return self.add(at.new, Change::Changed { old: old.into(), new: new.into() });
        }
        let partners = in_order(partners);
        let mut stays = vec![false; old.len()];
        partners.iter().flatten().for_each(|&partner| stays[partner] = true);
        self.remove_items(old, 0, &stays, at)?;
        for (index, (new, partner)) in new.iter().zip(partners).enumerate() {
            let at_new = at.new.item(index);
            let Some(partner) = partner else {
                self.add(&at_new, Change::Added { new: new.clone() })?;
                continue;
            };
            self.compare(&old[partner], new, At { old: &at.old.item(partner), new: &at_new })?;
            self.remove_items(old, partner + 1, &stays, at)?;
        }
        ControlFlow::Continue(())
    }

    /// Those from an index to the next that stays.
    fn remove_items(&mut self, old: &[Value], from: usize, stays: &[bool], at: At<'_>) -> ControlFlow<()> {
        let gone = old.iter().zip(stays).enumerate().skip(from).take_while(|(_, (_, stays))| !**stays);
        for (index, (old, _)) in gone {
            self.add(&at.old.item(index), Change::Removed { old: old.clone() })?;
        }
        ControlFlow::Continue(())
    }

    fn add(&mut self, at: &Path<'_>, change: Change) -> ControlFlow<()> {
        if self.differences.len() == MOST_DIFFERENCES {
            self.more = true;
            return ControlFlow::Break(());
        }
        self.differences.push(Difference { pointer: at.pointer(), change });
        ControlFlow::Continue(())
    }
}

/// Where two values that are compared are, each in its document.
#[derive(Clone, Copy)]
struct At<'p> {
    old: &'p Path<'p>,
    new: &'p Path<'p>,
}

/// Whether the fields have the same names in the same order, which is the rule: then they need not be looked up.
fn has_same_names(old: &Map<String, Value>, new: &Map<String, Value>) -> bool {
    old.len() == new.len() && old.keys().eq(new.keys())
}

/// Equality, in the time of one walk.
fn is_same(old: &Value, new: &Value) -> bool {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) if has_same_names(old, new) => {
            old.values().zip(new.values()).all(|(old, new)| is_same(old, new))
        }
        (Value::Array(old), Value::Array(new)) => {
            old.len() == new.len() && old.iter().zip(new).all(|(old, new)| is_same(old, new))
        }
        _ => old == new,
    }
}

/// Fields that only the old object has, by the field before them that both have.
type RemovedFields<'v> = HashMap<Option<&'v str>, Vec<(&'v str, &'v Value)>>;

fn removed_fields<'v>(old: &'v Map<String, Value>, new: &Map<String, Value>) -> RemovedFields<'v> {
    let mut removed = RemovedFields::new();
    let mut behind = None;
    for (name, value) in old {
        if new.contains_key(name) {
            behind = Some(name.as_str());
        } else {
            removed.entry(behind).or_default().push((name, value));
        }
    }
    removed
}

/// For each new item the index of the old one of the same name, if all are known by the same member.
fn partners(old: &[Value], new: &[Value]) -> Option<Vec<Option<usize>>> {
    if !old.iter().chain(new).any(Value::is_object) {
        return None;
    }
    let (old, new) =
        IDENTIFYING.iter().find_map(|member| Some((names(old, member)?, names(new, member)?)))?;
    let mut indexes: HashMap<&str, Vec<usize>> = HashMap::with_capacity(old.len());
    for (index, name) in old.into_iter().enumerate().rev() {
        indexes.entry(name).or_default().push(index);
    }
    Some(new.into_iter().map(|name| indexes.get_mut(name)?.pop()).collect())
}

/// What the items are known by.
fn names<'v>(items: &'v [Value], member: &str) -> Option<Vec<&'v str>> {
    let name = |item: &'v Value| match item {
        Value::Object(fields) => fields.get(member)?.as_str(),
        Value::String(name) if member == IDENTIFYING_A_TEXT => Some(name.as_str()),
        _ => None,
    };
    items.iter().map(name).collect()
}

/// The partners without those that stand in the way of an ascending order: as few as can be. This is the longest
/// increasing subsequence, found in `n log n`.
fn in_order(partners: &[Option<usize>]) -> Vec<Option<usize>> {
    // Where the best subsequence of each length ends, and what comes before each item in the best one that ends there.
    let mut ends: Vec<usize> = Vec::new();
    let mut before = vec![None; partners.len()];
    for (index, partner) in partners.iter().enumerate().filter(|(_, partner)| partner.is_some()) {
        let length = ends.partition_point(|&end| partners[end] < *partner);
        before[index] = length.checked_sub(1).map(|shorter| ends[shorter]);
        match ends.get_mut(length) {
            Some(end) => *end = index,
            None => ends.push(index),
        }
    }
    let mut kept = vec![None; partners.len()];
    let mut end = ends.last().copied();
    while let Some(index) = end {
        kept[index] = partners[index];
        end = before[index];
    }
    kept
}
