//! How many lines something may write to the log in a second.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// Lines of the current second, counted by all threads together.
#[derive(Debug, Default)]
pub struct LineBudget {
    /// Seconds since the process began in the upper half, lines in the lower.
    second_and_lines: AtomicU64,
    dropped: AtomicU64,
}

impl LineBudget {
    /// The number of lines that were dropped before this one, or none when this one is to be dropped too.
    pub fn admit(&self, a_second: u32) -> Option<u64> {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        let second = START.elapsed().as_secs() << 32;
        let count = |seen: u64| if seen & !u64::from(u32::MAX) == second { seen + 1 } else { second + 1 };
        let lines = self.second_and_lines.fetch_update(Relaxed, Relaxed, |seen| {
            let next = count(seen);
            (next - second <= u64::from(a_second)).then_some(next)
        });
        match lines {
            Ok(_) => Some(self.dropped.swap(0, Relaxed)),
            Err(_) => {
                self.dropped.fetch_add(1, Relaxed);
                None
            }
        }
    }
}
