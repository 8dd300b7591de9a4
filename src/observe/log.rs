//! The gateway's own log, on standard error: text for a person, JSON for a collector.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Begins logging. `RUST_LOG` overrides the default level `info`. Does nothing where a log was set up before.
pub fn init() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // An error here says that there is a log already, which is what was asked for.
    let _ = if std::io::stderr().is_terminal() {
        builder.with_target(false).compact().try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
}
