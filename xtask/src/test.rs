//! `cargo xtask test`: what the tests need, then the tests.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::guests;
use crate::toolchain::Toolchain;
use crate::workspace;

/// What the names of all tests contain that load a guest.
const NEEDS_GUESTS: &str = "guest_";

/// As `cargo test` takes them.
#[derive(clap::Args)]
pub struct Arguments {
    /// Handed on to `cargo test`
    #[arg(allow_hyphen_values = true, value_terminator = "--")]
    of_cargo: Vec<String>,
    /// Handed on to the test programs
    #[arg(allow_hyphen_values = true, trailing_var_arg = true)]
    of_programs: Vec<String>,
}

/// Builds the guests and runs every test of the workspace, its examples and its documentation.
///
/// Where no WebAssembly toolchain can be had, the tests that need one are left out, and the last line says so.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let toolchain = match Toolchain::obtain() {
        Ok(toolchain) => toolchain,
        Err(reason) => return run_without_guests(arguments, &reason),
    };
    guests::build(&toolchain)?;
    code_of(cargo_test(arguments).env("CLOUDCUP_GUESTS", workspace::guests()))
}

fn run_without_guests(arguments: &Arguments, reason: &anyhow::Error) -> Result<ExitCode> {
    eprintln!("warning: {reason:#}");
    let code = code_of(cargo_test(arguments).args(["--skip", NEEDS_GUESTS]))?;
    println!("skipped: the tests named {NEEDS_GUESTS}* ({reason:#})");
    Ok(code)
}

/// What is added to this goes to the test programs.
fn cargo_test(arguments: &Arguments) -> Command {
    let mut cargo = workspace::cargo();
    cargo.args(["test", "--workspace"]).args(&arguments.of_cargo).arg("--").args(&arguments.of_programs);
    cargo.current_dir(workspace::root());
    cargo
}

fn code_of(command: &mut Command) -> Result<ExitCode> {
    let status = command.status().context("cannot start `cargo test`")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    #[test]
    fn hands_arguments_on() {
        let check = |given: &[&str], expected: &[&str]| {
            let line = Line::parse_from([&["test"], given].concat());
            let args: Vec<_> = cargo_test(&line.arguments).get_args().map(|arg| arg.to_owned()).collect();
            assert_eq!(args[..2], ["test", "--workspace"]);
            assert_eq!(args[2..], *expected);
        };
        check(&[], &["--"]);
        check(&["route"], &["route", "--"]);
        check(&["--", "--nocapture"], &["--", "--nocapture"]);
        check(&["--release", "route", "--", "--nocapture"], &["--release", "route", "--", "--nocapture"]);
    }
}
