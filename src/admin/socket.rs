//! The admin socket: where it is, and that only one gateway has it.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use thiserror::Error;
use tokio::net::UnixListener;

use crate::listener::replace_path;

/// Why the admin socket cannot be opened.
#[derive(Debug, Error)]
pub enum SocketError {
    /// A gateway answers on it.
    #[error("another gateway uses the admin socket {0}: give this one its own by `admin.socket`")]
    InUse(PathBuf),
    /// Something else is in its place.
    #[error("{0} is not a socket: give another path by `admin.socket`")]
    NotASocket(PathBuf),
    /// It cannot be made.
    #[error("cannot open the admin socket {path}: {source}; give another path by `admin.socket`")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Where the socket is when the document does not say: `$CLOUDCUP_SOCKET`, else `cloud-cup.sock` in
/// `$XDG_RUNTIME_DIR`, in /run where that can be written to, or in the folder for temporary files.
pub fn default_socket() -> PathBuf {
    if let Some(path) = std::env::var_os("CLOUDCUP_SOCKET") {
        return path.into();
    }
    let folder = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|folder| folder.is_dir());
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    let shared = || if is_root { PathBuf::from("/run") } else { std::env::temp_dir() };
    folder.unwrap_or_else(shared).join("cloud-cup.sock")
}

/// Opens it for its owner alone. A socket that a dead gateway left is replaced. Must be called on a tokio runtime.
/// One that takes over is put in the place of the one that is there.
pub fn open_socket(path: &Path, takes_over: bool) -> Result<UnixListener, SocketError> {
    let failed = |source| SocketError::Io { path: path.into(), source };
    if takes_over {
        let socket = replace_path(path).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        return UnixListener::from_std(socket).map_err(failed);
    }
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Err(SocketError::NotASocket(path.into())),
        Ok(_) if UnixStream::connect(path).is_ok() => return Err(SocketError::InUse(path.into())),
        // Nobody answers, so nobody misses it; if it cannot be removed, the bind below says why.
        Ok(_) => drop(fs::remove_file(path)),
        Err(_) => {}
    }
    let socket = UnixListener::bind(path).map_err(failed)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(socket)
}
