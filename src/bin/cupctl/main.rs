//! The operator's tool.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command speaks to its caller")]

mod ask;
mod change;
mod explain;
mod say;
mod show;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use cloud_cup::admin::default_socket;
use cloud_cup::workbench::{self, New, Options};
use cloud_cup::{commands, config};

use ask::{Address, Gateway, Place, Question};
use change::Why;
use say::{Output, failed, say};
use show::Show;

/// Looks at a running gateway and changes it.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The gateway's admin socket. [default: $CLOUDCUP_SOCKET, or where the gateway puts it by itself]
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// The gateway's admin address instead, `https://HOST:PORT`, or `http://` on the loopback interface.
    #[arg(long, global = true, value_name = "URL", env = "CLOUDCUP_ADDRESS", conflicts_with = "socket")]
    address: Option<String>,
    /// The document's `admin.token`.
    #[arg(long, global = true, value_name = "TOKEN", env = "CLOUDCUP_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// A PEM file with the certificates of who vouches for the address. [default: whom this machine trusts]
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// A PEM file with a certificate to show at the address, and its key.
    #[arg(long, global = true, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// Print JSON instead of text.
    #[arg(long, short, global = true, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check a document, or whether backends answer: exit code 0 when it is good, 1 when it is rejected or a backend does
    /// not answer, 2 when it cannot be told.
    Check {
        /// The document.
        #[arg(required_unless_present_any = ["backend", "route"], conflicts_with_all = ["backend", "route"])]
        file: Option<PathBuf>,
        /// Build it beside what the running gateway serves, too, without serving it.
        #[arg(long, requires = "file")]
        live: bool,
        /// Probe this backend of the running gateway now.
        #[arg(long, short, value_name = "HOST", conflicts_with = "route")]
        backend: Option<String>,
        /// Probe the backends of this route of the running gateway now.
        #[arg(long, short, value_name = "PATTERN")]
        route: Option<String>,
    },
    /// Show what serving a document would change: exit code 0 when nothing, 2 when something, 1 when it is rejected or the
    /// gateway cannot be asked.
    Plan {
        /// The document.
        file: PathBuf,
    },
    /// Serve a document, all of it or nothing: exit code 0 when every worker serves it, 1 when it is rejected and everything
    /// stays as it was, 2 when the gateway cannot be asked, 3 when another revision is running than was expected.
    Apply {
        /// The document. Its paths are those of the gateway's own document.
        #[arg(long, short, value_name = "FILE")]
        file: PathBuf,
        /// Take it back after this time (`30s`), unless `cupctl confirm` keeps it, and as soon as more requests fail than
        /// before.
        #[arg(long, value_name = "TIME")]
        confirm: Option<String>,
        #[command(flatten)]
        why: Why,
    },
    /// Keep what was applied with --confirm. Exit codes are those of `apply`.
    Confirm,
    /// Make the gateway read its document and plugins again. Exit codes are those of `apply`.
    Reload {
        #[command(flatten)]
        why: Why,
    },
    /// Show the revisions that the gateway remembers.
    History,
    /// Show in what two revisions differ: exit code 0 when in nothing, 2 when in something, 1 when it cannot be told.
    Diff {
        /// The earlier one.
        from: u64,
        /// The later one. [default: what is served now]
        to: Option<u64>,
    },
    /// Serve what an earlier revision served, as a new one. Exit codes are those of `apply`.
    Rollback {
        /// The earlier one. [default: the last one with another document]
        revision: Option<u64>,
        #[command(flatten)]
        why: Why,
    },
    /// Tell what would become of a request, and why: exit code 0 when it goes to a backend, 1 when the gateway answers it
    /// itself, 2 when it cannot be told.
    Explain {
        /// The method.
        method: String,
        /// The URL; without a scheme it is one of `http`.
        url: String,
        /// A header of the request, `name: value`.
        #[arg(long, short = 'H', value_name = "HEADER")]
        header: Vec<String>,
        /// Ask a document instead of a running gateway.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Write the lines of the access log as they come.
    Logs {
        /// Which is what it does.
        #[arg(long, short)]
        follow: bool,
    },
    /// Show rates, failures and times by route, every two seconds.
    Top {
        /// End after so many times.
        #[arg(long, value_name = "COUNT")]
        rounds: Option<u32>,
    },
    /// Show what the gateway serves and how its backends are.
    Status,
    /// Show one thing of what the gateway serves.
    #[command(subcommand)]
    Show(Show),
    /// Take backends out of the choice, or let them back in: exit code 0 when there are any, 1 when there is none of this
    /// host. Requests that they have are finished.
    Backend {
        #[arg(value_enum)]
        action: Readiness,
        /// The backend's host, as in the document.
        host: String,
    },
    /// End the gateway: it takes no more connections, turns not ready, and finishes what is in flight.
    Drain,
    /// Replace the gateway's process by one of the program that is installed now, and end the old one when what is in flight
    /// is finished: exit code 0 when the new one serves, 2 when everything stays as it was.
    Upgrade {
        /// Another program. [default: the gateway's own]
        #[arg(long, value_name = "FILE")]
        program: Option<PathBuf>,
    },
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
    /// Print a script that completes commands: `source <(cupctl completions bash)`.
    Completions {
        /// For which shell.
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Work on a plugin without a running gateway, or let a running one call a tripped plugin again.
    #[command(subcommand, alias = "plugins")]
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
    /// Let the running gateway pass a plugin over until it is reset: exit code 0 when it is attached, 1 when it is not, 2
    /// when the gateway cannot be asked.
    Trip {
        /// The plugin's name in the document.
        name: String,
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
enum Readiness {
    Drain,
    Ready,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Action {
    Open,
    Close,
    Reset,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let place = match arguments.address {
        None => Place::Socket(arguments.socket.unwrap_or_else(default_socket)),
        Some(url) => {
            let (token, ca, identity) = (arguments.token, arguments.ca, arguments.identity);
            Place::Address(Address { url, token, ca, identity })
        }
    };
    let gateway = Gateway { place };
    let output = arguments.output;
    match arguments.command {
        Command::Check { file, live, backend, route } => match (file, backend, route) {
            (Some(file), ..) if live => change::check_live(&gateway, &file, output),
            (Some(file), ..) if output == Output::Json => commands::check_as_json(&file),
            (Some(file), ..) => commands::check(&file),
            (_, Some(host), _) => told(watch::probe(&gateway, "backend", &host, output)),
            (.., route) => told(watch::probe(&gateway, "route", &route.unwrap_or_default(), output)),
        },
        Command::Logs { .. } => told(watch::logs(&gateway, output)),
        Command::Top { rounds } => told(watch::top(&gateway, rounds)),
        Command::Schema => {
            say(format_args!("{:#}", config::schema()));
            ExitCode::SUCCESS
        }
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "cupctl", &mut std::io::stdout());
            ExitCode::SUCCESS
        }
        Command::Breaker { action, name } => {
            let action = match action {
                Action::Open => "open",
                Action::Close => "close",
                Action::Reset => "reset",
            };
            let parameters = [("name", Some(name)), ("action", Some(action.to_owned()))];
            count(&gateway, &Question::post("/v1/breakers").with(parameters), output)
        }
        Command::Backend { action, host } => {
            let path = match action {
                Readiness::Drain => "/v1/backends/drain",
                Readiness::Ready => "/v1/backends/ready",
            };
            count(&gateway, &Question::post(path).with([("host", Some(host))]), output)
        }
        Command::Drain => told(drain(&gateway, output)),
        Command::Upgrade { program } => told(upgrade(&gateway, program, output)),
        Command::Plugin(command) => work(&gateway, command, output),
        Command::Plan { file } => change::plan(&gateway, &file, output),
        Command::Apply { file, confirm, why } => {
            change::apply(&gateway, &file, confirm.as_deref(), &why, output)
        }
        Command::Confirm => change::change(&gateway, Question::post("/v1/confirm"), &Why::default(), output),
        Command::Reload { why } => {
            let question = Question::post("/v1/reload").with([("message", why.message.clone())]);
            change::change(&gateway, question, &why, output)
        }
        Command::Rollback { revision, why } => {
            let revision = revision.map(|revision| revision.to_string());
            let parameters = [("revision", revision), ("message", why.message.clone())];
            change::change(&gateway, Question::post("/v1/rollback").with(parameters), &why, output)
        }
        Command::Explain { method, url, header, file } => {
            told(explain::explain(&gateway, &method, &url, &header, file.as_deref(), output))
        }
        Command::History => told(change::history(&gateway, output)),
        Command::Diff { from, to } => change::diff(&gateway, from, to, output).unwrap_or_else(|error| {
            failed(&error);
            ExitCode::from(1)
        }),
        Command::Status => told(show::status(&gateway, output)),
        Command::Show(what) => told(show::show(&gateway, &what, output)),
    }
}

fn told(code: anyhow::Result<ExitCode>) -> ExitCode {
    code.unwrap_or_else(|error| failed(&error))
}

fn work(gateway: &Gateway, command: Plugin, output: Output) -> ExitCode {
    let form = match output {
        Output::Text => workbench::Output::Text,
        Output::Json => workbench::Output::Json,
    };
    workbench::ended(match command {
        Plugin::Trip { name } => {
            let question = Question::post("/v1/plugins/trip").with([("name", Some(name))]);
            return count(gateway, &question, output);
        }
        Plugin::Reset { name } => {
            let question = Question::post("/v1/plugins/reset").with([("name", Some(name))]);
            return count(gateway, &question, output);
        }
        Plugin::Inspect { file } => workbench::inspect(&file, form),
        Plugin::Test { file, cases } => workbench::test(&file, &cases, form),
        Plugin::Bench { file, config, header, seconds } => {
            let options = Options { config, headers: header, time: Duration::from_secs(seconds) };
            workbench::bench(&file, &options, form)
        }
        Plugin::New { name, lang: Language::Rust, path, sdk } => workbench::new(&New { name, path, sdk }),
    })
}

fn drain(gateway: &Gateway, output: Output) -> anyhow::Result<ExitCode> {
    let answer = gateway.ask(&Question::post("/v1/drain"))?;
    let said: serde_json::Value = answer.read()?;
    match output {
        Output::Json => say(format_args!("{said}")),
        Output::Text => say(format_args!("{}", said["message"].as_str().unwrap_or_default())),
    }
    Ok(ExitCode::SUCCESS)
}

fn upgrade(gateway: &Gateway, program: Option<PathBuf>, output: Output) -> anyhow::Result<ExitCode> {
    let program = program.map(|program| program.display().to_string());
    let answer = gateway.ask(&Question::post("/v1/upgrade").with([("program", program)]))?;
    let said: serde_json::Value = answer.read()?;
    match output {
        Output::Json => say(format_args!("{said}")),
        Output::Text => say(format_args!("process {} serves; the old one ends", said["process"])),
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks for a change of things that have a name.
fn count(gateway: &Gateway, question: &Question<'_>, output: Output) -> ExitCode {
    let answer = match gateway.ask(question) {
        Ok(answer) => answer,
        Err(error) => return failed(&error),
    };
    let said: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    if output == Output::Json {
        say(format_args!("{said}"));
    } else if let Some(count) = said["changed"].as_u64() {
        say(format_args!("changed: {count}"));
    } else {
        eprintln!("error: {}", answer.complaint());
    }
    if answer.status.is_success() { ExitCode::SUCCESS } else { ExitCode::from(1) }
}
