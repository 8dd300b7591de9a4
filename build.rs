//! Turns plugins/dist/manifest.json into the list of components that the binary carries.

use std::path::Path;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=plugins/dist");
    println!("cargo::rerun-if-changed=wit");
    let root = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let dist = Path::new(&root).join("plugins/dist");
    let manifest = fs::read_to_string(dist.join("manifest.json"))
        .expect("plugins/dist/manifest.json is part of the repository; `cargo xtask plugins` makes it");
    let manifest: serde_json::Value = serde_json::from_str(&manifest).expect("the manifest is JSON");
    let entries: String = manifest["plugins"].as_array().into_iter().flatten().map(|entry| entry_of(&dist, entry)).collect();
    let list = format!("/// All shipped components.\npub static ALL: &[Shipped] = &[\n{entries}];\n");
    let target = Path::new(&env::var("OUT_DIR").expect("cargo sets it")).join("shipped.rs");
    fs::write(target, list).expect("cargo's output folder can be written to");
}

fn entry_of(dist: &Path, entry: &serde_json::Value) -> String {
    let name = entry["name"].as_str().expect("every entry has a name");
    let permissions: Vec<_> = entry["permissions"].as_array().into_iter().flatten().filter_map(|item| item.as_str()).collect();
    let component = dist.join(format!("{name}.wasm"));
    format!("    Shipped {{ name: {name:?}, permissions: &{permissions:?}, component: include_bytes!({component:?}) }},\n")
}
