//! `cupctl plugin new`: a crate to begin a plugin with.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::Trouble;
use super::report::say;

/// What is written, and where. `{{name}}`, `{{crate}}` and `{{sdk}}` stand for what they say.
const FILES: [(&str, &str); 8] = [
    ("Cargo.toml", include_str!("template/Cargo.toml.in")),
    ("src/lib.rs", include_str!("template/lib.rs.in")),
    (".cargo/config.toml", include_str!("template/cargo-config.toml.in")),
    (".gitignore", include_str!("template/gitignore.in")),
    ("config.schema.json", include_str!("template/config.schema.json.in")),
    ("tests.json", include_str!("template/tests.json.in")),
    ("document.json", include_str!("template/document.json.in")),
    ("README.md", include_str!("template/README.md.in")),
];

const LONGEST_NAME: usize = 64;
/// Names that a crate cannot have, or that it depends on.
const TAKEN: [&str; 12] = [
    "alloc",
    "cloud-cup-plugin",
    "core",
    "crate",
    "fn",
    "mod",
    "self",
    "serde",
    "std",
    "super",
    "test",
    "use",
];
/// Where a checkout of the gateway has the crate that filters are written with.
const SDK: &str = "plugins/sdk/rust";

/// What is asked for.
#[derive(Debug)]
pub struct New {
    /// The plugin and its crate.
    pub name: String,
    /// The folder that is made. None is one of the plugin's name.
    pub path: Option<PathBuf>,
    /// A checkout of the gateway, or its `plugins/sdk/rust`. None looks above the folder that is made.
    pub sdk: Option<PathBuf>,
}

/// Writes a crate. 0 when it is there, 2 when it cannot be.
pub fn new(wanted: &New) -> Result<ExitCode, Trouble> {
    let name = wanted.name.as_str();
    if !is_good(name) {
        return Err(Trouble::Unusable(format!(
            "expected a name of lower-case letters, digits and `-` that begins with a letter and is no word of Rust, \
             found `{name}`"
        )));
    }
    let folder = wanted.path.clone().unwrap_or_else(|| name.into());
    if fs::symlink_metadata(&folder).is_ok() {
        return Err(Trouble::Unusable(format!(
            "{} is there already\n  hint: --path names another folder",
            folder.display()
        )));
    }
    let sdk = find_sdk(wanted.sdk.as_deref(), &folder)?;
    let sdk = sdk.to_str().filter(|path| !path.contains(['"', '\\'])).ok_or_else(|| {
        Trouble::Unusable(format!("the path {} cannot stand in a Cargo.toml", sdk.display()))
    })?;
    let crate_name = name.replace('-', "_");
    for (file, template) in FILES {
        let text =
            template.replace("{{name}}", name).replace("{{crate}}", &crate_name).replace("{{sdk}}", sdk);
        let path = folder.join(file);
        write(&path, &text)
            .map_err(|error| Trouble::Unusable(format!("cannot write {}: {error}", path.display())))?;
    }
    say(format_args!("{} is there; its README.md tells how to build, test and attach it", folder.display()));
    Ok(ExitCode::SUCCESS)
}

fn is_good(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    name.len() <= LONGEST_NAME
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.bytes().all(is_plain)
        && !TAKEN.contains(&name)
}

/// The SDK's absolute path: a crate can be moved, and what it is written with mostly stays.
fn find_sdk(given: Option<&Path>, folder: &Path) -> Result<PathBuf, Trouble> {
    let is_sdk = |path: &PathBuf| path.join("Cargo.toml").is_file() && path.join("macros").is_dir();
    let missing = |words: String| {
        Trouble::Unusable(format!(
            "{words}\n  hint: --sdk names a checkout of Cloud Cup; the crate `cloud-cup-plugin` lies in its {SDK}"
        ))
    };
    let found = match given {
        Some(path) => [path.join(SDK), path.to_owned()].into_iter().find(is_sdk),
        None => {
            let above = std::path::absolute(folder).unwrap_or_default();
            above.ancestors().map(|folder| folder.join(SDK)).find(is_sdk)
        }
    };
    let found = found.ok_or_else(|| match given {
        Some(path) => missing(format!("there is no SDK in {}", path.display())),
        None => missing("there is no checkout of Cloud Cup around the new folder".to_owned()),
    })?;
    fs::canonicalize(&found).map_err(|error| missing(format!("cannot use {}: {error}", found.display())))
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)
}
