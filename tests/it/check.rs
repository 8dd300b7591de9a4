//! Documents that are refused, and what is said of them.

mod certificates;
mod documents;
pub mod program;
mod secrets;
mod start;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use program::{Ended, cloud_cup, cupctl, run};

/// A document in a folder of its own.
struct Written {
    folder: TempDir,
}

impl Written {
    fn new(text: impl AsRef<[u8]>) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        fs::write(folder.path().join("cup.json"), text).expect("the folder can be written to");
        Self { folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("cup.json")
    }

    /// A file beside the document.
    fn beside(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        fs::write(self.folder.path().join(name), content).expect("the folder can be written to");
        self
    }

    /// What is said of it, which both binaries say alike.
    async fn check(&self) -> Ended {
        let [by_gateway, by_tool] =
            [check_with(cloud_cup, &self.file()).await, check_with(cupctl, &self.file()).await];
        assert_eq!(by_gateway.code, by_tool.code, "{by_gateway:?} {by_tool:?}");
        assert_eq!((&by_gateway.stdout, &by_gateway.stderr), (&by_tool.stdout, &by_tool.stderr));
        by_gateway
    }

    /// What is said of one that is rejected, without the file's name at the start of each diagnostic.
    async fn rejected(&self) -> Vec<String> {
        let ended = self.check().await;
        assert_eq!((ended.code, ended.stdout.as_str()), (1, ""), "{ended:?}");
        diagnostics(&ended, &self.file())
    }
}

async fn check_with(binary: fn([PathBuf; 2]) -> std::process::Command, file: &Path) -> Ended {
    run(binary([PathBuf::from("check"), file.to_owned()])).await
}

/// The diagnostics of a document: a line each, and a second one for a hint. Nothing else may be said.
#[track_caller]
fn diagnostics(ended: &Ended, file: &Path) -> Vec<String> {
    assert_plain(ended);
    let prefix = format!("{}: ", file.display());
    let mut found: Vec<String> = Vec::new();
    for line in ended.stderr.lines() {
        match line.strip_prefix(&prefix) {
            Some(diagnostic) => found.push(diagnostic.to_owned()),
            None => {
                let last = found.last_mut().unwrap_or_else(|| panic!("no diagnostic: {line}"));
                assert!(line.starts_with("  hint: "), "neither a diagnostic nor a hint: {line}");
                last.push('\n');
                last.push_str(line);
            }
        }
    }
    for diagnostic in &found {
        let says_where = diagnostic.starts_with("error at ") || diagnostic.starts_with("warning at ");
        assert!(
            says_where && diagnostic.contains("line ") && diagnostic.contains(", column "),
            "{diagnostic}"
        );
    }
    found
}

/// Nothing of the program's inside is shown.
#[track_caller]
fn assert_plain(ended: &Ended) {
    let inside = [
        "panicked",
        "backtrace",
        "RUST_",
        "Some(",
        "Err(",
        "Ok(",
        "Os {",
        "kind: ",
        "src/",
        ".rs:",
        "{\n",
        "Error {",
    ];
    for text in [&ended.stdout, &ended.stderr] {
        for mark in inside {
            assert!(!text.contains(mark), "`{mark}` is for those who wrote this: {text}");
        }
    }
}

/// The least that a document needs.
fn minimal() -> Value {
    json!({ "root": "127.0.0.1:0", "routes": { "/": { "backends": [{ "host": "127.0.0.1:8081" }] } } })
}
