//! The gateway as the suites meet it: a backend behind it, and listeners for cleartext and TLS.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{backend, folder};
use crate::bench::certificate::{CERTIFICATE, Certificate, KEY};
use crate::process::{Process, Program, free_port};
use crate::workspace::{self, run};

/// What is below it goes to the suite's own WebSocket server, everything else to the [`backend`].
pub const SOCKETS: &str = "/socket";

pub struct Setup {
    _gateway: Process,
    pub ports: Ports,
    pub dir: PathBuf,
}

#[derive(Clone, Copy)]
pub struct Ports {
    pub clear: u16,
    pub tls: u16,
    /// Where a suite puts its WebSocket server.
    pub sockets: u16,
}

impl Setup {
    /// Starts a gateway of this repository's sources, or the one given.
    pub fn start(binary: Option<&Path>) -> Result<Self> {
        let path = match binary {
            Some(path) => path.canonicalize().with_context(|| format!("cannot find `{}`", path.display()))?,
            None => build()?,
        };
        let dir = folder();
        fs::create_dir_all(&dir).with_context(|| format!("cannot create `{}`", dir.display()))?;
        Certificate::generate()?.write_to(&dir)?;
        let ports = Ports { clear: free_port()?, tls: free_port()?, sockets: free_port()? };
        let file = dir.join("cloud-cup.json");
        let text = serde_json::to_string_pretty(&document(ports, backend::start()?))?;
        fs::write(&file, text).with_context(|| format!("cannot write `{}`", file.display()))?;
        let program = Program { path, args: vec!["--config".into(), file.into()], env: Vec::new() };
        let mut gateway = Process::start("cloud-cup", &program, None, &dir)?;
        gateway.wait_for_port(ports.clear)?;
        gateway.wait_for_port(ports.tls)?;
        Ok(Self { _gateway: gateway, ports, dir })
    }

    /// Fails if the gateway has not survived.
    pub fn check(&self) -> Result<()> {
        let connected = TcpStream::connect((Ipv4Addr::LOCALHOST, self.ports.clear));
        connected.map(drop).context("the gateway does not accept connections any more")
    }
}

fn build() -> Result<PathBuf> {
    run(workspace::cargo().args(["build", "--bin", "cloud-cup"]).current_dir(workspace::root()))?;
    Ok(workspace::target().join("debug/cloud-cup"))
}

fn document(ports: Ports, backend: u16) -> Value {
    let address = |port: u16| format!("127.0.0.1:{port}");
    json!({
        "listeners": {
            "clear": { "address": address(ports.clear) },
            "tls": {
                "address": address(ports.tls),
                "tls": { "certificates": [{ "certificate": CERTIFICATE, "key": KEY }] },
            },
        },
        "workers": 1,
        "access_log": "off",
        "history": "off",
        "admin": { "socket": "admin.sock" },
        // Autobahn's server wants its own port in `host`.
        "upstreams": { "sockets": { "backends": [{ "host": address(ports.sockets) }], "host": "backend" } },
        "routes": {
            "*": { "backends": [{ "host": address(backend) }] },
            (format!("{SOCKETS}/*")): { "upstream": "sockets" },
        },
    })
}
