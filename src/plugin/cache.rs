//! Compiled components on disk, so that a start with many plugins is quick.
//!
//! An entry is found by the digest of the component, of the engine's version and of its settings; what does not fit is
//! compiled again. But an entry is machine code that is run as it stands, so the folder is trusted only when nobody else
//! can write to it.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use thiserror::Error;
use wasmtime::{Cache, CacheConfig};

/// Bytes of all entries together beyond which the least used are removed.
const LARGEST: u64 = 512 << 20;

/// Where compiled components are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CacheFolder {
    /// In the user's folder for caches, if there is one.
    #[default]
    Default,
    /// Nowhere.
    Off,
    /// Here.
    At(PathBuf),
}

/// Why a folder is not used.
#[derive(Debug, Error)]
pub(super) enum CacheError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it can be written to by others (mode {0:o})")]
    OpenToOthers(u32),
    #[error("it belongs to another user")]
    Foreign,
    #[error("{0}")]
    Engine(String),
}

impl CacheFolder {
    /// The path, as it is or as it will be made.
    pub(super) fn path(&self) -> Option<PathBuf> {
        match self {
            Self::Off => None,
            Self::At(path) => Some(path.clone()),
            Self::Default => {
                let variable = |name| std::env::var_os(name).map(PathBuf::from);
                let caches = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")))?;
                caches.is_absolute().then(|| caches.join("cloud-cup/plugins"))
            }
        }
    }
}

/// Opens a folder, and makes it if it is missing.
pub(super) fn open(path: &Path) -> Result<Cache, CacheError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let path = fs::canonicalize(path)?;
    check_owner(&path)?;
    let mut config = CacheConfig::new();
    config.with_directory(path).with_files_total_size_soft_limit(LARGEST);
    Cache::new(config).map_err(|error| CacheError::Engine(error.to_string()))
}

/// Whether the folder belongs to this user, and is written to by this user alone.
fn check_owner(path: &Path) -> Result<(), CacheError> {
    let mark = path.join(".cloud-cup");
    OpenOptions::new().write(true).create(true).truncate(false).open(&mark)?;
    let (folder, mark) = (fs::metadata(path)?, fs::metadata(&mark)?);
    if folder.mode() & 0o022 != 0 {
        return Err(CacheError::OpenToOthers(folder.mode() & 0o777));
    }
    if folder.uid() != mark.uid() {
        return Err(CacheError::Foreign);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_folder_that_others_can_write_to_is_not_trusted() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("a/b");
        assert!(open(&folder).is_ok(), "it is made");
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o777, 0o700);
        for mode in [0o777, 0o770, 0o702] {
            fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(open(&folder), Err(CacheError::OpenToOthers(found)) if found == mode));
        }
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(open(&folder).is_ok());
    }
}
