//! Plugins and where they are attached.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::base::network::IpNetwork;
use crate::base::units::ByteSize;
use crate::config::document::{Isolation, OnError, Permission};
use crate::route::Condition;

/// A component, whether or not a rule attaches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plugin {
    /// Its name in the document.
    pub name: String,
    /// Where its bytes are.
    pub source: PluginSource,
    /// What the document grants it.
    pub permissions: BTreeSet<Permission>,
    /// Whom it may send requests to, as patterns of hosts.
    pub hosts: Vec<String>,
    /// Private addresses that those may have.
    pub private_networks: Vec<IpNetwork>,
    /// Names of [`Checked::secrets`](super::Checked::named_secrets) that it may read.
    pub secrets: Vec<String>,
    /// What all its uses may keep together.
    pub quotas: Quotas,
    /// JSON pointer of its definition, or for a shipped plugin without one of where it is attached first.
    pub pointer: String,
}

/// Where a component's bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PluginSource {
    /// A component, by a path that holds wherever the process stands. Whether it is there has not been looked at.
    File(PathBuf),
    /// The component of the plugin's name in the gateway's binary.
    Shipped,
}

/// A plugin on a rule. What the document leaves out here is as the plugin has it.
#[derive(Clone, PartialEq)]
pub struct Attachment {
    /// Index in [`Checked::plugins`](super::Checked::plugins).
    pub plugin: usize,
    /// The plugin's name.
    pub name: String,
    /// May hold secrets, so `Debug` does not show it.
    pub config: Value,
    /// Which requests it sees; none is all.
    pub when: Option<Condition>,
    /// What happens to a request when the plugin faults.
    pub on_error: OnError,
    /// Which requests share an instance.
    pub isolation: Isolation,
    /// What an instance may take.
    pub limits: PluginLimits,
    /// JSON pointer of the attachment.
    pub pointer: String,
    /// JSON pointer of its configuration, or where it would stand.
    pub config_pointer: String,
}

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachment")
            .field("name", &self.name)
            .field("on_error", &self.on_error)
            .field("isolation", &self.isolation)
            .field("limits", &self.limits)
            .field("pointer", &self.pointer)
            .finish_non_exhaustive()
    }
}

/// What a plugin may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PluginLimits {
    /// Of one call of a hook.
    pub time: Duration,
    /// Of an instance.
    pub memory: ByteSize,
    /// Of an instance.
    pub table_elements: u32,
    /// The body of a reply.
    pub reply_size: ByteSize,
    /// Lines a second.
    pub log_rate: u32,
    /// After which an instance is replaced; at least 1.
    pub requests: u32,
    /// Of a plugin that waits, on one worker; at least 1.
    pub waiting_calls: u32,
}

impl Default for PluginLimits {
    fn default() -> Self {
        Self {
            time: Duration::from_millis(100),
            memory: ByteSize::mib(16),
            table_elements: 10_000,
            reply_size: ByteSize::kib(64),
            log_rate: 10,
            requests: 100_000,
            waiting_calls: 64,
        }
    }
}

/// What a plugin may keep in the gateway, all its uses together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quotas {
    /// Of each rate limit.
    pub rate_limit_keys: u32,
    /// Of the key-value store.
    pub state_entries: u32,
    /// Of the key-value store.
    pub state_size: ByteSize,
    /// Of the metrics.
    pub metric_series: u32,
    /// To other servers, at one time.
    pub http_requests: u32,
    /// Of one of them.
    pub http_time: Duration,
    /// The body of an answer.
    pub http_response_size: ByteSize,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            rate_limit_keys: 1_000_000,
            state_entries: 10_000,
            state_size: ByteSize::mib(16),
            metric_series: 100,
            http_requests: 64,
            http_time: Duration::from_secs(5),
            http_response_size: ByteSize::mib(1),
        }
    }
}
