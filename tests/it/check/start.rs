//! What keeps a gateway from starting, and how it says so.

use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::program::{Ended, Program, cloud_cup, cupctl, run};
use super::{Written, assert_plain, diagnostics, minimal};

/// Starts a gateway that is expected not to serve.
async fn start(written: &Written) -> Ended {
    let ended = run(cloud_cup([OsStr::new("--config"), written.file().as_os_str()])).await;
    assert_ne!(ended.code, 0, "{ended:?}");
    assert_plain(&ended);
    ended
}

/// Something that listens where the gateway wants to.
fn occupied() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    (listener, address)
}

fn complete(mut document: Value, folder: &Path) -> String {
    let fields = document.as_object_mut().expect("an object");
    fields.entry("admin").or_insert(json!({ "socket": folder.join("admin.sock") }));
    fields.entry("access_log").or_insert(json!("off"));
    document.to_string()
}

fn written(document: Value) -> Written {
    let written = Written::new("");
    fs::write(written.file(), complete(document, written.folder.path()))
        .expect("the folder can be written to");
    written
}

#[tokio::test]
async fn an_occupied_port_is_told_with_its_place_in_the_document() {
    let (_listener, address) = occupied();
    let (_other, other) = occupied();
    let mut document = minimal();
    document["root"] = json!(address);
    document["listeners"] = json!({ "inside": { "address": other } });
    let written = written(document);
    let ended = start(&written).await;
    assert_eq!(ended.code, 1);
    let found = diagnostics(&ended, &written.file());
    assert_eq!(found.len(), 2, "both are told: {found:#?}");
    for (pointer, address) in [("/root", &address), ("/listeners/inside", &other)] {
        let told = found.iter().find(|diagnostic| diagnostic.starts_with(&format!("error at {pointer}")));
        let told = told.unwrap_or_else(|| panic!("{pointer}: {found:#?}"));
        assert!(told.contains(&format!(": cannot listen on {address}: ")), "{told}");
        assert!(told.contains("hint: "), "what to do: {told}");
    }
}

#[tokio::test]
async fn an_occupied_admin_address_is_told() {
    let (_listener, address) = occupied();
    let written = Written::new("");
    let mut document = minimal();
    document["admin"] = json!({ "listen": address, "socket": written.folder.path().join("admin.sock") });
    fs::write(written.file(), complete(document, written.folder.path()))
        .expect("the folder can be written to");
    let ended = start(&written).await;
    assert!(ended.stderr.contains(&address) && ended.stderr.contains("admin"), "{ended:?}");
    assert!(ended.stderr.contains("Address already in use"), "{ended:?}");
    assert!(!written.folder.path().join("admin.sock").exists(), "nothing is left behind");
}

#[tokio::test]
async fn an_admin_socket_that_cannot_be_opened_is_told() {
    let folder = Written::new("").beside("file", "not a socket");
    let path = |name: &str| folder.folder.path().join(name);
    let long = "x".repeat(200);
    for (socket, words) in [
        (path("file"), "is not a socket"),
        (path("."), "is not a socket"),
        (path("no/such/folder/admin.sock"), "No such file or directory"),
        (path(&long), "admin.socket"),
    ] {
        let mut document = minimal();
        document["admin"] = json!({ "socket": socket });
        let ended = start(&written(document)).await;
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.stderr.contains(words), "{ended:?}");
        assert!(ended.stderr.contains("admin.socket"), "what to do: {ended:?}");
    }
    assert_eq!(
        fs::read_to_string(path("file")).expect("it is there"),
        "not a socket",
        "what is no socket stays"
    );
}

