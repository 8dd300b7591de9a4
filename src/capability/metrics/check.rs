//! What plugins may call their metrics, so that the page stays one that Prometheus reads.

use thiserror::Error;

use super::instrument::Kind;

/// How many labels a series may have.
pub const MOST_LABELS: usize = 8;

/// The longest value of a label, in bytes.
pub const LONGEST_VALUE: usize = 128;

/// How many bounds a histogram may have.
pub const MOST_BOUNDS: usize = 32;

const LONGEST_NAME: usize = 64;

/// What the gateway itself writes as `cloudcup_plugin_<name>`.
const RESERVED_NAMES: [&str; 7] = [
    "calls_total",
    "seconds_total",
    "faults_total",
    "tripped",
    "trips_total",
    "state_entries",
    "state_bytes",
];

/// What the page adds on its own.
const RESERVED_LABELS: [&str; 2] = ["plugin", "le"];

/// What a histogram appends to its name.
const PARTS: [&str; 3] = ["_bucket", "_sum", "_count"];

/// Why a metric cannot be opened. Values of labels are not told.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[allow(missing_docs, reason = "each is described by its message")]
pub enum MetricError {
    #[error(
        "`{name}` is not a metric name: expected 1 to 64 lower-case letters, digits and `_`, and a letter first"
    )]
    Name { name: String },
    #[error("counter `{name}` has no `_total` at its end")]
    CounterName { name: String },
    #[error("histogram `{name}` ends in `{suffix}`, which is not for histograms")]
    HistogramName { name: String, suffix: &'static str },
    #[error("`{name}` is a metric of the gateway")]
    ReservedName { name: String },
    #[error("`{name}` would be mistaken for a part of histogram `{histogram}`")]
    PartOfHistogram { name: String, histogram: String },
    #[error("`{name}` is a {} already: it cannot be a {} too", known.as_str(), asked.as_str())]
    OtherKind { name: String, known: Kind, asked: Kind },
    #[error(
        "`{label}` is not a label name: expected 1 to 64 lower-case letters, digits and `_`, and no digit first"
    )]
    LabelName { label: String },
    #[error("label `{label}` is one that the gateway sets")]
    ReservedLabel { label: String },
    #[error("label `{label}` is there twice")]
    RepeatedLabel { label: String },
    #[error("{found} labels: expected at most {MOST_LABELS}")]
    TooManyLabels { found: usize },
    #[error("the value of label `{label}` has {length} bytes: expected at most {LONGEST_VALUE}")]
    LongValue { label: String, length: usize },
    #[error("the plugin has {most} series already, and may not have more")]
    TooManySeries { most: usize },
    #[error("{found} bounds: expected 1 to {MOST_BOUNDS}")]
    BoundCount { found: usize },
    #[error("bound {index} is not a finite number")]
    BoundNotFinite { index: usize },
    #[error("bound {index} is not larger than the one before")]
    BoundNotRising { index: usize },
    #[error("the plugin has histogram `{name}` already, with other bounds")]
    OtherBounds { name: String },
}

/// Whether a metric of this kind may be called so.
pub(super) fn name(kind: Kind, name: &str) -> Result<(), MetricError> {
    if !is_name(name, |first| first.is_ascii_lowercase()) {
        return Err(MetricError::Name { name: shown(name) });
    }
    if RESERVED_NAMES.contains(&name) {
        return Err(MetricError::ReservedName { name: name.into() });
    }
    if kind == Kind::Counter && !name.ends_with("_total") {
        return Err(MetricError::CounterName { name: name.into() });
    }
    let suffix = ["_total"].into_iter().chain(PARTS).find(|suffix| name.ends_with(suffix));
    match suffix {
        Some(suffix) if kind == Kind::Histogram => {
            Err(MetricError::HistogramName { name: name.into(), suffix })
        }
        _ => Ok(()),
    }
}

/// Whether it can stand on one page with the metrics that are known, by name.
pub(super) fn no_clash(
    kind: Kind,
    name: &str,
    known: impl Fn(&str) -> Option<Kind>,
) -> Result<(), MetricError> {
    match known(name) {
        Some(same) if same == kind => return Ok(()),
        Some(known) => return Err(MetricError::OtherKind { name: name.into(), known, asked: kind }),
        None => {}
    }
    for part in PARTS {
        if let Some(histogram) = name.strip_suffix(part)
            && known(histogram) == Some(Kind::Histogram)
        {
            return Err(MetricError::PartOfHistogram { name: name.into(), histogram: histogram.into() });
        }
        let part = format!("{name}{part}");
        if kind == Kind::Histogram && known(&part).is_some() {
            return Err(MetricError::PartOfHistogram { name: part, histogram: name.into() });
        }
    }
    Ok(())
}

/// The labels, rising by name, without those that are empty.
pub(super) fn labels(labels: &[(String, String)]) -> Result<Vec<(String, String)>, MetricError> {
    if labels.len() > MOST_LABELS {
        return Err(MetricError::TooManyLabels { found: labels.len() });
    }
    for (label, value) in labels {
        check_label(label, value)?;
    }
    let mut labels = labels.to_vec();
    labels.sort_unstable();
    if let Some([(label, _), _]) = labels.array_windows().find(|[one, other]| one.0 == other.0) {
        return Err(MetricError::RepeatedLabel { label: label.clone() });
    }
    labels.retain(|(_, value)| !value.is_empty());
    Ok(labels)
}

fn check_label(label: &str, value: &str) -> Result<(), MetricError> {
    if !is_name(label, |first| first.is_ascii_lowercase() || first == b'_') {
        return Err(MetricError::LabelName { label: shown(label) });
    }
    if RESERVED_LABELS.contains(&label) {
        return Err(MetricError::ReservedLabel { label: label.into() });
    }
    if value.len() > LONGEST_VALUE {
        return Err(MetricError::LongValue { label: label.into(), length: value.len() });
    }
    Ok(())
}

/// Whether these can be a histogram's bounds.
pub(super) fn bounds(bounds: &[f64]) -> Result<(), MetricError> {
    if !(1..=MOST_BOUNDS).contains(&bounds.len()) {
        return Err(MetricError::BoundCount { found: bounds.len() });
    }
    if let Some(index) = bounds.iter().position(|bound| !bound.is_finite()) {
        return Err(MetricError::BoundNotFinite { index });
    }
    match bounds.array_windows().position(|[one, next]| one >= next) {
        Some(index) => Err(MetricError::BoundNotRising { index: index + 1 }),
        None => Ok(()),
    }
}

fn is_name(name: &str, is_first: impl Fn(u8) -> bool) -> bool {
    let is_rest = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'_';
    name.len() <= LONGEST_NAME
        && name.bytes().next().is_some_and(is_first)
        && name.as_bytes().iter().all(is_rest)
}

/// As much of a name as belongs in a message.
fn shown(name: &str) -> String {
    name.chars().take(LONGEST_NAME).collect()
}
