//! The operator's tool.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command speaks to its caller")]

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use bytes::Bytes;
use clap::{Parser, Subcommand};
use cloud_cup::admin::{Status, default_socket};
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
    /// Print the JSON Schema of the document.
    Schema,
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

/// Writes a line, unless whoever was reading has gone.
fn say(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::from(2)
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
        "cloud-cup {}, revision {}, {} workers, {} connections, {} routes, {} plugin attachments",
        status.version, status.revision, status.workers, status.connections, status.routes, status.plugins
    ));
    for upstream in status.upstreams {
        say(format_args!("{}", upstream.name));
        for backend in upstream.backends {
            let state = if backend.healthy { "healthy" } else { "ejected" };
            let ejections = backend.ejections;
            say(format_args!("  {:<24} {state} (ejections so far: {ejections})", backend.host));
        }
    }
    ExitCode::SUCCESS
}
