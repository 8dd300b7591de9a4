//! httpwg-cli: h2spec's cases anew for RFC 9113, a program in Rust from crates.io.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::expected::Outcome;
use super::setup::Setup;
use super::{Case, Found, Run, folder, given, name_of};
use crate::workspace::{self, run as run_program};

const VERSION: &str = "0.2.5";
/// How long it waits for a frame, in milliseconds. Its own 250 are little for a busy machine.
const PATIENCE: &str = "1500";

pub fn obtain() -> Result<Found> {
    if let Some(program) = given("CLOUDCUP_HTTPWG", "httpwg") {
        return Ok(Found { version: name_of(&program), program });
    }
    let root = folder().join(format!("httpwg-{VERSION}"));
    let program = root.join("bin/httpwg");
    if !program.is_file() {
        let mut cargo = workspace::cargo();
        cargo
            .args(["install", "--quiet", "--locked", "--version", VERSION, "httpwg-cli", "--root"])
            .arg(&root);
        cargo.arg("--target-dir").arg(folder().join("build"));
        run_program(&mut cargo).context("cannot install httpwg-cli from crates.io")?;
    }
    Ok(Found { version: format!("httpwg-cli {VERSION}"), program })
}

pub fn run(found: &Found, setup: &Setup) -> Result<Vec<Run>> {
    let mut command = Command::new(&found.program);
    command.args(["--verbose", "--address", &format!("127.0.0.1:{}", setup.ports.clear)]);
    command.args(["--frame-timeout", PATIENCE, "--connect-timeout", PATIENCE]);
    // One after the other, so that what it says stands behind the case that it is about.
    command.env("SEQUENTIAL", "1").env("RUST_LOG", "off");
    // It fails where a case does, which is for us to judge.
    let output = command.output().context("cannot start httpwg")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(said.contains("Awaiting local set"), "it did not come to its end: {}", said.trim());
    let cases = parse(&said);
    ensure!(!cases.is_empty(), "it ran no case: {}", said.trim());
    Ok(vec![Run { over: "cleartext", cases }])
}

/// Reads what it says on standard error. A case that begins and is not told to pass has failed: some panic.
fn parse(said: &str) -> Vec<Case> {
    said.split("Running test: ")
        .skip(1)
        .map(|piece| {
            let (name, rest) = piece.split_once('\n').unwrap_or((piece, ""));
            let passes = rest.contains(&format!("Test passed: {name}"));
            Case {
                id: name.strip_prefix("RFC 9113 :: ").unwrap_or(name).to_owned(),
                title: String::new(),
                outcome: if passes { Outcome::Passes } else { Outcome::Fails },
                said: if passes { String::new() } else { reason(rest) },
            }
        })
        .collect()
}

/// The first line of an error, or of a panic, without the colours.
fn reason(rest: &str) -> String {
    let lines: Vec<String> = rest.lines().map(without_colours).collect();
    let numbered = lines.iter().find_map(|line| line.trim_start().strip_prefix("0: "));
    let panicked = || lines.iter().find(|line| line.contains("panic")).map(String::as_str);
    numbered.or_else(panicked).unwrap_or("it does not say why").trim().to_owned()
}

fn without_colours(line: &str) -> String {
    let mut pieces = line.split('\x1b');
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |text, piece| text + piece.split_once('m').map_or("", |(_, behind)| behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_says() {
        let said = "Will run tests against 127.0.0.1:1\nHolding 1 connections\n\
            🔷 Running test: RFC 9113 :: 5. streams :: a\n✅ Test passed: RFC 9113 :: 5. streams :: a\n\
            🔷 Running test: RFC 9113 :: 5. streams :: b\n❌ Test failed: RFC 9113 :: 5. streams :: b\n\
            \x20  0: \x1b[91mTimed out\x1b[0m\n\nLocation:\n   \x1b[35mlib.rs\x1b[0m:\x1b[35m751\x1b[0m\n\
            🔷 Running test: RFC 9113 :: 6. frames :: c\nThe application panicked (crashed).\n\
            🔷 Running test: RFC 9113 :: 6. frames :: d\n✅ Test passed: RFC 9113 :: 6. frames :: d\n\
            Awaiting local set\n🚄 Passed 2/4 tests\n";
        let found: Vec<_> = parse(said).into_iter().map(|case| (case.id, case.outcome, case.said)).collect();
        let case = |id: &str, outcome, said: &str| (id.to_owned(), outcome, said.to_owned());
        assert_eq!(
            found,
            [
                case("5. streams :: a", Outcome::Passes, ""),
                case("5. streams :: b", Outcome::Fails, "Timed out"),
                case("6. frames :: c", Outcome::Fails, "The application panicked (crashed)."),
                case("6. frames :: d", Outcome::Passes, ""),
            ]
        );
    }
}
