//! Who leads where the document's file and the API differ.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::version;
use crate::check::program::{Program, cupctl, run};
use crate::support::{Backend, eventually, get, request};

/// A gateway of its own process, which can be ended and started again.
struct Home {
    folder: TempDir,
}

impl Home {
    fn new(backend: &Backend, source: &str) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let home = Self { folder };
        home.write(&home.document(backend, 1, source));
        home
    }

    fn document(&self, backend: &Backend, number: u32, source: &str) -> Value {
        let mut document = version(backend, number);
        let more = json!({
            "root": "127.0.0.1:0", "workers": 1, "access_log": "off", "history": "revisions", "source": source,
            "admin": { "socket": self.folder.path().join("admin.sock") },
        });
        document.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        document
    }

    fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("cup.json")
    }

    fn write(&self, document: &Value) {
        fs::write(self.file(), document.to_string()).expect("the folder can be written to");
    }

    async fn start(&self) -> Program {
        Program::serve(&self.file()).await
    }

    async fn apply(&self, document: &Value) {
        let file = self.folder.path().join("new.json");
        fs::write(&file, document.to_string()).expect("the folder can be written to");
        let ended = self.cupctl(&["apply", "-f", &file.display().to_string()]).await;
        assert_eq!(ended.0, 0, "{ended:?}");
    }

    /// Exit code and output.
    async fn cupctl(&self, arguments: &[&str]) -> (i32, String) {
        let socket = self.folder.path().join("admin.sock").display().to_string();
        let ended = run(cupctl(["--socket", &socket].iter().chain(arguments))).await;
        (ended.code, ended.stdout + &ended.stderr)
    }

    async fn status(&self) -> Value {
        let (_, told) = self.cupctl(&["status", "-o", "json"]).await;
        serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"))
    }
}

async fn served(program: &Program) -> String {
    let answer = request(program.address("root"), get("/")).await;
    answer.header("x-version").expect("a version").to_owned()
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).expect("it is there")
}

#[tokio::test]
async fn where_the_api_leads_the_file_is_for_the_first_start_only() {
    let backend = Backend::echo("a");
    let home = Home::new(&backend, "api");
    let program = home.start().await;
    let file = text(&home.file());
    home.apply(&home.document(&backend, 2, "api")).await;
    assert_eq!((served(&program).await.as_str(), text(&home.file())), ("2", file));
    let status = home.status().await;
    assert_eq!(
        (&status["document"]["source"], &status["document"]["drifted"]),
        (&"api".into(), &true.into())
    );
    home.write(&home.document(&backend, 3, "api"));
    assert_eq!(home.cupctl(&["reload"]).await.1, "unchanged: revision 2 serves this already\n");
    drop(program);
    let program = home.start().await;
    assert_eq!((served(&program).await.as_str(), &home.status().await["revision"]), ("2", &2.into()));
    drop(program);
    home.write(&json!({ "routes": 1, "history": "revisions" }));
    let program = home.start().await;
    assert_eq!(served(&program).await, "2", "a broken file is not what is served");
    drop(program);
    home.write(&home.document(&backend, 4, "file"));
    let program = home.start().await;
    assert_eq!((served(&program).await.as_str(), &home.status().await["revision"]), ("4", &3.into()));
}

#[tokio::test]
async fn where_the_file_leads_what_is_applied_is_in_it_after_a_kill() {
    let backend = Backend::echo("a");
    let home = Home::new(&backend, "file");
    let program = home.start().await;
    home.apply(&home.document(&backend, 2, "file")).await;
    assert_eq!(home.status().await["document"]["drifted"], false);
    // Dropping it kills it.
    drop(program);
    let program = home.start().await;
    assert_eq!((served(&program).await.as_str(), &home.status().await["revision"]), ("2", &2.into()));
    home.write(&home.document(&backend, 3, "file"));
    eventually(async || served(&program).await == "3").await;
    drop(program);
    home.write(&home.document(&backend, 4, "file"));
    let program = home.start().await;
    assert_eq!((served(&program).await.as_str(), &home.status().await["revision"]), ("4", &4.into()));
    let (_, history) = home.cupctl(&["history"]).await;
    let sources: Vec<_> = history.lines().skip(1).filter_map(|line| line.split_whitespace().nth(2)).collect();
    assert_eq!(sources, ["start", "file", "api", "start"], "{history}");
}

/// Kills the gateway at moments that lie all over a change, and looks what is left.
#[tokio::test]
async fn a_kill_at_any_moment_leaves_the_old_or_the_new_revision() {
    let backend = Backend::echo("a");
    for source in ["file", "api"] {
        let home = Home::new(&backend, source);
        let mut last = 1;
        for round in 0..8u32 {
            let program = home.start().await;
            let next = home.folder.path().join("next.json");
            let (number, text) = (last + 1, home.document(&backend, last + 1, source).to_string());
            fs::write(&next, text).expect("the folder can be written to");
            let socket = home.folder.path().join("admin.sock").display().to_string();
            let arguments =
                ["--socket", &socket, "apply", "-f", &next.display().to_string()].map(str::to_owned);
            let applying = tokio::spawn(async move { run(cupctl(arguments)).await });
            tokio::time::sleep(std::time::Duration::from_millis(u64::from(round) * 4)).await;
            // Dropping it kills it.
            drop(program);
            let told = applying.await.expect("no panic");
            let program = home.start().await;
            let served: u32 = served(&program).await.parse().expect("a number");
            assert!(
                served == last || served == number,
                "{source}: {last} or {number} is served, not {served}"
            );
            if told.code == 0 {
                assert_eq!(served, number, "{source}: what was said to be applied stays: {told:?}");
            }
            let status = home.status().await;
            let (_, history) = home.cupctl(&["history", "-o", "json"]).await;
            let history: Value = serde_json::from_str(&history).expect("JSON");
            assert_eq!(status["revision"], history[0]["number"], "{source}: {history}");
            assert_eq!(status["document"]["hash"], history[0]["hash"], "{source}: {history}");
            last = served;
        }
    }
}
