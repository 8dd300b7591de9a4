//! How commands print.

use std::io::Write;

use serde::Serialize;

/// For a person or for a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Aligned lines.
    Text,
    /// One JSON value.
    Json,
}

/// Writes a line, unless whoever was reading has gone.
pub(super) fn say(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Writes a value as JSON.
pub(super) fn say_json(value: &impl Serialize) {
    let text = serde_json::to_string_pretty(value).expect("records of texts and numbers are JSON");
    say(format_args!("{text}"));
}

/// A size in the unit that a person would choose.
pub(super) fn size(bytes: usize) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}
