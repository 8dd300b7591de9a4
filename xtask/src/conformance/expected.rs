//! What tests/conformance expects of a suite: one line a case, so that a change of one is a change of its line.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::{Case, Run};

/// How a case ended, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Passes,
    /// The case only looks what is done where the standard leaves it open.
    Informational,
    /// Allowed, but not what the standard would like best.
    NonStrict,
    /// The suite left it out.
    Skipped,
    Fails,
}

#[derive(Debug, Deserialize)]
pub struct Expected {
    /// What was run, for people.
    suite: String,
    cases: Vec<Expectation>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Expectation {
    id: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    title: String,
    expected: Outcome,
    /// It may do better at times, by nobody's merit; written by hand.
    #[serde(default, skip_serializing_if = "is_false")]
    varies: bool,
    /// Why a case that does not pass does not; written by hand.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    reason: String,
}

/// The differences, a line for each.
pub struct Comparison {
    pub worse: Vec<String>,
    pub better: Vec<String>,
}

impl Expected {
    /// None where nothing is expected yet.
    pub fn read(file: &Path) -> Result<Option<Self>> {
        match fs::read_to_string(file) {
            Ok(text) => serde_json::from_str(&text).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read `{}`", file.display())),
        }
        .with_context(|| format!("cannot understand `{}`", file.display()))
    }

    pub fn write(&self, file: &Path) -> Result<()> {
        fs::write(file, self.to_text()?).with_context(|| format!("cannot write `{}`", file.display()))
    }

    fn to_text(&self) -> Result<String> {
        let lines: Vec<String> = self.cases.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
        let suite = serde_json::to_string(&self.suite)?;
        Ok(format!("{{\n\"suite\": {suite},\n\"cases\": [\n{}\n]\n}}\n", lines.join(",\n")))
    }

    pub fn compare(&self, runs: &[Run]) -> Comparison {
        let mut comparison = Comparison { worse: Vec::new(), better: Vec::new() };
        let expected: BTreeMap<_, _> = self.cases.iter().map(|case| (case.id.as_str(), case)).collect();
        for run in runs {
            for case in &run.cases {
                let (what, now, said) = (label(case, run.over), word(case.outcome), &case.said);
                match expected.get(&*case.id) {
                    Some(before) if case.outcome > before.expected => {
                        comparison.worse.push(format!("{what} {now}, not {}: {said}", word(before.expected)));
                    }
                    Some(before) if case.outcome < before.expected && !before.varies => {
                        comparison.better.push(format!("{what} {now}"));
                    }
                    Some(_) => {}
                    None if case.outcome > Outcome::Informational => {
                        comparison.worse.push(format!("{what}, which is new, {now}: {said}"));
                    }
                    None => comparison.better.push(format!("{what}, which is new, {now}")),
                }
            }
            let ran: Vec<&str> = run.cases.iter().map(|case| case.id.as_str()).collect();
            let missing = expected.keys().filter(|id| !ran.contains(id));
            comparison.worse.extend(missing.map(|id| format!("{id} was not run over {}", run.over)));
        }
        comparison
    }

    /// What is expected from now on: the worst that each case did, or has done before where it varies. A reason stays while
    /// it has something to explain.
    pub fn blessed(old: Option<&Self>, suite: &str, runs: &[Run]) -> Self {
        let mut cases = BTreeMap::<_, Expectation>::new();
        for case in runs.iter().flat_map(|run| &run.cases) {
            let kept = cases.entry(order(&case.id)).or_insert_with(|| {
                let before = old.and_then(|old| old.cases.iter().find(|before| before.id == case.id));
                let varying = before.filter(|before| before.varies);
                Expectation {
                    id: case.id.clone(),
                    title: case.title.clone(),
                    expected: varying.map_or(case.outcome, |before| before.expected),
                    varies: varying.is_some(),
                    reason: before.map(|before| before.reason.clone()).unwrap_or_default(),
                }
            });
            kept.expected = kept.expected.max(case.outcome);
        }
        let mut cases: Vec<_> = cases.into_values().collect();
        for case in cases.iter_mut().filter(|case| case.expected == Outcome::Passes) {
            case.reason.clear();
        }
        Self { suite: suite.to_owned(), cases }
    }

