//! A toolchain that compiles Rust to `wasm32-unknown-unknown`: found, or installed where that is possible.
//!
//! The guests are the only part of this repository that the toolchain of the gateway may not be able to build. Asked in
//! this order: the active toolchain, rustup, Debian's packages. Debian has a compiler that knows the target and no
//! standard library for it, so there the library is built from source along with the guests.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::workspace::{self, output_of};

pub const TARGET: &str = "wasm32-unknown-unknown";

const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

pub enum Toolchain {
    /// The one that builds the gateway has the target installed.
    Active,
    /// Debian's, with a linker for WebAssembly.
    Debian { linker: PathBuf },
}

impl Toolchain {
    /// Finds a toolchain, or installs one. The error says what was tried and what a person can do.
    pub fn obtain() -> Result<Self> {
        if active_has_target() {
            return Ok(Self::Active);
        }
        let rustup = match add_target_with_rustup() {
            Ok(()) => return Ok(Self::Active),
            Err(error) => error,
        };
        let debian = match obtain_from_debian() {
            Ok(toolchain) => return Ok(toolchain),
            Err(error) => error,
        };
        bail!(
            "no toolchain for {TARGET}: the active one lacks the target; {rustup:#}; {debian:#}; \
             run `rustup target add {TARGET}`, or on Debian `apt-get install {}`",
            DEBIAN_PACKAGES.join(" ")
        )
    }

    /// The toolchain's cargo, free of what was meant for another build.
    pub fn cargo(&self) -> Command {
        match self {
            Self::Active => active_cargo(),
            Self::Debian { linker } => debian_cargo(linker),
        }
    }

    /// `cargo build` for the target, of packages that are fetched; the caller adds what to build.
    ///
    /// No local path gets into what it builds, so that two clones on one machine build the same bytes.
    pub fn cargo_build(&self) -> Result<Command> {
        let mut command = self.cargo();
        command.args(["build", "--release", "--target", TARGET]);
        // As configuration these add to what plugins/.cargo/config.toml says; in the environment they would replace it.
        let flags = remapped_paths(self.rustc())?;
        command.arg("--config").arg(format!("target.{TARGET}.rustflags={flags:?}"));
        if matches!(self, Self::Debian { .. }) {
            command.arg("-Zbuild-std=std,panic_abort");
        }
        Ok(command)
    }

    fn rustc(&self) -> &'static str {
        match self {
            Self::Active => "rustc",
            Self::Debian { .. } => DEBIAN_RUSTC,
        }
    }
}

/// The compiler's flags that replace the folders of this machine: the repository, the sources of the dependencies (one
/// folder for each registry, named after its host), and those of the standard library.
fn remapped_paths(rustc: &str) -> Result<Vec<String>> {
    let sources = cargo_home()?.join("registry/src");
    let registries = fs::read_dir(&sources).into_iter().flatten().flatten().map(|entry| entry.path());
    // In one order always: other flags would be another build.
    let registries: BTreeSet<PathBuf> = registries.collect();
    let library = sysroot(rustc)?.join("lib/rustlib/src/rust");
    // Debian keeps the library's sources elsewhere and has a link to them.
    let libraries = [library.canonicalize().ok(), Some(library)].into_iter().flatten();
    let mut flags = vec![remap(workspace::root(), "/cloud-cup")];
    flags.extend(registries.iter().map(|dir| remap(dir, "/dependencies")));
    flags.extend(libraries.map(|dir| remap(&dir, "/rust")));
    Ok(flags)
}

fn remap(from: &Path, to: &str) -> String {
    format!("--remap-path-prefix={}={to}", from.display())
}

fn active_has_target() -> bool {
    let installed = output_of(Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]));
    installed.is_ok_and(|dir| Path::new(dir.trim()).is_dir())
}

fn add_target_with_rustup() -> Result<()> {
    output_of(Command::new("rustup").args(["--quiet", "target", "add", TARGET]))?;
    ensure!(active_has_target(), "rustup added the target to a toolchain that is not the active one");
    Ok(())
}

fn active_cargo() -> Command {
    let mut command = workspace::cargo();
    forget_outer_build(&mut command);
    command
}

