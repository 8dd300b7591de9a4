//! What all cases share: the machine, the binaries, and the backend, which runs for the whole benchmark.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use super::Extent;
use super::certificate::Certificate;
use super::client::Client;
use super::gateway::{Binaries, Ports, Variant, replace_file};
use super::machine::Machine;
use super::peers::{Installed, Protocol};
use crate::process::{Process, Program, free_port};

pub struct Setup {
    pub gateway: Binaries,
    pub peers: Vec<Installed>,
    pub extent: Extent,
    machine: Machine,
    /// Those of the backend; the listener's is each server's own.
    backend_ports: Ports,
    certificate: Certificate,
    // Fields are dropped in this order: the backend ends before its folder goes.
    _backend: Process,
    dir: TempDir,
}

/// What a server is in a comparison.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Cloud Cup.
    Subject,
    /// Another proxy that does the same.
    Peer,
    /// A relay that does less than any proxy could.
    Floor,
}

/// A proxy that listens.
pub struct Server {
    pub name: String,
    pub role: Role,
    pub ports: Ports,
    pub process: Process,
    /// Its folder, for configuration and logs.
    pub dir: PathBuf,
}

impl Setup {
    pub fn build(machine: Machine, gateway: Binaries, peers: Vec<Installed>, extent: Extent) -> Result<Self> {
        let dir = open_folder("cloud-cup-bench").tempdir().context("cannot create a folder")?;
        let (backend, backend_ports) = start_backend(&machine, dir.path())?;
        let certificate = Certificate::generate()?;
        // For the clients.
        certificate.write_to(dir.path())?;
        Ok(Self { gateway, peers, extent, machine, backend_ports, certificate, _backend: backend, dir })
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn start_peer(&self, peer: &Installed, protocol: Protocol) -> Result<Server> {
        let floor = protocol == Protocol::Tcp;
        let (name, role) = if floor { ("tcp-relay", Role::Floor) } else { (peer.peer.name(), Role::Peer) };
        let (dir, ports) = (self.new_dir(name)?, self.new_ports()?);
        let program = peer.program(protocol, ports, &dir)?;
        self.start(name, role, &program, ports, dir)
    }

    pub fn start_gateway(&self, name: &str, variant: Variant) -> Result<Server> {
        self.start_gateway_with(name, |ports, dir| Ok(variant.document(ports, dir)))
    }

    /// Starts the gateway with a document of the caller's, which may put files beside it first.
    pub fn start_gateway_with(
        &self,
        name: &str,
        document: impl FnOnce(Ports, &Path) -> Result<Value>,
    ) -> Result<Server> {
        let (dir, ports) = (self.new_dir(name)?, self.new_ports()?);
        let file = document_file(&dir);
        replace_file(&file, document(ports, &dir)?.to_string().as_bytes())?;
        self.start(name, Role::Subject, &self.gateway.program(&file), ports, dir)
    }

    fn start(&self, name: &str, role: Role, program: &Program, ports: Ports, dir: PathBuf) -> Result<Server> {
        let mut process = Process::start(name, program, Some(self.machine.proxy_core), &dir)?;
        process.wait_for_port(ports.listener)?;
        Ok(Server { name: name.to_owned(), role, ports, process, dir })
    }

    fn new_ports(&self) -> Result<Ports> {
        Ok(Ports { listener: free_port()?, ..self.backend_ports })
    }

    /// A folder of its own for every start, with the certificate: no server meets what another one left behind.
    fn new_dir(&self, name: &str) -> Result<PathBuf> {
        let name = name.replace([' ', ','], "-");
        let dir = open_folder(&name).tempdir_in(self.dir()).context("cannot create a folder")?;
        self.certificate.write_to(dir.path())?;
        Ok(dir.keep())
    }
}

impl Server {
    /// The document of a gateway.
    pub fn document(&self) -> PathBuf {
        document_file(&self.dir)
    }
}

/// A folder that a worker can enter which gave up being root, as nginx's do.
fn open_folder(name: &str) -> tempfile::Builder<'_, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(name).permissions(fs::Permissions::from_mode(0o755));
    builder
}

fn document_file(dir: &Path) -> PathBuf {
    dir.join("cloud-cup.json")
}

fn start_backend(machine: &Machine, dir: &Path) -> Result<(Process, Ports)> {
    let port_file = dir.join("backend.port");
    let args = vec!["bench-backend".into(), "--port-file".into(), port_file.clone().into()];
    let program = Program { path: env::current_exe()?, args, env: Vec::new() };
    let mut backend = Process::start("backend", &program, Some(machine.load_core), dir)?;
    backend.wait_for("write its port", || port_file.exists())?;
    let written = fs::read_to_string(&port_file)?;
    let (http, grpc) = written.split_once(' ').context("the backend wrote no two ports")?;
    let ports = Ports { listener: 0, backend: http.parse()?, grpc: grpc.parse()? };
    let response = Client::connect(ports.backend)?.get("/")?;
    ensure!(response.status == 200, "the backend answered {}", response.status);
    Ok((backend, ports))
}
