//! Changes of what a gateway serves, and what they have been.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use cloud_cup::config::Differences;
use cloud_cup::reload::{Plan, Report};
use cloud_cup::revision::Revision;

use super::ask::{Answer, Gateway, Question};
use super::say::{Output, failed, say, say_differences, say_table};

/// What can be said with a change.
#[derive(Default, clap::Args)]
pub struct Why {
    /// Change only if this is the running revision.
    #[arg(long, value_name = "REVISION")]
    pub if_match: Option<u64>,
    /// What the history is to remember.
    #[arg(long, short, value_name = "TEXT")]
    pub message: Option<String>,
}

/// Asks for a change, and tells what came of it.
pub fn change(gateway: &Gateway, question: Question<'_>, why: &Why, output: Output) -> ExitCode {
    let question = question.if_match(why.if_match);
    match gateway.ask(&question) {
        Ok(answer) => report(&answer, output),
        Err(error) => failed(&error),
    }
}

/// Serves a document.
pub fn apply(gateway: &Gateway, file: &Path, confirm: Option<&str>, why: &Why, output: Output) -> ExitCode {
    let document = match read(file) {
        Ok(document) => document,
        Err(error) => return failed(&error),
    };
    let parameters = [("message", why.message.clone()), ("confirm", confirm.map(str::to_owned))];
    let question = Question::post("/v1/apply").with(parameters).body(&document).if_match(why.if_match);
    let code = match gateway.ask(&question) {
        Ok(answer) => report(&answer, output),
        Err(error) => return failed(&error),
    };
    if let (Some(allowed), true, Output::Text) = (confirm, code == ExitCode::SUCCESS, output) {
        say(format_args!(
            "it is taken back in {allowed}, or when more requests fail than before; `cupctl confirm` keeps it"
        ));
    }
    code
}

/// Tries a document beside what is served: 0 when it could be served, 1 when not, 2 when it cannot be told.
pub fn check_live(gateway: &Gateway, file: &Path, output: Output) -> ExitCode {
    let answer = read(file).and_then(|document| gateway.ask(&Question::post("/v1/plan").body(&document)));
    match answer {
        Err(error) => failed(&error),
        Ok(answer) if !answer.status.is_success() => report(&answer, output),
        Ok(_) if output == Output::Json => {
            say(format_args!("{}", serde_json::json!({ "outcome": "good" })));
            ExitCode::SUCCESS
        }
        Ok(_) => {
            say(format_args!("{}: good, also for the running gateway", file.display()));
            ExitCode::SUCCESS
        }
    }
}

/// Tells what serving a document would change: 0 when nothing, 2 when something, 1 when it cannot be told.
pub fn plan(gateway: &Gateway, file: &Path, output: Output) -> ExitCode {
    let answer = read(file).and_then(|document| gateway.ask(&Question::post("/v1/plan").body(&document)));
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            failed(&error);
            return ExitCode::from(1);
        }
    };
    if !answer.status.is_success() {
        report(&answer, output);
        return ExitCode::from(1);
    }
    let plan: Plan = match answer.read() {
        Ok(plan) => plan,
        Err(error) => {
            failed(&error);
            return ExitCode::from(1);
        }
    };
    match output {
        Output::Json => say(format_args!("{}", answer.text().trim_end())),
        Output::Text => say_plan(&plan),
    }
    if plan.changes { ExitCode::from(2) } else { ExitCode::SUCCESS }
}

