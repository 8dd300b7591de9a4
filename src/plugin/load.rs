//! From bytes to a compiled plugin that may be attached: what it exports, what it asks for, what it was granted.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use thiserror::Error;
use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, ComponentExportIndex, HasSelf, InstancePre, Linker};

use super::bindings::{clock, config, facts, heads, log, random};
use super::engine::{PluginEngine, WarmPlaces};
use super::host::Host;

/// A capability that a document grants to a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// Lines in the gateway's log.
    Log,
    /// Wall-clock and monotonic time.
    Clock,
    /// Random numbers.
    Random,
}

/// SHA-256 of a component's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

/// A compiled component, linked with what it was granted.
pub struct Plugin {
    /// Its name in the document.
    pub name: String,
    /// Of its bytes.
    pub digest: Digest,
    /// What it was granted.
    pub permissions: BTreeSet<Permission>,
    pub(super) pre: InstancePre<Host>,
    pub(super) hooks: Hooks,
    pub(super) warm_places: Arc<WarmPlaces>,
}

/// Where the hooks of a component are; those that it does not export are none.
#[derive(Debug, Clone, Default)]
pub(super) struct Hooks {
    pub configure: Option<ComponentExportIndex>,
    pub on_request: Option<ComponentExportIndex>,
    pub on_response: Option<ComponentExportIndex>,
    pub on_finish: Option<ComponentExportIndex>,
}

/// Why a component cannot be used as a plugin.
#[derive(Debug, Error)]
pub enum LoadError {
    /// Not a component, or one that the engine does not accept.
    #[error("is not a WebAssembly component: {0}")]
    Invalid(String),
    /// The engine that would run it does not start.
    #[error("cannot run: the WebAssembly engine does not start: {0}")]
    Engine(String),
    /// A core module, which is what compilers make before the last step.
    #[error("is a WebAssembly core module, a component is expected")]
    CoreModule,
    /// It asks for something that the gateway does not have.
    #[error("imports `{0}`, which this gateway does not have")]
    UnknownImport(String),
    /// It asks for capabilities that the document does not grant.
    #[error("imports what is not granted: {}", list(.0))]
    NotGranted(Vec<Permission>),
    /// It has no hook that the gateway could call.
    #[error("exports no hook of the `cloudcup:filter@0.1.0` contract")]
    NoHook,
    /// An export has a hook's name and another type.
    #[error("does not fit the `cloudcup:filter@0.1.0` contract: {0}")]
    WrongType(String),
}

impl LoadError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotGranted(missing) => {
                let missing: Vec<_> = missing.iter().map(|permission| format!("\"{permission}\"")).collect();
                Some(format!("add {} to its `permissions`", missing.join(", ")))
            }
            Self::CoreModule => Some("make a component of it: wasm-tools component new".into()),
            Self::NoHook => {
                Some("export `on-request`, `on-response` or `on-finish`, see wit/v0.1/filter.wit".into())
            }
            Self::UnknownImport(_) => {
                let known = "heads, config, facts, log, clock and random of `cloudcup:filter@0.1.0`";
                Some(format!(
                    "a filter may import {known}, and nothing of WASI: build for wasm32-unknown-unknown"
                ))
            }
            Self::Invalid(_) => Some("build it again; `wasm-tools validate` tells more".into()),
            Self::WrongType(_) => Some("build it against wit/v0.1/filter.wit of this version".into()),
            Self::Engine(_) => Some("it reserves address space: look at `ulimit -v`".into()),
        }
    }
}

