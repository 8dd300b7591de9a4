//! The chores of this repository, run as `cargo xtask COMMAND`.
//!
//! Everything that a build needs beyond `cargo build` is here and nowhere else, so that a fresh clone, a developer and
//! CI do the same: the guests need a WebAssembly toolchain, the gateway ships components that are built from them, the
//! tests need the guests, fuzzing needs the gateway with counters, and the benchmark the proxies that it compares.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "chores speak to their caller, and have nothing to do while they wait"
)]

mod bench;
mod components;
mod conformance;
mod dist;
mod fuzz;
mod guests;
mod process;
mod test;
mod toolchain;
mod workspace;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "The chores of this repository")]
enum Command {
    /// Build every guest under plugins/ as a component in target/guests
    Guests,
    /// Rebuild the components that the gateway ships, in plugins/dist
    Plugins,
    /// Build the guests, then run every test
    Test(test::Arguments),
    /// Look for inputs that break what fuzz/ states
    Fuzz(fuzz::Arguments),
    /// Run the conformance suites that others maintain against the gateway
    Conformance(conformance::Options),
    /// Measure the gateway beside the proxies found on this machine
    Bench(bench::Options),
    /// The backend of the benchmark
    #[command(hide = true)]
    BenchBackend {
        /// Where to write the port that it listens on
        #[arg(long)]
        port_file: PathBuf,
    },
}

fn main() -> ExitCode {
    match run(Command::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Guests => guests::build_and_list()?,
        Command::Plugins => dist::write()?,
        Command::Test(arguments) => return test::run(&arguments),
        Command::Fuzz(arguments) => return fuzz::run(&arguments),
        Command::Conformance(options) => return conformance::run(&options),
        Command::Bench(options) => bench::run(&options)?,
        Command::BenchBackend { port_file } => bench::backend::serve(&port_file)?,
    }
    Ok(ExitCode::SUCCESS)
}
