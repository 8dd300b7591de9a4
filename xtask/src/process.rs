//! A server that is started for a chore and never outlives it.

mod accounting;

use std::ffi::OsString;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

const START_TIMEOUT: Duration = Duration::from_secs(20);
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);

/// What to run: a program and its arguments, with a few variables of its environment.
pub struct Program {
    pub path: PathBuf,
    pub args: Vec<OsString>,
    pub env: Vec<(&'static str, OsString)>,
}

/// A running server. Dropped, it is told to end, and made to when it does not.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program, on one core if one is given. What it says goes to a file in `dir`.
    pub fn start(name: &str, program: &Program, core: Option<usize>, dir: &Path) -> Result<Self> {
        let log = dir.join(format!("{name}.log"));
        let output = File::create(&log).with_context(|| format!("cannot write `{}`", log.display()))?;
        // Both programs become the one that they start, so its process id is the child's. Should this process be
        // killed, the kernel ends the server.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM"]);
        if let Some(core) = core {
            command.args(["taskset", "-c", &core.to_string()]);
        }
        command.arg(&program.path).args(&program.args).envs(program.env.iter().cloned());
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().context("cannot start `setpriv` and `taskset` (Debian: util-linux)")?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// Waits until the server accepts connections on a port.
    pub fn wait_for_port(&mut self, port: u16) -> Result<()> {
        self.wait_for("listen on its port", || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok())
    }

    /// Waits until something is true that the server brings about.
    pub fn wait_for(&mut self, what: &str, is_true: impl Fn() -> bool) -> Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        while !is_true() {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status} before it would {what}: {}", self.name, self.last_words());
            }
            if Instant::now() > deadline {
                bail!("{} did not {what} within {START_TIMEOUT:?}: {}", self.name, self.last_words());
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    pub fn processor_time(&self) -> Result<Duration> {
        accounting::processor_time(self.child.id()).with_context(|| self.context("the processor time"))
    }

    pub fn resident_bytes(&self) -> Result<u64> {
        accounting::resident_bytes(self.child.id()).with_context(|| self.context("the resident memory"))
    }

    fn context(&self, figure: &str) -> String {
        format!("cannot read {figure} of {}, which said: {}", self.name, self.last_words())
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(5)..].join("; ")
    }

    fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.has_ended() {
            return;
        }
        terminate(&self.child);
        let deadline = Instant::now() + STOP_TIMEOUT;
        while !self.has_ended() && Instant::now() < deadline {
            thread::sleep(POLL);
        }
        if !self.has_ended() {
            // Nothing is left to do about a process that cannot be killed.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Asks a child to end. One that has ended already is a success.
pub fn terminate(child: &Child) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::TERM);
    }
}

/// A port that nothing listens on. Another program could take it before it is used; on a loopback interface that is
/// not worth more than the error that follows.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot find a free port")?;
    Ok(listener.local_addr()?.port())
}
