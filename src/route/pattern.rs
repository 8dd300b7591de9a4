//! A route's pattern: `[METHOD[,METHOD...] ][host]/path`, or `*` alone, which is `/*`.
//!
//! - **Methods** are case-sensitive tokens (RFC 9110 section 9.1) and match exactly: `GET` does not match `HEAD`.
//!   Without methods every method matches.
//! - **Host**: `api.example.com`, `*.example.com` (one or more labels below `example.com`), `[::1]`; see
//!   [`HostPattern`]. Without a host every host matches. A port cannot be given: every port matches. A host of one
//!   label other than `localhost` takes a trailing dot, so that a path whose first slash was forgotten (`game/*`) is
//!   not taken for a host.
//! - **Path**: segments between slashes. A literal segment matches itself and is normalised like a request's path; a
//!   whole segment `{name}` matches any one segment that is not empty; a last segment `*` matches all the rest, down
//!   to nothing: `/game/*` matches `/game`, `/game/` and `/game/a/b`, not `/gamex`. A trailing slash counts: `/a` and
//!   `/a/` differ. A literal `*`, `;`, `{` or `}` is written `%2A`, `%3B`, `%7B`, `%7D`.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Range;

use http::Method;

use super::host::HostPattern;

mod parse;

pub use parse::PatternError;

/// A pattern that was read and found valid.
///
/// Two patterns are equal when they match the same requests; the names of their parameters and the order of their
/// methods do not count. `Display` gives the text as it was written.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: Box<str>,
    /// Sorted; none is every method.
    methods: Box<[Method]>,
    shape: Shape,
    parameters: Box<[Parameter]>,
}

/// What a pattern matches, apart from methods.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Shape {
    host: HostPattern,
    path: PathPattern,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct PathPattern {
    segments: Box<[Segment]>,
    /// The path ends with `/*`.
    is_prefix: bool,
}

/// One segment of a pattern's path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// This text, in the form in which segments are compared; see [`path`](super::path).
    Exact(Box<str>),
    /// Any text that is not empty.
    Parameter,
}

#[derive(Clone, Debug)]
struct Parameter {
    name: Box<str>,
    /// Which segment of the path it is.
    segment: usize,
}

/// One method of one pattern. Two patterns conflict exactly when they have a key in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConflictKey<'p> {
    shape: &'p Shape,
    method: Option<&'p Method>,
}

impl Pattern {
    /// Reads a pattern as it is written in the document.
    pub fn parse(text: &str) -> Result<Pattern, PatternError> {
        parse::pattern(text)
    }

    /// The methods that match, sorted; none means all.
    pub fn methods(&self) -> &[Method] {
        &self.methods
    }

    /// Whether a request with this method can match.
    pub fn allows(&self, method: &Method) -> bool {
        self.methods.is_empty() || self.methods.contains(method)
    }

    /// The hosts that match.
    pub fn host(&self) -> &HostPattern {
        &self.shape.host
    }

    /// The segments of the path, without the last `*`.
    pub fn segments(&self) -> &[Segment] {
        &self.shape.path.segments
    }

    /// Whether the path ends with `/*`.
    pub fn is_prefix(&self) -> bool {
        self.shape.path.is_prefix
    }

    /// Whether a normalised path matches, whatever the host and the method.
    pub fn matches_path(&self, path: &str) -> bool {
        let mut rest = path.strip_prefix('/');
        for wanted in self.segments() {
            let Some(segments) = rest else { return false };
            let (segment, behind) = segments.split_once('/').map_or((segments, None), |(a, b)| (a, Some(b)));
            let is_match = match wanted {
                Segment::Exact(text) => **text == *super::path::matching_form(segment),
                Segment::Parameter => !segment.is_empty() && !segment.starts_with(';'),
            };
            if !is_match {
                return false;
            }
            rest = behind;
        }
        self.is_prefix() || rest.is_none()
    }

    /// The names of the parameters, in the order of the path.
    pub fn parameter_names(&self) -> impl Iterator<Item = &str> {
        self.parameters.iter().map(|parameter| &*parameter.name)
    }

    /// Each parameter's name and where its value stands in `path`, a normalised path that this pattern matches. Values
    /// keep their escapes.
    pub fn parameters(&self, path: &str) -> impl Iterator<Item = (&str, Range<usize>)> {
        let mut segments = segment_ranges(path).enumerate();
        self.parameters.iter().filter_map(move |parameter| {
            let (_, range) = segments.find(|(index, _)| *index == parameter.segment)?;
            Some((&*parameter.name, range))
        })
    }

    /// One key for each method. A conflict is two patterns with a key in common: some request matches both, and
    /// neither is more specific. A set of keys finds every conflict of a document in linear time.
    pub fn conflict_keys(&self) -> impl Iterator<Item = ConflictKey<'_>> {
        let every_method = self.methods.is_empty().then_some(None);
        let methods = self.methods.iter().map(Some).chain(every_method);
        methods.map(|method| ConflictKey { shape: &self.shape, method })
    }
}

fn segment_ranges(path: &str) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    path.split('/').skip(1).map(move |segment| {
        start += 1;
        let range = start..start + segment.len();
        start = range.end;
        range
    })
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.methods == other.methods && self.shape == other.shape
    }
}

impl Eq for Pattern {}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.methods.hash(state);
        self.shape.hash(state);
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests;
