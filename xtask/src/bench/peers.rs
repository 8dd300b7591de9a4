//! The proxies to compare with, each configured as its users would for this: one worker, connections kept on both
//! sides, no access log. The configurations are templates in peers/.

mod configuration;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::ValueEnum;

use super::gateway::Ports;
use crate::process::Program;
use crate::toolchain::on_path;

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Peer {
    Nginx,
    Haproxy,
    Envoy,
    Caddy,
}

/// What a peer speaks with its clients. Backends get HTTP/1.1, unless it says otherwise.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    /// Cleartext HTTP/2 by prior knowledge.
    Http2,
    /// As the first, with the policies of the case of that name.
    Policies,
    /// HTTP/1.1 and HTTP/2 over TLS.
    Tls,
    /// These and HTTP/3.
    Http3,
    /// Cleartext HTTP/2 on both sides.
    Grpc,
    /// HTTP/1.1 that may change to a WebSocket.
    WebSocket,
    /// Whatever it is: bytes are relayed and nothing is parsed.
    Tcp,
}

/// A peer that is installed.
pub struct Installed {
    pub peer: Peer,
    pub version: String,
    path: PathBuf,
}

/// The wanted peers that are installed. Names the others.
pub fn find(wanted: &[Peer]) -> Vec<Installed> {
    let mut found = Vec::new();
    for &peer in wanted {
        match on_path(peer.name()) {
            Some(path) => found.push(Installed { peer, version: peer.version(&path), path }),
            None => println!("skipped: {} is not installed", peer.name()),
        }
    }
    found
}

impl Peer {
    pub fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Envoy => "envoy",
            Self::Caddy => "caddy",
        }
    }

    fn version(self, program: &Path) -> String {
        let arg = match self {
            Self::Nginx | Self::Haproxy => "-v",
            Self::Envoy => "--version",
            Self::Caddy => "version",
        };
        let output =
            Command::new(program).arg(arg).output().map(|output| [output.stdout, output.stderr].concat());
        version_in(&String::from_utf8_lossy(&output.unwrap_or_default()))
    }

    /// Why a peer cannot do this, if it cannot.
    pub fn lacks(self, protocol: Protocol) -> Option<&'static str> {
        match (self, protocol) {
            (Self::Nginx, Protocol::Http3) => {
                Some("it speaks HTTP/3 from 1.25 on, and this benchmark has no configuration for that")
            }
            (Self::Haproxy, Protocol::Http3) => {
                Some("Debian builds it without QUIC, and this benchmark has no configuration for others")
            }
            _ => None,
        }
    }
}

impl Installed {
    /// Writes the configuration to a folder, and says how the peer is started with it.
    pub fn program(&self, protocol: Protocol, ports: Ports, dir: &Path) -> Result<Program> {
        let (name, config) = configuration::of(self.peer, protocol, ports, dir)?;
        let file = dir.join(name);
        fs::write(&file, config).with_context(|| format!("cannot write `{}`", file.display()))?;
        Ok(Program { path: self.path.clone(), args: self.args(&file, dir), env: self.env(dir) })
    }

    /// What the report says of a peer that cannot do what a case asks for.
    pub fn left_out(&self, reason: &str) -> String {
        format!("{} {} is left out: {reason}.", self.peer.name(), self.version)
    }

    fn args(&self, config: &Path, dir: &Path) -> Vec<OsString> {
        let (config, dir) = (config.as_os_str(), dir.as_os_str());
        match self.peer {
            Peer::Nginx => {
                vec!["-p".into(), dir.into(), "-e".into(), "stderr".into(), "-c".into(), config.into()]
            }
            Peer::Haproxy => vec!["-db".into(), "-q".into(), "-f".into(), config.into()],
            Peer::Envoy => {
                let fixed =
                    ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error", "--config-path"];
                fixed.into_iter().map(OsString::from).chain([config.into()]).collect()
            }
            Peer::Caddy => vec!["run".into(), "--config".into(), config.into()],
        }
    }

    fn env(&self, dir: &Path) -> Vec<(&'static str, OsString)> {
        match self.peer {
            // It keeps its state below these.
            Peer::Caddy => vec![
                ("GOMAXPROCS", "1".into()),
                ("HOME", dir.into()),
                ("XDG_DATA_HOME", dir.into()),
                ("XDG_CONFIG_HOME", dir.into()),
            ],
            _ => Vec::new(),
        }
    }
}

/// The first thing of the form `1.2.3`, behind the last `version` of its line: a program may begin with its path.
fn version_in(text: &str) -> String {
    let line = text.lines().find(|line| !line.is_empty()).unwrap_or_default();
    let line = line.rsplit_once("version").map_or(line, |(_, behind)| behind);
    let mut numbers = line.split(|letter: char| !letter.is_ascii_digit() && letter != '.');
    numbers.find(|number| number.matches('.').count() == 2).unwrap_or("of unknown version").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_version_in_what_a_program_says() {
        let check = |said, version| assert_eq!(version_in(said), version);
        check("nginx version: nginx/1.22.1", "1.22.1");
        check("HAProxy version 2.6.12-1+deb12u4 2026/10/17\nKnown bugs: bugs-2.6.11.html", "2.6.12");
        check("\n/opt/versions/3.11.7/bin/envoy  version: 0123abcd/1.40.0/Clean/RELEASE/BoringSSL", "1.40.0");
        check("2.6.2", "2.6.2");
        check("no idea", "of unknown version");
    }
}
