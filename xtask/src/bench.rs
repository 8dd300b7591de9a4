//! `cargo xtask bench`: the gateway beside nginx, HAProxy, Envoy and Caddy, in one run on one machine.
//!
//! Figures of different machines and days cannot be compared, ratios of one run can. So every proxy gets one worker on
//! one core, the backend and the load generator share the other, and the proxies take turns, several rounds of each. What
//! counts is the processor time of a request by the kernel's own account of the proxy's threads: on a busy machine it
//! moves far less than the throughput.
//!
//! Everything stays on the loopback interface and is bounded in time and count.

pub mod backend;
mod cases;
pub mod certificate;
mod client;
mod clients;
mod comparison;
mod gateway;
mod grpc;
mod hostile;
mod idle;
mod load;
mod machine;
mod peers;
mod policies;
mod probe;
mod reload;
mod report;
mod rounds;
mod setup;
mod websocket;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use cases::Case;
use machine::Machine;
use peers::Peer;
use report::Report;
use setup::Setup;

use crate::guests;
use crate::toolchain::Toolchain;

#[derive(clap::Args)]
pub struct Options {
    /// How often each proxy takes its turn
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=50))]
    rounds: u32,
    /// How long a turn is, in seconds
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=30))]
    seconds: u64,
    /// Run this case only; may be repeated
    #[arg(long = "case", value_name = "NAME")]
    cases: Vec<Case>,
    /// The proxies to compare with
    #[arg(long, value_delimiter = ',', default_value = "nginx,haproxy,envoy,caddy")]
    peers: Vec<Peer>,
    /// How many reloads the case `reload` makes
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    reloads: u32,
    /// How many connections the case `idle` opens; the other cases of idle connections at most 1,000 or 2,000 of them
    #[arg(long, default_value_t = 8000, value_parser = clap::value_parser!(u32).range(1..=9000))]
    connections: u32,
    /// A first look: two turns of one second, 60 reloads, 1,000 idle connections
    #[arg(long)]
    quick: bool,
    /// Write the report to this file too
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Measure this binary (with `cupctl` beside it) and do not build one
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
}

/// How much is measured.
struct Extent {
    rounds: u32,
    turn: Duration,
    reloads: u32,
    connections: u32,
}

impl Options {
    fn extent(&self) -> Extent {
        if self.quick {
            return Extent { rounds: 2, turn: Duration::from_secs(1), reloads: 60, connections: 1000 };
        }
        Extent {
            rounds: self.rounds,
            turn: Duration::from_secs(self.seconds),
            reloads: self.reloads,
            connections: self.connections,
        }
    }
}

pub fn run(options: &Options) -> Result<()> {
    ensure!(
        cfg!(target_os = "linux"),
        "the benchmark needs Linux: it reads the proxies' processor time from /proc"
    );
    let cases = cases::chosen(&options.cases);
    let machine = Machine::of_this_process()?;
    let guests_missing = build_guests(&cases)?;
    let gateway = gateway::Binaries::obtain(options.binary.as_deref())?;
    let peers = peers::find(&options.peers);
    let mut report = Report::open(options.markdown.as_deref(), &peers)?;
    // What was built was built on all cores; from here on this process and its client threads are part of the load.
    machine.move_to_load_core()?;
    machine::allow_many_open_files()?;
    let setup = Setup::build(machine, gateway, peers, options.extent())?;
    for case in cases {
        let name = case.name();
        let guests_missing = guests_missing.clone().filter(|_| case.needs_guests());
        if let Some(reason) = guests_missing.or_else(|| case.missing_generator()) {
            report.skip(&name, &reason)?;
            continue;
        }
        eprintln!("{name}");
        let table = case.run(&setup).with_context(|| format!("the case `{name}` failed"))?;
        report.add(&name, case.about(), &table)?;
    }
    Ok(())
}

/// Builds the guests where a case loads one. Returns why it cannot be done, where there is no toolchain for it.
fn build_guests(cases: &[Case]) -> Result<Option<String>> {
    if !cases.iter().any(|case| case.needs_guests()) {
        return Ok(None);
    }
    match Toolchain::obtain() {
        Ok(toolchain) => guests::build(&toolchain).map(|_| None),
        Err(reason) => Ok(Some(format!("{reason:#}"))),
    }
}
