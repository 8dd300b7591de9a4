//! The components that are built into the gateway's binary: plugins/dist, with a manifest of digests.
//!
//! They are kept in the repository because a build of the gateway must not need a WebAssembly toolchain. What is kept
//! beside its source can fall behind it: the manifest has the digest of all that a component was built from, and a test
//! compares it with what is there now.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::guests::{self, Component, Guest};
use crate::toolchain::Toolchain;
use crate::workspace::{self, write_if_changed};

#[derive(Serialize, Deserialize)]
struct Manifest {
    plugins: Vec<Shipped>,
}

#[derive(Serialize, Deserialize)]
struct Shipped {
    name: String,
    permissions: Vec<String>,
    /// SHA-256 over everything that the component is built from.
    source: String,
    /// SHA-256 of the component.
    artefact: String,
}

/// `cargo xtask plugins`: builds the shipped components and writes them with their manifest.
pub fn write() -> Result<()> {
    let dir = dist_dir();
    fs::create_dir_all(&dir).with_context(|| format!("cannot create `{}`", dir.display()))?;
    let components = guests::build(&Toolchain::obtain()?)?;
    let shipped = components.iter().filter(|component| component.guest.shipped);
    let plugins = shipped.map(|component| write_component(&dir, component)).collect::<Result<_>>()?;
    let mut manifest = serde_json::to_string_pretty(&Manifest { plugins })?;
    manifest.push('\n');
    write_if_changed(&dir.join("manifest.json"), manifest.as_bytes())
}

fn write_component(dir: &Path, component: &Component) -> Result<Shipped> {
    let Component { guest, bytes } = component;
    write_if_changed(&dir.join(format!("{}.wasm", guest.name)), bytes)?;
    println!("{:<24} {:>8} bytes", guest.name, bytes.len());
    Ok(Shipped {
        name: guest.name.clone(),
        permissions: guest.permissions.clone(),
        source: source_digest(guest)?,
        artefact: hex(&Sha256::digest(bytes)),
    })
}

fn dist_dir() -> PathBuf {
    workspace::plugins().join("dist")
}

/// A digest over names and contents of everything that determines a guest's component.
///
/// The dependencies are in it by the lock file. The compiler is not: another one may make other bytes of the same
/// source, and that is no reason to rebuild.
fn source_digest(guest: &Guest) -> Result<String> {
    let plugins = workspace::plugins();
    let mut files = BTreeMap::new();
    for path in [&guest.dir, &plugins.join("sdk/rust"), &workspace::wit()] {
        collect(path, &mut files)?;
    }
    for path in ["Cargo.toml", "Cargo.lock", ".cargo/config.toml"].map(|name| plugins.join(name)) {
        add(path, &mut files)?;
    }
    let mut hasher = Sha256::new();
    for (name, path) in files {
        let contents = fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        // The lengths keep one file's end and the next one's beginning apart.
        hasher.update((name.len() as u64).to_le_bytes());
        hasher.update(name);
        hasher.update((contents.len() as u64).to_le_bytes());
        hasher.update(contents);
    }
    Ok(hex(&hasher.finalize()))
}

/// Collects the files below a folder by their names relative to the repository. Hidden files are an editor's or git's.
fn collect(dir: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot list `{}`", dir.display()))?;
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            add(path, files)?;
        }
    }
    Ok(())
}

fn add(path: PathBuf, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    let name = path.strip_prefix(workspace::root()).context("a guest lies outside the repository")?;
    let parts: Vec<_> = name.iter().map(|part| part.to_string_lossy()).collect();
    files.insert(parts.join("/"), path);
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_components_match_their_sources() {
        let manifest: Manifest = serde_json::from_slice(&read(&dist_dir().join("manifest.json"))).unwrap();
        let guests = guests::list().unwrap();
        let shipped: Vec<&Guest> = guests.iter().filter(|guest| guest.shipped).collect();
        let names: Vec<&str> = shipped.iter().map(|guest| guest.name.as_str()).collect();
        let listed: Vec<&str> = manifest.plugins.iter().map(|plugin| plugin.name.as_str()).collect();
        assert_eq!(listed, names, "plugins/dist has other plugins than plugins/: run `cargo xtask plugins`");
        for (plugin, guest) in manifest.plugins.iter().zip(shipped) {
            let Shipped { name, permissions, source, artefact } = plugin;
            let component = read(&dist_dir().join(format!("{name}.wasm")));
            let stale = format!(
                "plugins/dist/{name}.wasm is not what plugins/{name} makes: run `cargo xtask plugins`"
            );
            assert_eq!(permissions, &guest.permissions, "{stale}");
            assert_eq!(source, &source_digest(guest).unwrap(), "{stale}");
            assert_eq!(artefact, &hex(&Sha256::digest(component)), "{stale}");
        }
    }

    fn read(path: &Path) -> Vec<u8> {
        let name = path.display();
        fs::read(path)
            .unwrap_or_else(|error| panic!("cannot read `{name}`: {error}: run `cargo xtask plugins`"))
    }
}
