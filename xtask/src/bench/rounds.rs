//! Servers taking turns under the same load, and what was measured of each.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::load::{Load, Served};
use super::setup::{Server, Setup};

const WARM_UP: Duration = Duration::from_millis(500);

/// A server, and the path that it is asked for.
pub struct Target {
    pub server: Server,
    path: String,
}

/// What one server took for its requests, over all its turns.
pub struct Figures {
    pub per_second: Spread,
    /// Processor time of a request, in microseconds.
    pub processor: Spread,
    /// The part of its core that the server kept busy.
    pub busy: Spread,
    /// In microseconds.
    pub p99: Spread,
    pub resident_bytes: Spread,
}

/// The middle and the ends of what several turns gave.
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

/// Gives every server its turn, and again, as often as the benchmark has rounds. What disturbs the machine for a while
/// disturbs all of them.
pub fn measure(setup: &Setup, load: Load, targets: &[Target]) -> Result<Vec<Figures>> {
    let mut turns: Vec<Vec<Turn>> = targets.iter().map(|_| Vec::new()).collect();
    for round in 1..=setup.extent.rounds {
        eprintln!("  round {round} of {}", setup.extent.rounds);
        for (target, turns) in targets.iter().zip(&mut turns) {
            let turn = target.take_turn(load, setup.extent.turn, setup.dir());
            turns.push(turn.with_context(|| format!("{} failed under load", target.server.name))?);
        }
    }
    Ok(turns.iter().map(|turns| Figures::of(turns)).collect())
}

struct Turn {
    per_second: f64,
    processor: f64,
    busy: f64,
    p99: f64,
    resident_bytes: f64,
}

impl Target {
    pub fn new(server: Server, path: &str) -> Self {
        Self { server, path: path.to_owned() }
    }

    fn take_turn(&self, load: Load, duration: Duration, dir: &Path) -> Result<Turn> {
        let generator = load.generator(self.server.ports.listener, &self.path, dir)?;
        let process = &self.server.process;
        generator.warm_up(WARM_UP)?;
        let (before, start) = (process.processor_time()?, Instant::now());
        let (served, resident_bytes) = thread::scope(|scope| {
            // In the middle, while the connections are there.
            let resident = scope.spawn(|| {
                thread::sleep(duration / 2);
                process.resident_bytes()
            });
            let served = generator.run(duration)?;
            anyhow::Ok((served, resident.join().expect("reading a figure does not panic")?))
        })?;
        let used = process.processor_time()?.saturating_sub(before);
        Ok(Turn::of(&served, used, start.elapsed(), resident_bytes))
    }
}

impl Turn {
    fn of(served: &Served, used: Duration, elapsed: Duration, resident_bytes: u64) -> Self {
        Self {
            per_second: served.per_second,
            processor: used.as_secs_f64() * 1e6 / served.requests as f64,
            busy: used.as_secs_f64() / elapsed.as_secs_f64(),
            p99: served.p99.as_secs_f64() * 1e6,
            resident_bytes: resident_bytes as f64,
        }
    }
}

impl Figures {
    fn of(turns: &[Turn]) -> Self {
        let spread = |figure: fn(&Turn) -> f64| Spread::of(turns.iter().map(figure).collect());
        Self {
            per_second: spread(|turn| turn.per_second),
            processor: spread(|turn| turn.processor),
            busy: spread(|turn| turn.busy),
            p99: spread(|turn| turn.p99),
            resident_bytes: spread(|turn| turn.resident_bytes),
        }
    }
}

impl Spread {
    /// Of at least one value.
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_unstable_by(f64::total_cmp);
        let (lower, upper) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        Self { median: f64::midpoint(lower, upper), min: values[0], max: values[values.len() - 1] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_the_middle_and_the_ends() {
        let check = |values: &[f64], expected: [f64; 3]| {
            let spread = Spread::of(values.to_vec());
            assert_eq!([spread.min, spread.median, spread.max].map(f64::to_bits), expected.map(f64::to_bits));
        };
        check(&[3.0], [3.0, 3.0, 3.0]);
        check(&[3.0, 1.0, 2.0], [1.0, 2.0, 3.0]);
        check(&[4.0, 1.0, 3.0, 2.0], [1.0, 2.5, 4.0]);
    }
}
