//! How a call of a guest fails.

use rustc_demangle::demangle;
use thiserror::Error;
use wasmtime::{Trap, WasmBacktrace};

use super::host::{Host, clip};
use super::load::chain;

/// Frames of a guest's stack that are worth a place in a log line.
const SHOWN_FRAMES: usize = 12;

/// What kind of failure ended a call. The code of each is stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// A panic or another trap.
    Trap,
    /// It ran out of time.
    Deadline,
    /// It was denied memory and could not go on.
    Memory,
    /// It ran out of stack.
    Stack,
    /// Its reply is invalid or too large.
    Reply,
    /// It asked a capability for what that does not give.
    Misuse,
    /// No instance could be made.
    Start,
    /// As many calls of it are under way, or as many instances exist, as there may be.
    Busy,
    /// It failed again and again, and is not called for a while.
    Tripped,
}

/// A failed call.
#[derive(Debug, Clone, Error)]
#[error("{}: {detail}", kind.code())]
pub struct Fault {
    /// What kind.
    pub kind: FaultKind,
    /// For the log: the trap with the guest's backtrace.
    pub detail: String,
}

impl FaultKind {
    /// All there are.
    pub const ALL: [Self; 9] = [
        Self::Trap,
        Self::Deadline,
        Self::Memory,
        Self::Stack,
        Self::Reply,
        Self::Misuse,
        Self::Start,
        Self::Busy,
        Self::Tripped,
    ];

    /// As it stands in bodies, logs and metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::Trap => "plugin-trap",
            Self::Deadline => "plugin-deadline",
            Self::Memory => "plugin-memory",
            Self::Stack => "plugin-stack",
            Self::Reply => "plugin-reply",
            Self::Misuse => "plugin-misuse",
            Self::Start => "plugin-start",
            Self::Busy => "plugin-busy",
            Self::Tripped => "plugin-tripped",
        }
    }

    /// Whether the same request may well succeed a moment later.
    pub fn is_temporary(self) -> bool {
        matches!(self, Self::Busy | Self::Tripped)
    }
}

/// Sorts what ended a call.
pub(super) fn fault(error: &wasmtime::Error, host: &mut Host) -> Fault {
    let kind = match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => FaultKind::Deadline,
        Some(Trap::StackOverflow) => FaultKind::Stack,
        _ if host.limiter.denied => FaultKind::Memory,
        Some(_) => FaultKind::Trap,
        None => FaultKind::Misuse,
    };
    let detail = clip(&describe(error));
    let last_words = host.last_words.take();
    Fault { kind, detail: last_words.map_or(detail.clone(), |words| format!("{words}: {detail}")) }
}

/// The cause and where in the guest it came about. The names are the guest's own words.
fn describe(error: &wasmtime::Error) -> String {
    let cause = error.chain().last().map_or_else(|| chain(error), ToString::to_string);
    let frames = error.downcast_ref::<WasmBacktrace>().map_or(&[][..], WasmBacktrace::frames);
    let names = frames.iter().filter_map(|frame| frame.func_name());
    let names = names.map(|name| format!("{:#}", demangle(name)));
    let names: Vec<_> = names.filter(|name| !is_panicking(name)).take(SHOWN_FRAMES).collect();
    if names.is_empty() { cause } else { format!("{cause}, in {}", names.join(" < ")) }
}

/// Frames of Rust's own that stand above every panic.
fn is_panicking(name: &str) -> bool {
    ["__rustc::", "std::panicking::", "core::panicking::", "std::sys::backtrace::"]
        .iter()
        .any(|module| name.trim_start_matches('<').starts_with(module))
}
