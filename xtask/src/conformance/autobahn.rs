//! Autobahn's test suite for WebSocket (RFC 6455) and its compression (RFC 7692), a program in Python 2 from PyPI.
//!
//! Its client talks through the gateway to its own server, which has every case right. So a case that fails is the
//! gateway's doing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::json;

use super::expected::Outcome;
use super::setup::{SOCKETS, Setup};
use super::{Case, Found, Run, expectations, folder, given, name_of};
use crate::process::{Process, Program};
use crate::workspace::{output_of, run as run_program};

/// The last one that makes environments for Python 2.
const VIRTUALENV: &str = "virtualenv==20.21.1";
const CLEAR: &str = "cleartext";
const TLS: &str = "TLS";

pub fn obtain() -> Result<Found> {
    let program = match given("CLOUDCUP_WSTEST", "wstest") {
        Some(program) => program,
        None => install()?,
    };
    let said = output_of(Command::new(&program).arg("-a"))?;
    let version = said.lines().find_map(|line| line.strip_prefix("AutobahnTestSuite "));
    let version = version.map_or_else(|| name_of(&program), |version| format!("autobahntestsuite {version}"));
    Ok(Found { program, version })
}

/// An environment with what tests/conformance/autobahn.txt asks for.
fn install() -> Result<PathBuf> {
    let environment = folder().join("autobahn");
    let program = environment.join("bin/wstest");
    let wanted = expectations().join("autobahn.txt");
    let installed = environment.join("requirements.txt");
    let text = fs::read(&wanted).with_context(|| format!("cannot read `{}`", wanted.display()))?;
    if fs::read(&installed).is_ok_and(|found| found == text) {
        return Ok(program);
    }
    let python = python2()?;
    let tool = folder().join("virtualenv");
    run_program(Command::new("python3").args(["-m", "venv"]).arg(&tool))
        .context("cannot make an environment")?;
    let pip = ["install", "--quiet", "--disable-pip-version-check"];
    run_program(Command::new(tool.join("bin/pip")).args(pip).arg(VIRTUALENV))
        .context("cannot install virtualenv by pip")?;
    let mut virtualenv = Command::new(tool.join("bin/virtualenv"));
    run_program(virtualenv.args(["--quiet", "--clear", "--python"]).arg(python).arg(&environment))
        .context("cannot make an environment of Python 2")?;
    run_program(Command::new(environment.join("bin/pip")).args(pip).arg("--requirement").arg(&wanted))
        .context("cannot install Autobahn's test suite by pip")?;
    fs::write(&installed, text).with_context(|| format!("cannot write `{}`", installed.display()))?;
    Ok(program)
}

/// A Python 2.7, from the path or from pyenv.
fn python2() -> Result<PathBuf> {
    let of_pyenv = output_of(Command::new("pyenv").args(["prefix", "2.7"]));
    let of_pyenv = of_pyenv.ok().map(|prefix| Path::new(prefix.trim()).join("bin/python2.7"));
    let named = given("CLOUDCUP_PYTHON2", "python2.7");
    let candidates = [named, Some("python2".into()), Some("pypy".into()), of_pyenv];
    let is_python2 = |program: &PathBuf| {
        let said = output_of(Command::new(program).args(["-c", "import sys; print(sys.version_info[0])"]));
        said.is_ok_and(|said| said.trim() == "2")
    };
    candidates.into_iter().flatten().find(is_python2).context(
        "Autobahn's test suite needs Python 2.7, and there is none: install one, such as by `pyenv install 2.7`, and \
         name it by CLOUDCUP_PYTHON2; or name a `wstest` by CLOUDCUP_WSTEST",
    )
}

pub fn run(found: &Found, setup: &Setup) -> Result<Vec<Run>> {
    let sockets = setup.ports.sockets;
    let args = ["-m", "testeeserver", "-w"].map(Into::into).into_iter();
    let program = Program {
        path: found.program.clone(),
        args: args.chain([format!("ws://127.0.0.1:{sockets}").into()]).collect(),
        env: Vec::new(),
    };
    let mut server = Process::start("autobahn", &program, None, &setup.dir)?;
    server.wait_for_port(sockets)?;
    let reports = setup.dir.join("autobahn-reports");
    // What an earlier run left is no result of this one.
    let _ = fs::remove_dir_all(&reports);
    let spec = setup.dir.join("autobahn.json");
    fs::write(&spec, specification(setup, &reports).to_string())?;
    output_of(
        Command::new(&found.program).args(["-m", "fuzzingclient", "-s"]).arg(&spec).current_dir(&setup.dir),
    )?;
    let index = fs::read_to_string(reports.join("index.json")).context("no report")?;
    let mut agents: Agents = serde_json::from_str(&index).context("cannot understand the report")?;
    [CLEAR, TLS]
        .into_iter()
        .map(|over| read(over, agents.remove(over).unwrap_or_default(), &reports))
        .collect()
}

