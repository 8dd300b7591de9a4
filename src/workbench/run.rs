//! `cupctl plugin test`: cases, each on an attachment of its own.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use serde::Serialize;
use tokio::time;

use super::attach::{Around, inspected, place, words};
use super::cases::{Case, Step, Suite};
use super::control::{Control, worker};
use super::exchange::exchange;
use super::expect::{Found, check};
use super::log::Log;
use super::report::{Output, say, say_json};
use super::source::Source;
use super::{Trouble, written};
use crate::capability::Capabilities;
use crate::config::{self, Diagnostic, Problem};
use crate::message::{Body, Exchange, ResponseHead};
use crate::plugin::{CacheFolder, Chain, Instances, Origin, Outcome, PluginEngine};
use crate::proxy::{Failure, Reason, Snapshot, answer};

/// How a case ended.
#[derive(Serialize)]
struct Told {
    name: String,
    ok: bool,
    /// What was expected and what was found.
    failures: Vec<String>,
    /// What was logged meanwhile, where it failed.
    log: Vec<String>,
}

#[derive(Serialize)]
struct Summary {
    cases: Vec<Told>,
    failed: usize,
}

/// Runs the cases of a file on a plugin. 0 when all hold, 1 when one does not or the plugin cannot be used, 2 when
/// they cannot be read.
pub fn test(file: &Path, cases: &Path, output: Output) -> Result<ExitCode, Trouble> {
    let source = Source::find(file)?;
    let suite = Suite::read(cases)?;
    let control = Control::start()?;
    let mut engine = {
        let _entered = control.handle.enter();
        PluginEngine::default()
    };
    engine.keep_compiled(CacheFolder::Default);
    let inspection = {
        let _entered = control.handle.enter();
        inspected(&source, &engine)?
    };
    let around = Around::new(&source, &suite.folder, (&suite.key_sets, &suite.secrets), &inspection);
    let mut summary = Summary { cases: Vec::new(), failed: 0 };
    for case in &suite.cases {
        engine.capabilities = {
            let _entered = control.handle.enter();
            Arc::new(Capabilities::default())
        };
        let log = Log::begin();
        let failures = worker(true)?.block_on(run_case(&around, &engine, &suite, case, inspection.waits))?;
        let ok = failures.is_empty();
        summary.failed += usize::from(!ok);
        let told =
            Told { name: case.name.clone(), ok, failures, log: if ok { Vec::new() } else { log.lines() } };
        if output == Output::Text {
            tell(&told);
        }
        summary.cases.push(told);
    }
    match output {
        Output::Json => say_json(&summary),
        Output::Text => say(format_args!("{}", in_words(summary.cases.len(), summary.failed))),
    }
    Ok(ExitCode::from(u8::from(summary.failed > 0)))
}

fn tell(told: &Told) {
    say(format_args!("{}{}", if told.ok { "ok      " } else { "FAILED  " }, told.name));
    for failure in &told.failures {
        say(format_args!("        {failure}"));
    }
    for line in &told.log {
        say(format_args!("        log: {line}"));
    }
}

fn in_words(cases: usize, failed: usize) -> String {
    let plural = if cases == 1 { "" } else { "s" };
    match failed {
        0 => format!("{cases} case{plural}, all ok"),
        _ => format!("{cases} case{plural}, {failed} FAILED"),
    }
}

/// Says what does not hold. Key sets and secrets that are refused are no failure of the case, but of the file.
async fn run_case(
    around: &Around<'_>,
    engine: &PluginEngine,
    suite: &Suite,
    case: &Case,
    waits: bool,
) -> Result<Vec<String>, Trouble> {
    let snapshot = match (around.snapshot(engine, case.config.as_ref()), &case.refused) {
        (Ok(snapshot), None) => snapshot,
        (Ok(_), Some(words)) => {
            return Ok(vec![format!("expected a refused configuration with `{words}`, found it accepted")]);
        }
        (Err(diagnostics), refused) => return refusal(&diagnostics, suite, case, refused.as_deref()),
    };
    let instances = Instances::new(&snapshot.attachments, &Instances::default(), |_| Arc::default());
    let mut failures = Vec::new();
    for (index, step) in case.steps.iter().enumerate() {
        time::advance(step.wait).await;
        let place_of = |(below, message)| {
            let problem = Problem::error(format!("{}/request{below}", step.pointer), message);
            Trouble::Written(suite.path.display().to_string(), config::locate(&suite.text, vec![problem]))
        };
        let exchange = exchange(&step.request, &snapshot.settings).map_err(place_of)?;
        // What waits for others has their time.
        if waits {
            time::resume();
        }
        let found = run_step(&snapshot, &instances, step, exchange).await;
        if waits {
            time::pause();
        }
        let of_step = |failure| format!("step {}: {failure}", index + 1);
        failures.extend(check(&step.expect, &found).into_iter().map(of_step));
    }
    Ok(failures)
}

