//! What a gateway serves.

use std::process::ExitCode;

use clap::Subcommand;
use cloud_cup::admin::{ListenerStatus, RouteStatus, Status};
use serde_json::Value;

use super::ask::{Gateway, Question};
use super::say::{Output, say, say_json, say_table};

/// One thing of what a gateway serves.
#[derive(Subcommand)]
pub enum Show {
    /// The document, or what stands at a place of it.
    Config {
        /// The place, as a JSON pointer: `/routes/~1game~1*`. [default: all of it]
        #[arg(default_value = "")]
        pointer: String,
    },
    /// Patterns, their rules and where they lead.
    Routes,
    /// Upstreams and their backends.
    Upstreams,
    /// Plugins that are attached.
    Plugins,
    /// Addresses that are listened on.
    Listeners,
    /// Certificates that listeners show.
    Certificates,
}

pub fn show(gateway: &Gateway, what: &Show, output: Output) -> anyhow::Result<ExitCode> {
    match what {
        Show::Config { pointer } => {
            let document: Value = gateway.read(&Question::get(format!("/v1/config{}", escaped(pointer))))?;
            match output {
                Output::Json => say(format_args!("{document}")),
                Output::Text => say_json(&document),
            }
        }
        Show::Routes => {
            let routes: Vec<RouteStatus> = gateway.read(&Question::get("/v1/routes"))?;
            tell(output, &routes, || say_routes(&routes))?;
        }
        Show::Listeners => {
            let listeners: Vec<ListenerStatus> = gateway.read(&Question::get("/v1/listeners"))?;
            tell(output, &listeners, || say_listeners(&listeners))?;
        }
        Show::Upstreams => {
            let status = ask_status(gateway)?;
            tell(output, &status.upstreams, || say_upstreams(&status))?;
        }
        Show::Plugins => {
            let status = ask_status(gateway)?;
            tell(output, &status.plugins, || say_plugins(&status))?;
        }
        Show::Certificates => {
            let status = ask_status(gateway)?;
            tell(output, &status.certificates, || say_certificates(&status))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub fn status(gateway: &Gateway, output: Output) -> anyhow::Result<ExitCode> {
    let status = ask_status(gateway)?;
    tell(output, &status, || say_status(&status))?;
    Ok(ExitCode::SUCCESS)
}

fn ask_status(gateway: &Gateway) -> anyhow::Result<Status> {
    gateway.read(&Question::get("/v1/status"))
}

fn tell(output: Output, value: &impl serde::Serialize, people: impl FnOnce()) -> anyhow::Result<()> {
    match output {
        Output::Json => say(format_args!("{}", serde_json::to_string(value)?)),
        Output::Text => people(),
    }
    Ok(())
}

/// A pointer as a path: what stands between the slashes is the pointer's own.
fn escaped(pointer: &str) -> String {
    let encode = |token: &str| -> String { form_urlencoded::byte_serialize(token.as_bytes()).collect() };
    pointer.split('/').map(|token| encode(token).replace('+', "%20")).collect::<Vec<_>>().join("/")
}

fn say_status(status: &Status) {
    say(format_args!(
        "cloud-cup {}, revision {}, {} workers, {} connections, {} routes",
        status.version, status.revision, status.workers, status.connections, status.routes
    ));
    let document = &status.document;
    let leads = if document.source == "api" { ", the API leads" } else { "" };
    let drifted = if document.drifted { ", DIFFERS from what is served" } else { "" };
    let trial = if document.on_trial { ", ON TRIAL: `cupctl confirm` keeps it" } else { "" };
    say(format_args!("document {}{leads}{drifted}{trial}", document.file));
    say_upstreams(status);
    say_certificates(status);
    say_plugins(status);
    for breaker in &status.breakers {
        let forced = if breaker.forced { ", by the operator" } else { "" };
        say(format_args!("breaker {:<18} {}{forced} ({})", breaker.name, breaker.state, breaker.key));
    }
    for key_set in &status.key_sets {
        let age = key_set.age.map_or(String::new(), |age| format!(", fetched {age} s ago"));
        let error = key_set.error.as_ref().map_or(String::new(), |error| format!(", {error}"));
        say(format_args!("key set {:<18} keys: {}{age}{error}", key_set.name, key_set.keys));
    }
}

fn say_upstreams(status: &Status) {
    for upstream in &status.upstreams {
        let (requests, pending, retries) = (upstream.requests, upstream.pending, upstream.retries);
        let connections = upstream.connections;
        say(format_args!(
            "{} (requests: {requests}, waiting: {pending}, retries: {retries}, connections: {connections})",
            upstream.name
        ));
        for backend in &upstream.backends {
            let state = match backend {
                _ if backend.drained => "drained",
                _ if backend.healthy => "healthy",
                _ => "ejected",
            };
            let (requests, ejections) = (backend.requests, backend.ejections);
            let cause = backend.cause.as_ref().filter(|_| state == "ejected");
            let cause = cause.map_or(String::new(), |cause| format!(": {cause}"));
            say(format_args!(
                "  {:<24} {state} (requests: {requests}, ejections so far: {ejections}){cause}",
                backend.host
            ));
        }
    }
}

fn say_certificates(status: &Status) {
    for certificate in &status.certificates {
        let (names, expires) = (certificate.names.join(", "), &certificate.expires);
        say(format_args!("certificate {:<14} {names} (expires {expires})", certificate.listener));
    }
}

fn say_plugins(status: &Status) {
    for plugin in &status.plugins {
        let state = if plugin.tripped { "TRIPPED" } else { "serving" };
        let digest = plugin.digest.get(..12).unwrap_or_default();
        let (name, attachments, trips) = (&plugin.name, plugin.attachments, plugin.trips);
        say(format_args!("plugin {name:<19} {state} ({digest}, uses: {attachments}, trips so far: {trips})"));
    }
}

fn say_routes(routes: &[RouteStatus]) {
    let rows: Vec<_> = routes
        .iter()
        .flat_map(|route| {
            route.rules.iter().enumerate().map(|(index, rule)| {
                let conditions = if rule.conditional { "some requests" } else { "all others" };
                let which = if route.rules.len() > 1 { conditions } else { "" };
                let pattern = if index == 0 { route.pattern.clone() } else { String::new() };
                [
                    pattern,
                    which.to_owned(),
                    rule.upstream.clone().unwrap_or_else(|| rule.action.clone()),
                    rule.plugins.join(", "),
                ]
            })
        })
        .collect();
    say_table(["PATTERN", "FOR", "UPSTREAM", "PLUGINS"], &rows);
}

fn say_listeners(listeners: &[ListenerStatus]) {
    let rows: Vec<_> = listeners
        .iter()
        .map(|listener| {
            let tls = if listener.tls { "TLS" } else { "" };
            [listener.name.clone(), listener.address.clone(), listener.protocols.join(", "), tls.to_owned()]
        })
        .collect();
    say_table(["LISTENER", "ADDRESS", "PROTOCOLS", "TLS"], &rows);
}
