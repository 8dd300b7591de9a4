//! The case `hostile`: what a route without plugins notices of hostile guests on another route.
//!
//! Turns with and without the hostile requests alternate on one gateway. The load is made in two ways: by wrk, which asks
//! again when it has its answer and so hardly notices a worker that stands still, and at a fixed rate, where a
//! request counts from the moment at which it was due.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::client::Client;
use super::gateway;
use super::load::Load;
use super::report::{Table, mebibytes};
use super::rounds::Spread;
use super::setup::{Server, Setup};
use crate::workspace;

/// Requests to hostile guests in a second.
const HOSTILE_RATE: u32 = 20;
/// Requests in a second at the fixed rate, and connections that they come on.
const RATE: u32 = 2000;
const CONNECTIONS: u32 = 16;
/// So long the hostile guests are asked for first: what trips has then tripped often enough that its pauses are long.
const WARM_UP: Duration = Duration::from_secs(20);

/// One of everything that takes time, memory or the log, and some that only fail.
const MIXED: &[&str] = &[
    "exhaust-loop",
    "exhaust-memory",
    "exhaust-memory-and-live",
    "exhaust-leak",
    "exhaust-stack",
    "exhaust-panic",
    "answer-name",
    "answer-huge",
    "huge-line",
    "huge-header",
    "huge-key",
    "huge-fields-by-alias",
    "flood-log",
    "flood-headers",
    "flood-limiter",
    "flood-state",
    "flood-breaker",
    "flood-faults",
    "handle-open",
    "handle-stale",
];
/// What is never taken out of the way, since it succeeds now and then, and takes all of its time when it does not.
const ELUSIVE: &[&str] = &["exhaust-time-by-turns"];

pub fn run(setup: &Setup) -> Result<Table> {
    let mut table = Table::new(&[
        "load on the good route",
        "hostile guests",
        "p99 without",
        "min to max",
        "p99 with",
        "min to max",
        "ratio",
        "hostile answers",
        "memory before",
        "memory after",
    ]);
    for (name, deeds) in [("mixed", MIXED), ("elusive", ELUSIVE)] {
        for load in [By::Wrk, By::Rate] {
            let server = setup.start_gateway_with("cloud-cup", |ports, dir| {
                Ok(document(gateway::base(ports, dir), deeds))
            })?;
            let figures =
                measure(setup, &server, load, deeds).with_context(|| format!("{name}, {}", load.name()))?;
            table.row(figures.row(load, name));
        }
    }
    Ok(table)
}

fn document(mut document: Value, deeds: &[&str]) -> Value {
    let backends = document["routes"]["*"]["backends"].clone();
    document["plugins"]["hostile"] = json!({
        "source": workspace::guests().join("hostile.wasm"),
        "permissions": ["log", "clock", "random", "rate-limit", "circuit", "state", "metrics"],
    });
    for deed in deeds {
        let plugin = json!({ "use": "hostile", "config": { "do": deed } });
        document["routes"][path(deed)] = json!({ "backends": backends, "plugins": [plugin] });
    }
    document
}

fn path(deed: &str) -> String {
    format!("/bad/{deed}")
}

/// How the load is made.
#[derive(Clone, Copy)]
enum By {
    Wrk,
    Rate,
}

/// Microseconds, and what the hostile requests came to.
struct Figures {
    without: Spread,
    with: Spread,
    served: u64,
    refused: u64,
    memory_before: u64,
    memory_after: u64,
}

impl By {
    fn name(self) -> String {
        match self {
            Self::Wrk => "64 connections, as fast as it goes".to_owned(),
            Self::Rate => format!("{RATE}/s"),
        }
    }

    /// The 99th percentile in microseconds. An answer that is no success is an error.
    fn take_turn(self, setup: &Setup, server: &Server, duration: Duration) -> Result<f64> {
        match self {
            Self::Wrk => {
                let generator = Load::Http1.generator(server.ports.listener, "/", setup.dir())?;
                Ok(generator.run(duration)?.p99.as_secs_f64() * 1e6)
            }
            Self::Rate => at_rate(server.ports.listener, duration),
        }
    }
}