fn say_plan(plan: &Plan) {
    if !plan.changes {
        say(format_args!("nothing would change: revision {} serves this already", plan.revision));
        return;
    }
    say(format_args!("against revision {}:", plan.revision));
    say_differences(&plan.differences);
    for (what, changes, kept) in [
        ("routes", &plan.routes, "stay"),
        ("upstreams", &plan.upstreams, "keep their connections and health"),
        ("plugins", &plan.plugins, "keep their instances and state"),
        ("listeners", &plan.listeners, "stay open"),
    ] {
        for (verb, names) in
            [("new", &changes.added), ("replaced", &changes.changed), ("gone", &changes.removed)]
        {
            if !names.is_empty() {
                say(format_args!("{what} {verb}: {}", names.join(", ")));
            }
        }
        if changes.kept > 0 {
            say(format_args!("{what}: {} {kept}", changes.kept));
        }
    }
    if !plan.listeners.removed.is_empty() {
        let drain = plan.drain / 1000;
        say(format_args!("connections of listeners that are gone end within {drain} s; no others do"));
    }
    for warning in &plan.warnings {
        eprintln!("{warning}");
    }
}

/// Tells how a change ended: 0 when it is served, 1 when it is refused, 3 when another revision is running than was
/// expected, 2 when it could not be tried.
pub fn report(answer: &Answer, output: Output) -> ExitCode {
    let report: Report = match serde_json::from_slice(&answer.body) {
        Ok(report) => report,
        Err(_) => return failed(&anyhow::anyhow!("{}", answer.complaint())),
    };
    let code = match report.outcome.as_str() {
        "applied" | "unchanged" => 0,
        "rejected" => 1,
        "conflict" => 3,
        _ => 2,
    };
    if output == Output::Json {
        say(format_args!("{}", answer.text().trim_end()));
        return ExitCode::from(code);
    }
    let revision = report.revision.unwrap_or_default();
    match report.outcome.as_str() {
        "applied" => say(format_args!(
            "applied as revision {revision} in {} ms",
            report.milliseconds.unwrap_or_default()
        )),
        "unchanged" => say(format_args!("unchanged: revision {revision} serves this already")),
        "rejected" => eprintln!("rejected: the running snapshot stays"),
        "conflict" => {
            let expected = report.expected.unwrap_or_default();
            eprintln!("error: revision {revision} is running, not {expected}; nothing was changed");
            eprintln!("  hint: this has changed since; look at it, and try again with --if-match {revision}");
            say_differences(&report.since);
        }
        _ => eprintln!("error: {}", report.message.unwrap_or_default()),
    }
    for diagnostic in report.warnings.iter().chain(&report.diagnostics) {
        eprintln!("{diagnostic}");
    }
    ExitCode::from(code)
}

/// The revisions that the gateway remembers, newest first.
pub fn history(gateway: &Gateway, output: Output) -> anyhow::Result<ExitCode> {
    let answer = gateway.ask(&Question::get("/v1/revisions"))?;
    let revisions: Vec<Revision> = answer.read()?;
    if output == Output::Json {
        say(format_args!("{}", answer.text().trim_end()));
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<_> = revisions
        .iter()
        .map(|revision| {
            [
                revision.number.to_string(),
                humantime::format_rfc3339_seconds(revision.applied).to_string(),
                revision.source.to_string(),
                revision.author.clone(),
                revision.hash.get(..12).unwrap_or_default().to_owned(),
                revision.message.clone(),
            ]
        })
        .collect();
    say_table(["REVISION", "APPLIED", "SOURCE", "AUTHOR", "DOCUMENT", "MESSAGE"], &rows);
    Ok(ExitCode::SUCCESS)
}

/// In what two revisions differ: 0 when in nothing, 2 when in something.
pub fn diff(gateway: &Gateway, from: u64, to: Option<u64>, output: Output) -> anyhow::Result<ExitCode> {
    let parameters = [("from", Some(from.to_string())), ("to", to.map(|to| to.to_string()))];
    let answer = gateway.ask(&Question::get("/v1/diff").with(parameters))?;
    let differences: Differences = answer.read()?;
    match output {
        Output::Json => say(format_args!("{}", answer.text().trim_end())),
        Output::Text => say_differences(&differences),
    }
    Ok(if differences.differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("cannot read the document {}", file.display()))
}
