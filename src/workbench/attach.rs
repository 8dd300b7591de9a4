//! From a plugin and its configuration to a snapshot that has it attached, by way of a document.

use std::env;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::Trouble;
use super::exchange::BACKEND;
use super::source::Source;
use crate::config::{self, Diagnostic, Environment};
use crate::plugin::{Inspection, PluginEngine, shipped};
use crate::proxy::Snapshot;
use crate::snapshot::{self, Running};

/// Where the document has the attachment, and in it the configuration.
const ATTACHMENT: &str = "/routes/*/plugins/0";
const CONFIG: &str = "/routes/*/plugins/0/config";

/// What is the same for every document around a plugin.
pub(super) struct Around<'a> {
    pub source: &'a Source,
    /// Of the file that was written; its paths begin here.
    pub folder: &'a Path,
    pub key_sets: &'a Map<String, Value>,
    pub secrets: &'a Map<String, Value>,
    permissions: Vec<&'static str>,
}

impl<'a> Around<'a> {
    /// A shipped plugin has what it is shipped with, any other what it imports.
    pub fn new(
        source: &'a Source,
        folder: &'a Path,
        (key_sets, secrets): (&'a Map<String, Value>, &'a Map<String, Value>),
        inspection: &Inspection,
    ) -> Self {
        let is_granted = |permission: &crate::plugin::Permission| {
            source.path.is_none() <= source.has_by_default(*permission)
        };
        let permissions =
            inspection.permissions.iter().copied().filter(is_granted).map(|permission| permission.name());
        Self { source, folder, key_sets, secrets, permissions: permissions.collect() }
    }

    /// Builds the snapshot of a document with the plugin on its one route. Problems are at pointers of that document, see
    /// [`place`].
    pub fn snapshot(
        &self,
        engine: &PluginEngine,
        config: Option<&Value>,
    ) -> Result<Snapshot, Vec<Diagnostic>> {
        let text = self.document(config).to_string();
        let names = shipped::names();
        let environment =
            Environment { shipped: &names, directory: self.folder, variable: &|name| env::var(name) };
        let (checked, _) = config::check(&text, &environment)?;
        snapshot::build(&checked, engine, Running::default(), 1)
            .map(|built| built.snapshot)
            .map_err(|problems| config::locate(&text, problems))
    }

    fn document(&self, config: Option<&Value>) -> Value {
        let name = self.source.name.as_str();
        // What is logged is shown to the plugin's author, who wants all of it.
        let mut plugin = json!({ "permissions": self.permissions, "limits": { "log_rate": 10_000 } });
        if let Some(path) = &self.source.path {
            plugin["source"] = path.to_string_lossy().into();
        }
        if self.permissions.contains(&"secrets") {
            plugin["secrets"] = self.secrets.keys().map(String::as_str).collect();
        }
        let mut attachment = json!({ "use": name });
        if let Some(config) = config {
            attachment["config"] = config.clone();
        }
        json!({
            "root": "127.0.0.1:1",
            "access_log": "off",
            "key_sets": self.key_sets,
            "secrets": self.secrets,
            "plugins": { name: plugin },
            "routes": { "*": { "backends": [{ "host": BACKEND }], "plugins": [attachment] } },
        })
    }
}

/// Where the author of a file wrote what a diagnostic of the document around it is about: `config` is the pointer of the
/// configuration in that file. What is about neither configuration nor key sets nor secrets is about the whole.
pub(super) fn place(diagnostic: &Diagnostic, config: &str) -> String {
    let pointer = diagnostic.pointer.as_str();
    match pointer.strip_prefix(CONFIG) {
        Some(below) => format!("{config}{below}"),
        None if pointer.starts_with("/key_sets") || pointer.starts_with("/secrets") => pointer.to_owned(),
        None if pointer == ATTACHMENT => config.to_owned(),
        None => String::new(),
    }
}

/// What is wrong, with no place but that in the configuration.
pub(super) fn words(diagnostics: &[Diagnostic]) -> String {
    let words = |diagnostic: &Diagnostic| match diagnostic.pointer.strip_prefix(CONFIG) {
        Some(below) if !below.is_empty() => format!("{below}: {}", diagnostic.message),
        _ => diagnostic.message.clone(),
    };
    diagnostics.iter().map(words).collect::<Vec<_>>().join("; ")
}

/// Looks at the component, which tells what it has to be granted. What makes it unusable is said as by the gateway.
pub(super) fn inspected(source: &Source, engine: &PluginEngine) -> Result<Inspection, Trouble> {
    let inspection = Inspection::of(engine, &source.bytes).map_err(|error| source.refused(&error))?;
    inspection.check(engine, &source.bytes).map_err(|error| source.refused(&error))?;
    Ok(inspection)
}
