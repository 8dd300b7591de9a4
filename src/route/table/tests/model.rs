//! The table against a naive matcher, which reads the written precedence literally: it scans all patterns and takes
//! the smallest rank.

use std::fmt;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;

/// A pattern before it becomes text.
#[derive(Clone, Debug)]
struct Model {
    methods: Vec<&'static str>,
    host: &'static str,
    segments: Vec<&'static str>,
}

#[derive(Clone, Debug)]
struct Request {
    method: &'static str,
    host: &'static str,
    segments: Vec<&'static str>,
}

/// Smaller is more specific: host, then the segments one by one, then the method.
type Rank = ((u8, usize), Vec<u8>, bool);

impl Model {
    fn rank(&self, request: &Request) -> Option<Rank> {
        let host = self.host_rank(&request.host.to_ascii_lowercase())?;
        let segments = segment_ranks(&self.segments, &request.segments)?;
        Some((host, segments, self.methods.is_empty()))
    }

    fn host_rank(&self, host: &str) -> Option<(u8, usize)> {
        match self.host.strip_prefix('*') {
            None if self.host.is_empty() => Some((2, 0)),
            None => (self.host == host).then_some((0, 0)),
            Some(suffix) => host.ends_with(suffix).then_some((1, usize::MAX - suffix.len())),
        }
    }

    fn allows(&self, method: &str) -> bool {
        self.methods.is_empty() || self.methods.contains(&method)
    }
}

fn segment_ranks(pattern: &[&str], path: &[&str]) -> Option<Vec<u8>> {
    let (rank, rest) = match (pattern, path) {
        ([], []) => return Some(vec![]),
        (["*"], _) => return Some(vec![2]),
        ([parameter, rest @ ..], [segment, ..]) if parameter.starts_with('{') => {
            (!segment.is_empty()).then_some((1, rest))?
        }
        ([literal, rest @ ..], [segment, ..]) => (literal == segment).then_some((0, rest))?,
        _ => return None,
    };
    let ranks = segment_ranks(rest, &path[1..])?;
    Some([vec![rank], ranks].concat())
}

/// What [`find`] should say.
fn naive_find(models: &[Model], request: &Request) -> String {
    let matching = || models.iter().filter_map(|model| Some((model.rank(request)?, model)));
    let best = matching().filter(|(_, model)| model.allows(request.method)).min_by(|(a, _), (b, _)| a.cmp(b));
    if let Some((_, model)) = best {
        return model.to_string() + &model.parameters(request);
    }
    let mut allowed: Vec<&str> = matching().flat_map(|(_, model)| model.methods.clone()).collect();
    allowed.sort();
    allowed.dedup();
    if allowed.is_empty() { "not found".into() } else { format!("allows {}", allowed.join(",")) }
}

impl Model {
    fn parameters(&self, request: &Request) -> String {
        let pairs = self.segments.iter().zip(&request.segments);
        let names =
            pairs.filter_map(|(name, value)| Some((name.strip_prefix('{')?.strip_suffix('}')?, value)));
        names.map(|(name, value)| format!(" {name}={value}")).collect()
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if !self.methods.is_empty() {
            write!(f, "{} ", self.methods.join(","))?;
        }
        write!(f, "{}/{}", self.host, self.segments.join("/"))
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let host = if self.host.is_empty() { "-" } else { self.host };
        write!(f, "{} {host} /{}", self.method, self.segments.join("/"))
    }
}

fn models() -> impl Strategy<Value = Vec<Model>> {
    let methods = subsequence(vec!["GET", "POST"], 0..=2);
    let host = select(vec!["", "", "", "y.z", "x.y.z", "*.y.z", "*.z"]);
    let segments = (
        prop::collection::vec(select(vec!["a", "b", "{}"]), 0..4),
        prop::option::of(select(vec!["", "*", "*"])),
    );
    let model = (methods, host, segments).prop_map(|(methods, host, (mut segments, last))| {
        let names = ["{p}", "{q}", "{r}"];
        for (segment, name) in segments.iter_mut().zip(names).filter(|(segment, _)| **segment == "{}") {
            *segment = name;
        }
        let last = if segments.is_empty() { last.or(Some("")) } else { last };
        segments.extend(last);
        Model { methods, host, segments }
    });
    prop::collection::vec(model, 0..12)
}

fn request() -> impl Strategy<Value = Request> {
    let method = select(vec!["GET", "POST", "PUT"]);
    let host = select(vec!["", "z", "y.z", "Y.z", "x.y.z", "w.x.y.z", "a"]);
    let segments = (prop::collection::vec(select(vec!["a", "b"]), 0..5), any::<bool>());
    (method, host, segments).prop_map(|(method, host, (mut segments, slash))| {
        if slash || segments.is_empty() {
            segments.push("");
        }
        Request { method, host, segments }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn finds_what_a_naive_matcher_finds(models in models(), requests in prop::collection::vec(request(), 1..20)) {
        let texts: Vec<String> = models.iter().map(Model::to_string).collect();
        let table = table(texts.iter().map(String::as_str));
        for request in requests {
            prop_assert_eq!(find(&table, &request.to_string()), naive_find(&models, &request), "{}", request);
        }
    }
}
