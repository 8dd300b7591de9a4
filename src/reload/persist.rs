//! Replacing the document's file, in one step.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tracing::warn;

/// A new content of a file, written beside it. Unless it is put in place, dropping it leaves everything as it was.
#[derive(Debug)]
pub(super) struct Staged {
    written: PathBuf,
    target: PathBuf,
}

impl Staged {
    /// Writes the new content of a file, to the disk and with the file's own permissions. Where the file is a link, what
    /// it leads to is replaced; where it is gone, it is made anew, for its owner alone. Blocks.
    pub fn write(path: &Path, text: &str) -> io::Result<Self> {
        let target = match fs::canonicalize(path) {
            Ok(target) => target,
            Err(_) => std::path::absolute(path)?,
        };
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.new", std::process::id()));
        let staged = Self { written: target.with_file_name(name), target };
        let permissions = fs::metadata(&staged.target).map(|found| found.permissions());
        let permissions = permissions.unwrap_or_else(|_| fs::Permissions::from_mode(0o600));
        let mut file = File::create(&staged.written)?;
        file.set_permissions(permissions)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        Ok(staged)
    }

    /// Puts it in place; when this fails, the file is what it was.
    pub fn commit(self) -> io::Result<()> {
        let folder = self.target.parent().map(File::open).transpose()?;
        fs::rename(&self.written, &self.target)?;
        // From here on everybody reads the new content. That a loss of power could undo it is no reason to say otherwise.
        if let Some(Err(error)) = folder.map(|folder| folder.sync_all()) {
            warn!(file = %self.target.display(), %error, "the document's file may not outlast a loss of power");
        }
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // After a commit it is not there any more.
        let _ = fs::remove_file(&self.written);
    }
}
