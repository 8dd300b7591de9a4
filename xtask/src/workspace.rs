//! Where things lie in this repository, and how other programs are run from here.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the repository's root")
}

/// The guests' own workspace.
pub fn plugins() -> PathBuf {
    root().join("plugins")
}

/// The WIT packages that a guest of today is written against.
pub fn wit() -> PathBuf {
    root().join("wit/v0.1")
}

/// Where the components of the guests are put, for tests and the benchmark.
pub fn guests() -> PathBuf {
    root().join("target/guests")
}

/// Where cargo puts what it builds of the gateway.
pub fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// The cargo that runs this program.
pub fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")))
}

/// Runs a program to its end, its output going where ours goes. Anything but success is an error.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", in_words(command)))?;
    if !status.success() {
        bail!("{} failed with {status}", in_words(command));
    }
    Ok(())
}

/// Runs a program to its end and returns what it wrote. Anything but success is an error that carries its last words.
pub fn output_of(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start {}", in_words(command)))?;
    if !output.status.success() {
        bail!("{} failed with {}: {}", in_words(command), output.status, last_words(&output));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Writes a file unless it has these contents already, so that whoever watches it sees real changes only.
pub fn write_if_changed(path: &Path, contents: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == contents) {
        return Ok(());
    }
    fs::write(path, contents).with_context(|| format!("cannot write `{}`", path.display()))
}

fn in_words(command: &Command) -> String {
    let args = command.get_args().map(|arg| format!(" {}", arg.to_string_lossy())).collect::<String>();
    format!("`{}{args}`", command.get_program().to_string_lossy())
}

/// The end of what a failed program said; its beginning is rarely the reason.
fn last_words(output: &Output) -> String {
    let said = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
    let said = String::from_utf8_lossy(said);
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(3)..].join("; ")
}
