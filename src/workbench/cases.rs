//! A file of cases after its check. What is wrong with it is said all at once, with line and column.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};

use super::exchange::fields;
use super::written::{self, Tests};
use super::{Trouble, unreadable};
use crate::base::files::read_bounded;
use crate::base::units::parse_duration;
use crate::config::{self, Diagnostic, Problem, Severity};
use crate::proxy::Reason;

const LARGEST_FILE: u64 = 16 << 20;

/// See the module.
pub(super) struct Suite {
    /// As it was asked for.
    pub path: PathBuf,
    /// Its folder, as an absolute path.
    pub folder: PathBuf,
    pub text: String,
    pub key_sets: Map<String, Value>,
    pub secrets: Map<String, Value>,
    pub cases: Vec<Case>,
}

pub(super) struct Case {
    pub name: String,
    /// JSON pointer of its configuration.
    pub config_pointer: String,
    pub config: Option<Value>,
    pub refused: Option<String>,
    pub steps: Vec<Step>,
}

pub(super) struct Step {
    pub pointer: String,
    pub wait: Duration,
    pub request: written::Request,
    pub response: Response,
    pub expect: written::Expect,
}

#[derive(Default)]
pub(super) struct Response {
    pub status: Option<StatusCode>,
    pub headers: HeaderMap,
    pub backend: Option<String>,
    pub duration: Duration,
    pub reason: Option<Reason>,
}

impl Suite {
    pub fn read(path: &Path) -> Result<Self, Trouble> {
        let bytes = read_bounded(path, LARGEST_FILE).map_err(|error| unreadable("cases", path, &error))?;
        let canonical = fs::canonicalize(path).map_err(|error| unreadable("cases", path, &error))?;
        let refused = |diagnostics| Trouble::Written(path.display().to_string(), diagnostics);
        let text = config::text(&bytes).map_err(|error| refused(vec![error]))?;
        let tests: Tests = serde_json::from_str(text).map_err(|error| refused(vec![misread(&error)]))?;
        let mut problems = Vec::new();
        if tests.cases.is_empty() {
            problems.push(Problem::error("/cases", "expected at least one case"));
        }
        let check = |(index, case)| check_case(&format!("/cases/{index}"), case, &mut problems);
        let cases = tests.cases.into_iter().enumerate().map(check).collect();
        if !problems.is_empty() {
            return Err(refused(config::locate(text, problems)));
        }
        Ok(Self {
            path: path.to_owned(),
            folder: canonical.parent().unwrap_or(Path::new("/")).to_owned(),
            text: text.to_owned(),
            key_sets: tests.key_sets,
            secrets: tests.secrets,
            cases,
        })
    }
}

/// What serde says, which ends with the place that it also knows by itself.
fn misread(error: &serde_json::Error) -> Diagnostic {
    let message = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    Diagnostic {
        severity: Severity::Error,
        pointer: String::new(),
        line: error.line(),
        column: error.column(),
        message: message.strip_suffix(&place).unwrap_or(&message).to_owned(),
        hint: None,
    }
}

fn check_case(at: &str, case: written::Case, problems: &mut Vec<Problem>) -> Case {
    if case.refused.is_some() && !case.steps.is_empty() {
        let message = "a case whose configuration is `refused` has no `steps`";
        problems.push(Problem::error(format!("{at}/refused"), message));
    }
    let check = |(index, step)| check_step(format!("{at}/steps/{index}"), step, problems);
    Case {
        name: case.name,
        config_pointer: format!("{at}/config"),
        config: case.config,
        refused: case.refused,
        steps: case.steps.into_iter().enumerate().map(check).collect(),
    }
}

fn check_step(pointer: String, step: written::Step, problems: &mut Vec<Problem>) -> Step {
    let written::Step { request, wait, response, expect } = step;
    let wait = duration(format!("{pointer}/wait"), wait.as_deref(), problems);
    let response = check_response(&format!("{pointer}/response"), response, problems);
    if expect.code.is_some() && expect.verdict.is_some_and(|verdict| verdict != written::Verdict::Fault) {
        let message = "a `code` is that of a fault, so `verdict` is `fault` or absent";
        problems.push(Problem::error(format!("{pointer}/expect/code"), message));
    }
    Step { pointer, wait, request, response, expect }
}

fn check_response(at: &str, written: written::Response, problems: &mut Vec<Problem>) -> Response {
    let status = written.status.and_then(|status| {
        let known = StatusCode::from_u16(status).ok().filter(|status| (200..600).contains(&status.as_u16()));
        if known.is_none() {
            problems.push(Problem::error(
                format!("{at}/status"),
                format!("expected 200 to 599, found `{status}`"),
            ));
        }
        known
    });
    let headers = fields(&written.headers).unwrap_or_else(|(below, message)| {
        problems.push(Problem::error(format!("{at}{below}"), message));
        HeaderMap::new()
    });
    let reason = written.reason.and_then(|code| {
        let known = Reason::BEHIND_HOOKS.into_iter().find(|reason| reason.code() == code);
        if known.is_none() {
            let codes = Reason::BEHIND_HOOKS.map(Reason::code).join("`, `");
            let problem = Problem::error(format!("{at}/reason"), format!("unknown reason `{code}`"));
            problems.push(problem.hint(format!("behind a request hook there can be `{codes}`")));
        }
        known
    });
    let duration = duration(format!("{at}/duration"), written.duration.as_deref(), problems);
    Response { status, headers, backend: written.backend, duration, reason }
}

fn duration(at: String, text: Option<&str>, problems: &mut Vec<Problem>) -> Duration {
    let Some(text) = text else { return Duration::ZERO };
    let longest = Duration::from_secs(366 * 24 * 60 * 60);
    parse_duration(text).ok().filter(|duration| *duration <= longest).unwrap_or_else(|| {
        let message = format!("expected a duration such as `250ms`, `10s`, `2m` or `1h`, found `{text}`");
        problems.push(Problem::error(at, message));
        Duration::ZERO
    })
}
