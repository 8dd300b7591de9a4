//! The gateway.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command speaks to its caller")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use cloud_cup::app::{self, App, StartError, Wish};
use cloud_cup::reload::SourceError;
use cloud_cup::{commands, demo, observe};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// An HTTP gateway with WebAssembly plugins.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    /// The document to serve.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Check a document: exit code 0 when it is good, 1 when it is rejected, 2 when it cannot be read.
    Check {
        /// The document.
        file: PathBuf,
    },
    /// Serve a demonstration with backends of its own.
    Demo,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match (arguments.command, arguments.config) {
        (Some(Command::Check { file }), _) => commands::check(&file),
        (Some(Command::Demo), _) => run(serve_demo()),
        (None, Some(config)) => run(serve(config)),
        (None, None) => {
            eprintln!(
                "error: no document given\n  hint: cloud-cup --config FILE, or `cloud-cup demo` to look around"
            );
            ExitCode::from(2)
        }
    }
}

fn run(serving: impl Future<Output = ExitCode>) -> ExitCode {
    observe::log::init();
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(serving),
        Err(error) => {
            error!(%error, "cannot start the control runtime");
            ExitCode::from(2)
        }
    }
}

async fn serve(config: PathBuf) -> ExitCode {
    let app = match App::start(config.clone()).await {
        Ok(app) => app,
        Err(error) => return refused(&config, &error),
    };
    app::announce(&app);
    until_stopped(app).await
}

async fn serve_demo() -> ExitCode {
    let demo = match demo::start().await {
        Ok(demo) => demo,
        Err(error) => {
            eprintln!("error: the demonstration cannot start: {error:#}");
            return ExitCode::from(2);
        }
    };
    println!("{}", demo.guide());
    let code = until_stopped(demo.app).await;
    drop(demo.home);
    code
}

fn refused(config: &std::path::Path, error: &StartError) -> ExitCode {
    match error {
        StartError::Source(SourceError::Rejected(diagnostics)) => {
            for diagnostic in diagnostics {
                eprintln!("{}: {diagnostic}", config.display());
            }
            ExitCode::from(1)
        }
        error => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// How long an answer on the admin socket may take to leave.
const ANSWER: Duration = Duration::from_millis(50);

/// Reloads on SIGHUP, ends on SIGTERM and SIGINT; a second one of these ends at once.
async fn until_stopped(mut app: App) -> ExitCode {
    let signals =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()));
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) = signals else {
        error!("cannot listen for signals");
        return ExitCode::from(2);
    };
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            wish = app.wish() => match wish {
                Wish::End => break,
                Wish::Replace(program, answer) => {
                    let replaced = tokio::select! {
                        replaced = app.replace(program.as_deref()) => replaced,
                        _ = terminate.recv() => break,
                        _ = interrupt.recv() => break,
                    };
                    let is_replaced = replaced.is_ok();
                    // Whoever asked may have gone; the outcome is in the log as well.
                    let _ = answer.send(replaced);
                    if is_replaced {
                        break;
                    }
                }
            },
            // The outcome is in the log.
            _ = hangup.recv() => drop(app.reload().await),
        }
    }
    info!("stopping: no more connections, waiting for what is in flight");
    // Whoever has asked for it hears of it first.
    tokio::time::sleep(ANSWER).await;
    tokio::select! {
        cut_off = app.stop() => {
            info!(cut_off, "stopped");
            ExitCode::SUCCESS
        }
        _ = terminate.recv() => ExitCode::from(130),
        _ = interrupt.recv() => ExitCode::from(130),
    }
}
