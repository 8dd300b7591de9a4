//! From bytes to a compiled plugin that may be attached: what it exports, what it asks for, what it was granted.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use wasmtime::Engine;
use wasmtime::component::{Component, ComponentExportIndex, HasSelf, InstancePre, Linker};

use super::bindings::{
    circuit, clock, config, facts, heads, http, jwt, log, metrics, panic, random, rate_limit, secrets, state,
};
use super::engine::{PluginEngine, WarmPlaces};
use super::grants::{Granted, Grants};
use super::host::Host;
use super::imports::{self, PACKAGE, VERSION};
use super::instance::Hook;
use super::schema::{ConfigSchema, Misfit};

/// A capability that a document grants to a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// Lines in the gateway's log.
    Log,
    /// Wall-clock and monotonic time.
    Clock,
    /// Random numbers.
    Random,
    /// Verifying tokens.
    Jwt,
    /// Limits on how often something happens.
    RateLimit,
    /// Circuit breakers.
    Circuit,
    /// A key-value store.
    State,
    /// Requests to other servers.
    Http,
    /// Numbers of its own.
    Metrics,
    /// Secrets of the document.
    Secrets,
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
    pub grants: Grants,
    /// Whether a call of it may wait, because it imports something that does.
    pub waits: bool,
    /// What it has of the host for what it was granted.
    pub(super) granted: Granted,
    schema: Option<ConfigSchema>,
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
    /// The schema that it carries for its configuration is none.
    #[error("carries a schema of its configuration that is not a JSON Schema: {0}")]
    Schema(String),
    /// What it is granted cannot be had.
    #[error("{0}")]
    Grant(String),
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
            Self::UnknownImport(_) => Some(
                "a filter imports what wit/v0.1 has, and nothing of WASI: build for wasm32-unknown-unknown"
                    .into(),
            ),
            Self::Invalid(_) => Some("build it again; `wasm-tools validate` tells more".into()),
            Self::WrongType(_) => Some("build it against wit/v0.1/filter.wit of this version".into()),
            Self::Grant(_) => None,
            Self::Schema(_) => Some("see its custom section `cloudcup:config-schema`".into()),
            Self::Engine(_) => Some("it reserves address space: look at `ulimit -v`".into()),
        }
    }
}

impl Permission {
    /// All there are.
    pub const ALL: [Self; 10] = [
        Self::Log,
        Self::Clock,
        Self::Random,
        Self::Jwt,
        Self::RateLimit,
        Self::Circuit,
        Self::State,
        Self::Http,
        Self::Metrics,
        Self::Secrets,
    ];