fn refusal(
    diagnostics: &[Diagnostic],
    suite: &Suite,
    case: &Case,
    expected: Option<&str>,
) -> Result<Vec<String>, Trouble> {
    let is_of_file =
        |diagnostic: &&Diagnostic| !place(diagnostic, &case.config_pointer).starts_with(&case.config_pointer);
    let located = |diagnostics: Vec<&Diagnostic>| {
        let problem = |diagnostic: &Diagnostic| {
            let problem = Problem::error(place(diagnostic, &case.config_pointer), &diagnostic.message);
            match &diagnostic.hint {
                Some(hint) => problem.hint(hint),
                None => problem,
            }
        };
        config::locate(&suite.text, diagnostics.into_iter().map(problem).collect())
    };
    let of_file: Vec<_> = diagnostics.iter().filter(is_of_file).collect();
    if !of_file.is_empty() {
        return Err(Trouble::Written(suite.path.display().to_string(), located(of_file)));
    }
    let found = words(diagnostics);
    Ok(match expected {
        Some(expected) if found.contains(expected) => Vec::new(),
        Some(expected) => vec![format!("expected a refused configuration with `{expected}`, found: {found}")],
        None => located(diagnostics.iter().collect()).iter().map(ToString::to_string).collect(),
    })
}

/// The way of a request through [`crate::proxy`], from its rule to its end, without the network.
async fn run_step(snapshot: &Snapshot, instances: &Instances, step: &Step, exchange: Box<Exchange>) -> Found {
    const LENT: &str = "a call that has ended has put it back";
    let links = &snapshot.routes[0].rules[0].plugins;
    let (mut chain, mut place) = (Chain::default(), Some(exchange));
    let decided = chain.on_request(instances, links, &mut place).await;
    let (mut head, mut body, mut origin, mut reason, backend) = match decided {
        Ok(()) => respond(step, place.as_ref().expect(LENT)),
        Err(end) => {
            let (head, body, origin, reason) = answer(end);
            (head, body, origin, reason, None)
        }
    };
    place.as_mut().expect(LENT).answer(head.clone());
    let replace = |exchange: &mut Exchange, end| {
        (head, body, origin, reason) = answer(end);
        exchange.response = Some(head.clone());
    };
    chain.on_response(instances, &mut place, replace).await;
    let head = place.as_mut().expect(LENT).response.clone().unwrap_or_default();
    let body = match body {
        Body::Full(bytes) => bytes,
        _ => bytes::Bytes::new(),
    };
    let outcome = Outcome {
        status: head.status.as_u16(),
        origin,
        reason: reason.map(|reason| reason.code().to_owned()),
        backend,
        complete: true,
        request_bytes: 0,
        response_bytes: body.len() as u64,
        duration: step.response.duration.as_nanos() as u64,
    };
    chain.on_finish(instances, &mut place, &outcome).await;
    let (verdict, code) = verdict(&chain, instances);
    Found { verdict, code, head, body, exchange: place.expect(LENT) }
}

type Response = (ResponseHead, Body, Origin, Option<Reason>, Option<String>);

/// What the case says that the backend answers, or the gateway for it.
fn respond(step: &Step, exchange: &Exchange) -> Response {
    let written = &step.response;
    let backends = exchange.backends.as_deref().unwrap_or_default();
    let first = backends.iter().find(|backend| !exchange.avoided.contains(*backend));
    let backend = written.backend.as_ref().or(first).cloned();
    // As the gateway does where plugins leave it nobody to ask.
    let is_nobody_left = backend.is_none() && !backends.is_empty();
    match written.reason.or(is_nobody_left.then_some(Reason::NoHealthyBackend)) {
        None => {
            let status = written.status.unwrap_or_default();
            let head = ResponseHead { status, headers: written.headers.clone(), lines: None };
            (head, Body::Empty, Origin::Backend, None, backend)
        }
        Some(reason) => {
            let (mut head, body) = Failure::new(reason, "as the case says").response();
            head.status = written.status.unwrap_or(head.status);
            head.headers.extend(written.headers.clone());
            let was_asked = reason != Reason::NoHealthyBackend;
            (head, body, Origin::Gateway, Some(reason), backend.filter(|_| was_asked))
        }
    }
}

/// The worst that the plugin did in an exchange.
fn verdict(chain: &Chain, instances: &Instances) -> (written::Verdict, Option<&'static str>) {
    let said: Vec<_> = chain.verdicts(instances).map(|(_, verdict)| verdict).collect();
    match said.iter().find(|verdict| **verdict != "reply") {
        Some(code) => (written::Verdict::Fault, Some(code)),
        None if said.is_empty() => (written::Verdict::Next, None),
        None => (written::Verdict::Reply, None),
    }
}
