//! `cargo xtask test`: what the tests need, then the tests.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::components;
use crate::workspace;

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

/// Gets what the tests need and runs every test of the workspace, its examples and its documentation.
///
/// Tests whose component cannot be had are left out, and the last lines say which and why.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let mut cargo = cargo_test(arguments);
    let mut skipped = Vec::new();
    for component in &components::ALL {
        match component.obtain() {
            Ok(place) => _ = cargo.env(component.variable, place),
            Err(reason) => {
                eprintln!("warning: {reason:#}");
                cargo.args(["--skip", component.word]);
                skipped.push(format!("skipped: the tests named {}* ({reason:#})", component.word));
            }
        }
    }
    let mut code = code_of(&mut cargo)?;
    // Whoever asks for some tests asks for those of the gateway.
    if code == ExitCode::SUCCESS && arguments.of_cargo.is_empty() && arguments.of_programs.is_empty() {
        code = code_of(&mut guests_test())?;
    }
    skipped.iter().for_each(|line| println!("{line}"));
    Ok(code)
}

/// What guests do without a gateway.
fn guests_test() -> Command {
    let mut cargo = workspace::cargo();
    let plugins = workspace::plugins();
    cargo.args(["test", "--workspace", "--target-dir"]).arg(plugins.join("target")).current_dir(plugins);
    cargo
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
