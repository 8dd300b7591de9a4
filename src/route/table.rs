//! The table: from a request's method, host and path to the most specific pattern.

use std::ops::ControlFlow;

use http::Method;
use rustc_hash::FxHashMap;

use super::host::{self, HostPattern};
use super::pattern::Pattern;
use super::trie::{Entry, Node};

/// Every pattern of a document with what belongs to it. Built once, then only read.
///
/// A lookup costs the same in a table of ten patterns and of ten thousand: one hash look-up for the host and one for
/// each of its dots, if any pattern names a host, then about one for each segment of the path, at most as many as the
/// longest pattern has. It allocates only where a host has upper case, or a segment that is no literal of the document
/// as it stands has escapes or parameters.
///
/// A lookup goes back only where a literal and a parameter agree with the same segment. It visits no node twice, so
/// its work is bounded by the document and not by the path: to double it, a document has to hold all that is below a
/// literal a second time below a parameter. `/a/a/a/...` is left as soon as no pattern is that deep.
#[derive(Debug)]
pub struct Table<T> {
    hosts: FxHashMap<Box<str>, Node<T>>,
    /// By the text after the `*`, with its dot.
    suffixes: FxHashMap<Box<str>, Node<T>>,
    any_host: Node<T>,
}

/// What a request matches.
#[derive(Debug, PartialEq, Eq)]
pub enum Lookup<'t, T> {
    /// The most specific pattern whose methods match.
    Found {
        /// Which it is.
        pattern: &'t Pattern,
        /// What belongs to it.
        value: &'t T,
    },
    /// Host and path match, with these methods only: 405, with these in `Allow`. Sorted, each once.
    MethodNotAllowed(Vec<&'t Method>),
    /// No pattern matches host and path: 404.
    NotFound,
}

impl<T> Table<T> {
    /// Of patterns that conflict, which the check of a document refuses, the first has precedence.
    pub fn build(routes: impl IntoIterator<Item = (Pattern, T)>) -> Table<T> {
        let mut table =
            Table { hosts: FxHashMap::default(), suffixes: FxHashMap::default(), any_host: Node::default() };
        for (pattern, value) in routes {
            let root = match pattern.host() {
                HostPattern::Exact(host) => table.hosts.entry(host.clone()).or_default(),
                HostPattern::Suffix(suffix) => table.suffixes.entry(suffix.clone()).or_default(),
                HostPattern::Any => &mut table.any_host,
            };
            root.insert(pattern, value);
        }
        table
    }

    /// Finds the most specific pattern for a request.
    ///
    /// `host` is the host of the request's authority, without its port, in any case, or empty. `path` is
    /// [normalised](super::path::normalise); the `*` of an `OPTIONS *` matches only `/*`.
    pub fn find(&self, method: &Method, host: &str, path: &str) -> Lookup<'_, T> {
        let found = self.walk(host, path, |entries| {
            match entries.iter().find(|entry| entry.pattern.allows(method)) {
                Some(entry) => ControlFlow::Break(entry),
                None => ControlFlow::Continue(()),
            }
        });
        match found {
            ControlFlow::Break(Entry { pattern, value }) => Lookup::Found { pattern, value },
            ControlFlow::Continue(()) => self.refuse(host, path),
        }
    }

    /// All patterns that match host and path, the most specific first, whatever their methods.
    pub fn matching(&self, host: &str, path: &str) -> Vec<(&Pattern, &T)> {
        let mut matching = Vec::new();
        let _: ControlFlow<()> = self.walk(host, path, |entries| {
            matching.extend(entries.iter().map(|entry| (&entry.pattern, &entry.value)));
            ControlFlow::Continue(())
        });
        matching
    }

    /// The answer when no pattern allows the method: a second walk, which only such a request pays for.
    #[cold]
    fn refuse(&self, host: &str, path: &str) -> Lookup<'_, T> {
        let mut allowed: Vec<&Method> = Vec::new();
        let _: ControlFlow<()> = self.walk(host, path, |entries| {
            allowed.extend(entries.iter().flat_map(|entry| entry.pattern.methods()));
            ControlFlow::Continue(())
        });
        if allowed.is_empty() {
            return Lookup::NotFound;
        }
        allowed.sort_by_key(|method| method.as_str());
        allowed.dedup();
        Lookup::MethodNotAllowed(allowed)
    }

    /// Visits the entries that match host and path, the most specific first, until `visit` breaks.
    fn walk<'t, B>(
        &'t self,
        host: &str,
        path: &str,
        mut visit: impl FnMut(&'t [Entry<T>]) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let segments = path.strip_prefix('/');
        if self.names_hosts() {
            self.host_roots(&host::canonical(host)).try_for_each(|root| root.walk(segments, &mut visit))?;
        }
        self.any_host.walk(segments, &mut visit)
    }

    fn names_hosts(&self) -> bool {
        !self.hosts.is_empty() || !self.suffixes.is_empty()
    }

    fn host_roots(&self, host: &str) -> impl Iterator<Item = &Node<T>> {
        let host = if host.len() > host::MAX_HOST_LENGTH { "" } else { host };
        let exact = self.hosts.get(host);
        let suffixes = host.match_indices('.').filter_map(|(dot, _)| self.suffixes.get(&host[dot..]));
        exact.into_iter().chain(suffixes)
    }
}

#[cfg(test)]
mod tests;
