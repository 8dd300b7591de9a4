//! Differences as lines of a terminal.

use std::fmt::{self, Display, Formatter, Write as _};
use std::io;

use serde_json::Value;

use super::{Change, Difference, Differences, MOST_DIFFERENCES};

/// Characters of a value that are shown, where the format has no precision.
const WIDTH: usize = 60;

/// Bytes of a value that are looked at for each character that is shown: the most that UTF-8 has.
const BYTES: usize = 4;

impl Change {
    /// What a line begins with: `+`, `-` or `~`. Whoever colours lines goes by it.
    pub fn sign(&self) -> char {
        match self {
            Self::Added { .. } => '+',
            Self::Removed { .. } => '-',
            Self::Changed { .. } => '~',
        }
    }
}

/// One line without its end: `~ /timeouts/connect  "5s" -> "2s"`. Values are cut to 60 characters, or to the precision
/// of the format: `{:.20}`.
impl Display for Difference {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let width = f.precision().unwrap_or(WIDTH);
        write!(f, "{} ", self.change.sign())?;
        match self.pointer.as_str() {
            "" => f.write_str("the whole document")?,
            pointer => write_plain(f, pointer.chars())?,
        }
        f.write_str("  ")?;
        match &self.change {
            Change::Added { new: value } | Change::Removed { old: value } => write_value(f, value, width),
            Change::Changed { old, new } => {
                write_value(f, old, width)?;
                f.write_str(" -> ")?;
                write_value(f, new, width)
            }
        }
    }
}

/// A line for each difference, and a last one if there are more. Nothing, if there is none.
impl Display for Differences {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, difference) in self.differences.iter().enumerate() {
            if index > 0 {
                f.write_char('\n')?;
            }
            difference.fmt(f)?;
        }
        if self.more {
            write!(f, "\n… and more than these {MOST_DIFFERENCES}")?;
        }
        Ok(())
    }
}

fn write_value(f: &mut Formatter<'_>, value: &Value, width: usize) -> fmt::Result {
    let mut start = Start { bytes: Vec::new(), most: width.saturating_add(1).saturating_mul(BYTES) };
    // It fails only where it is cut.
    let _ = serde_json::to_writer(&mut start, value);
    let text = String::from_utf8_lossy(&start.bytes);
    write_plain(f, text.chars().take(width))?;
    if text.chars().nth(width).is_some() { f.write_char('…') } else { Ok(()) }
}

/// Nothing that a terminal would obey.
fn write_plain(f: &mut Formatter<'_>, text: impl Iterator<Item = char>) -> fmt::Result {
    for character in text {
        if character.is_control() {
            write!(f, "{}", character.escape_debug())?;
        } else {
            f.write_char(character)?;
        }
    }
    Ok(())
}

/// The first bytes of what is written: a value may be as large as a document.
struct Start {
    bytes: Vec<u8>,
    most: usize,
}

impl io::Write for Start {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.most - self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
