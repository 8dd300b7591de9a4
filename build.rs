//! Turns plugins/dist/manifest.json into the list of components that the binary carries.

use std::path::{Path, PathBuf};
use std::{env, fs};

use serde_json::Value;

fn main() {
    println!("cargo::rerun-if-changed=plugins/dist");
    println!("cargo::rerun-if-changed=wit");
    let variable = |name| PathBuf::from(env::var_os(name).expect("cargo sets it"));
    let dist = variable("CARGO_MANIFEST_DIR").join("plugins/dist");
    let output = variable("OUT_DIR");
    let manifest = fs::read_to_string(dist.join("manifest.json"))
        .expect("plugins/dist/manifest.json is part of the repository; `cargo xtask plugins` makes it");
    let manifest: Value = serde_json::from_str(&manifest).expect("the manifest is JSON");
    let plugins = manifest["plugins"].as_array().into_iter().flatten();
    let entries: String = plugins.map(|plugin| entry(&dist, &output, plugin)).collect();
    let list = format!("/// All shipped components.\npub static ALL: &[Shipped] = &[\n{entries}];\n");
    fs::write(output.join("shipped.rs"), list).expect("cargo's output folder can be written to");
}

/// The component is copied beside the list, so that the list names no folder.
fn entry(dist: &Path, output: &Path, plugin: &Value) -> String {
    let name = plugin["name"].as_str().expect("every plugin of the manifest has a name");
    let permissions = plugin["permissions"].as_array().into_iter().flatten();
    let permissions: Vec<_> = permissions.filter_map(Value::as_str).collect();
    let file = format!("{name}.wasm");
    fs::copy(dist.join(&file), output.join(&file)).expect("plugins/dist has what its manifest lists");
    format!(
        "    Shipped {{ name: {name:?}, permissions: &{permissions:?}, component: include_bytes!({file:?}) }},\n"
    )
}
