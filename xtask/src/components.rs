//! What some tests need beside cargo: WebAssembly guests, and programs that nobody here wrote.
//!
//! Where one cannot be had, the tests that need it are left out, and the last lines of the run say so and why.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::guests;
use crate::toolchain::Toolchain;
use crate::workspace::{self, output_of, run};

/// Something that tests with a word in their names need.
pub struct Component {
    /// What those names contain.
    pub word: &'static str,
    /// The variable that tells the tests where it is.
    pub variable: &'static str,
    obtain: fn() -> Result<PathBuf>,
}

pub const ALL: [Component; 5] = [
    Component { word: "guest_", variable: "CLOUDCUP_GUESTS", obtain: guest_components },
    Component { word: "oidc_", variable: "CLOUDCUP_OIDC", obtain: oidc_provider },
    Component { word: "python_", variable: "CLOUDCUP_PYTHON", obtain: python_packages },
    Component { word: "curl_", variable: "CLOUDCUP_CURL", obtain: curl },
    Component { word: "chromium_", variable: "CLOUDCUP_CHROMIUM", obtain: chromium },
];

impl Component {
    /// Installs or builds it, and says where it is.
    pub fn obtain(&self) -> Result<PathBuf> {
        (self.obtain)()
    }
}

fn guest_components() -> Result<PathBuf> {
    guests::build(&Toolchain::obtain()?)?;
    Ok(workspace::guests())
}

/// Packages of Python, as tests/clients/requirements.txt pins them, in an environment of their own.
fn python_packages() -> Result<PathBuf> {
    let folder = workspace::root().join("target/python");
    let wanted = workspace::root().join("tests/clients/requirements.txt");
    let installed = folder.join("requirements.txt");
    let read = |path: &PathBuf| fs::read(path).with_context(|| format!("cannot read `{}`", path.display()));
    let text = read(&wanted)?;
    if read(&installed).is_ok_and(|found| found == text) {
        return Ok(folder);
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(&folder)).context("cannot make an environment")?;
    let mut pip = Command::new(folder.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check", "--requirement"]).arg(&wanted);
    run(&mut pip).context("cannot install packages of Python by pip")?;
    fs::write(&installed, text).with_context(|| format!("cannot write `{}`", installed.display()))?;
    Ok(folder)
}

/// curl itself, from wherever it is.
fn curl() -> Result<PathBuf> {
    output_of(Command::new("curl").arg("--version")).context("curl is not installed")?;
    Ok("curl".into())
}

/// A Chromium, by whichever of its names it is installed.
fn chromium() -> Result<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let installed = |name: &&str| output_of(Command::new(name).arg("--version")).is_ok();
    names.into_iter().find(installed).map(PathBuf::from).context("no Chromium is installed")
}

/// The npm package `oidc-provider`, as tests/oidc/package.json pins it, in a folder of its own.
fn oidc_provider() -> Result<PathBuf> {
    let folder = workspace::root().join("target/oidc");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
    let manifest = workspace::root().join("tests/oidc/package.json");
    let wanted = fs::read(&manifest).with_context(|| format!("cannot read `{}`", manifest.display()))?;
    let installed = folder.join("package.json");
    if fs::read(&installed).is_ok_and(|found| found == wanted) && folder.join("node_modules").is_dir() {
        return Ok(folder);
    }
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"]);
    fs::write(&installed, wanted).with_context(|| format!("cannot write `{}`", installed.display()))?;
    let done = run(npm.current_dir(&folder)).context("cannot install the OpenID provider by npm");
    if done.is_err() {
        // So that the next run tries again.
        let _ = fs::remove_file(&installed);
    }
    done.map(|()| folder)
}
