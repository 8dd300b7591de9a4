//! What a gateway does at this moment: its access log, and a table that renews itself.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use cloud_cup::admin::{ProbeResult, Status};
use serde_json::Value;

use super::ask::{Gateway, Question};
use super::say::{Output, is_coloured, say, say_table};

/// How often the table is renewed.
const INTERVAL: Duration = Duration::from_secs(2);
/// Routes in the table.
const ROWS: usize = 20;

/// Writes each line of the access log as it comes.
pub fn logs(gateway: &Gateway, output: Output) -> anyhow::Result<ExitCode> {
    gateway.follow(&Question::get("/v1/logs"), |line| match output {
        Output::Json => say(format_args!("{line}")),
        Output::Text => say_line(line),
    })?;
    Ok(ExitCode::SUCCESS)
}

fn say_line(line: &str) {
    let Ok(told) = serde_json::from_str::<Value>(line) else { return say(format_args!("{line}")) };
    let text = |field: &str| told[field].as_str().unwrap_or("-").to_owned();
    let reason = told["reason"].as_str().map(|reason| format!(" {reason}")).unwrap_or_default();
    say(format_args!(
        "{} {} {} {}{} {} {} ms {}{reason}",
        text("time"),
        text("client"),
        text("method"),
        text("host"),
        text("path"),
        told["status"],
        told["duration"],
        text("backend"),
    ));
}

/// Asks backends whether they answer: 0 when all do, 1 when one does not.
pub fn probe(gateway: &Gateway, what: &str, name: &str, output: Output) -> anyhow::Result<ExitCode> {
    let answer = gateway.ask(&Question::post("/v1/probe").with([(what, Some(name.to_owned()))]))?;
    let results: Vec<ProbeResult> = answer.read()?;
    if output == Output::Json {
        say(format_args!("{}", answer.text().trim_end()));
    } else {
        let rows: Vec<_> = results
            .iter()
            .map(|result| {
                let state = result.error.as_ref().map_or_else(|| "answers".to_owned(), Clone::clone);
                [result.upstream.clone(), result.host.clone(), format!("{} ms", result.milliseconds), state]
            })
            .collect();
        say_table(["UPSTREAM", "BACKEND", "TOOK", "STATE"], &rows);
    }
    let is_fit = results.iter().all(|result| result.error.is_none());
    Ok(if is_fit { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Requests of a route so far: all, those that failed with 5xx, and the seconds that they took.
#[derive(Clone, Copy, Default)]
struct Totals {
    all: f64,
    failed: f64,
    seconds: f64,
}

/// Shows rates until it is interrupted, or so many times.
pub fn top(gateway: &Gateway, rounds: Option<u32>) -> anyhow::Result<ExitCode> {
    let mut before = totals(&gateway.ask(&Question::get("/metrics"))?.text());
    for _ in 0..rounds.unwrap_or(u32::MAX) {
        #[expect(clippy::disallowed_methods, reason = "there is nothing else to do meanwhile")]
        std::thread::sleep(INTERVAL);
        let now = totals(&gateway.ask(&Question::get("/metrics"))?.text());
        let status: Status = gateway.read(&Question::get("/v1/status"))?;
        if is_coloured() {
            // The screen is cleared, and the next line is its first.
            say(format_args!("\x1b[2J\x1b[H"));
        }
        show(&status, &before, &now);
        before = now;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(status: &Status, before: &BTreeMap<String, Totals>, now: &BTreeMap<String, Totals>) {
    let seconds = INTERVAL.as_secs_f64();
    let since = |(route, now): (&String, &Totals)| {
        let before = before.get(route).copied().unwrap_or_default();
        let all = now.all - before.all;
        let (failed, took) = (now.failed - before.failed, now.seconds - before.seconds);
        (route.clone(), Totals { all, failed, seconds: took })
    };
    let mut routes: Vec<_> = now.iter().map(since).collect();
    routes.sort_by(|(_, one), (_, other)| other.all.total_cmp(&one.all));
    let all: f64 = routes.iter().map(|(_, totals)| totals.all).sum();
    let unfit = status.upstreams.iter().flat_map(|upstream| &upstream.backends);
    let unfit: Vec<_> = unfit.filter(|backend| !backend.healthy || backend.drained).collect();
    say(format_args!(
        "revision {}  {:.0} requests/s  {} connections  {} backends out",
        status.revision,
        all / seconds,
        status.connections,
        unfit.len()
    ));
    let rows: Vec<_> = routes
        .iter()
        .take(ROWS)
        .map(|(route, totals)| {
            let share = |part: f64| if totals.all > 0.0 { part / totals.all } else { 0.0 };
            [
                route.clone(),
                format!("{:.1}", totals.all / seconds),
                format!("{:.1} %", share(totals.failed) * 100.0),
                format!("{:.1} ms", share(totals.seconds) * 1000.0),
            ]
        })
        .collect();
    say_table(["ROUTE", "REQUESTS/S", "FAILED", "MEAN"], &rows);
    for backend in unfit {
        say(format_args!("{} {}", backend.host, if backend.drained { "drained" } else { "ejected" }));
    }
    for plugin in status.plugins.iter().filter(|plugin| plugin.tripped) {
        say(format_args!("plugin {} TRIPPED", plugin.name));
    }
}

/// By route, out of metrics as text.
fn totals(metrics: &str) -> BTreeMap<String, Totals> {
    let mut totals: BTreeMap<String, Totals> = BTreeMap::new();
    for line in metrics.lines() {
        let Some((labels, value)) = line
            .rsplit_once("} ")
            .and_then(|(labels, value)| Some((labels.split_once('{')?, value.parse::<f64>().ok()?)))
        else {
            continue;
        };
        let (name, labels) = labels;
        let Some(route) = labels.strip_prefix("route=\"").and_then(|rest| rest.split_once('"')) else {
            continue;
        };
        let entry = totals.entry(route.0.to_owned()).or_default();
        match name {
            "cloudcup_requests_total" => {
                entry.all += value;
                if labels.ends_with("status=\"5xx\"") {
                    entry.failed += value;
                }
            }
            "cloudcup_request_duration_seconds_sum" => entry.seconds += value,
            _ => {}
        }
    }
    totals
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_read_by_route() {
        let metrics = "# TYPE cloudcup_requests_total counter\n\
            cloudcup_requests_total{route=\"/a\",status=\"2xx\"} 7\n\
            cloudcup_requests_total{route=\"/a\",status=\"5xx\"} 2\n\
            cloudcup_request_duration_seconds_sum{route=\"/a\"} 0.5\n\
            cloudcup_connections 3\n";
        let totals = totals(metrics);
        let a = totals["/a"];
        assert_eq!((totals.len(), a.all, a.failed, a.seconds), (1, 9.0, 2.0, 0.5));
    }
}