impl Permission {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Log, Self::Clock, Self::Random];

    /// As the document and the contract have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Clock => "clock",
            Self::Random => "random",
        }
    }

    fn import(self) -> String {
        format!("{PACKAGE}/{}@{VERSION}", self.name())
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl Digest {
    /// Of a component's bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Plugin")
            .field("name", &self.name)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

const PACKAGE: &str = "cloudcup:filter";
const VERSION: &str = "0.1.0";
/// Interfaces about the exchange itself, which every filter may import.
const ALWAYS: [&str; 3] = ["heads", "config", "facts"];

impl Plugin {
    /// Compiles and links a component. Takes as long as its code is large: not for a worker's thread.
    pub fn load(
        engine: &PluginEngine,
        name: &str,
        bytes: &[u8],
        permissions: BTreeSet<Permission>,
    ) -> Result<Self, LoadError> {
        // Byte 6 tells the layer of a binary: 0 for a module, 1 for a component.
        if bytes.starts_with(b"\0asm") && bytes.get(6) == Some(&0) {
            return Err(LoadError::CoreModule);
        }
        let warm_places = engine.warm_places()?;
        let engine = engine.engine()?;
        let component =
            Component::from_binary(engine, bytes).map_err(|error| LoadError::Invalid(chain(&error)))?;
        check_imports(engine, &component, &permissions)?;
        let hooks = Hooks::of(&component);
        if hooks.on_request.is_none() && hooks.on_response.is_none() && hooks.on_finish.is_none() {
            return Err(LoadError::NoHook);
        }
        let linker = linker(engine, &permissions).map_err(|error| LoadError::WrongType(chain(&error)))?;
        let pre = linker.instantiate_pre(&component).map_err(|error| LoadError::WrongType(chain(&error)))?;
        Ok(Self { name: name.to_owned(), digest: Digest::of(bytes), permissions, pre, hooks, warm_places })
    }
}

impl Hooks {
    fn of(component: &Component) -> Self {
        let export = |name: &str| component.get_export_index(None, name);
        Self {
            configure: export("configure"),
            on_request: export("on-request"),
            on_response: export("on-response"),
            on_finish: export("on-finish"),
        }
    }
}

fn check_imports(
    engine: &Engine,
    component: &Component,
    granted: &BTreeSet<Permission>,
) -> Result<(), LoadError> {
    let mut missing = Vec::new();
    let always = ALWAYS.map(|interface| format!("{PACKAGE}/{interface}@{VERSION}"));
    for (name, import) in component.component_type().imports(engine) {
        // A type that a hook's signature mentions is imported too, and carries nothing.
        let is_type = matches!(import.ty, ComponentItem::Type(_) | ComponentItem::Resource(_));
        if is_type || always.iter().any(|known| known == name) {
            continue;
        }
        match Permission::ALL.into_iter().find(|permission| permission.import() == name) {
            None => return Err(LoadError::UnknownImport(name.to_owned())),
            Some(permission) if !granted.contains(&permission) => missing.push(permission),
            Some(_) => {}
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(LoadError::NotGranted(missing)) }
}

fn list(permissions: &[Permission]) -> String {
    let names: Vec<_> = permissions.iter().map(|permission| format!("`{permission}`")).collect();
    names.join(", ")
}

fn linker(engine: &Engine, granted: &BTreeSet<Permission>) -> wasmtime::Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    heads::add_to_linker::<_, HasSelf<_>>(&mut linker, |host| host)?;
    config::add_to_linker::<_, HasSelf<_>>(&mut linker, |host| host)?;
    facts::add_to_linker::<_, HasSelf<_>>(&mut linker, |host| host)?;
    for permission in granted {
        match permission {
            Permission::Log => log::add_to_linker::<_, HasSelf<_>>(&mut linker, |host| host)?,
            Permission::Clock => clock::add_to_linker::<_, HasSelf<_>>(&mut linker, |host| host)?,
            Permission::Random => random::add_to_linker::<_, HasSelf<_>>(&mut linker, |host| host)?,
        }
    }
    Ok(linker)
}

/// An error with its causes, on one line.
pub(super) fn chain(error: &wasmtime::Error) -> String {
    let causes: Vec<_> = error.chain().map(ToString::to_string).collect();
    causes.join(": ").replace('\n', " ")
}
