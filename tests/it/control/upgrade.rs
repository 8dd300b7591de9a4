//! A gateway's process, replaced by another one while requests are served.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::version;
use crate::check::program::{Ended, Program, cupctl, run};
use crate::support::{Backend, Client, Wire, eventually, get, request};

struct Home {
    folder: TempDir,
    address: SocketAddr,
    document: Value,
}

impl Home {
    fn new(backend: &Backend) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
        let mut document = version(backend, 1);
        let more = json!({
            "root": free.to_string(), "workers": 2, "access_log": "off", "history": "revisions",
            "admin": { "socket": folder.path().join("admin.sock") },
            "listeners": { "local": { "address": format!("unix:{}", folder.path().join("cup.sock").display()) } },
        });
        document.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let home = Self { folder, address: free, document };
        home.write(&home.document);
        home
    }

    fn write(&self, document: &Value) {
        std::fs::write(self.folder.path().join("cup.json"), document.to_string())
            .expect("it can be written to");
    }

    async fn start(&self) -> Program {
        Program::serve(&self.folder.path().join("cup.json")).await
    }

    async fn cupctl(&self, arguments: &[&str]) -> Ended {
        let socket = self.folder.path().join("admin.sock").display().to_string();
        run(cupctl(["--socket", &socket].iter().chain(arguments))).await
    }
}

/// Asks on new connections and on one that is kept as long as the gateway keeps it, and counts.
async fn keep_asking(address: SocketAddr, is_over: Arc<AtomicBool>, answered: Arc<AtomicUsize>) {
    let mut kept: Option<Client> = None;
    while !is_over.load(SeqCst) {
        assert_eq!(request(address, get("/")).await.status, 200);
        let is_used = kept.is_some();
        let mut client = match kept.take() {
            Some(client) => client,
            None => Client::http1(address).await.expect("a connection"),
        };
        let answer = match client.send(get("/")).await {
            Ok(answer) => answer,
            // A server may close a connection on which nothing is asked, and clients ask again (RFC 9112, section 9.3.1).
            Err(_) if is_used => continue,
            Err(error) => panic!("a whole response: {error}"),
        };
        assert_eq!(answer.status, 200);
        if answer.header("connection") != Some("close") {
            kept = Some(client);
        }
        answered.fetch_add(2, SeqCst);
    }
}

#[tokio::test]
async fn no_request_fails_while_the_process_is_replaced() {
    let backend = Backend::echo("a");
    let home = Home::new(&backend);
    let old = home.start().await;
    let (is_over, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let asking = tokio::spawn(keep_asking(home.address, Arc::clone(&is_over), Arc::clone(&answered)));
    eventually(async || answered.load(SeqCst) > 20).await;
    let ended = home.cupctl(&["upgrade", "-o", "json"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let told: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    let process = Replacement(told["process"].as_u64().expect("a process"));
    assert_ne!(process.0, u64::from(old.id()));
    let until = answered.load(SeqCst) + 20;
    assert_eq!(old.ended().await.code, 0, "the old one ends");
    eventually(async || answered.load(SeqCst) > until).await;
    is_over.store(true, SeqCst);
    asking.await.expect("no request fails");

    let status: Value =
        serde_json::from_str(&home.cupctl(&["status", "-o", "json"]).await.stdout).expect("JSON");
    assert_eq!(status["revision"], 1, "it is the same document");
    let mut next = home.document.clone();
    next["routes"]["*"]["plugins"][0]["config"]["response"]["set"]["x-version"] = json!("2");
    home.write(&next);
    eventually(async || request(home.address, get("/")).await.header("x-version") == Some("2")).await;
    assert_eq!(home.cupctl(&["history"]).await.stdout.lines().count(), 3, "the history goes on");
    process.signal("-TERM");
    eventually(async || !process.signal("-0")).await;
}

/// A process that is nobody's child here. Dropping it kills it.
struct Replacement(u64);

impl Replacement {
    /// Whether it was there to be told.
    fn signal(&self, signal: &str) -> bool {
        let ended = std::process::Command::new("kill").args([signal, &self.0.to_string()]).output();
        ended.expect("a machine with `kill`").status.success()
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        self.signal("-KILL");
    }
}

#[tokio::test]
async fn what_does_not_serve_replaces_nothing() {
    let backend = Backend::echo("a");
    let home = Home::new(&backend);
    let old = home.start().await;
    let mut wire = Wire::connect(home.address).await;
    for (program, why) in [("/none", "cannot be started"), ("/bin/false", "has ended")] {
        let ended = home.cupctl(&["upgrade", "--program", program]).await;
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.stderr.contains(why), "{ended:?}");
    }
    // A document that cannot be served any more is found out before the old process lets go.
    home.write(&json!({ "routes": 1 }));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let ended = home.cupctl(&["upgrade"]).await;
    assert_eq!(ended.code, 2, "{ended:?}");
    wire.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(wire.read_head().await.start.contains("200"), "connections stay");
    home.write(&home.document);
    assert_eq!(home.cupctl(&["reload"]).await.code, 0, "changes are made again");
    assert_eq!(home.cupctl(&["history"]).await.stdout.lines().count(), 2);
    drop(old);
}
