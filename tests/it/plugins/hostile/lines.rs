//! What hostile guests write to the log: little, and nothing that looks like somebody else's line.

use std::time::Instant;

use serde_json::Value;

use super::cases::{Case, Gets};
use super::{attack, log, start};
use crate::support::Backend;

/// Lines that one kind of event has in a second.
const A_SECOND: usize = 10;

/// Attacks with this guest again and again, and returns what is told of it and how much there may be.
async fn told(case: Case, text: &str) -> (Vec<Value>, usize) {
    log::keep();
    let backend = Backend::echo("a");
    let path = case.path();
    let gateway = start(&backend, &[case]).await;
    let (before, begin) = (log::lines(text).len(), Instant::now());
    for _ in 0..10 {
        attack(&gateway, &path).await;
    }
    let seconds = begin.elapsed().as_secs() as usize + 2;
    (log::lines(text).split_off(before), A_SECOND * seconds)
}

#[tokio::test]
async fn guest_faults_without_end_are_not_lines_without_end() {
    // By turns it succeeds, so that it is never taken out of the way.
    let case = Case::new("hostile", "flood-faults", Gets::Served);
    let (lines, most) = told(case, "flood of faults").await;
    assert!((1..=most).contains(&lines.len()), "{} lines, {most} may be", lines.len());
    assert!(
        lines.iter().any(|line| line["dropped"].as_u64().is_some()),
        "those that are missing are counted"
    );
}

#[tokio::test]
async fn guest_a_breaker_that_flaps_does_not_flood_the_log() {
    let case = Case::new("hostile", "flood-transitions", Gets::Served);
    let (lines, most) = told(case, "circuit breaker changed its state").await;
    assert!((1..=most).contains(&lines.len()), "{} lines, {most} may be", lines.len());
}

#[tokio::test]
async fn guest_no_name_of_a_guest_forges_a_line() {
    for case in [
        Case::new("forged-name", "by-hand", Gets::Fault("plugin-trap")),
        Case::new("hostile", "answer-name", Gets::Fault("plugin-reply")),
    ] {
        let (lines, _) = told(case, "ERROR a forged line").await;
        assert!(!lines.is_empty());
        for line in lines {
            let message = line["message"].as_str().expect("a text");
            assert!(
                message.starts_with("plugin fault: ") && !message.contains(char::is_control),
                "{message:?}"
            );
        }
    }
}