#[tokio::test]
async fn a_second_gateway_does_not_take_the_first_ones_socket() {
    let first = written(minimal());
    let running = Program::serve(&first.file()).await;
    let mut document = minimal();
    document["admin"] = json!({ "socket": first.folder.path().join("admin.sock") });
    let ended = start(&written(document)).await;
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.stderr.contains("another gateway uses the admin socket"), "{ended:?}");
    let socket = first.folder.path().join("admin.sock");
    let status = run(cupctl([OsStr::new("--socket"), socket.as_os_str(), OsStr::new("status")])).await;
    assert_eq!(status.code, 0, "the first one still answers: {status:?}");
    drop(running);
    // The first one was killed and has left its socket.
    let second = written(json!({
        "root": "127.0.0.1:0",
        "admin": { "socket": socket },
        "routes": {},
    }));
    Program::serve(&second.file()).await;
}

#[tokio::test]
async fn an_access_log_that_cannot_be_opened_is_told() {
    let here = Written::new("");
    for (target, words) in
        [("no/such/folder/access.log", "No such file or directory"), (".", "Is a directory")]
    {
        let mut document = minimal();
        document["access_log"] = json!(here.folder.path().join(target));
        let written = written(document);
        let ended = start(&written).await;
        assert_eq!(ended.code, 1);
        let found = diagnostics(&ended, &written.file());
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].starts_with("error at /access_log, line 1, "), "{found:#?}");
        assert!(found[0].contains(words) && found[0].contains("hint: "), "{found:#?}");
    }
}

#[tokio::test]
async fn a_rejected_document_keeps_the_gateway_from_starting() {
    let written = Written::new(r#"{ "rot": ":80", "routes": {} }"#);
    let ended = start(&written).await;
    assert_eq!(ended.code, 1);
    assert_eq!(diagnostics(&ended, &written.file()), written.rejected().await, "it says what `check` says");
}

#[tokio::test]
async fn flags_that_make_no_sense_are_told() {
    let cases: [(&[&str], &str); 8] = [
        (&["--confg", "x"], "--config"),
        (&["--config"], "FILE"),
        (&["chek", "x"], "check"),
        (&["check"], "<FILE>"),
        (&["--config", "a", "--config", "b"], "--config"),
        (&["--config", "a", "check", "b"], "check"),
        (&["x"], "x"),
        (&[], "--config FILE"),
    ];
    for (arguments, words) in cases {
        let ended = run(cloud_cup(arguments)).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{arguments:?}: {ended:?}");
        assert!(
            ended.stderr.starts_with("error: ") && ended.stderr.contains(words),
            "{arguments:?}: {ended:?}"
        );
        assert_plain(&ended);
    }
    let cases: [(&[&str], &str); 4] = [
        (&["relod"], "reload"),
        (&["reload", "x"], "x"),
        (&["--output", "xml", "status"], "json"),
        (&["check"], "<FILE>"),
    ];
    for (arguments, words) in cases {
        let ended = run(cupctl(arguments)).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{arguments:?}: {ended:?}");
        assert!(
            ended.stderr.starts_with("error: ") && ended.stderr.contains(words),
            "{arguments:?}: {ended:?}"
        );
    }
    for help in [run(cloud_cup(["--help"])).await, run(cupctl(["--help"])).await] {
        assert_eq!((help.code, help.stderr.as_str()), (0, ""), "{help:?}");
        assert!(help.stdout.contains("check"), "{help:?}");
    }
}

#[tokio::test]
async fn the_schema_is_printed() {
    let ended = run(cupctl(["schema"])).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    let printed: Value = serde_json::from_str(&ended.stdout).expect("it is JSON");
    assert_eq!(printed, cloud_cup::config::schema());
}

#[tokio::test]
async fn an_access_log_that_is_a_pipe_keeps_nobody_waiting() {
    let here = Written::new("");
    let pipe = here.folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("there is a `mkfifo`").success());
    let mut document = minimal();
    document["access_log"] = json!(pipe);
    let written = written(document);
    // Nobody has the other end open: that is an error like any other.
    let ended = start(&written).await;
    assert_eq!(ended.code, 1, "{ended:?}");
    let found = diagnostics(&ended, &written.file());
    assert!(found[0].starts_with("error at /access_log, ") && found[0].contains("hint: "), "{found:#?}");
}
