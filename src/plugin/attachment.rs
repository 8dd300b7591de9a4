//! A plugin's use by a route.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use super::engine::PluginEngine;
use super::instance::{Fault, FaultKind, Instance};
use super::limits::PluginLimits;
use super::load::{LoadError, Plugin};

/// What the document says of one use of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AttachmentSpec {
    /// The plugin's own configuration, as JSON text.
    pub config: String,
    /// What becomes of a request whose plugin fails.
    pub on_error: OnError,
    /// How long an instance lives.
    pub isolation: Isolation,
    /// What an instance may use.
    pub limits: PluginLimits,
}

/// What becomes of a request when a plugin faults on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnError {
    /// It is answered with a 500 that names the fault.
    #[default]
    Closed,
    /// It goes on as if the plugin were not there.
    Open,
}

/// How long an instance lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Isolation {
    /// One warm instance per worker and attachment.
    #[default]
    Reuse,
    /// A fresh instance for every request.
    Request,
}

/// See the module. It is the unit that state hangs on: an unchanged attachment keeps its instances through a reload.
#[derive(Debug)]
pub struct Attachment {
    /// What runs.
    pub plugin: Arc<Plugin>,
    /// How.
    pub spec: AttachmentSpec,
    pub(super) ticks: u64,
    log: LogBudget,
}

/// Lines that were logged in the current second, by all instances together: a plugin whose instances are short-lived
/// has no more of them than another one.
#[derive(Debug, Default)]
struct LogBudget {
    /// Seconds since the process began in the upper half, lines in the lower.
    second_and_lines: AtomicU64,
    dropped: AtomicU64,
}

impl Attachment {
    /// An attachment that was not tried yet, see [`Self::check`].
    pub fn new(plugin: Arc<Plugin>, spec: AttachmentSpec) -> Self {
        let ticks = PluginEngine::ticks(spec.limits.time);
        Self { plugin, spec, ticks, log: LogBudget::default() }
    }

    /// The number of lines that were dropped before this one, or none when this one is to be dropped too.
    pub(super) fn admit_line(&self) -> Option<u64> {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        let second = START.elapsed().as_secs() << 32;
        let count = |seen: u64| if seen & !u64::from(u32::MAX) == second { seen + 1 } else { second + 1 };
        let lines = self.log.second_and_lines.fetch_update(Relaxed, Relaxed, |seen| {
            let next = count(seen);
            (next - second <= u64::from(self.spec.limits.log_rate)).then_some(next)
        });
        match lines {
            Ok(_) => Some(self.log.dropped.swap(0, Relaxed)),
            Err(_) => {
                self.log.dropped.fetch_add(1, Relaxed);
                None
            }
        }
    }

    /// Makes one instance and configures it, so that what is wrong with the plugin or its configuration shows before a
    /// request meets it.
    pub fn check(self: &Arc<Self>) -> Result<(), AttachError> {
        Instance::new(self).map(drop).map_err(|error| match error {
            super::instance::StartError::Contract(error) => LoadError::WrongType(error).into(),
            super::instance::StartError::Refused(words) => AttachError::Refused(words),
            super::instance::StartError::Fault(fault) => AttachError::Fault(fault),
        })
    }

    /// Whether it is the same use of the same component.
    pub fn is_same(&self, plugin: &Plugin, spec: &AttachmentSpec) -> bool {
        self.plugin.digest == plugin.digest
            && self.plugin.name == plugin.name
            && self.plugin.permissions == plugin.permissions
            && self.spec == *spec
    }
}

/// Why an attachment cannot be put into service.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The component does not fit.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The plugin refused its configuration, in its own words.
    #[error("refuses its configuration: {0}")]
    Refused(String),
    /// The plugin failed while it was configured.
    #[error("failed while it was configured: {0}")]
    Fault(Fault),
}

impl AttachError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Load(error) => error.hint(),
            Self::Refused(_) => None,
            Self::Fault(Fault { kind: FaultKind::Memory, .. }) => {
                Some("give it more by `memory` in the `limits` of the plugin or of this use of it".into())
            }
            Self::Fault(Fault { kind: FaultKind::Deadline, .. }) => {
                Some("give it more by `time` in the `limits` of the plugin or of this use of it".into())
            }
            Self::Fault(_) => Some(
                "that is a fault in the plugin; what it says of its `config` may help to avoid it".into(),
            ),
        }
    }
}