fn debian_cargo(linker: &Path) -> Command {
    let mut command = Command::new(DEBIAN_CARGO);
    forget_outer_build(&mut command);
    // Both lead Debian's cargo to the libraries and the choice of rustup's.
    command.env_remove("LD_LIBRARY_PATH").env_remove("RUSTUP_TOOLCHAIN");
    command.env("RUSTC", DEBIAN_RUSTC);
    // `-Zbuild-std` is for nightly compilers, or for one that is told so.
    command.env("RUSTC_BOOTSTRAP", "1");
    command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
    command
}

/// Takes out of a command's environment what was meant for the gateway's build, by the caller or by the cargo that runs
/// this program. What says where cargo keeps its files and how it reaches its registry stays.
fn forget_outer_build(command: &mut Command) {
    const KEPT: [&str; 5] = ["CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTR", "CARGO_TERM_"];
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let of_a_build =
            ["CARGO", "RUSTC", "RUSTDOC", "RUSTFLAGS"].iter().any(|start| text.starts_with(start));
        if of_a_build && !KEPT.iter().any(|start| text.starts_with(start)) {
            command.env_remove(&name);
        }
    }
}

fn obtain_from_debian() -> Result<Toolchain> {
    if !debian_packages_installed() {
        install_debian_packages()?;
    }
    Ok(Toolchain::Debian { linker: linker()? })
}

fn debian_packages_installed() -> bool {
    let query = output_of(
        Command::new("dpkg-query").args(["-W", "-f", "${db:Status-Status}\n"]).args(DEBIAN_PACKAGES),
    );
    query.is_ok_and(|states| {
        states.lines().filter(|state| *state == "installed").count() == DEBIAN_PACKAGES.len()
    })
}

fn install_debian_packages() -> Result<()> {
    ensure!(on_path("apt-get").is_some(), "there is no apt-get to install Debian's packages");
    ensure!(rustix::process::geteuid().is_root(), "only root can install Debian's packages");
    eprintln!("installing {} for the guests", DEBIAN_PACKAGES.join(", "));
    // The package lists of a fresh machine are missing or old: fetch them when the first try does not get through.
    if apt_get_install(&DEBIAN_PACKAGES).is_err() {
        output_of(Command::new("apt-get").args(["-qq", "update"]))?;
        apt_get_install(&DEBIAN_PACKAGES)?;
    }
    Ok(())
}

fn apt_get_install(packages: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.args(["-qq", "install", "--yes", "--no-install-recommends"]).args(packages);
    output_of(command.env("DEBIAN_FRONTEND", "noninteractive")).map(drop)
}

/// A linker for WebAssembly: the one that comes with rustup's toolchains, or one on the path.
fn linker() -> Result<PathBuf> {
    let of_rustup = sysroot("rustc").map(|sysroot| {
        let host = format!("{}-unknown-linux-gnu", env::consts::ARCH);
        sysroot.join("lib/rustlib").join(host).join("bin/rust-lld")
    });
    let of_rustup = of_rustup.ok().filter(|path| path.is_file());
    of_rustup
        .or_else(|| on_path("rust-lld"))
        .or_else(|| on_path("wasm-ld"))
        .context("there is no linker for WebAssembly: install rustup's toolchain, or Debian's `lld`")
}

fn sysroot(rustc: &str) -> Result<PathBuf> {
    Ok(PathBuf::from(output_of(Command::new(rustc).args(["--print", "sysroot"]))?.trim()))
}

fn cargo_home() -> Result<PathBuf> {
    if let Some(home) = env::var_os("CARGO_HOME") {
        return Ok(PathBuf::from(home));
    }
    let home = env::home_dir().context("there is neither CARGO_HOME nor a home directory")?;
    Ok(home.join(".cargo"))
}

/// A program on the path, or where servers are: that is on root's path alone.
pub fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let dirs = env::split_paths(&path).chain([PathBuf::from("/usr/local/sbin"), PathBuf::from("/usr/sbin")]);
    dirs.map(|dir| dir.join(program)).find(|file| file.is_file())
}
