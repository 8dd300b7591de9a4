//! What an instance may use.

use std::time::Duration;

use wasmtime::ResourceLimiter;

/// Bounds on one instance of a plugin, from the document.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PluginLimits {
    /// Time that one hook may take. It is looked at every five milliseconds.
    pub time: Duration,
    /// Bytes of linear memory, all memories of the component together.
    pub memory: usize,
    /// Elements of all tables together.
    pub table_elements: usize,
    /// Bytes of a reply's body.
    pub reply_size: usize,
    /// Lines that it may log in a second.
    pub log_rate: u32,
    /// Requests after which an instance is replaced.
    pub requests: u64,
    /// Calls of a plugin that waits that may be under way on one worker.
    pub waiting_calls: u32,
}

/// Core instances, memories and tables that one component may consist of.
const PARTS: usize = 64;

/// Holds one store to its limits, and remembers that it had to.
#[derive(Debug)]
pub(super) struct Limiter {
    memory_left: usize,
    elements_left: usize,
    /// Bytes of linear memory, all memories together.
    pub memory: usize,
    /// Growth was denied since the last call began.
    pub denied: bool,
}

impl Limiter {
    pub fn new(limits: &PluginLimits) -> Self {
        Self { memory_left: limits.memory, elements_left: limits.table_elements, memory: 0, denied: false }
    }
}

fn grant(left: &mut usize, current: usize, desired: usize) -> bool {
    let more = desired.saturating_sub(current);
    let fits = more <= *left;
    if fits {
        *left -= more;
    }
    fits
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let before = self.memory_left;
        let granted = grant(&mut self.memory_left, current, desired);
        self.memory += before - self.memory_left;
        self.denied |= !granted;
        Ok(granted)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let granted = grant(&mut self.elements_left, current, desired);
        self.denied |= !granted;
        Ok(granted)
    }

    fn instances(&self) -> usize {
        PARTS
    }

    fn tables(&self) -> usize {
        PARTS
    }

    fn memories(&self) -> usize {
        PARTS
    }
}
