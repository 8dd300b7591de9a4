//! A breaker's state in one word, so that a transition is one compare-and-swap.

use crate::base::sync::{
    AtomicU64,
    Ordering::{AcqRel, Acquire},
};

/// Bits of a moment in milliseconds: 34 years.
pub(super) const STAMP_BITS: u32 = 40;

const COUNT_BITS: u32 = 10;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
const STAMP_MASK: u64 = (1 << STAMP_BITS) - 1;

/// What a breaker does with requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// It lets them through and counts how they go.
    Closed = 0,
    /// It refuses them.
    Open = 1,
    /// It lets a few through, to see how they go.
    HalfOpen = 2,
}

/// A state that an operator holds a breaker in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Forced {
    /// Nothing passes.
    Open,
    /// Everything passes, and nothing is counted.
    Closed,
}

/// Why a breaker changed its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Too many failures in a row.
    ConsecutiveFailures,
    /// Too large a share of the window's requests failed.
    FailurePercent,
    /// Too large a share of the window's requests was slow.
    SlowPercent,
    /// It was open for its time, and a request came.
    OpenTimeOver,
    /// A probe failed, or was slow where slow ones count.
    ProbeFailed,
    /// All probes succeeded.
    ProbesSucceeded,
    /// An operator forced it, or let go of it.
    Operator,
}

impl State {
    /// A fixed word for logs and metrics, as the plugin interface has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

impl Cause {
    /// A fixed word for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConsecutiveFailures => "consecutive-failures",
            Self::FailurePercent => "failure-percent",
            Self::SlowPercent => "slow-percent",
            Self::OpenTimeOver => "open-time-over",
            Self::ProbeFailed => "probe-failed",
            Self::ProbesSucceeded => "probes-succeeded",
            Self::Operator => "operator",
        }
    }
}

/// Where a breaker is, with the counts that only half-open has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Closed,
    Open,
    /// `places` probes may still be let in, `succeeded` went well; what is missing to all of them is under way.
    HalfOpen {
        places: u32,
        succeeded: u32,
    },
    Forced(Forced),
}

/// A phase and when it began, which names it: no two phases of a breaker have the same stamp, and later ones have
/// larger stamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word {
    pub phase: Phase,
    pub stamp: u64,
}

impl Word {
    /// What follows upon this one at a moment. Transitions within one millisecond get rising stamps, which run ahead
    /// of the clock by one millisecond each.
    pub fn next(self, now: u64, phase: Phase) -> Self {
        Self { phase, stamp: now.max(self.stamp + 1) }
    }

    /// As others see it.
    pub fn state(self) -> State {
        match self.phase {
            Phase::Closed | Phase::Forced(Forced::Closed) => State::Closed,
            Phase::Open | Phase::Forced(Forced::Open) => State::Open,
            Phase::HalfOpen { .. } => State::HalfOpen,
        }
    }

    /// From the lowest bit: 40 of stamp, 10 of places, 10 of successes, 4 of phase.
    fn pack(self) -> u64 {
        let (phase, places, succeeded) = match self.phase {
            Phase::Closed => (0, 0, 0),
            Phase::Open => (1, 0, 0),
            Phase::HalfOpen { places, succeeded } => (2, places, succeeded),
            Phase::Forced(Forced::Open) => (3, 0, 0),
            Phase::Forced(Forced::Closed) => (4, 0, 0),
        };
        let counts = u64::from(places) | u64::from(succeeded) << COUNT_BITS | phase << (2 * COUNT_BITS);
        counts << STAMP_BITS | (self.stamp & STAMP_MASK)
    }

    fn unpack(bits: u64) -> Self {
        let counts = bits >> STAMP_BITS;
        let count = |shift| (counts >> shift & COUNT_MASK) as u32;
        let phase = match counts >> (2 * COUNT_BITS) {
            0 => Phase::Closed,
            1 => Phase::Open,
            2 => Phase::HalfOpen { places: count(0), succeeded: count(COUNT_BITS) },
            3 => Phase::Forced(Forced::Open),
            _ => Phase::Forced(Forced::Closed),
        };
        Self { phase, stamp: bits & STAMP_MASK }
    }
}

/// A word that threads share. Closed with stamp 0 when new.
#[derive(Debug, Default)]
pub(super) struct AtomicWord(AtomicU64);

impl AtomicWord {
    pub fn load(&self) -> Word {
        Word::unpack(self.0.load(Acquire))
    }

    /// Puts `to` in the place of `from`, unless something else is there by now.
    pub fn replace(&self, from: Word, to: Word) -> bool {
        self.0.compare_exchange(from.pack(), to.pack(), AcqRel, Acquire).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_out_again() {
        let phases = [
            Phase::Closed,
            Phase::Open,
            Phase::HalfOpen { places: 0, succeeded: 1000 },
            Phase::HalfOpen { places: 1000, succeeded: 0 },
            Phase::Forced(Forced::Open),
            Phase::Forced(Forced::Closed),
        ];
        for phase in phases {
            for stamp in [0, 1, STAMP_MASK] {
                let word = Word { phase, stamp };
                assert_eq!(Word::unpack(word.pack()), word);
            }
        }
    }

    #[test]
    fn stamps_rise_even_within_a_millisecond() {
        let word = Word { phase: Phase::Open, stamp: 7 };
        assert_eq!([6, 7, 8, 9].map(|now| word.next(now, Phase::Closed).stamp), [8, 8, 8, 9]);
    }
}