    /// The cases of which somebody has to say why they do not pass.
    pub fn without_reason(&self) -> Vec<&str> {
        let unexplained =
            |case: &&Expectation| case.expected > Outcome::Informational && case.reason.is_empty();
        self.cases.iter().filter(unexplained).map(|case| case.id.as_str()).collect()
    }
}

fn label(case: &Case, over: &str) -> String {
    let space = if case.title.is_empty() { "" } else { " " };
    format!("{}{space}{} over {over}", case.id, case.title)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Passes => "passes",
        Outcome::Informational => "is informational",
        Outcome::NonStrict => "is not strict",
        Outcome::Skipped => "is left out",
        Outcome::Fails => "fails",
    }
}

/// A part of an id: 1.10 comes behind 1.9.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Part<'a> {
    Number(u64),
    Text(&'a str),
}

fn order(id: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = id;
    while let Some(first) = rest.chars().next() {
        let is_digit = first.is_ascii_digit();
        let end = rest.find(|next: char| next.is_ascii_digit() != is_digit).unwrap_or(rest.len());
        let (part, behind) = rest.split_at(end);
        parts.push(part.parse().map_or(Part::Text(part), Part::Number));
        rest = behind;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::expectations;

    fn run(cases: &[(&str, Outcome)]) -> Run {
        let case = |(id, outcome): &(&str, Outcome)| Case {
            id: (*id).to_owned(),
            title: String::new(),
            outcome: *outcome,
            said: "wrong".to_owned(),
        };
        Run { over: "TLS", cases: cases.iter().map(case).collect() }
    }

    #[test]
    fn tells_what_is_worse_from_what_is_better() {
        use Outcome::{Fails, NonStrict, Passes};
        let before = Expected::blessed(None, "x 1", &[run(&[("1", Passes), ("2", Fails)])]);
        let check = |now: &[(&str, Outcome)], worse: &[&str], better: &[&str]| {
            let found = before.compare(&[run(now)]);
            assert_eq!(
                (found.worse, found.better),
                (worse.iter().map(|line| (*line).to_owned()).collect(), {
                    better.iter().map(|line| (*line).to_owned()).collect()
                })
            );
        };
        check(&[("1", Passes), ("2", Fails)], &[], &[]);
        check(
            &[("1", NonStrict), ("2", Passes)],
            &["1 over TLS is not strict, not passes: wrong"],
            &["2 over TLS passes"],
        );
        check(&[("2", Fails)], &["1 was not run over TLS"], &[]);
        check(&[("1", Passes), ("2", Fails), ("3", Fails)], &["3 over TLS, which is new, fails: wrong"], &[]);
        check(&[("1", Passes), ("2", Fails), ("3", Passes)], &[], &["3 over TLS, which is new, passes"]);
    }

    #[test]
    fn blessing_takes_the_worst_and_keeps_reasons() {
        use Outcome::{Fails, Passes};
        let mut before = Expected::blessed(
            None,
            "x 1",
            &[
                run(&[("1.10", Fails), ("1.9", Passes), ("1.2", Fails)]),
                run(&[("1.10", Passes), ("1.9", Passes), ("1.2", Passes)]),
            ],
        );
        assert_eq!(before.without_reason(), ["1.2", "1.10"]);
        for case in &mut before.cases {
            case.reason = "because".to_owned();
        }
        before.cases[2].varies = true;
        assert_eq!(
            before.compare(&[run(&[("1.2", Fails), ("1.9", Passes), ("1.10", Passes)])]).better,
            [""; 0]
        );
        let cases = [("1.10", Passes), ("1.9", Passes), ("1.2", Passes)];
        let now = Expected::blessed(Some(&before), "x 2", &[run(&cases)]);
        let text = now.to_text().expect("it can be written");
        assert_eq!(
            text,
            "{\n\"suite\": \"x 2\",\n\"cases\": [\n{\"id\":\"1.2\",\"expected\":\"passes\"},\n\
             {\"id\":\"1.9\",\"expected\":\"passes\"},\n\
             {\"id\":\"1.10\",\"expected\":\"fails\",\"varies\":true,\"reason\":\"because\"}\n]\n}\n"
        );
        let read: Expected = serde_json::from_str(&text).expect("it can be read");
        assert_eq!(read.to_text().expect("it can be written"), text);
    }

    #[test]
    fn every_failure_that_is_expected_has_a_reason() {
        let files =
            fs::read_dir(expectations()).expect("the folder").map(|entry| entry.expect("a file").path());
        for file in files.filter(|file| file.extension().is_some_and(|extension| extension == "json")) {
            let expected = Expected::read(&file).expect("it can be read").expect("it is there");
            assert_eq!(expected.without_reason(), [""; 0], "{}", file.display());
        }
    }
}
