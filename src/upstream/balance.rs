//! How one of several endpoints is chosen: what each strategy prepares, and how it draws.

mod affinity;
mod ewma;
mod key;
mod levels;
mod maglev;
mod ring;
mod turns;
mod walk;
mod weighted;

pub use affinity::{Affinity, SameSite};
pub(super) use ewma::Ewma;
pub use key::HashKey;
pub(super) use levels::{Level, shares};

use siphasher::sip::SipHasher13;

/// How a cluster shares out requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// Each endpoint in its turn, as often as its weight says; exact over all workers.
    #[default]
    RoundRobin,
    /// The less busy of two that were drawn.
    LeastRequest,
    /// Whoever is drawn.
    Random,
    /// Of two that were drawn, the one that promises to answer sooner.
    PeakEwma,
    /// By the hash of a key, in Google's Maglev table.
    Maglev,
    /// By the hash of a key, on a ring.
    RingHash,
}

/// What a strategy has prepared for some candidates, who are known by their place in a list.
#[derive(Debug)]
pub(super) enum Picker {
    /// The order of turns.
    Turns(Vec<u32>),
    /// The candidate with a smaller load of two, or the first.
    Drawn(weighted::Weighted, Draw),
    /// By a hash.
    Maglev(maglev::Table),
    /// By a hash.
    Ring(ring::Ring),
}

/// What decides between two that were drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Draw {
    /// Nothing: the first has it.
    Any,
    /// Requests that it has for its weight.
    Requests,
    /// The latency that it promises.
    Latency,
}

/// One of the candidates that a picker is prepared for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate<'a> {
    /// What it is known by, also after a restart and elsewhere.
    pub host: &'a str,
    /// Its share.
    pub weight: u32,
}

impl Picker {
    /// Prepares a strategy.
    pub fn new(strategy: Strategy, candidates: &[Candidate<'_>]) -> Self {
        let weights = || candidates.iter().map(|candidate| candidate.weight).collect::<Vec<_>>();
        let hashed = || {
            let hashed =
                candidates.iter().map(|candidate| (hash(candidate.host.as_bytes()), candidate.weight));
            hashed.collect::<Vec<_>>()
        };
        let drawn = |draw| Self::Drawn(weighted::Weighted::new(&weights()), draw);
        match strategy {
            Strategy::RoundRobin => {
                Self::Turns(turns::schedule(&weights().into_iter().enumerate().collect::<Vec<_>>()))
            }
            Strategy::LeastRequest => drawn(Draw::Requests),
            Strategy::Random => drawn(Draw::Any),
            Strategy::PeakEwma => drawn(Draw::Latency),
            Strategy::Maglev => Self::Maglev(maglev::Table::build(&hashed())),
            Strategy::RingHash => Self::Ring(ring::Ring::build(&hashed())),
        }
    }
}

/// The same in every process and release: gateways beside each other send a key to the same endpoint.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    SipHasher13::new().hash(bytes)
}
