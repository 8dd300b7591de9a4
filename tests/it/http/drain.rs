//! Stopping: nobody is cut off who can be served in time.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{before, before_with};
use crate::check::program::Program;
use crate::support::{Backend, Client, Wire, eventually, get, within};

/// Answers each request when it is told to.
fn held() -> (Backend, Arc<Notify>) {
    let go_on = Arc::new(Notify::new());
    let told = Arc::clone(&go_on);
    let backend = Backend::with(move |mut wire| {
        let told = Arc::clone(&told);
        async move {
            while wire.try_read_head().await.is_some() {
                told.notified().await;
                wire.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            }
        }
    });
    (backend, go_on)
}

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

#[tokio::test]
async fn a_request_in_flight_is_answered() {
    let (backend, go_on) = held();
    let gateway = before(&backend).await;
    let mut wire = Wire::connect(gateway.address()).await;
    wire.send(GET).await;
    eventually(|| async { backend.requests() == 1 }).await;
    let address = gateway.address();
    let stopping = tokio::spawn(gateway.stop());
    eventually(|| is_refused(address)).await;
    assert!(!stopping.is_finished(), "it waits for what is in flight");
    go_on.notify_one();
    let head = wire.read_head().await;
    assert_eq!((head.status(), head.field("connection")), (200, Some("close")));
    assert_eq!(wire.read_body(&head).await.expect("whole"), b"ok");
    wire.expect_eof().await;
    assert_eq!(within(stopping).await.expect("no panic"), 0);
}

/// Whether nobody listens any more: a connection is refused, or nobody answers its first step.
async fn is_refused(address: SocketAddr) -> bool {
    let connecting = tokio::net::TcpStream::connect(address);
    !matches!(tokio::time::timeout(Duration::from_millis(50), connecting).await, Ok(Ok(_)))
}

#[tokio::test]
async fn connections_between_requests_end_at_once() {
    let backend = Backend::echo("a");
    let gateway = before(&backend).await;
    let mut wire = Wire::connect(gateway.address()).await;
    wire.send(GET).await;
    let head = wire.read_head().await;
    wire.read_body(&head).await;
    let mut newer: Client = Client::http2(gateway.address()).await.expect("it speaks HTTP/2");
    assert_eq!(newer.send(get("/")).await.expect("a response").status, 200);
    let began = Instant::now();
    assert_eq!(gateway.stop().await, 0);
    assert!(began.elapsed() < Duration::from_secs(5), "it took {:?}", began.elapsed());
    wire.expect_eof().await;
    assert!(newer.send(get("/")).await.is_err());
}

#[tokio::test]
async fn connections_that_wait_to_be_accepted_are_served() {
    const WAITING: usize = 40;
    let backend = Backend::echo("a");
    // A worker with one connection at a time leaves the others in its queue.
    let gateway = before_with(&backend, json!({ "limits": { "connections": 1 } })).await;
    let mut clients = Vec::new();
    for _ in 0..WAITING {
        let mut wire = Wire::connect(gateway.address()).await;
        wire.send(GET).await;
        clients.push(wire);
    }
    let stopping = tokio::spawn(gateway.stop());
    let mut asking = JoinSet::new();
    for mut wire in clients {
        asking.spawn(async move {
            let head = wire.read_head().await;
            assert_eq!(head.status(), 200);
            assert!(wire.read_body(&head).await.is_some());
        });
    }
    assert_eq!(within(asking.join_all()).await.len(), WAITING);
    assert_eq!(within(stopping).await.expect("no panic"), 0);
}

#[tokio::test]
async fn clients_that_keep_coming_are_served_or_told_to_go_elsewhere() {
    let backend = Backend::echo("a");
    let gateway = before(&backend).await;
    let address = gateway.address();
    let mut asking = JoinSet::new();
    for _ in 0..8 {
        asking.spawn(async move {
            let mut served = 0;
            // Until nobody listens. Nothing that was accepted may go wrong.
            while let Ok(Ok(io)) =
                tokio::time::timeout(Duration::from_millis(200), tokio::net::TcpStream::connect(address))
                    .await
            {
                let mut wire = Wire::new(io, Arc::default());
                wire.send(GET).await;
                let head = wire.read_head().await;
                assert_eq!(head.status(), 200);
                assert!(wire.read_body(&head).await.is_some());
                served += 1;
            }
            served
        });
    }
    eventually(|| async { backend.requests() > 100 }).await;
    assert_eq!(gateway.stop().await, 0);
    let served: usize = within(asking.join_all()).await.into_iter().sum();
    assert_eq!(served, backend.requests());
}

