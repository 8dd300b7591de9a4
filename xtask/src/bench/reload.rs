//! The case `reload`: many changes under load, with every request and every connection counted.
//!
//! The document and a plugin's file change in turns, never back to what they were, so that no change can be answered
//! with what an earlier one left behind. Once a reload is said to be done, a new connection must see it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::client::Client;
use super::gateway::{self, Ports, replace_file};
use super::report::{Table, mebibytes};
use super::rounds::Spread;
use super::setup::{Server, Setup};
use crate::workspace;

const CONNECTIONS: usize = 16;
const LONGEST: Duration = Duration::from_secs(30 * 60);
/// How many reloads the memory is given to find its size.
const SETTLED: u32 = 50;
/// The response's field that tells by which document it was made.
const REVISION: &str = "x-revision";

pub fn run(setup: &Setup) -> Result<Table> {
    let component = noop_component()?;
    let server = setup.start_gateway_with("cloud-cup", |ports, dir| {
        write_plugin(dir, &component, 0)?;
        Ok(document(ports, dir, 0))
    })?;
    let (reloads, tally) = under_load(server.ports.listener, || reload_often(setup, &server, &component))?;
    ensure!(tally.requests > 0, "no request was made");
    Ok(table(&reloads, &tally))
}

/// What the reloads came to.
struct Reloads {
    /// Milliseconds from the order to reload until every worker served by the new snapshot.
    times: Vec<f64>,
    /// Responses that were not made by the document that was said to be in force.
    stale: u32,
    memory_settled: u64,
    memory_highest: u64,
    memory_end: u64,
}

fn reload_often(setup: &Setup, server: &Server, component: &[u8]) -> Result<Reloads> {
    let (socket, begin) = (gateway::socket(&server.dir), Instant::now());
    let mut reloads =
        Reloads { times: Vec::new(), stale: 0, memory_settled: 0, memory_highest: 0, memory_end: 0 };
    let mut revision = 0;
    for number in 1..=setup.extent.reloads {
        if number % 2 == 0 {
            write_plugin(&server.dir, component, number)?;
        } else {
            revision = number;
            write_document(server, revision)?;
        }
        let start = Instant::now();
        setup.gateway.reload(&socket).with_context(|| format!("reload {number} failed"))?;
        reloads.times.push(start.elapsed().as_secs_f64() * 1000.0);
        reloads.stale += u32::from(revision_served(server)? != revision);
        reloads.note_memory(number, server.process.resident_bytes()?);
        ensure!(begin.elapsed() < LONGEST, "{number} reloads took longer than {LONGEST:?}");
    }
    Ok(reloads)
}

impl Reloads {
    fn note_memory(&mut self, number: u32, bytes: u64) {
        if number <= SETTLED {
            self.memory_settled = bytes;
        }
        self.memory_highest = self.memory_highest.max(bytes);
        self.memory_end = bytes;
    }
}

fn revision_served(server: &Server) -> Result<u32> {
    let response = Client::connect(server.ports.listener)?.get("/")?;
    let revision = response.header(REVISION).with_context(|| format!("a response had no `{REVISION}`"))?;
    Ok(revision.parse()?)
}

fn document(ports: Ports, dir: &Path, revision: u32) -> Value {
    let document = gateway::with_noop(gateway::base(ports, dir), &plugin_file(dir), "reuse");
    gateway::with_plugin(document, gateway::headers(REVISION, &revision.to_string()))
}

fn write_document(server: &Server, revision: u32) -> Result<()> {
    let document = document(server.ports, &server.dir, revision);
    replace_file(&server.document(), json!(document).to_string().as_bytes())
}

fn plugin_file(dir: &Path) -> PathBuf {
    dir.join("noop.wasm")
}

fn noop_component() -> Result<Vec<u8>> {
    let path = workspace::guests().join("noop.wasm");
    fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))
}

/// Writes another build of the same plugin: a custom section changes the file and not what it does.
fn write_plugin(dir: &Path, component: &[u8], revision: u32) -> Result<()> {
    let name = b"revision";
    let mut section = vec![name.len() as u8];
    section.extend_from_slice(name);
    section.extend_from_slice(&revision.to_le_bytes());
    // Id 0, then the length, which takes one byte as long as it is below 128.
    let build = [component, &[0, section.len() as u8], &section].concat();
    replace_file(&plugin_file(dir), &build)
}

/// What became of the requests that were made meanwhile.
#[derive(Default)]
struct Tally {
    requests: u64,
    /// Requests without a complete response of status 200.
    failed: u64,
    /// Connections that the gateway ended, announced or not.
    dropped: u64,
}

/// Does something while clients ask all the time.
fn under_load<T>(port: u16, work: impl FnOnce() -> Result<T>) -> Result<(T, Tally)> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(|| keep_asking(port, &stop))).collect();
        let done = work();
        stop.store(true, Ordering::Relaxed);
        let mut sum = Tally::default();
        for client in clients {
            let tally = client.join().expect("a client counts its errors and does not panic");
            sum.requests += tally.requests;
            sum.failed += tally.failed;
            sum.dropped += tally.dropped;
        }
        Ok((done?, sum))
    })
}

fn keep_asking(port: u16, stop: &AtomicBool) -> Tally {
    let mut tally = Tally::default();
    let mut client = None;
    while !stop.load(Ordering::Relaxed) {
        tally.requests += 1;
        let Ok(mut connected) = client.take().map_or_else(|| Client::connect(port), Ok) else {
            tally.failed += 1;
            // A gateway that refuses connections is not asked a million times.
            thread::sleep(Duration::from_millis(10));
            continue;
        };
        let response = connected.get("/").ok();
        tally.failed += u64::from(response.as_ref().is_none_or(|response| response.status != 200));
        if response.is_some_and(|response| !response.closes) {
            client = Some(connected);
        } else {
            tally.dropped += 1;
        }
    }
    tally
}

fn table(reloads: &Reloads, tally: &Tally) -> Table {
    let times = Spread::of(reloads.times.clone());
    let mut table = Table::new(&["figure", "value"]);
    let mut row = |figure: &str, value: String| table.row(vec![figure.to_owned(), value]);
    row("reloads", reloads.times.len().to_string());
    row("requests meanwhile", tally.requests.to_string());
    row("failed requests", tally.failed.to_string());
    row("dropped connections", tally.dropped.to_string());
    row("responses by an old document", reloads.stale.to_string());
    row("time of a reload, median", format!("{:.1} ms", times.median));
    row("time of a reload, longest", format!("{:.1} ms", times.max));
    row(&format!("memory after {SETTLED}"), mebibytes(reloads.memory_settled as f64));
    row("memory at the end", mebibytes(reloads.memory_end as f64));
    row("memory at its highest", mebibytes(reloads.memory_highest as f64));
    let ratio = reloads.memory_end as f64 / reloads.memory_settled as f64;
    row(&format!("memory at the end / after {SETTLED}"), format!("{ratio:.3}"));
    table
}
