//! Plugins' metrics as text, in the Prometheus exposition format 0.0.4.

use std::fmt::{Display, Write};

use super::instrument::{Histogram, Instrument, Kind, Series};
use super::{Counter, Families, Gauge, Key};

/// Adds all families, each with its head.
pub(super) fn write(page: &mut String, families: &Families) {
    for (name, family) in families {
        let name = format!("cloudcup_plugin_{name}");
        let (kind, help) = (family.kind.as_str(), help(family.kind));
        // Writing to a string does not fail; so in what follows.
        let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (key, series) in &family.series {
            write_series(page, &name, key, series);
        }
    }
}

fn help(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "A counter that plugins keep.",
        Kind::Gauge => "A gauge that plugins keep.",
        Kind::Histogram => "A histogram that plugins keep.",
    }
}

/// A series that was let go since the lock was taken has nothing to write.
fn write_series(page: &mut String, name: &str, key: &Key, series: &Series) {
    if let Some(counter) = Counter::known(series) {
        line(page, name, key, None, counter.value());
    } else if let Some(gauge) = Gauge::known(series) {
        line(page, name, key, None, Number(gauge.value()));
    } else if let Some(histogram) = Histogram::known(series) {
        write_histogram(page, name, key, &histogram);
    }
}

fn write_histogram(page: &mut String, name: &str, key: &Key, histogram: &Histogram) {
    let bounds = histogram.bounds().iter().copied().chain([f64::INFINITY]);
    let bucket_name = format!("{name}_bucket");
    // Counted from the buckets, so that the last of them and the count are the same.
    let mut count = 0;
    for (bound, more) in bounds.zip(histogram.counts()) {
        count += more;
        line(page, &bucket_name, key, Some(bound), count);
    }
    line(page, &format!("{name}_sum"), key, None, Number(histogram.sum()));
    line(page, &format!("{name}_count"), key, None, count);
}

fn line(page: &mut String, name: &str, (plugin, labels): &Key, bound: Option<f64>, value: impl Display) {
    let _ = write!(page, "{name}{{plugin=\"{}\"", Escaped(plugin));
    for (label, text) in labels {
        let _ = write!(page, ",{label}=\"{}\"", Escaped(text));
    }
    if let Some(bound) = bound {
        let _ = write!(page, ",le=\"{}\"", Number(bound));
    }
    let _ = writeln!(page, "}} {value}");
}

/// A label's value between its quotes.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for char in self.0.chars() {
            match char {
                '\\' => f.write_str(r"\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str(r"\n")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// A number as Prometheus writes it: infinities with their sign, and the very large and small with an exponent.
struct Number(f64);

impl Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let size = self.0.abs();
        if self.0.is_infinite() {
            return f.write_str(if self.0 > 0.0 { "+Inf" } else { "-Inf" });
        }
        if size == 0.0 || self.0.is_nan() || (1e-5..1e16).contains(&size) {
            return write!(f, "{}", self.0);
        }
        write!(f, "{:e}", self.0)
    }
}