    /// As the document and the contract have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Clock => "clock",
            Self::Random => "random",
            Self::Jwt => "jwt",
            Self::RateLimit => "rate-limit",
            Self::Circuit => "circuit",
            Self::State => "state",
            Self::Http => "http",
            Self::Metrics => "metrics",
            Self::Secrets => "secrets",
        }
    }

    /// Whether a function of it may wait.
    pub(super) fn waits(self) -> bool {
        matches!(self, Self::Jwt | Self::Http)
    }

    /// As a component names it.
    pub(super) fn import(self) -> String {
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

impl Plugin {
    /// Compiles and links a component. Takes as long as its code is large: not for a worker's thread.
    pub fn load(engine: &PluginEngine, name: &str, bytes: &[u8], grants: Grants) -> Result<Self, LoadError> {
        let component = compile(engine, bytes)?;
        let warm_places = engine.warm_places()?;
        let wasmtime = engine.engine()?;
        let imported = imports::check(wasmtime, &component, &grants.permissions)?;
        let hooks = Hooks::of(&component);
        if hooks.on_request.is_none() && hooks.on_response.is_none() && hooks.on_finish.is_none() {
            return Err(LoadError::NoHook);
        }
        let wrong_type = |error: wasmtime::Error| LoadError::WrongType(chain(&error));
        let linker = linker(wasmtime, &grants.permissions).map_err(wrong_type)?;
        let pre = linker.instantiate_pre(&component).map_err(wrong_type)?;
        let waits = imported.iter().any(|permission| permission.waits());
        let granted = Granted::open(name, &grants, &engine.capabilities).map_err(LoadError::Grant)?;
        let schema = ConfigSchema::of(bytes).map_err(LoadError::Schema)?;
        let (name, digest) = (name.to_owned(), Digest::of(bytes));
        Ok(Self { name, digest, grants, waits, granted, schema, pre, hooks, warm_places })
    }
}

impl Plugin {
    /// Where a configuration does not fit the schema that the component carries.
    pub fn misfits(&self, config: &Value) -> Vec<Misfit> {
        self.schema.as_ref().map(|schema| schema.misfits(config)).unwrap_or_default()
    }
}

impl Hooks {
    pub(super) fn of(component: &Component) -> Self {
        let export = |name: &str| component.get_export_index(None, name);
        Self {
            configure: export("configure"),
            on_request: export("on-request"),
            on_response: export("on-response"),
            on_finish: export("on-finish"),
        }
    }

    /// The names of those that there are.
    pub fn names(&self) -> Vec<&'static str> {
        let hooks = [
            ("configure", self.configure),
            ("on-request", self.on_request),
            ("on-response", self.on_response),
            ("on-finish", self.on_finish),
        ];
        hooks.into_iter().filter_map(|(name, hook)| hook.map(|_| name)).collect()
    }

    /// Whether this is the first hook that is called for a request.
    pub fn begins_with(&self, hook: &Hook) -> bool {
        match hook {
            Hook::Request => true,
            Hook::Response => self.on_request.is_none(),
            Hook::Finish(_) => self.on_request.is_none() && self.on_response.is_none(),
        }
    }
}

pub(super) fn compile(engine: &PluginEngine, bytes: &[u8]) -> Result<Component, LoadError> {
    // Byte 6 tells the layer of a binary: 0 for a module, 1 for a component.
    if bytes.starts_with(b"\0asm") && bytes.get(6) == Some(&0) {
        return Err(LoadError::CoreModule);
    }
    Component::from_binary(engine.engine()?, bytes).map_err(|error| LoadError::Invalid(chain(&error)))
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
    panic::add_to_linker::<_, HasSelf<_>>(&mut linker, |host| host)?;
    for permission in granted {
        match permission {
            Permission::Log => log::add_to_linker::<_, HasSelf<_>>(&mut linker, |host| host)?,
            Permission::Clock => clock::add_to_linker::<_, HasSelf<_>>(&mut linker, |host| host)?,
            Permission::Random => random::add_to_linker::<_, HasSelf<_>>(&mut linker, |host| host)?,
            Permission::Jwt => jwt::add_to_linker::<_, HasSelf<_>>(&mut linker, |host| host)?,
            Permission::RateLimit => rate_limit::add_to_linker::<_, HasSelf<_>>(&mut linker, |host| host)?,
            Permission::Circuit => circuit::add_to_linker::<_, HasSelf<_>>(&mut linker, |host| host)?,
            Permission::State => state::add_to_linker::<_, HasSelf<_>>(&mut linker, |host| host)?,
            Permission::Http => http::add_to_linker::<_, HasSelf<_>>(&mut linker, |host| host)?,
            Permission::Metrics => metrics::add_to_linker::<_, HasSelf<_>>(&mut linker, |host| host)?,
            Permission::Secrets => secrets::add_to_linker::<_, HasSelf<_>>(&mut linker, |host| host)?,
        }
    }
    Ok(linker)
}

/// An error with its causes, on one line.
pub(super) fn chain(error: &wasmtime::Error) -> String {
    let causes: Vec<_> = error.chain().map(ToString::to_string).collect();
    causes.join(": ").replace('\n', " ")
}
