//! A gateway that replaces another one: the new process listens beside the old one before that lets go, so that no
//! connection is refused meanwhile.
//!
//! On the network both have sockets of their own on the same addresses (SO_REUSEPORT). Sockets of the machine, the admin
//! socket among them, are put in the place of the old ones. The history belongs to one of the two at any time.

use std::env;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::App;
use crate::base::address::ListenAddress;

/// Tells a process that it replaces another one.
const MARK: &str = "CLOUDCUP_REPLACES";
/// How long the new process may take until it answers.
const ALLOWED: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);

/// Whether this process was started to replace another one.
pub(super) fn takes_over() -> bool {
    env::var_os(MARK).is_some()
}

impl App {
    /// Starts this program anew, or another one, with the arguments of this process, and returns its process id when it
    /// serves. What is left to do is to stop. When it does not serve, everything is as before, and the error says why.
    /// Dropping the future ends the new process; then, too, what is left to do is to stop.
    pub async fn replace(&self, program: Option<&Path>) -> Result<u32, String> {
        let passed =
            self.addresses.iter().find(|(_, address)| matches!(address, ListenAddress::Inherited(_)));
        if let Some((listener, _)) = passed {
            return Err(format!(
                "listener `{listener}` has its socket from systemd, which keeps it open over a restart: restart the service"
            ));
        }
        let program = match program {
            Some(program) => program.to_owned(),
            None => own_program().map_err(|error| format!("this program cannot be found: {error}"))?,
        };
        self.ledger.let_go();
        let replaced = self.start_replacement(&program).await;
        match &replaced {
            Ok(process) => info!(process, program = %program.display(), "replaced by another process"),
            Err(error) => {
                warn!(program = %program.display(), %error, "not replaced");
                if let Err(error) = self.ledger.take_back() {
                    warn!(%error, "revisions are remembered until the gateway ends, and no longer");
                }
            }
        }
        replaced
    }

    async fn start_replacement(&self, program: &Path) -> Result<u32, String> {
        let child = Command::new(program)
            .args(env::args_os().skip(1))
            .env(MARK, std::process::id().to_string())
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| format!("{} cannot be started: {error}", program.display()))?;
        let process = child.id().unwrap_or_default();
        let mut unproven = Unproven(Some(child));
        self.until_it_serves(&mut unproven, process).await?;
        unproven.0 = None;
        Ok(process)
    }

    async fn until_it_serves(&self, unproven: &mut Unproven, process: u32) -> Result<(), String> {
        let deadline = Instant::now() + ALLOWED;
        while Instant::now() < deadline {
            if let Some(Ok(Some(status))) = unproven.0.as_mut().map(Child::try_wait) {
                return Err(format!("the new process has ended ({status}); what it wrote says why"));
            }
            if answering(&self.socket).await == Some(process) {
                return Ok(());
            }
            sleep(LOOK).await;
        }
        Err(format!("the new process does not serve within {ALLOWED:?}"))
    }
}

/// A new process that does not serve yet. Dropping it ends that.
struct Unproven(Option<Child>);

impl Drop for Unproven {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // It may have ended already.
            let _ = child.start_kill();
        }
    }
}

/// Which process has the admin socket.
async fn answering(socket: &Path) -> Option<u32> {
    let stream = UnixStream::connect(socket).await.ok()?;
    stream.peer_cred().ok()?.pid().and_then(|process| process.try_into().ok())
}

/// The file of this program; where another one has taken its place, that one.
fn own_program() -> std::io::Result<PathBuf> {
    let own = env::current_exe()?;
    let name = own.as_os_str().as_bytes();
    let name = name.strip_suffix(b" (deleted)").unwrap_or(name);
    Ok(OsString::from_vec(name.to_vec()).into())
}
