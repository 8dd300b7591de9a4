//! `cargo xtask fuzz`: libFuzzer looks for inputs that break what the targets in fuzz/ state.
//!
//! It has to see which code an input reaches. So the gateway is compiled once more, by fuzz/rustc, which adds counters; its
//! dependencies are those that the tests are built from.

use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::workspace;

/// Longer inputs are not tried. Each target's limits, or most of what is of interest to it, lie below.
const TARGETS: [Target; 4] = [
    Target { name: "head", longest: 2048, more_seeds: &[] },
    Target { name: "proxy_protocol", longest: 512, more_seeds: &[] },
    Target { name: "grpc_web", longest: 256, more_seeds: &[] },
    Target { name: "document", longest: 8192, more_seeds: &["examples", "src/config/tests"] },
];
/// Seconds that one input may take.
const SLOWEST: u32 = 5;
/// MiB that a program may hold.
const LARGEST: u32 = 1024;

#[derive(clap::Args)]
pub struct Arguments {
    /// What to look at: all when nothing is named
    #[arg(value_name = "TARGET", value_parser = TARGETS.map(|target| target.name))]
    targets: Vec<String>,
    /// How long to look at each
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u32,
    /// Try nothing but this file
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
}

struct Target {
    name: &'static str,
    /// Bytes of the longest input.
    longest: u32,
    /// Folders from whose JSON files it starts, beside those of fuzz/corpus.
    more_seeds: &'static [&'static str],
}

/// A target that libFuzzer is at work on.
struct Run {
    target: &'static Target,
    process: Child,
}

