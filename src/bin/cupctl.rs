//! The operator's tool.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command speaks to its caller")]

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::{Parser, Subcommand};
use cloud_cup::admin::{Status, default_socket};
use cloud_cup::workbench::{self, New, Options};
use cloud_cup::{commands, config, reload};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

/// Looks at a running gateway and changes it.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The gateway's admin socket. [default: $CLOUDCUP_SOCKET, or where the gateway puts it by itself]
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Print JSON instead of text.
    #[arg(long, short, global = true, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Text,
    Json,
}

#[derive(Subcommand)]
enum Command {
    /// Check a document: exit code 0 when it is good, 1 when it is rejected, 2 when it cannot be read.
    Check {
        /// The document.
        file: PathBuf,
    },
    /// Make the gateway read its document and plugins again: exit code 0 when every worker serves it, 1 when it is
    /// rejected and everything stays as it was, 2 when the gateway cannot be asked.
    Reload,
    /// Show what the gateway serves and how its backends are.
    Status,
    /// Hold circuit breakers open or closed, or let them go by what requests tell again: exit code 0 when there were any, 1
    /// when there is none of this name.
    Breaker {
        #[arg(value_enum)]
        action: Action,
        /// The breaker's name, or what it watches: a route's pattern, a backend.
        name: String,
    },
    /// Print the JSON Schema of the document.
    Schema,
    /// Work on a plugin without a running gateway, or let a running one call a tripped plugin again.
    #[command(subcommand)]
    Plugin(Plugin),
}

