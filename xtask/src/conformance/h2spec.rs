//! h2spec: HTTP/2 (RFC 7540) and HPACK (RFC 7541), a program in Go. No registry of packages has it, so it has to be there.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::expected::Outcome;
use super::setup::Setup;
use super::{Case, Found, Run, given, name_of};

const WHERE_TO_GET_IT: &str = "h2spec is not installed, and no registry of packages has it: take the program of \
    https://github.com/summerwind/h2spec/releases and put it on the path, or name it by CLOUDCUP_H2SPEC";

pub fn obtain() -> Result<Found> {
    let program = given("CLOUDCUP_H2SPEC", "h2spec").context(WHERE_TO_GET_IT)?;
    let said = Command::new(&program).arg("--version").output();
    let said = said.with_context(|| format!("cannot start `{}`", program.display()))?;
    let said = [said.stdout, said.stderr].concat();
    let version =
        String::from_utf8_lossy(&said).lines().next().unwrap_or_default().replace("Version: ", "h2spec ");
    Ok(Found { version: if version.is_empty() { name_of(&program) } else { version }, program })
}

pub fn run(found: &Found, setup: &Setup) -> Result<Vec<Run>> {
    let clear = run_over("cleartext", found, setup, setup.ports.clear, &[])?;
    let tls = run_over("TLS", found, setup, setup.ports.tls, &["--tls", "--insecure"])?;
    Ok(vec![clear, tls])
}

fn run_over(over: &'static str, found: &Found, setup: &Setup, port: u16, args: &[&str]) -> Result<Run> {
    let report = setup.dir.join(format!("h2spec-{over}.xml"));
    // What an earlier run left is no result of this one.
    let _ = fs::remove_file(&report);
    let mut command = Command::new(&found.program);
    command.args(["--host", "127.0.0.1", "--port", &port.to_string(), "--strict"]).args(args);
    command.arg("--junit-report").arg(&report);
    // It fails where a case does, which is for us to judge.
    let output = command.output().context("cannot start h2spec")?;
    let text = fs::read_to_string(&report);
    let text =
        text.with_context(|| format!("no report: {}", String::from_utf8_lossy(&output.stderr).trim()))?;
    let cases = parse(&text);
    ensure!(!cases.is_empty(), "there is no case in `{}`", report.display());
    Ok(Run { over, cases })
}

/// Reads its JUnit report. That is not always XML: what went wrong is written into it as it is.
fn parse(report: &str) -> Vec<Case> {
    let mut cases = Vec::<Case>::new();
    for piece in report.split("<testcase ").skip(1) {
        let (tag, rest) = piece.split_once('>').unwrap_or((piece, ""));
        let result =
            if tag.ends_with('/') { "" } else { rest.split("</testcase>").next().unwrap_or_default() };
        let group = format!("{}/", attribute(tag, "package"));
        let number = cases.iter().filter(|case| is_in(&case.id, &group)).count() + 1;
        let outcome = match result.trim_start() {
            result if result.starts_with("<skipped") => Outcome::Skipped,
            result if result.starts_with("<failure") || result.starts_with("<error") => Outcome::Fails,
            _ => Outcome::Passes,
        };
        cases.push(Case {
            id: format!("{group}{number}"),
            title: attribute(tag, "classname"),
            outcome,
            said: words(result),
        });
    }
    cases
}

/// `http2/6.5/` has a case `http2/6.5/1`; `http2/6.5/2/1` would be another group's.
fn is_in(id: &str, group: &str) -> bool {
    id.strip_prefix(group).is_some_and(|number| !number.contains('/'))
}

fn attribute(tag: &str, name: &str) -> String {
    let value = tag.split_once(&format!("{name}=\"")).and_then(|(_, rest)| rest.split_once('"'));
    unescape(value.map_or("", |(value, _)| value))
}

/// What stands in an element, on one line.
fn words(result: &str) -> String {
    let text = result.split_once('>').map_or("", |(_, rest)| rest);
    let text = text.rsplit_once("</").map_or(text, |(text, _)| text);
    unescape(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn unescape(text: &str) -> String {
    let entities = [("&lt;", "<"), ("&gt;", ">"), ("&#34;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    entities.iter().fold(text.to_owned(), |text, (entity, letter)| text.replace(entity, letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_report() {
        let report = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
  <testsuite name="3.5. HTTP/2 Connection Preface" package="http2/3.5" id="3.5" tests="2" skipped="0" failures="0" errors="1">
    <testcase package="http2/3.5" classname="Sends client connection preface" time="0.0012"></testcase>
    <testcase package="http2/3.5" classname="Sends &#34;x&#34; &gt; 1" time="2.0001">
      <error>Expect:
GOAWAY Frame (Error Code: PROTOCOL_ERROR)
Actual:
Timeout < 2s</error>
    </testcase>
  </testsuite>
  <testsuite name="6.5. SETTINGS" package="http2/6.5" id="6.5" tests="1" skipped="1" failures="0" errors="0">
    <testcase package="http2/6.5" classname="Is left out" time="0.0000">
      <skipped></skipped>
    </testcase>
  </testsuite>
</testsuites>"#;
        let found: Vec<_> =
            parse(report).into_iter().map(|case| (case.id, case.title, case.outcome, case.said)).collect();
        let case = |id: &str, title: &str, outcome, said: &str| {
            (id.to_owned(), title.to_owned(), outcome, said.to_owned())
        };
        assert_eq!(
            found,
            [
                case("http2/3.5/1", "Sends client connection preface", Outcome::Passes, ""),
                case(
                    "http2/3.5/2",
                    "Sends \"x\" > 1",
                    Outcome::Fails,
                    "Expect: GOAWAY Frame (Error Code: PROTOCOL_ERROR) Actual: Timeout < 2s"
                ),
                case("http2/6.5/1", "Is left out", Outcome::Skipped, ""),
            ]
        );
    }
}
