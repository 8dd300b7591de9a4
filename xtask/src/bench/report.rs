//! The report: Markdown that reads well on a terminal too, printed as the cases end and written to a file if one is
//! wanted.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};

use super::machine;
use super::peers::Installed;

pub struct Report {
    file: Option<File>,
}

/// Rows under a head, all of the same width, and what must be said of them.
pub struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
    notes: Vec<String>,
}

impl Report {
    /// Begins a report with what it was measured on.
    pub fn open(path: Option<&Path>, peers: &[Installed]) -> Result<Self> {
        let file =
            path.map(|path| File::create(path).with_context(|| format!("cannot write `{}`", path.display())));
        let mut report = Self { file: file.transpose()? };
        let peers: Vec<String> =
            peers.iter().map(|peer| format!("{} {}", peer.peer.name(), peer.version)).collect();
        report.line(&machine::description())?;
        report.line(&format!(
            "Peers: {}",
            if peers.is_empty() { "none".to_owned() } else { peers.join(", ") }
        ))?;
        Ok(report)
    }

    pub fn add(&mut self, case: &str, about: &str, table: &Table) -> Result<()> {
        self.line(&format!("\n## {case}\n\n{about}\n\n{}", table.to_markdown()))?;
        table.notes.iter().try_for_each(|note| self.line(&format!("\n{note}")))
    }

    pub fn skip(&mut self, case: &str, reason: &str) -> Result<()> {
        self.line(&format!("\n## {case}\n\nskipped: {reason}"))
    }

    fn line(&mut self, text: &str) -> Result<()> {
        writeln!(io::stdout(), "{text}").context("cannot print the report")?;
        match &mut self.file {
            Some(file) => writeln!(file, "{text}").context("cannot write the report"),
            None => Ok(()),
        }
    }
}

impl Table {
    pub fn new(head: &[&str]) -> Self {
        Self { head: head.iter().map(ToString::to_string).collect(), rows: Vec::new(), notes: Vec::new() }
    }

    pub fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.head.len());
        self.rows.push(cells);
    }

    /// A sentence below the table.
    pub fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// The first column to the left, as it has the names; the others to the right, as they have the figures.
    fn to_markdown(&self) -> String {
        let widths: Vec<usize> = (0..self.head.len()).map(|column| self.width(column)).collect();
        let rule: Vec<String> = widths.iter().map(|&width| format!("{}:", "-".repeat(width - 1))).collect();
        let rule = [vec!["-".repeat(widths[0])], rule[1..].to_vec()].concat();
        let lines = [&self.head, &rule].into_iter().chain(&self.rows);
        lines.map(|cells| line_of(cells, &widths)).collect::<Vec<_>>().join("\n")
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().chain([&self.head]).map(|row| row[column].chars().count());
        cells.max().unwrap_or(0).max(3)
    }
}

fn line_of(cells: &[String], widths: &[usize]) -> String {
    let padded = cells.iter().zip(widths).enumerate().map(|(column, (cell, &width))| {
        if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
    });
    format!("| {} |", padded.collect::<Vec<_>>().join(" | "))
}

pub fn mebibytes(bytes: f64) -> String {
    format!("{:.1} MiB", bytes / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_lines_up() {
        let mut table = Table::new(&["proxy", "µs"]);
        table.row(vec!["a".to_owned(), "12.25".to_owned()]);
        assert_eq!(table.to_markdown(), "| proxy |    µs |\n| ----- | ----: |\n| a     | 12.25 |");
    }
}
