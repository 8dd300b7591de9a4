//! The small capabilities: log, clock, random, secrets.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;
use tracing::{debug, error, info, trace, warn};
use wasmtime::bail;

use super::Host;
use crate::plugin::bindings::log::Level;
use crate::plugin::bindings::{clock, log, random, secrets};
use crate::plugin::engine::START;

/// Bytes of a line that are kept.
const LONGEST_LINE: usize = 4 << 10;
const MOST_RANDOM: u32 = 4096;

impl log::Host for Host {
    fn write(&mut self, level: Level, message: String) -> wasmtime::Result<()> {
        let Some(dropped) = self.attachment.admit_line() else { return Ok(()) };
        let message = clip(&message);
        let plugin = self.attachment.plugin.name.as_str();
        let route = self.exchange.as_ref().and_then(|exchange| exchange.route.as_deref());
        match level {
            Level::Trace => trace!(target: "plugin", plugin, route, dropped, "{message}"),
            Level::Debug => debug!(target: "plugin", plugin, route, dropped, "{message}"),
            Level::Info => info!(target: "plugin", plugin, route, dropped, "{message}"),
            Level::Warn => warn!(target: "plugin", plugin, route, dropped, "{message}"),
            Level::Error => error!(target: "plugin", plugin, route, dropped, "{message}"),
        }
        Ok(())
    }
}

/// Shortens a line, and keeps it one line.
pub(in crate::plugin) fn clip(message: &str) -> String {
    let end = message.floor_char_boundary(LONGEST_LINE);
    message[..end].replace(|character: char| character.is_control(), " ")
}

impl clock::Host for Host {
    #[expect(clippy::disallowed_methods, reason = "the wall clock is what was asked for")]
    fn now(&mut self) -> wasmtime::Result<u64> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(since.as_nanos() as u64)
    }

    fn monotonic(&mut self) -> wasmtime::Result<u64> {
        // By tokio's clock, which `cupctl plugin test` moves.
        Ok(Instant::from_std(*START).elapsed().as_nanos() as u64)
    }
}

impl random::Host for Host {
    fn bytes(&mut self, length: u32) -> wasmtime::Result<Vec<u8>> {
        if length > MOST_RANDOM {
            bail!("{length} random bytes were asked for, at most {MOST_RANDOM} are given at once");
        }
        let mut bytes = vec![0; length as usize];
        getrandom::fill(&mut bytes).map_err(|error| wasmtime::format_err!("no random bytes: {error}"))?;
        Ok(bytes)
    }

    fn number(&mut self) -> wasmtime::Result<u64> {
        getrandom::u64().map_err(|error| wasmtime::format_err!("no random bytes: {error}"))
    }
}

impl secrets::Host for Host {
    fn get(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        Ok(self.attachment.plugin.grants.secrets.get(&name).cloned())
    }
}
