//! What a component asks the gateway for.

use std::collections::BTreeSet;

use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use super::load::{LoadError, Permission};

pub(super) const PACKAGE: &str = "cloudcup:filter";
pub(super) const VERSION: &str = "0.1.0";
/// Interfaces about the exchange itself, which every filter may import.
const ALWAYS: [&str; 4] = ["heads", "config", "facts", "panic"];

/// What a component imports beside what every filter may.
pub(super) struct Imports {
    pub permissions: Vec<Permission>,
    /// What this gateway does not have.
    pub unknown: Vec<String>,
}

impl Imports {
    pub fn of(engine: &Engine, component: &Component) -> Self {
        let (mut permissions, mut unknown) = (Vec::new(), Vec::new());
        let always = ALWAYS.map(|interface| format!("{PACKAGE}/{interface}@{VERSION}"));
        for (name, import) in component.component_type().imports(engine) {
            // A type that a hook's signature mentions is imported too, and carries nothing.
            let is_type = matches!(import.ty, ComponentItem::Type(_) | ComponentItem::Resource(_));
            if is_type || always.iter().any(|known| known == name) {
                continue;
            }
            match Permission::ALL.into_iter().find(|permission| permission.import() == name) {
                None => unknown.push(name.to_owned()),
                Some(permission) => permissions.push(permission),
            }
        }
        Self { permissions, unknown }
    }
}

/// What is imported and granted. All else is an error.
pub(super) fn check(
    engine: &Engine,
    component: &Component,
    granted: &BTreeSet<Permission>,
) -> Result<Vec<Permission>, LoadError> {
    let Imports { permissions: imported, unknown } = Imports::of(engine, component);
    if let Some(unknown) = unknown.into_iter().next() {
        return Err(LoadError::UnknownImport(unknown));
    }
    let missing: Vec<_> =
        imported.iter().copied().filter(|permission| !granted.contains(permission)).collect();
    if missing.is_empty() { Ok(imported) } else { Err(LoadError::NotGranted(missing)) }
}