#[tokio::test]
async fn what_does_not_end_in_time_is_cut_off() {
    let (backend, _go_on) = held();
    let gateway = before_with(&backend, json!({ "timeouts": { "drain": "200ms" } })).await;
    let mut wire = Wire::connect(gateway.address()).await;
    wire.send(GET).await;
    let mut newer: Client = Client::http2(gateway.address()).await.expect("it speaks HTTP/2");
    let asking = tokio::spawn(async move { newer.send(get("/")).await });
    eventually(|| async { backend.requests() == 2 }).await;
    let began = Instant::now();
    assert_eq!(gateway.stop().await, 2);
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(180) && took < Duration::from_secs(5), "it took {took:?}");
    wire.expect_eof().await;
    assert!(within(asking).await.expect("no panic").is_err());
}

#[tokio::test]
async fn what_was_cut_off_is_told_of() {
    let (backend, _go_on) = held();
    let gateway = before_with(&backend, json!({ "timeouts": { "drain": "100ms" } })).await;
    let log = gateway.folder().join("access.log");
    let copy = tempfile::NamedTempFile::new().expect("a temporary file");
    // The folder goes with the gateway.
    std::fs::remove_file(copy.path()).expect("it is there");
    std::fs::hard_link(&log, copy.path()).expect("the log is there from the start");
    let mut wire = Wire::connect(gateway.address()).await;
    wire.send(GET).await;
    eventually(|| async { backend.requests() == 1 }).await;
    assert_eq!(gateway.stop().await, 1);
    let lines = || async { std::fs::read_to_string(copy.path()).is_ok_and(|text| text.lines().count() == 1) };
    eventually(lines).await;
}

/// The real program, before a backend that answers when it is told to.
async fn program(backend: &Backend, folder: &Path) -> Program {
    let document = json!({
        "root": "127.0.0.1:0",
        "workers": 2,
        "access_log": folder.join("access.log"),
        "admin": { "socket": folder.join("admin.sock") },
        "routes": { "*": { "backends": [backend.host()] } },
    });
    let path = folder.join("document.json");
    std::fs::write(&path, document.to_string()).expect("the folder can be written to");
    Program::serve(&path).await
}

#[tokio::test]
async fn the_program_serves_what_is_in_flight_and_leaves_with_0() {
    let (backend, go_on) = held();
    for signal in ["TERM", "INT"] {
        let folder = TempDir::new().expect("a temporary folder");
        let program = program(&backend, folder.path()).await;
        let address = program.address("root");
        let requests = backend.requests();
        let mut wire = Wire::connect(address).await;
        wire.send(GET).await;
        eventually(|| async { backend.requests() == requests + 1 }).await;
        program.signal(signal);
        eventually(|| is_refused(address)).await;
        go_on.notify_one();
        let head = wire.read_head().await;
        assert_eq!(wire.read_body(&head).await.expect("whole"), b"ok");
        let ended = program.ended().await;
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(!folder.path().join("admin.sock").exists(), "the admin socket is left behind");
        let log = std::fs::read_to_string(folder.path().join("access.log")).expect("the log");
        assert_eq!(log.lines().count(), 1, "the last lines are written before it leaves: {log}");
    }
}

#[tokio::test]
async fn a_second_signal_ends_the_program_at_once() {
    let (backend, _go_on) = held();
    let folder = TempDir::new().expect("a temporary folder");
    let program = program(&backend, folder.path()).await;
    let address = program.address("root");
    let mut wire = Wire::connect(address).await;
    wire.send(GET).await;
    eventually(|| async { backend.requests() == 1 }).await;
    program.signal("TERM");
    eventually(|| is_refused(address)).await;
    program.signal("TERM");
    let ended = program.ended().await;
    assert_ne!(ended.code, 0, "{ended:?}");
    assert!(wire.try_read_head().await.is_none());
}
