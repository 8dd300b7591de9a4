//! The patterns of one host as a tree of path segments.

use std::ops::ControlFlow;

use rustc_hash::FxHashMap;

use super::path;
use super::pattern::{Pattern, Segment};

/// A place in the tree: the patterns that agree on the segments so far.
///
/// The keys come from the document and never from a client, so a fast hash without a secret is safe here.
#[derive(Debug)]
pub(super) struct Node<T> {
    exact: FxHashMap<Box<str>, Node<T>>,
    parameter: Option<Box<Node<T>>>,
    /// Patterns that end here.
    end: Vec<Entry<T>>,
    /// Patterns that end here with `/*`.
    prefix: Vec<Entry<T>>,
}

/// A pattern and what belongs to it. Entries at one place differ only in their methods; those with methods come first.
#[derive(Debug)]
pub(super) struct Entry<T> {
    pub(super) pattern: Pattern,
    pub(super) value: T,
}

impl<T> Node<T> {
    /// Adds a pattern below this node, the root. Of two that conflict the first has precedence.
    pub(super) fn insert(&mut self, pattern: Pattern, value: T) {
        let mut node = self;
        for segment in pattern.segments() {
            node = match segment {
                Segment::Exact(text) => node.exact.entry(text.clone()).or_default(),
                Segment::Parameter => node.parameter.get_or_insert_default(),
            };
        }
        let entries = if pattern.is_prefix() { &mut node.prefix } else { &mut node.end };
        entries.push(Entry { pattern, value });
        entries.sort_by_key(|entry| entry.pattern.methods().is_empty());
    }

    /// Visits the entries that match `segments`, the rest of a normalised path after a slash or nothing when the path
    /// is at its end, the most specific first, until `visit` breaks.
    ///
    /// Only one way leads to a node, so a walk visits no node twice, and it visits only nodes that agree with the
    /// path so far. See [`Table`](super::Table) for what that means for a hostile path.
    pub(super) fn walk<'t, B>(
        &'t self,
        segments: Option<&str>,
        visit: &mut impl FnMut(&'t [Entry<T>]) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let Some(segments) = segments else {
            visit(&self.end)?;
            return visit(&self.prefix);
        };
        let (segment, rest) = split_first(segments);
        if let Some(child) = self.exact_child(segment) {
            child.walk(rest, visit)?;
        }
        if let Some(child) = self.parameter_child(segment) {
            child.walk(rest, visit)?;
        }
        visit(&self.prefix)
    }

    /// A key is its own matching form, so that a segment which is a key needs no other look-up.
    fn exact_child(&self, segment: &str) -> Option<&Node<T>> {
        if self.exact.is_empty() {
            return None;
        }
        self.exact.get(segment).or_else(|| self.exact.get(&*path::matching_form(segment)))
    }

    fn parameter_child(&self, segment: &str) -> Option<&Node<T>> {
        let is_empty = segment.is_empty() || segment.starts_with(';');
        self.parameter.as_deref().filter(|_| !is_empty)
    }

    /// The most nodes that any path can make [`walk`](Node::walk) visit.
    #[cfg(test)]
    pub(super) fn longest_walk(&self) -> usize {
        let exact = self.exact.values().map(Node::longest_walk).max().unwrap_or(0);
        let parameter = self.parameter.as_ref().map_or(0, |node| node.longest_walk());
        1 + exact + parameter
    }
}

fn split_first(segments: &str) -> (&str, Option<&str>) {
    match segments.bytes().position(|byte| byte == b'/') {
        Some(slash) => (&segments[..slash], Some(&segments[slash + 1..])),
        None => (segments, None),
    }
}

impl<T> Default for Node<T> {
    fn default() -> Node<T> {
        Node { exact: FxHashMap::default(), parameter: None, end: Vec::new(), prefix: Vec::new() }
    }
}
