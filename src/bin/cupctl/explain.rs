//! What would become of a request.

use std::path::Path;
use std::process::ExitCode;

use cloud_cup::commands;
use cloud_cup::proxy::{ActionVerdict, Explanation, question};
use cloud_cup::reload::SourceError;
use serde_json::json;

use super::ask::{Gateway, Question};
use super::say::{Output, say};

pub fn explain(
    gateway: &Gateway,
    method: &str,
    url: &str,
    headers: &[String],
    file: Option<&Path>,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let headers = headers.iter().map(|header| field(header)).collect::<anyhow::Result<Vec<_>>>()?;
    let told = match file {
        Some(file) => {
            let request = question(method, url, &headers).map_err(anyhow::Error::msg)?;
            commands::explain(file, request).map_err(|error| refused(file, &error))?
        }
        None => {
            let asked = json!({ "method": method, "url": url, "headers": headers }).to_string();
            gateway.read(&Question::post("/v1/explain").body(asked.as_bytes()))?
        }
    };
    match output {
        Output::Json => say(format_args!("{}", serde_json::to_string(&told)?)),
        Output::Text => say_explanation(&told),
    }
    Ok(if told.refused.is_none() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn field(header: &str) -> anyhow::Result<(String, String)> {
    let (name, value) = header
        .split_once(':')
        .ok_or_else(|| anyhow::anyhow!("expected a header as `name: value`, found `{header}`"))?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn refused(file: &Path, error: &SourceError) -> anyhow::Error {
    let said = match error {
        SourceError::Unreadable(message) => message.clone(),
        SourceError::Rejected(diagnostics) => {
            let lines: Vec<_> = diagnostics.iter().map(ToString::to_string).collect();
            format!("{} is rejected:\n{}", file.display(), lines.join("\n"))
        }
    };
    anyhow::Error::msg(said)
}

fn say_action(action: &ActionVerdict) {
    let status = action.status.unwrap_or_default();
    match (action.kind.as_str(), &action.location) {
        ("redirect", Some(location)) => say(format_args!("redirect  {status} to {location}")),
        ("redirect", None) => say(format_args!("redirect  {status}")),
        ("reply", _) => say(format_args!("reply     {status}, as it stands in the document")),
        _ => {}
    }
    let rewritten = [("host", &action.host), ("path", &action.path)];
    let rewritten: Vec<_> =
        rewritten.iter().filter_map(|(what, text)| Some(format!("{what} `{}`", text.as_ref()?))).collect();
    if !rewritten.is_empty() {
        say(format_args!("rewrite   {}", rewritten.join(", ")));
    }
    for edit in &action.edits {
        say(format_args!("edit      {edit}"));
    }
}

fn say_explanation(told: &Explanation) {
    if told.revision > 0 {
        say(format_args!("revision  {}", told.revision));
    }
    if !told.path.is_empty() {
        say(format_args!("request   host `{}`, path `{}`", told.host, told.path));
    }
    for pattern in &told.patterns {
        let why = match pattern.verdict.as_str() {
            "chosen" => "the most specific that matches",
            "other-method" => "matches but for the method",
            _ => "matches, and is less specific",
        };
        say(format_args!("route     {:<32} {why}", pattern.pattern));
    }
    for rule in &told.rules {
        let why = match rule.verdict.as_str() {
            "chosen" => "its conditions hold".to_owned(),
            "behind-it" => "comes behind the one that is chosen".to_owned(),
            _ => format!("misses {}", rule.missing.join(", ")),
        };
        if told.rules.len() > 1 || rule.verdict != "chosen" {
            say(format_args!("rule      {:<32} {why}", rule.index));
        }
    }
    for plugin in &told.plugins {
        let why = if plugin.sees { "sees it" } else { "does not: its condition does not hold" };
        say(format_args!("plugin    {:<32} {why}", plugin.name));
    }
    if let Some(action) = &told.action {
        say_action(action);
    }
    for share in &told.split {
        let why = format!("{:.4} % by weight {}", share.percent, share.weight);
        say(format_args!("split     {:<32} {why}", share.upstream));
    }
    for fault in &told.faults {
        say(format_args!("fault     {fault}"));
    }
    for mirror in &told.mirrors {
        say(format_args!("mirror    {:<32} gets {} % of the requests", mirror.upstream, mirror.percent));
    }
    if let Some(upstream) = &told.upstream {
        say(format_args!("upstream  {upstream}"));
    }
    for backend in &told.backends {
        let why = match backend {
            _ if backend.drained => "drained by the operator",
            _ if !backend.healthy => "ejected",
            _ if backend.next => "has the next turn",
            _ => "healthy",
        };
        say(format_args!("backend   {:<32} {why}", backend.host));
    }
    if let Some(refused) = &told.refused {
        say(format_args!("answer    {} {}: {}", refused.status, refused.code, refused.message));
    }
}