fn specification(setup: &Setup, reports: &Path) -> serde_json::Value {
    let url = |scheme: &str, port: u16| format!("{scheme}://127.0.0.1:{port}{SOCKETS}/");
    // Compression of a thousand messages each, which the gateway does not look into: the small ones are enough.
    let large =
        [12, 13].into_iter().flat_map(|chapter| (6..=18).map(move |size| format!("{chapter}.*.{size}")));
    json!({
        "outdir": reports,
        "servers": [
            { "agent": CLEAR, "url": url("ws", setup.ports.clear) },
            { "agent": TLS, "url": url("wss", setup.ports.tls) },
        ],
        "cases": ["*"],
        "exclude-cases": large.collect::<Vec<_>>(),
        "exclude-agent-cases": {},
    })
}

/// index.json: by agent, then by case.
type Agents = BTreeMap<String, BTreeMap<String, Verdict>>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Verdict {
    behavior: String,
    behavior_close: String,
    #[serde(rename = "reportfile")]
    report_file: String,
}

/// The report of one case, as far as it is of interest.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Details {
    description: String,
    result: String,
    result_close: String,
}

fn read(over: &'static str, results: BTreeMap<String, Verdict>, reports: &Path) -> Result<Run> {
    ensure!(!results.is_empty(), "there is no case over {over} in the report");
    let case = |(id, result): (String, Verdict)| {
        let details =
            fs::read_to_string(reports.join(&result.report_file)).context("a case has no report")?;
        let details: Details = serde_json::from_str(&details).context("cannot understand a case's report")?;
        let outcome = outcome(&result.behavior)?.max(outcome(&result.behavior_close)?);
        let said = format!("{} {}", plain(&details.result), plain(&details.result_close));
        Ok(Case { id, title: plain(&details.description), outcome, said })
    };
    Ok(Run { over, cases: results.into_iter().map(case).collect::<Result<_>>()? })
}

fn outcome(behavior: &str) -> Result<Outcome> {
    Ok(match behavior {
        "OK" => Outcome::Passes,
        "INFORMATIONAL" => Outcome::Informational,
        "NON-STRICT" => Outcome::NonStrict,
        "UNIMPLEMENTED" => Outcome::Skipped,
        "FAILED" | "WRONG CODE" | "UNCLEAN" | "FAILED BY CLIENT" => Outcome::Fails,
        other => bail!("Autobahn has a result `{other}`, which is not known here"),
    })
}

/// The first line of what is HTML, without its tags.
fn plain(html: &str) -> String {
    let line = html.split("<br").next().unwrap_or_default();
    let mut pieces = line.split('<');
    let first = pieces.next().unwrap_or_default().to_owned();
    let text =
        pieces.fold(first, |text, piece| text + piece.split_once('>').map_or("", |(_, behind)| behind));
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_report() {
        let dir = tempfile::tempdir().expect("a folder");
        let index = r#"{ "TLS": {
            "1.1.1": { "behavior": "OK", "behaviorClose": "OK", "duration": 2, "remoteCloseCode": 1000, "reportfile": "a.json" },
            "3.2": { "behavior": "NON-STRICT", "behaviorClose": "UNCLEAN", "duration": 2, "remoteCloseCode": null, "reportfile": "a.json" },
            "7.1.6": { "behavior": "INFORMATIONAL", "behaviorClose": "OK", "duration": 2, "remoteCloseCode": null, "reportfile": "a.json" } } }"#;
        let details = r#"{ "case": 1, "description": "Send <b>one</b>\n message.<br><br>Then another.",
            "result": "Actual events match.", "resultClose": "Connection was properly closed" }"#;
        fs::write(dir.path().join("a.json"), details).expect("it can be written");
        let mut agents: Agents = serde_json::from_str(index).expect("it can be read");
        let run = read(TLS, agents.remove(TLS).expect("it is there"), dir.path()).expect("it can be read");
        let found: Vec<_> = run.cases.iter().map(|case| (&*case.id, case.outcome)).collect();
        assert_eq!(
            found,
            [("1.1.1", Outcome::Passes), ("3.2", Outcome::Fails), ("7.1.6", Outcome::Informational)]
        );
        assert_eq!(run.cases[0].title, "Send one message.");
        assert_eq!(run.cases[0].said, "Actual events match. Connection was properly closed");
        assert!(outcome("PERFECT").is_err());
    }
}