/// Looks at the targets, as many at a time as there are processors. Fails where an input was found, and names it.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let is_asked = |target: &&Target| {
        arguments.targets.is_empty() || arguments.targets.iter().any(|name| name == target.name)
    };
    let targets: Vec<&'static Target> = TARGETS.iter().filter(is_asked).collect();
    let programs = build(&targets)?;
    if let Some(input) = &arguments.input {
        return try_one(&programs, input);
    }
    let at_a_time = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let mut code = ExitCode::SUCCESS;
    for programs in programs.chunks(at_a_time) {
        let runs = programs.iter().map(|(target, program)| Run::start(target, program, arguments.seconds));
        let runs: Vec<Run> = runs.collect::<Result<_>>()?;
        for run in runs {
            if !run.end()? {
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

/// Builds the targets' programs and says where they are.
fn build(targets: &[&'static Target]) -> Result<Vec<(&'static Target, PathBuf)>> {
    let mut cargo = workspace::cargo();
    // Those of one package would be built from other dependencies than the tests of all.
    cargo.args(["test", "--workspace", "--no-run", "--features", "cloud-cup-fuzz/programs"]);
    cargo.args(targets.iter().map(|target| format!("--test=fuzz_{}", target.name)));
    cargo.args(["--message-format", "json-render-diagnostics"]).current_dir(workspace::root());
    cargo.env("RUSTC_WORKSPACE_WRAPPER", workspace::root().join("fuzz/rustc")).stderr(Stdio::inherit());
    let output = cargo.output().context("cannot start `cargo test`")?;
    ensure!(output.status.success(), "the targets cannot be built");
    let messages = String::from_utf8_lossy(&output.stdout);
    let artifacts: Vec<Artifact> =
        messages.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let program = |target: &&'static Target| {
        let artifact =
            artifacts.iter().find(|artifact| artifact.target.name == format!("fuzz_{}", target.name));
        let artifact = artifact.with_context(|| format!("cargo does not say where `{}` is", target.name))?;
        Ok((*target, artifact.executable.clone()))
    };
    targets.iter().map(program).collect()
}

/// What cargo says of a program that it has built.
#[derive(Deserialize)]
struct Artifact {
    target: Named,
    executable: PathBuf,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

fn try_one(programs: &[(&Target, PathBuf)], input: &Path) -> Result<ExitCode> {
    let [(_, program)] = programs else { bail!("`--input` needs the name of its target before it") };
    let status = Command::new(program).arg(input).status().context("cannot start the target")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Target {
    /// What libFuzzer finds and says of this target.
    fn folder(&self) -> PathBuf {
        workspace::target().join("fuzz").join(self.name)
    }

    fn log(&self) -> PathBuf {
        self.folder().join("log")
    }
}

impl Run {
    fn start(target: &'static Target, program: &Path, seconds: u32) -> Result<Self> {
        let (root, folder) = (workspace::root().join("fuzz"), target.folder());
        let found = folder.join("corpus");
        fs::create_dir_all(&found).with_context(|| format!("cannot create `{}`", found.display()))?;
        let log = File::create(target.log()).context("cannot create the log")?;
        let mut command = Command::new(program);
        command.arg(format!("-max_total_time={seconds}")).arg(format!("-max_len={}", target.longest));
        command.arg(format!("-timeout={SLOWEST}")).arg(format!("-rss_limit_mb={LARGEST}"));
        command.arg(format!("-dict={}", root.join("dictionaries").join(target.name).display()));
        command.arg(format!("-artifact_prefix={}/", folder.display())).arg("-print_final_stats=1");
        let seeds = more_seeds(target)?;
        if !seeds.is_empty() {
            command.arg(format!("-seed_inputs={}", seeds.join(",")));
        }
        command.arg(found).arg(root.join("corpus").join(target.name));
        let process = command.stdout(Stdio::null()).stderr(log).spawn();
        Ok(Self { target, process: process.with_context(|| format!("cannot start `{}`", target.name))? })
    }

    /// Waits for the end, and says what came of it. True where no input was found.
    fn end(mut self) -> Result<bool> {
        let name = self.target.name;
        let status = self.process.wait().with_context(|| format!("cannot wait for `{name}`"))?;
        let log = fs::read(self.target.log()).context("cannot read the log")?;
        let log = String::from_utf8_lossy(&log);
        if status.success() {
            println!("{name}: {}", summary(&log));
            return Ok(true);
        }
        eprintln!("error: `{name}` ended with {status}, see `{}`:", self.target.log().display());
        reasons(&log).for_each(|line| eprintln!("  {line}"));
        match log.lines().find_map(|line| line.split_once("Test unit written to ")) {
            Some((_, input)) => eprintln!("again: cargo xtask fuzz {name} --input {input}"),
            None => eprintln!("no input was kept"),
        }
        Ok(false)
    }
}

/// Paths of the JSON files in the folders that a target starts from.
fn more_seeds(target: &Target) -> Result<Vec<String>> {
    let mut seeds = Vec::new();
    for folder in target.more_seeds {
        let folder = workspace::root().join(folder);
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot read `{}`", folder.display()))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                seeds.push(path.display().to_string());
            }
        }
    }
    Ok(seeds)
}

/// How many inputs were tried, and how far they came.
fn summary(log: &str) -> String {
    let number =
        |name: &str| log.lines().rev().find_map(|line| line.strip_prefix(name)).unwrap_or("?").trim();
    let reached = log.lines().rev().find_map(|line| {
        let (_, reached) = line.split_once(" cov: ")?;
        reached.split_whitespace().next()
    });
    format!(
        "{} inputs, {} a second, {} edges reached",
        number("stat::number_of_executed_units:"),
        number("stat::average_exec_per_sec:"),
        reached.unwrap_or("?"),
    )
}

/// What the log says of a failure: the panic's words, libFuzzer's, and the input, lest its file be lost.
fn reasons(log: &str) -> impl Iterator<Item = &str> {
    let is_reason = |line: &&str| line.contains("panicked at") || line.contains("ERROR: libFuzzer");
    let from = log.lines().position(|line| is_reason(&line)).unwrap_or_default();
    let words = log.lines().skip(from).take_while(|line| !line.starts_with("stack backtrace")).take(8);
    words.chain(log.lines().filter(|line| line.starts_with("Base64: ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: &str = "\
#2\tINITED cov: 7 ft: 7 corp: 1/1b exec/s: 0 rss: 30Mb
#9\tNEW    cov: 12 ft: 20 corp: 2/3b lim: 4 exec/s: 0 rss: 30Mb L: 2/2 MS: 1 ChangeByte-
#4096\tDONE   cov: 12 ft: 20 corp: 2/3b lim: 43 exec/s: 2048 rss: 31Mb
Done 4096 runs in 2 second(s)
stat::number_of_executed_units: 4096
stat::average_exec_per_sec:     2048
";

    const FAILURE: &str = "\
#2\tINITED cov: 7 ft: 7 corp: 1/1b exec/s: 0 rss: 30Mb
thread '<unnamed>' panicked at fuzz/src/head.rs:1:1:
in pieces
stack backtrace:
   0: main
==1== ERROR: libFuzzer: deadly signal
Base64: L2E=
";

    #[test]
    fn tells_how_far_it_came() {
        assert_eq!(summary(END), "4096 inputs, 2048 a second, 12 edges reached");
        assert_eq!(summary(""), "? inputs, ? a second, ? edges reached");
    }

    #[test]
    fn tells_why_it_failed() {
        let lines: Vec<_> = reasons(FAILURE).collect();
        let panic = "thread '<unnamed>' panicked at fuzz/src/head.rs:1:1:";
        assert_eq!(lines, [panic, "in pieces", "Base64: L2E="]);
    }
}
