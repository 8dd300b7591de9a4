//! The real binaries.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::found;

/// A program that runs. Dropping it kills it.
pub struct Program {
    child: Child,
    output: TempDir,
}

/// A program that has ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// `cloud-cup` with these arguments.
pub fn cloud_cup(arguments: impl IntoIterator<Item: AsRef<OsStr>>) -> Command {
    command(env!("CARGO_BIN_EXE_cloud-cup"), arguments)
}

/// `cupctl` with these arguments.
pub fn cupctl(arguments: impl IntoIterator<Item: AsRef<OsStr>>) -> Command {
    command(env!("CARGO_BIN_EXE_cupctl"), arguments)
}

/// Runs to the end.
pub async fn run(command: Command) -> Ended {
    Program::start(command).ended().await
}

/// With everything in the environment that makes Rust programs talkative, so that it shows if they are.
fn command(program: &str, arguments: impl IntoIterator<Item: AsRef<OsStr>>) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).env("RUST_BACKTRACE", "1").env_remove("RUST_LOG").env_remove("CLOUDCUP_SOCKET");
    command
}

impl Program {
    pub fn start(command: Command) -> Self {
        Self::start_into(command, |stdout| stdout.into())
    }

    /// With its standard output going where this says, instead of into the file that it is given.
    fn start_into(mut command: Command, stdout: impl FnOnce(File) -> Stdio) -> Self {
        let output = TempDir::new().expect("a temporary folder");
        let file = |name: &str| File::create(output.path().join(name)).expect("it can be written to");
        command.env_remove("STATE_DIRECTORY").env("XDG_STATE_HOME", output.path());
        command.stdin(Stdio::null()).stdout(stdout(file("stdout"))).stderr(file("stderr"));
        Self { child: command.spawn().expect("the binary starts"), output }
    }

    /// A gateway that serves a document.
    pub async fn serve(document: &Path) -> Self {
        Self::serving(cloud_cup([OsStr::new("--config"), document.as_os_str()])).await
    }

    /// A gateway that this command starts.
    pub async fn serving(command: Command) -> Self {
        Self::start(command).once_it_serves().await
    }

    /// The same, with a standard output that nobody reads.
    pub async fn serving_unread(command: Command) -> Self {
        Self::start_into(command, |_| Stdio::piped()).once_it_serves().await
    }

    async fn once_it_serves(mut self) -> Self {
        let program = &mut self;
        found(|| {
            let ended = program.child.try_wait().expect("it is our child");
            assert!(ended.is_none(), "it does not serve: {}", program.stderr());
            let serves = program.log().iter().any(|line| line["message"] == "admin");
            async move { serves.then_some(()) }
        })
        .await;
        self
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where a gateway's listener is.
    pub fn address(&self, listener: &str) -> SocketAddr {
        let log = self.log();
        let line = log.iter().find(|line| line["message"] == "listening" && line["listener"] == listener);
        let address = line.and_then(|line| line["address"].as_str()).expect("it tells where it listens");
        address.parse().expect("an address")
    }

    /// The lines of its log so far.
    pub fn log(&self) -> Vec<Value> {
        let text = self.stderr();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    pub fn stdout(&self) -> String {
        self.read("stdout")
    }

    pub fn stderr(&self) -> String {
        self.read("stderr")
    }

    fn read(&self, name: &str) -> String {
        let bytes = fs::read(self.output.path().join(name)).expect("it is there");
        String::from_utf8(bytes).expect("it writes text")
    }

    /// A line of what the system knows of it, in bytes: `VmRSS`, for example, is the memory that it has.
    pub fn memory(&self, line: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let value = status.lines().find_map(|candidate| candidate.strip_prefix(line)?.strip_prefix(':'));
        let kibibytes = value.and_then(|value| value.trim().split(' ').next()?.parse::<u64>().ok());
        kibibytes.unwrap_or_default() << 10
    }

    /// Sends a signal: `HUP`, for example.
    pub fn signal(&self, name: &str) {
        let mut kill = Command::new("kill");
        kill.args([&format!("-{name}"), &self.child.id().to_string()]);
        assert!(kill.status().expect("there is a `kill`").success());
    }

    /// Waits until it ends by itself.
    pub async fn ended(mut self) -> Ended {
        let status = found(|| {
            let ended = self.child.try_wait().expect("it is our child");
            async move { ended }
        })
        .await;
        let code = status.code().unwrap_or_else(|| panic!("it was killed: {status}"));
        Ended { code, stdout: self.stdout(), stderr: self.stderr() }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
