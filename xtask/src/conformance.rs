//! `cargo xtask conformance`: suites that others maintain, run against the gateway.
//!
//! A suite is a program of its own, in whatever language. Each is looked for, or installed into target/conformance by the
//! registry that has it, run against the real binary on loopback, and held case by case to the results that
//! tests/conformance expects. Where one cannot be had, the last lines say so, and how to get it.

mod autobahn;
mod backend;
mod expected;
mod h2spec;
mod httpwg;
mod setup;

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::toolchain::on_path;
use crate::workspace;
use expected::{Expected, Outcome};
use setup::Setup;

#[derive(clap::Args)]
pub struct Options {
    /// Those to run; all of them by default
    #[arg(value_name = "SUITE")]
    suites: Vec<Suite>,
    /// Write what comes out to tests/conformance; the reasons that are written there stay
    #[arg(long)]
    bless: bool,
    /// Run against this binary and do not build one
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Suite {
    /// HTTP/2 and HPACK, cleartext and TLS
    H2spec,
    /// HTTP/2, cleartext
    Httpwg,
    /// WebSocket through the gateway, cleartext and TLS
    Autobahn,
}

/// A suite that can be run.
struct Found {
    program: PathBuf,
    /// Its name and version, for people.
    version: String,
}

/// All cases of a suite, over one listener.
struct Run {
    over: &'static str,
    cases: Vec<Case>,
}

struct Case {
    /// What the suite calls it.
    id: String,
    /// Empty where the id says it all.
    title: String,
    outcome: Outcome,
    /// What the suite found wrong.
    said: String,
}

/// Runs suites, and fails where a case does worse than it should. A suite that cannot be had is no failure.
pub fn run(options: &Options) -> Result<ExitCode> {
    let suites = if options.suites.is_empty() { Suite::value_variants() } else { &options.suites };
    let found: Vec<_> = suites.iter().map(|suite| (*suite, suite.obtain())).collect();
    let mut setup = None;
    let mut summary = Vec::new();
    let mut all_good = true;
    for (suite, found) in found {
        let name = suite.name();
        match found {
            Err(reason) => summary.push(format!("{name}: skipped: {reason:#}")),
            Ok(found) => {
                let setup = match &mut setup {
                    Some(setup) => setup,
                    none => none.insert(Setup::start(options.binary.as_deref())?),
                };
                eprintln!("running {}", found.version);
                let runs = suite.run(&found, setup).with_context(|| format!("{name} could not be run"))?;
                setup.check()?;
                let (line, is_good) = judge(name, &found, &runs, options.bless)?;
                summary.push(line);
                all_good &= is_good;
            }
        }
    }
    summary.iter().for_each(|line| println!("{line}"));
    Ok(if all_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Suite {
    fn name(self) -> &'static str {
        match self {
            Self::H2spec => "h2spec",
            Self::Httpwg => "httpwg",
            Self::Autobahn => "autobahn",
        }
    }

    fn obtain(self) -> Result<Found> {
        match self {
            Self::H2spec => h2spec::obtain(),
            Self::Httpwg => httpwg::obtain(),
            Self::Autobahn => autobahn::obtain(),
        }
    }

    fn run(self, found: &Found, setup: &Setup) -> Result<Vec<Run>> {
        match self {
            Self::H2spec => h2spec::run(found, setup),
            Self::Httpwg => httpwg::run(found, setup),
            Self::Autobahn => autobahn::run(found, setup),
        }
    }
}

/// Compares with what is expected, or writes it. Returns the line for the summary, and whether nothing is worse.
fn judge(name: &str, found: &Found, runs: &[Run], bless: bool) -> Result<(String, bool)> {
    let file = expectations().join(format!("{name}.json"));
    let expected = Expected::read(&file)?;
    let counts: Vec<_> = runs.iter().map(count).collect();
    let counts = format!("{name} ({}): {}", found.version, counts.join("; "));
    if bless {
        let blessed = Expected::blessed(expected.as_ref(), &found.version, runs);
        blessed.write(&file)?;
        let missing = blessed.without_reason();
        missing.iter().for_each(|id| println!("{name}: write down why `{id}` does not pass"));
        return Ok((format!("{counts}; written to tests/conformance/{name}.json"), true));
    }
    let Some(expected) = expected else {
        return Ok((format!("{counts}; nothing is expected yet, `--bless` writes what came out"), true));
    };
    let comparison = expected.compare(runs);
    comparison.worse.iter().for_each(|line| println!("{name}: worse: {line}"));
    comparison.better.iter().for_each(|line| println!("{name}: better: {line}"));
    let verdict = match (comparison.worse.len(), comparison.better.len()) {
        (0, 0) => "as expected".to_owned(),
        (0, better) => format!("{better} better than expected, `--bless` writes that down"),
        (worse, _) => format!("{worse} WORSE than expected"),
    };
    Ok((format!("{counts}; {verdict}"), comparison.worse.is_empty()))
}

/// Such as "107 cases over cleartext, 86 pass".
fn count(run: &Run) -> String {
    let mut text = format!("{} cases over {}", run.cases.len(), run.over);
    for (outcome, word) in [
        (Outcome::Passes, "pass"),
        (Outcome::Informational, "informational"),
        (Outcome::NonStrict, "not strict"),
        (Outcome::Skipped, "left out"),
        (Outcome::Fails, "fail"),
    ] {
        let count = run.cases.iter().filter(|case| case.outcome == outcome).count();
        if count > 0 {
            text += &format!(", {count} {word}");
        }
    }
    text
}

fn expectations() -> PathBuf {
    workspace::root().join("tests/conformance")
}

/// Where suites are installed, and where they and the gateway write.
fn folder() -> PathBuf {
    workspace::root().join("target/conformance")
}

/// A program that a variable names, or that is installed.
fn given(variable: &str, program: &str) -> Option<PathBuf> {
    let named = env::var_os(variable).filter(|path| !path.is_empty()).map(PathBuf::from);
    named.or_else(|| on_path(program))
}

/// The name of a program that was given, where it does not tell its version.
fn name_of(program: &Path) -> String {
    program.file_name().map(OsStr::to_string_lossy).unwrap_or_default().into_owned()
}
