//! A strict reader of the Prometheus text format 0.0.4.

use std::collections::{BTreeMap, BTreeSet};

/// Samples by metric and labels.
#[derive(Debug, Default)]
pub(super) struct Page {
    samples: BTreeMap<(String, Labels), f64>,
    pub families: BTreeMap<String, String>,
}

type Labels = BTreeMap<String, String>;

impl Page {
    /// Reads a page; anything that the format does not allow fails the test.
    #[track_caller]
    pub fn read(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line has an end");
        let mut page = Self::default();
        let (mut helped, mut current) = (BTreeSet::new(), None::<String>);
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap_or_else(|| panic!("no text: {line}"));
                assert!(!help.trim().is_empty() && helped.insert(name.to_owned()), "helped twice: {line}");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap_or_else(|| panic!("no type: {line}"));
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(helped.contains(name), "HELP comes before TYPE: {line}");
                assert_named(name, kind);
                let known = page.families.insert(name.to_owned(), kind.to_owned());
                assert!(known.is_none(), "a family stands in one place: {line}");
                current = Some(name.to_owned());
            } else {
                page.sample(
                    line,
                    current.as_deref().unwrap_or_else(|| panic!("TYPE comes before samples: {line}")),
                );
            }
        }
        page.check_histograms();
        page
    }

    #[track_caller]
    fn sample(&mut self, line: &str, family: &str) {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
        assert!(value.is_finite() && value >= 0.0, "{line}");
        let (name, labels) = match series.split_once('{') {
            Some((name, rest)) => (name, labels(rest, line)),
            None => (series, Labels::new()),
        };
        let kind = &self.families[family];
        let is_of_family = match kind.as_str() {
            "histogram" => {
                ["_bucket", "_sum", "_count"].iter().any(|end| name.strip_suffix(end) == Some(family))
            }
            _ => name == family,
        };
        assert!(is_of_family, "behind the TYPE of {family}: {line}");
        let known = self.samples.insert((name.to_owned(), labels), value);
        assert!(known.is_none(), "a series stands there once: {line}");
    }

    /// The buckets of a series grow, and the last one counts all.
    #[track_caller]
    fn check_histograms(&self) {
        for name in self.families.iter().filter(|(_, kind)| *kind == "histogram").map(|(name, _)| name) {
            let mut series: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
            for ((_, labels), value) in
                self.samples.iter().filter(|((found, _), _)| *found == format!("{name}_bucket"))
            {
                let mut labels = labels.clone();
                let bound = labels.remove("le").expect("a bucket has a bound").replace("+Inf", "inf");
                series.entry(labels).or_default().push((bound.parse().expect("a number"), *value));
            }
            for (labels, mut buckets) in series {
                buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
                assert!(
                    buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1),
                    "{name} {labels:?}: {buckets:?}"
                );
                let (bound, count) = *buckets.last().expect("there is one");
                assert!(bound.is_infinite(), "{name} {labels:?} ends with +Inf");
                assert_eq!(self.samples.get(&(format!("{name}_count"), labels.clone())), Some(&count));
                assert!(self.samples.contains_key(&(format!("{name}_sum"), labels)));
            }
        }
    }

    /// The value of a series, where there is one.
    pub fn find(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.samples.get(&(name.to_owned(), labels)).copied()
    }

    /// The value of a series.
    #[track_caller]
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.find(name, labels).unwrap_or_else(|| panic!("no {name} {labels:?} in {self:#?}"))
    }

    /// All values of a label.
    pub fn values(&self, label: &str) -> BTreeSet<&str> {
        self.samples.keys().filter_map(|(_, labels)| labels.get(label)).map(String::as_str).collect()
    }
}

/// As conventions have it: a prefix, a unit, and `_total` behind what only grows.
#[track_caller]
fn assert_named(name: &str, kind: &str) {
    assert!(name.starts_with("cloudcup_"), "{name}");
    assert!(
        name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'),
        "{name}"
    );
    assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
}

/// The labels behind `{`, up to a `}` that ends the line.
#[track_caller]
fn labels(mut rest: &str, line: &str) -> Labels {
    let mut labels = Labels::new();
    while rest != "}" {
        let (name, behind) = rest.split_once("=\"").unwrap_or_else(|| panic!("no label: {line}"));
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{line}");
        let (value, behind) = quoted(behind).unwrap_or_else(|| panic!("no end of a label: {line}"));
        assert!(labels.insert(name.to_owned(), value).is_none(), "a label stands there once: {line}");
        rest = behind.strip_prefix(',').unwrap_or(behind);
    }
    labels
}

/// A value up to its closing quote, and what is behind that.
fn quoted(text: &str) -> Option<(String, &str)> {
    let (mut value, mut characters) = (String::new(), text.char_indices());
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                escaped @ ('"' | '\\') => escaped,
                other => panic!("`\\{other}` is no escape"),
            }),
            plain => value.push(plain),
        }
    }
    None
}

#[test]
fn the_reader_is_strict() {
    let page =
        Page::read("# HELP cloudcup_a A.\n# TYPE cloudcup_a gauge\ncloudcup_a{b=\"\\\"\\\\\\n\",c=\"\"} 1\n");
    assert_eq!(page.value("cloudcup_a", &[("b", "\"\\\n"), ("c", "")]), 1.0);
    for bad in [
        "# TYPE cloudcup_a gauge\ncloudcup_a 1\n",
        "# HELP cloudcup_a A.\ncloudcup_a 1\n",
        "# HELP cloudcup_a A.\n# TYPE cloudcup_a gauge\ncloudcup_a 1\ncloudcup_a 2\n",
        "# HELP cloudcup_a A.\n# TYPE cloudcup_a gauge\ncloudcup_b 1\n",
        "# HELP cloudcup_a A.\n# TYPE cloudcup_a counter\ncloudcup_a 1\n",
        "# HELP cloudcup_a A.\n# TYPE cloudcup_a gauge\ncloudcup_a{b=\"c} 1\n",
        "# HELP cloudcup_a A.\n# TYPE cloudcup_a gauge\ncloudcup_a NaN\n",
        "# HELP cloudcup_a A.\n# TYPE cloudcup_a gauge\ncloudcup_a 1",
    ] {
        let read = std::panic::catch_unwind(|| Page::read(bad));
        assert!(read.is_err(), "{bad}");
    }
}
