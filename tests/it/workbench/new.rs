//! `cupctl plugin new`.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use super::{plugin, repository};

fn read(folder: &Path, file: &str) -> String {
    fs::read_to_string(folder.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

#[tokio::test]
async fn a_crate_is_written() {
    let home = TempDir::new().expect("a temporary folder");
    let folder = home.path().join("some/where");
    let ended =
        plugin(&[&"new", &"my-tenants", &"--lang", &"rust", &"--path", &folder, &"--sdk", &repository()])
            .await;
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    assert!(ended.stdout.contains("some/where is there"), "{ended:?}");
    let manifest = read(&folder, "Cargo.toml");
    let sdk = repository().join("plugins/sdk/rust").canonicalize().expect("it is there");
    assert!(manifest.contains("name = \"my-tenants\""), "{manifest}");
    assert!(manifest.contains(&format!("path = \"{}\"", sdk.display())), "{manifest}");
    let readme = read(&folder, "README.md");
    for command in [
        "cargo build --release --target wasm32-unknown-unknown",
        "release/my_tenants.wasm -o my-tenants.wasm",
        "cupctl plugin test my-tenants.wasm tests.json",
        "cloud-cup --config document.json",
    ] {
        assert!(readme.contains(command), "`{command}` is not in {readme}");
    }
    for file in ["config.schema.json", "tests.json", "document.json"] {
        serde_json::from_str::<Value>(&read(&folder, file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    }
    for file in ["src/lib.rs", ".cargo/config.toml", ".gitignore", "Cargo.toml", "tests.json"] {
        assert!(!read(&folder, file).contains("{{"), "{file}");
    }
}

#[tokio::test]
async fn an_sdk_above_the_folder_is_found() {
    let home = TempDir::new().expect("a temporary folder");
    let sdk = home.path().join("plugins/sdk/rust");
    fs::create_dir_all(sdk.join("macros")).expect("the folder can be written to");
    fs::write(sdk.join("Cargo.toml"), "").expect("the folder can be written to");
    let folder = home.path().join("mine/a");
    let ended = plugin(&[&"new", &"a", &"--path", &folder]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(read(&folder, "Cargo.toml").contains("plugins/sdk/rust\""));
}

#[tokio::test]
async fn what_would_not_work_is_refused() {
    let home = TempDir::new().expect("a temporary folder");
    let there = home.path().join("there");
    fs::create_dir(&there).expect("the folder can be written to");
    let ended = plugin(&[&"new", &"a", &"--path", &there, &"--sdk", &repository()]).await;
    assert!(ended.code == 2 && ended.stderr.contains("there is there already"), "{ended:?}");
    assert_eq!(fs::read_dir(&there).expect("it is there").count(), 0);
    let folder = home.path().join("new");
    for name in ["", "A", "1a", "a_b", "a-", "../a", "a/b", "std", "serde", &"a".repeat(65)] {
        let ended = plugin(&[&"new", &name, &"--path", &folder, &"--sdk", &repository()]).await;
        assert!(ended.code == 2 && ended.stderr.contains("expected a name"), "{name}: {ended:?}");
    }
    let ended = plugin(&[&"new", &"a", &"--path", &folder, &"--lang", &"go", &"--sdk", &repository()]).await;
    assert!(ended.code == 2 && ended.stderr.contains("[possible values: rust]"), "{ended:?}");
    let ended = plugin(&[&"new", &"a", &"--path", &folder, &"--sdk", &home.path()]).await;
    assert!(ended.code == 2 && ended.stderr.contains("there is no SDK in"), "{ended:?}");
    let ended = plugin(&[&"new", &"a", &"--path", &folder]).await;
    assert!(ended.code == 2 && ended.stderr.contains("--sdk names a checkout"), "{ended:?}");
    assert!(!folder.exists());
}
