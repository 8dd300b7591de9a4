//! What people read.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use cloud_cup::config::Differences;
use serde_json::Value;

/// The form of what is told.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    Text,
    Json,
}

/// Writes a line, unless whoever was reading has gone.
pub fn say(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Something could not be done, and what to do about it.
pub fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::from(2)
}

/// Whether colours are seen by a person who wants them (<https://no-color.org>).
pub fn is_coloured() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Writes differences, one line each.
pub fn say_differences(differences: &Differences) {
    let is_coloured = is_coloured();
    for line in differences.to_string().lines() {
        let colour = match line.as_bytes().first() {
            Some(b'+') => "\x1b[32m",
            Some(b'-') => "\x1b[31m",
            Some(b'~') => "\x1b[33m",
            _ => "",
        };
        match is_coloured && !colour.is_empty() {
            true => say(format_args!("{colour}{line}\x1b[0m")),
            false => say(format_args!("{line}")),
        }
    }
}

/// Writes rows under headings, each column as wide as its widest cell.
pub fn say_table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([headings[column].len()]).max().unwrap_or_default()
    };
    let widths: Vec<_> = (0..N).map(width).collect();
    let line = |cells: [&str; N]| {
        let cells = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        say(format_args!("{}", cells.collect::<Vec<_>>().join("  ").trim_end()));
    };
    line(headings);
    for row in rows {
        line(row.each_ref().map(String::as_str));
    }
}

/// Writes JSON for people.
pub fn say_json(value: &Value) {
    say(format_args!("{value:#}"));
}
