//! Cloud Cup as the benchmark runs it: its binaries, and the documents that the cases differ by.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::certificate;
use super::policies;
use crate::process::Program;
use crate::workspace::{self, output_of, run};

/// The gateway and the tool that tells it to reload.
pub struct Binaries {
    gateway: PathBuf,
    cupctl: PathBuf,
}

impl Binaries {
    /// Those given, or those of a release build of this repository.
    pub fn obtain(given: Option<&Path>) -> Result<Self> {
        let gateway = match given {
            Some(path) => path.canonicalize().with_context(|| format!("cannot find `{}`", path.display()))?,
            None => build()?,
        };
        let cupctl = gateway.with_file_name("cupctl");
        ensure!(cupctl.is_file(), "there is no `cupctl` beside `{}`", gateway.display());
        Ok(Self { gateway, cupctl })
    }

    pub fn program(&self, document: &Path) -> Program {
        Program {
            path: self.gateway.clone(),
            args: vec!["--config".into(), document.into()],
            env: Vec::new(),
        }
    }

    /// Has the gateway load its document again, and returns once every worker serves by it.
    pub fn reload(&self, socket: &Path) -> Result<()> {
        output_of(Command::new(&self.cupctl).args(["reload", "--socket"]).arg(socket)).map(drop)
    }
}

fn build() -> Result<PathBuf> {
    run(workspace::cargo().args(["build", "--profile", "dist", "--bins"]).current_dir(workspace::root()))?;
    Ok(workspace::target().join("dist/cloud-cup"))
}

/// What a case sets up in the gateway. Every one is a single worker without an access log.
#[derive(Clone, Copy)]
pub enum Variant {
    Plain,
    /// As many routes, of which [`middle_route`] is asked for.
    Routes(usize),
    /// The filter that does nothing, with this `isolation`.
    Noop(&'static str),
    /// Those of the [`policies`] that are named; all of them for `all`.
    Policies(&'static str),
    /// The filter `headers`, which sets one field of the request and one of the response.
    Headers,
    /// HTTP/1.1 and HTTP/2 over TLS.
    Tls,
    /// These and HTTP/3.
    Http3,
    /// A backend that is spoken to by cleartext HTTP/2.
    Grpc,
}

impl Variant {
    pub fn document(self, ports: Ports, dir: &Path) -> Value {
        let document = base(ports, dir);
        match self {
            Self::Plain => document,
            Self::Routes(count) => with_routes(document, count, ports),
            Self::Noop(isolation) => with_noop(document, &workspace::guests().join("noop.wasm"), isolation),
            Self::Policies(name) => with_policies(document, name),
            Self::Headers => with_plugin(document, headers("x-bench", "1")),
            Self::Tls => with_tls(document, &["h1", "h2"]),
            Self::Http3 => with_tls(document, &["h1", "h2", "h3"]),
            Self::Grpc => with_grpc(document, ports),
        }
    }
}

#[derive(Clone, Copy)]
pub struct Ports {
    pub listener: u16,
    pub backend: u16,
    /// Of the backend for gRPC.
    pub grpc: u16,
}

pub fn socket(dir: &Path) -> PathBuf {
    dir.join("admin.sock")
}

pub fn base(ports: Ports, dir: &Path) -> Value {
    json!({
        "root": format!("127.0.0.1:{}", ports.listener),
        "workers": 1,
        "access_log": "off",
        "history": "off",
        "admin": { "socket": socket(dir) },
        "routes": { "*": { "backends": backends(ports) } },
    })
}

fn backends(ports: Ports) -> Value {
    json!([{ "host": format!("127.0.0.1:{}", ports.backend) }])
}

/// The path of the route in the middle, of the same length whatever their number.
pub fn middle_route(count: usize) -> String {
    format!("/service-{:05}/item", count / 2)
}

fn with_routes(mut document: Value, count: usize, ports: Ports) -> Value {
    for number in 0..count {
        document["routes"][format!("/service-{number:05}/*")] = json!({ "backends": backends(ports) });
    }
    document
}

/// Replaces the listener by one for TLS. 800 requests at a time are more than connections to a backend are kept for by
/// itself; the peers are configured for as many.
fn with_tls(mut document: Value, protocols: &[&str]) -> Value {
    let address = document["root"].take();
    document["listeners"]["bench"] = json!({
        "address": address,
        "protocols": protocols,
        "tls": { "certificates": [{ "certificate": certificate::CERTIFICATE, "key": certificate::KEY }] },
    });
    document["limits"] = json!({ "pool_idle": 1024 });
    if let Some(fields) = document.as_object_mut() {
        fields.remove("root");
    }
    document
}

fn with_grpc(mut document: Value, ports: Ports) -> Value {
    let backends = json!([{ "host": format!("127.0.0.1:{}", ports.grpc) }]);
    document["upstreams"]["bench"] = json!({ "backends": backends, "protocol": "h2c" });
    document["routes"]["*"] = json!({ "upstream": "bench" });
    document
}

fn with_policies(mut document: Value, wanted: &str) -> Value {
    document["key_sets"] = policies::key_sets();
    let attachments = policies::attachments().into_iter();
    let wanted = attachments.filter(|(name, _)| wanted == "all" || wanted == *name);
    wanted.fold(document, |document, (_, attachment)| with_plugin(document, attachment))
}

/// Declares the guest `noop` and attaches it to the one route.
pub fn with_noop(mut document: Value, source: &Path, isolation: &str) -> Value {
    document["plugins"]["noop"] = json!({ "source": source, "isolation": isolation });
    with_plugin(document, json!("noop"))
}

/// Attaches a plugin to the one route, behind those that it has.
pub fn with_plugin(mut document: Value, plugin: Value) -> Value {
    let plugins = &mut document["routes"]["*"]["plugins"];
    match plugins.as_array_mut() {
        Some(attached) => attached.push(plugin),
        None => *plugins = json!([plugin]),
    }
    document
}

/// The plugin `headers`, which is in the gateway's binary, setting a field of both heads.
pub fn headers(name: &str, value: &str) -> Value {
    json!({ "use": "headers", "config": { "request": { "set": { name: value } }, "response": { "set": { name: value } } } })
}

/// Replaces a file at once, so that a reader sees the old contents or the new ones.
pub fn replace_file(path: &Path, contents: &[u8]) -> Result<()> {
    let unfinished = path.with_extension("new");
    fs::write(&unfinished, contents)
        .and_then(|()| fs::rename(&unfinished, path))
        .with_context(|| format!("cannot write `{}`", path.display()))
}
