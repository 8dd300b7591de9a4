//! `cupctl plugin`, with the real binary and no gateway.

mod bench;
mod cases;
mod inspect;
mod new;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::check::program::{Ended, cupctl, run};

/// `cupctl plugin` with these arguments.
async fn plugin(arguments: &[&dyn AsRef<OsStr>]) -> Ended {
    let arguments = arguments.iter().map(|argument| argument.as_ref());
    run(cupctl([OsStr::new("plugin")].into_iter().chain(arguments))).await
}

fn json(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

/// A file in a folder of its own.
fn file(name: &str, content: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join(name);
    fs::write(&path, content).expect("the folder can be written to");
    (folder, path)
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
