//! The guests: every package under plugins/ that is a `cdylib`, built to WebAssembly and encoded as a component.
//!
//! A guest that the gateway ships says so in its Cargo.toml, with the permissions that it needs; all others are
//! fixtures for the tests:
//!
//! ```toml
//! [package.metadata.cloud-cup]
//! shipped = true
//! permissions = ["log"]
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use wit_component::ComponentEncoder;

use crate::toolchain::{TARGET, Toolchain};
use crate::workspace::{self, output_of, run, write_if_changed};

pub struct Guest {
    pub name: String,
    /// The folder of the package.
    pub dir: PathBuf,
    pub shipped: bool,
    pub permissions: Vec<String>,
    /// The file name of the core module that cargo makes of it.
    module: String,
}

pub struct Component {
    pub guest: Guest,
    pub bytes: Vec<u8>,
}

/// `cargo xtask guests`: builds all of them and prints a line for each.
pub fn build_and_list() -> Result<()> {
    for component in build(&Toolchain::obtain()?)? {
        println!("{:<24} {:>8} bytes", component.guest.name, component.bytes.len());
    }
    Ok(())
}

/// Builds every guest into target/guests, one `NAME.wasm` each.
pub fn build(toolchain: &Toolchain) -> Result<Vec<Component>> {
    compile(toolchain)?;
    let dir = workspace::guests();
    fs::create_dir_all(&dir).with_context(|| format!("cannot create `{}`", dir.display()))?;
    list()?.into_iter().map(|guest| encode_into(&dir, guest)).collect()
}

/// Every guest, in the order of their names. Needs cargo and no WebAssembly toolchain.
pub fn list() -> Result<Vec<Guest>> {
    let manifest = workspace::plugins().join("Cargo.toml");
    ensure!(manifest.is_file(), "there is no `{}`, the workspace of the guests", manifest.display());
    let mut cargo = workspace::cargo();
    cargo.args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"]).arg(&manifest);
    let metadata: Metadata = serde_json::from_str(&output_of(&mut cargo)?)
        .with_context(|| format!("cannot understand cargo's metadata of `{}`", manifest.display()))?;
    let mut guests: Vec<Guest> = metadata.packages.into_iter().filter_map(Package::into_guest).collect();
    guests.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(guests)
}

fn compile(toolchain: &Toolchain) -> Result<()> {
    let plugins = workspace::plugins();
    run(toolchain.cargo().args(["fetch", "--quiet"]).current_dir(&plugins))
        .context("cannot fetch what the guests depend on")?;
    let mut build = toolchain.cargo_build()?;
    build.args(["--quiet", "--workspace", "--target-dir"]).arg(target_dir()).current_dir(&plugins);
    run(&mut build).context("cannot build the guests")
}

fn encode_into(dir: &Path, guest: Guest) -> Result<Component> {
    let module = target_dir().join(TARGET).join("release").join(&guest.module);
    let module = fs::read(&module).with_context(|| format!("cannot read `{}`", module.display()))?;
    let bytes =
        encode(&module).with_context(|| format!("cannot make a component of the guest `{}`", guest.name))?;
    write_if_changed(&dir.join(format!("{}.wasm", guest.name)), &bytes)?;
    Ok(Component { guest, bytes })
}

fn encode(module: &[u8]) -> Result<Vec<u8>> {
    ComponentEncoder::default().validate(true).module(module)?.encode()
}

/// The guests' own, so that the caller's choice for the gateway does not mix two kinds of output.
fn target_dir() -> PathBuf {
    workspace::plugins().join("target")
}

/// The parts of `cargo metadata` that matter here.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
    /// `null` for a package that says nothing.
    metadata: Option<PackageMetadata>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    crate_types: Vec<String>,
}

#[derive(Deserialize, Default)]
struct PackageMetadata {
    #[serde(default, rename = "cloud-cup")]
    cloud_cup: Declaration,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Declaration {
    #[serde(default)]
    shipped: bool,
    #[serde(default)]
    permissions: Vec<String>,
}

impl Package {
    /// `None` for a package that is not a guest, such as the SDK.
    fn into_guest(self) -> Option<Guest> {
        let library =
            self.targets.iter().find(|target| target.crate_types.iter().any(|kind| kind == "cdylib"))?;
        let module = format!("{}.wasm", library.name.replace('-', "_"));
        let declaration = self.metadata.unwrap_or_default().cloud_cup;
        let dir = self.manifest_path.parent()?.to_owned();
        Some(Guest {
            name: self.name,
            dir,
            shipped: declaration.shipped,
            permissions: declaration.permissions,
            module,
        })
    }
}
