//! What the gateways of this process write to the log.

use std::io::{self, Write};
use std::sync::{LazyLock, Mutex, PoisonError};

use serde_json::Value;
use tracing_subscriber::EnvFilter;

static LOG: LazyLock<Mutex<Vec<u8>>> = LazyLock::new(|| {
    let filter = EnvFilter::new("off,plugin=trace,cloud_cup::plugin=warn,cloud_cup::capability=info");
    let log =
        tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(filter).with_writer(|| Pen);
    log.try_init().expect("nobody else sets a log up in this process");
    Mutex::default()
});

struct Pen;

impl Write for Pen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Begins to keep the log, unless that has begun.
pub(super) fn keep() {
    LazyLock::force(&LOG);
}

/// The lines so far whose message has this text, which tells one test's lines from those of others.
pub(super) fn lines(text: &str) -> Vec<Value> {
    let log = LOG.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let log = String::from_utf8(log).expect("the log is text");
    let lines =
        log.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line of the log is JSON"));
    lines.filter(|line| line["message"].as_str().is_some_and(|message| message.contains(text))).collect()
}