#[derive(Subcommand)]
enum Plugin {
    /// Tell what a component exports and has to be granted: exit code 0 when a gateway can use it, 1 when it cannot, 2
    /// when it cannot be read.
    Inspect {
        /// A component, or the name of a shipped plugin.
        file: PathBuf,
    },
    /// Run cases on a component: exit code 0 when all hold, 1 when one does not, 2 when they cannot be run.
    Test {
        /// A component, or the name of a shipped plugin.
        file: PathBuf,
        /// The cases, as JSON.
        cases: PathBuf,
    },
    /// Measure what a component costs on this machine.
    Bench {
        /// A component, or the name of a shipped plugin.
        file: PathBuf,
        /// A file with its configuration, as JSON.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// A field of each request, `name: value`.
        #[arg(long, value_name = "FIELD")]
        header: Vec<String>,
        /// How long its hooks are called.
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=600))]
        seconds: u64,
    },
    /// Let the running gateway call a tripped plugin again: exit code 0 when it is attached, 1 when it is not, 2 when the
    /// gateway cannot be asked.
    Reset {
        /// The plugin's name in the document.
        name: String,
    },
    /// Write a crate to begin a plugin with.
    New {
        /// What the plugin is called.
        name: String,
        /// The language to write it in.
        #[arg(long, value_enum, default_value_t = Language::Rust)]
        lang: Language,
        /// The folder to make. [default: NAME]
        #[arg(long, value_name = "DIR")]
        path: Option<PathBuf>,
        /// A checkout of Cloud Cup, for the crate that filters are written with. [default: one around the folder]
        #[arg(long, value_name = "PATH")]
        sdk: Option<PathBuf>,
    },
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Language {
    Rust,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Action {
    Open,
    Close,
    Reset,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let socket = arguments.socket.unwrap_or_else(default_socket);
    match arguments.command {
        Command::Check { file } => commands::check(&file),
        Command::Schema => {
            say(format_args!("{:#}", config::schema()));
            ExitCode::SUCCESS
        }
        Command::Breaker { action, name } => {
            let action = match action {
                Action::Open => "open",
                Action::Close => "close",
                Action::Reset => "reset",
            };
            change(&socket, "/breaker", &[("name", &name), ("action", action)], arguments.output)
        }
        Command::Plugin(command) => work(&socket, command, arguments.output),
        Command::Reload => match ask(&socket, Method::POST, "/reload") {
            Ok((_, body)) => report_reload(&body, arguments.output),
            Err(error) => failed(&error),
        },
        Command::Status => match ask(&socket, Method::GET, "/status") {
            Ok((_, body)) => report_status(&body, arguments.output),
            Err(error) => failed(&error),
        },
    }
}

fn work(socket: &std::path::Path, command: Plugin, output: Output) -> ExitCode {
    let form = match output {
        Output::Text => workbench::Output::Text,
        Output::Json => workbench::Output::Json,
    };
    workbench::ended(match command {
        Plugin::Reset { name } => return change(socket, "/plugin/reset", &[("name", &name)], output),
        Plugin::Inspect { file } => workbench::inspect(&file, form),
        Plugin::Test { file, cases } => workbench::test(&file, &cases, form),
        Plugin::Bench { file, config, header, seconds } => {
            let options = Options { config, headers: header, time: Duration::from_secs(seconds) };
            workbench::bench(&file, &options, form)
        }
        Plugin::New { name, lang: Language::Rust, path, sdk } => workbench::new(&New { name, path, sdk }),
    })
}

/// Writes a line, unless whoever was reading has gone.
fn say(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::from(2)
}

/// Asks for a change of things that have a name.
fn change(socket: &std::path::Path, path: &str, parameters: &[(&str, &str)], output: Output) -> ExitCode {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    let (status, body) = match ask(socket, Method::POST, &format!("{path}?{query}")) {
        Ok(answer) => answer,
        Err(error) => return failed(&error),
    };
    let answer: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    if output == Output::Json {
        say(format_args!("{answer}"));
    } else if let Some(count) = answer["changed"].as_u64() {
        say(format_args!("changed: {count}"));
    } else {
        eprintln!("error: {}", answer["message"].as_str().unwrap_or("the gateway's answer cannot be read"));
    }
    if status == StatusCode::OK { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

/// One request over the admin socket.
fn ask(socket: &std::path::Path, method: Method, path: &str) -> anyhow::Result<(StatusCode, Bytes)> {
    use anyhow::Context;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let stream = UnixStream::connect(socket).await.with_context(|| {
            format!("no gateway answers on {} (--socket names another one)", socket.display())
        })?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        #[expect(clippy::disallowed_methods, reason = "it is aborted below")]
        let connection = tokio::spawn(connection);
        let request = Request::builder().method(method).uri(path).header("host", "cloud-cup");
        let response = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        drop(sender);
        connection.abort();
        Ok((status, body))
    })
}

fn report_reload(body: &[u8], output: Output) -> ExitCode {
    let report: reload::Report = match serde_json::from_slice(body) {
        Ok(report) => report,
        Err(_) => return failed(&anyhow::anyhow!("{}", String::from_utf8_lossy(body).trim())),
    };
    let code = match report.outcome.as_str() {
        "applied" | "unchanged" => 0,
        "rejected" => 1,
        _ => 2,
    };
    if output == Output::Json {
        say(format_args!("{}", String::from_utf8_lossy(body)));
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
        _ => eprintln!("error: {}", report.message.unwrap_or_default()),
    }
    for diagnostic in report.warnings.iter().chain(&report.diagnostics) {
        eprintln!("{diagnostic}");
    }
    ExitCode::from(code)
}

fn report_status(body: &[u8], output: Output) -> ExitCode {
    if output == Output::Json {
        say(format_args!("{}", String::from_utf8_lossy(body)));
        return ExitCode::SUCCESS;
    }
    let status: Status = match serde_json::from_slice(body) {
        Ok(status) => status,
        Err(error) => return failed(&anyhow::anyhow!("the gateway's answer cannot be read: {error}")),
    };
    say(format_args!(
        "cloud-cup {}, revision {}, {} workers, {} connections, {} routes",
        status.version, status.revision, status.workers, status.connections, status.routes
    ));
    for upstream in &status.upstreams {
        say(format_args!("{}", upstream.name));
        for backend in &upstream.backends {
            let state = if backend.healthy { "healthy" } else { "ejected" };
            let ejections = backend.ejections;
            say(format_args!("  {:<24} {state} (ejections so far: {ejections})", backend.host));
        }
    }
    for certificate in &status.certificates {
        let (names, expires) = (certificate.names.join(", "), &certificate.expires);
        say(format_args!("certificate {:<14} {names} (expires {expires})", certificate.listener));
    }
    report_plugins(&status);
    ExitCode::SUCCESS
}

fn report_plugins(status: &Status) {
    for plugin in &status.plugins {
        let state = if plugin.tripped { "TRIPPED" } else { "serving" };
        let digest = plugin.digest.get(..12).unwrap_or_default();
        let (name, attachments, trips) = (&plugin.name, plugin.attachments, plugin.trips);
        say(format_args!("plugin {name:<19} {state} ({digest}, uses: {attachments}, trips so far: {trips})"));
    }
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