impl Figures {
    fn row(&self, load: By, deeds: &str) -> Vec<String> {
        let milliseconds = |figure: f64| format!("{:.2}", figure / 1000.0);
        let range = |spread: &Spread| format!("{} to {}", milliseconds(spread.min), milliseconds(spread.max));
        vec![
            load.name(),
            deeds.to_owned(),
            format!("{} ms", milliseconds(self.without.median)),
            range(&self.without),
            format!("{} ms", milliseconds(self.with.median)),
            range(&self.with),
            format!("{:.3}", self.with.median / self.without.median),
            format!("{} of {} 200", self.served, self.served + self.refused),
            mebibytes(self.memory_before as f64),
            mebibytes(self.memory_after as f64),
        ]
    }
}

fn measure(setup: &Setup, server: &Server, load: By, deeds: &[&str]) -> Result<Figures> {
    let port = server.ports.listener;
    // Instances are warm, pools are filled, and what trips at once has tripped.
    let (_, tally) = under_attack(port, deeds, || load.take_turn(setup, server, WARM_UP))?;
    eprintln!("  while they were not tripped yet, under load: {}", tally.slowest());
    let memory_before = server.process.resident_bytes()?;
    let (mut without, mut with, mut served, mut refused) = (Vec::new(), Vec::new(), 0, 0);
    for round in 1..=setup.extent.rounds {
        eprintln!("  {}, round {round} of {}", load.name(), setup.extent.rounds);
        without.push(load.take_turn(setup, server, setup.extent.turn)?);
        let (p99, tally) = under_attack(port, deeds, || load.take_turn(setup, server, setup.extent.turn))?;
        with.push(p99);
        served += tally.served;
        refused += tally.refused;
    }
    let memory_after = server.process.resident_bytes()?;
    let (without, with) = (Spread::of(without), Spread::of(with));
    Ok(Figures { without, with, served, refused, memory_before, memory_after })
}

#[derive(Default)]
struct Tally {
    served: u64,
    refused: u64,
    /// The longest that each deed took, in milliseconds.
    longest: BTreeMap<String, u128>,
}

impl Tally {
    fn slowest(&self) -> String {
        let mut deeds: Vec<_> = self.longest.iter().collect();
        deeds.sort_by_key(|(_, time)| std::cmp::Reverse(**time));
        let told: Vec<_> = deeds.iter().map(|(deed, time)| format!("{deed} {time} ms")).collect();
        told.join(", ")
    }
}

/// Does something while the hostile guests are asked for, one after another.
fn under_attack<T>(port: u16, deeds: &[&str], work: impl FnOnce() -> Result<T>) -> Result<(T, Tally)> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let attack = scope.spawn(|| attack(port, deeds, &stop));
        let done = work();
        stop.store(true, Ordering::Relaxed);
        Ok((done?, attack.join().expect("it returns its errors")?))
    })
}

fn attack(port: u16, deeds: &[&str], stop: &AtomicBool) -> Result<Tally> {
    let (mut client, mut tally) = (Client::connect(port)?, Tally::default());
    let mut due = Instant::now();
    for deed in deeds.iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let begin = Instant::now();
        let answer = client.get(&path(deed)).with_context(|| format!("asking for {deed}"))?;
        let longest = tally.longest.entry((*deed).to_owned()).or_default();
        *longest = begin.elapsed().as_millis().max(*longest);
        match answer.status {
            200 => tally.served += 1,
            500 | 503 => tally.refused += 1,
            status => anyhow::bail!("{deed} is answered with {status}"),
        }
        due += Duration::from_secs(1) / HOSTILE_RATE;
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok(tally)
}

/// Requests that are due at fixed moments; one that waits for its turn on its connection counts from its own.
fn at_rate(port: u16, duration: Duration) -> Result<f64> {
    let begin = Instant::now();
    let connection = |number: u32| -> Result<Vec<u64>> {
        let mut client = Client::connect(port)?;
        let step = Duration::from_secs(1) * CONNECTIONS / RATE;
        let mut due = begin + step * number / CONNECTIONS;
        let mut times = Vec::new();
        while due < begin + duration {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let status = client.get("/")?.status;
            ensure!(status == 200, "the answer was {status}");
            times.push(due.elapsed().as_micros() as u64);
            due += step;
        }
        Ok(times)
    };
    let mut times = thread::scope(|scope| {
        let threads: Vec<_> =
            (0..CONNECTIONS).map(|number| scope.spawn(move || connection(number))).collect();
        let times = threads.into_iter().map(|thread| thread.join().expect("it returns its errors"));
        times.collect::<Result<Vec<_>>>().map(|times| times.concat())
    })?;
    times.sort_unstable();
    let p99 = times.get(times.len() * 99 / 100).context("no request was answered")?;
    Ok(*p99 as f64)
}
