//! A plugin's use by a route.

use std::sync::{Arc, OnceLock};

use super::engine::PluginEngine;
use super::fault::{Fault, FaultKind};
use super::instance::{Instance, StartError};
use super::limits::PluginLimits;
use super::load::{LoadError, Plugin};
use super::opened::Opened;
use super::trip::Trip;
use crate::base::line_budget::LineBudget;

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
    pub(super) trip: Trip,
    /// What its first instance has opened, which is all that any of them may.
    pub(super) opened: OnceLock<Opened>,
    lines: LineBudget,
    fault_lines: LineBudget,
}

/// Faults of one attachment that are told in a second. A plugin that fails on purpose, and not so often in a row that it
/// trips, would have as many lines as it gets requests.
const FAULT_LINES: u32 = 10;

impl Attachment {
    /// An attachment that was not tried yet, see [`Self::check`].
    pub fn new(plugin: Arc<Plugin>, spec: AttachmentSpec) -> Self {
        let ticks = PluginEngine::ticks(spec.limits.time);
        let (trip, opened, lines, fault_lines) = Default::default();
        Self { plugin, spec, ticks, trip, opened, lines, fault_lines }
    }

    /// How often it was taken out of the way because it failed again and again, and whether it is now.
    pub fn trips(&self) -> (u64, bool) {
        (self.trip.trips(), self.trip.is_tripped())
    }

    /// Takes it out of the way until [`Self::reset`], by the operator's word.
    pub fn trip(&self) {
        self.trip.force();
    }

    /// Lets it be called again, by the operator's word.
    pub fn reset(&self) {
        self.trip.reset();
    }

    /// Whether the guest may write a line, see [`LineBudget::admit`]. All instances share the budget: a plugin whose
    /// instances are short-lived has no more lines than another one.
    pub(super) fn admit_line(&self) -> Option<u64> {
        self.lines.admit(self.spec.limits.log_rate)
    }

    /// Whether a fault is told.
    pub(super) fn admit_fault_line(&self) -> Option<u64> {
        self.fault_lines.admit(FAULT_LINES)
    }

    /// Makes one instance and configures it, so that what is wrong with the plugin or its configuration shows before a
    /// request meets it.
    pub fn check(self: &Arc<Self>) -> Result<(), AttachError> {
        let opened = Instance::first(self).map_err(|error| match error {
            StartError::Contract(error) => LoadError::WrongType(error).into(),
            StartError::Refused(words) => AttachError::Refused(words),
            StartError::Fault(fault) => AttachError::Fault(fault),
        })?;
        self.opened.get_or_init(|| opened);
        Ok(())
    }

    /// Whether it is the same use of the same component.
    pub fn is_same(&self, plugin: &Plugin, spec: &AttachmentSpec) -> bool {
        self.plugin.digest == plugin.digest
            && self.plugin.name == plugin.name
            && self.plugin.grants == plugin.grants
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
