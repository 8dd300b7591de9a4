//! Where the revisions are when nobody says.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf, absolute};

use super::record::hexadecimal;

/// Characters of a document's name that its folder shows.
const NAME: usize = 40;

/// The folder for the revisions of a document, which tells gateways with different documents apart. It is in
/// `$STATE_DIRECTORY` (systemd's, the first of them), else in `$XDG_STATE_HOME/cloud-cup`, for root in
/// /var/lib/cloud-cup, else in `$HOME/.local/state/cloud-cup`. None when all of these are missing or relative. The
/// environment is asked through `variable`.
pub fn default_folder(document: &Path, variable: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    Some(base(variable, is_root)?.join(name(document)))
}

pub(super) fn base(variable: &dyn Fn(&str) -> Option<OsString>, is_root: bool) -> Option<PathBuf> {
    let first = |value: OsString| value.as_bytes().split(|byte| *byte == b':').next().map(path);
    let is_usable = |path: &PathBuf| path.is_absolute();
    let folder = |name| variable(name).map(PathBuf::from).filter(is_usable);
    variable("STATE_DIRECTORY")
        .and_then(first)
        .filter(is_usable)
        .or_else(|| Some(folder("XDG_STATE_HOME")?.join("cloud-cup")))
        .or_else(|| is_root.then(|| PathBuf::from("/var/lib/cloud-cup")))
        .or_else(|| Some(folder("HOME")?.join(".local/state/cloud-cup")))
}

fn path(bytes: &[u8]) -> PathBuf {
    OsStr::from_bytes(bytes).into()
}

/// Of the document's own name and its whole path. The links in the path of its folder are followed, but the document is
/// not when it is a link itself: Kubernetes points those of a mounted `ConfigMap` somewhere else with each change.
fn name(document: &Path) -> String {
    let document = absolute(document).unwrap_or_else(|_| document.into());
    let folder = document.parent().and_then(|folder| fs::canonicalize(folder).ok());
    let path = match (folder, document.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => document,
    };
    let is_safe = |letter: &char| letter.is_ascii_alphanumeric() || *letter == '_';
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let safe: String =
        stem.chars().take(NAME).map(|letter| if is_safe(&letter) { letter } else { '-' }).collect();
    let hash = hexadecimal(path.as_os_str().as_bytes());
    format!("{safe}-{hash:.12}")
}
