//! Looking at a component without using it: what it exports, what it asks for, what it says of its configuration.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::attachment::{AttachError, Attachment, AttachmentSpec, Isolation, OnError};
use super::engine::PluginEngine;
use super::grants::Grants;
use super::imports::{Imports, PACKAGE, VERSION};
use super::limits::PluginLimits;
use super::load::{self, Digest, Hooks, LoadError, Permission, Plugin};
use super::schema::ConfigSchema;

/// More than any document grants by itself: limits are not what is looked at.
const AMPLE: PluginLimits = PluginLimits {
    time: Duration::from_secs(1),
    memory: 64 << 20,
    table_elements: 100_000,
    reply_size: 0,
    log_rate: 0,
    requests: 1,
    waiting_calls: 1,
};

/// What can be told of a component.
#[derive(Debug)]
pub struct Inspection {
    /// Of its bytes.
    pub digest: Digest,
    /// The contract that it is made for, `cloudcup:filter@0.1.0`. Where it imports another version, that one.
    pub contract: String,
    /// The hooks that it exports, in the order of an exchange.
    pub hooks: Vec<&'static str>,
    /// What it has to be granted.
    pub permissions: Vec<Permission>,
    /// Imports that this gateway does not have, so that it cannot be loaded.
    pub unknown: Vec<String>,
    /// Whether a call of it may wait.
    pub waits: bool,
    /// The JSON Schema of its configuration.
    pub schema: Option<Value>,
}

impl Inspection {
    /// Compiles a component. One that imports what there is not is described all the same.
    ///
    /// # Errors
    ///
    /// Those of [`Plugin::load`].
    pub fn of(engine: &PluginEngine, bytes: &[u8]) -> Result<Self, LoadError> {
        let component = load::compile(engine, bytes)?;
        let wasmtime = engine.engine()?;
        let Imports { permissions, unknown } = Imports::of(wasmtime, &component);
        let names = component.component_type();
        let version = names.imports(wasmtime).find_map(|(name, _)| other_version(name).map(str::to_owned));
        Ok(Self {
            digest: Digest::of(bytes),
            contract: format!("{PACKAGE}@{}", version.as_deref().unwrap_or(VERSION)),
            hooks: Hooks::of(&component).names(),
            waits: permissions.iter().any(|permission| permission.waits()),
            permissions,
            unknown,
            schema: ConfigSchema::of(bytes).map_err(LoadError::Schema)?.map(|schema| schema.json),
        })
    }

    /// Whether the gateway could use the component, were it granted what it asks for. It is instantiated for that; what it
    /// says of its configuration, which it has none of, does not count.
    ///
    /// # Errors
    ///
    /// Those of [`Plugin::load`] and [`Attachment::check`].
    pub fn check(&self, engine: &PluginEngine, bytes: &[u8]) -> Result<(), LoadError> {
        let spec = AttachmentSpec {
            config: "null".to_owned(),
            on_error: OnError::Closed,
            isolation: Isolation::Reuse,
            limits: AMPLE,
        };
        let grants = Grants { permissions: self.permissions.iter().copied().collect(), ..Grants::default() };
        let plugin = Plugin::load(engine, "inspected", bytes, grants)?;
        match Arc::new(Attachment::new(Arc::new(plugin), spec)).check() {
            Err(AttachError::Load(error)) => Err(error),
            Ok(()) | Err(AttachError::Refused(_) | AttachError::Fault(_)) => Ok(()),
        }
    }
}

/// The version in the name of an import of another version of the contract.
fn other_version(import: &str) -> Option<&str> {
    let (interface, version) = import.split_once('@')?;
    (interface.starts_with(PACKAGE) && version != VERSION).then_some(version)
}
