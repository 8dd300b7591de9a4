//! `cupctl` and signals, with the real binaries.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::check::program::{Ended, Program, cloud_cup, cupctl, run};
use crate::support::{Backend, Wire, eventually, get, request};

/// A gateway that runs, with a document whose responses have what stands in a file beside it.
struct Running {
    folder: TempDir,
    program: Program,
    document: Value,
}

impl Running {
    async fn start(backend: &Backend) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let config = json!({ "response": { "set": { "x-version": "$file:version" } } });
        let plugins = json!([{ "use": "headers", "config": config }]);
        let document = json!({
            "root": "127.0.0.1:0",
            "workers": 2,
            "access_log": "access.log",
            "admin": { "socket": "admin.sock" },
            "routes": { "*": { "backends": [backend.host()], "plugins": plugins } },
        });
        fs::write(folder.path().join("version"), "1\n").expect("it can be written to");
        fs::write(folder.path().join("cup.json"), document.to_string()).expect("it can be written to");
        let program = Program::serve(&folder.path().join("cup.json")).await;
        Self { folder, program, document }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, document: &Value) {
        let new = self.path("cup.json.new");
        fs::write(&new, document.to_string()).expect("it can be written to");
        fs::rename(new, self.path("cup.json")).expect("it can be replaced");
    }

    async fn version(&self) -> String {
        let answer = request(self.program.address("root"), get("/")).await;
        answer.header("x-version").expect("a version").to_owned()
    }

    async fn cupctl(&self, arguments: &[&str]) -> Ended {
        let socket = self.path("admin.sock");
        let arguments = arguments.iter().map(OsStr::new);
        run(cupctl([OsStr::new("--socket"), socket.as_os_str()].into_iter().chain(arguments))).await
    }
}

#[tokio::test]
async fn a_hangup_reloads() {
    let backend = Backend::echo("a");
    let running = Running::start(&backend).await;
    for version in ["2", "3"] {
        fs::write(running.path("version"), version).expect("it can be written to");
        running.program.signal("HUP");
        eventually(|| async { running.version().await == version }).await;
    }
}

#[tokio::test]
async fn a_hangup_with_a_bad_document_is_told_and_changes_nothing() {
    let backend = Backend::echo("a");
    let running = Running::start(&backend).await;
    let mut bad = running.document.clone();
    bad["roots"] = json!(1);
    running.write(&bad);
    running.program.signal("HUP");
    let told = || {
        let log = running.program.log();
        let error = log.iter().find(|line| line["level"] == "ERROR").cloned();
        async move { error }
    };
    let line = crate::support::found(told).await;
    let words = line["message"].as_str().expect("a message");
    assert!(words.contains("unknown field `roots`") && words.contains("did you mean `root`?"), "{line}");
    assert!(line["document"].as_str().is_some_and(|path| path.ends_with("cup.json")), "{line}");
    assert_eq!(running.version().await, "1");
}

#[tokio::test]
async fn cupctl_reload_tells_the_outcome() {
    let backend = Backend::echo("a");
    let running = Running::start(&backend).await;
    let ended = running.cupctl(&["reload"]).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    assert_eq!(ended.stdout, "unchanged: revision 1 serves this already\n");
    fs::write(running.path("version"), "2").expect("it can be written to");
    let ended = running.cupctl(&["reload"]).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    // Should the file be watched, the watch may have been faster.
    let is_told = ended.stdout.starts_with("applied as revision 2 in ")
        || ended.stdout.starts_with("unchanged: revision 2 ");
    assert!(is_told, "{}", ended.stdout);
    assert_eq!(running.version().await, "2", "every worker serves it by now");
    assert_eq!(running.version().await, "2");
}

#[tokio::test]
async fn cupctl_reload_tells_why_a_change_is_rejected() {
    let backend = Backend::echo("a");
    let running = Running::start(&backend).await;
    let mut bad = running.document.clone();
    bad["routes"]["*"]["plugins"][0]["use"] = json!("heders");
    bad["workers"] = json!(0);
    running.write(&bad);
    let ended = running.cupctl(&["reload"]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (1, ""), "{ended:?}");
    let lines: Vec<_> = ended.stderr.lines().collect();
    assert_eq!(lines[0], "rejected: the running snapshot stays");
    for (begin, end) in [
        ("error at /routes/*/plugins/0/use, line 1, column ", ": unknown plugin `heders`"),
        ("  hint: did you mean `headers`?", ""),
        ("error at /workers, line 1, column ", ": expected 1 to 256, found `0`"),
    ] {
        assert!(
            lines.iter().any(|line| line.starts_with(begin) && line.ends_with(end)),
            "{begin}: {lines:#?}"
        );
    }
    assert_eq!(lines.len(), 4, "{lines:#?}");
    assert_eq!(running.version().await, "1");
}

#[tokio::test]
async fn cupctl_tells_when_nobody_can_be_asked() {
    let backend = Backend::echo("a");
    let running = Running::start(&backend).await;
    fs::remove_file(running.path("cup.json")).expect("it is there");
    let ended = running.cupctl(&["reload"]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{ended:?}");
    assert!(ended.stderr.starts_with("error: cannot read the document "), "{ended:?}");
    assert_eq!(running.version().await, "1");
    let socket = running.path("other.sock");
    for command in ["reload", "status"] {
        let ended = run(cupctl([OsStr::new(command), OsStr::new("--socket"), socket.as_os_str()])).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{ended:?}");
        assert!(ended.stderr.starts_with("error: no gateway answers on "), "{ended:?}");
        assert!(ended.stderr.contains("other.sock") && ended.stderr.contains("--socket"), "{ended:?}");
    }
}

#[tokio::test]
async fn cupctl_speaks_json_where_that_is_asked_for() {
    let backend = Backend::echo("a");
    let running = Running::start(&backend).await;
    let read = |ended: &Ended| {
        serde_json::from_str::<Value>(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
    };
    let ended = running.cupctl(&["reload", "--output", "json"]).await;
    assert_eq!((ended.code, read(&ended)), (0, json!({ "outcome": "unchanged", "revision": 1 })));
    let mut bad = running.document.clone();
    bad["roots"] = json!(1);
    running.write(&bad);
    let ended = running.cupctl(&["reload", "--output", "json"]).await;
    let report = read(&ended);
    assert_eq!((ended.code, &report["outcome"]), (1, &json!("rejected")));
    let diagnostic = &report["diagnostics"][0];
    assert_eq!((&diagnostic["severity"], &diagnostic["pointer"]), (&json!("error"), &json!("")));
    assert!(diagnostic["line"].is_u64() && diagnostic["column"].is_u64(), "{report}");
    assert_eq!(diagnostic["hint"], "did you mean `root`?");
    let status = read(&running.cupctl(&["status", "--output", "json"]).await);
    assert_eq!(
        (&status["revision"], &status["workers"], &status["routes"]),
        (&json!(1), &json!(2), &json!(1))
    );
    assert_eq!(status["upstreams"][0]["backends"][0]["healthy"], true);
}

#[tokio::test]
async fn cupctl_status_tells_what_is_served() {
    let backend = Backend::echo("a");
    let running = Running::start(&backend).await;
    let ended = running.cupctl(&["status"]).await;
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    for part in ["revision 1,", "2 workers", "1 routes", &backend.address().to_string(), "healthy"] {
        assert!(ended.stdout.contains(part), "`{part}` is not in {}", ended.stdout);
    }
}

#[tokio::test]
async fn the_last_lines_of_the_access_log_are_written_before_the_end() {
    const REQUESTS: usize = 20;
    let backend = Backend::echo("a");
    for round in 0..5 {
        let running = Running::start(&backend).await;
        let address = running.program.address("root");
        let mut client = Wire::connect(address).await;
        for _ in 0..REQUESTS {
            client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
            let head = client.read_head().await;
            client.read_body(&head).await.expect("a whole body");
        }
        running.program.signal("TERM");
        let Running { folder, program, .. } = running;
        let ended = program.ended().await;
        assert_eq!(ended.code, 0, "{ended:?}");
        let log = fs::read_to_string(folder.path().join("access.log")).expect("it is there");
        assert_eq!(log.lines().count(), REQUESTS, "round {round}");
    }
}

#[tokio::test]
async fn a_gateway_that_stops_takes_its_socket_away() {
    let backend = Backend::echo("a");
    let running = Running::start(&backend).await;
    let socket = running.path("admin.sock");
    assert!(socket.exists());
    running.program.signal("INT");
    let Running { program, .. } = running;
    let ended = program.ended().await;
    assert_eq!((ended.code, ended.stdout.as_str()), (0, ""), "{ended:?}");
    assert!(!socket.exists());
}

#[tokio::test]
async fn a_document_by_a_relative_path_is_served_and_watched() {
    let backend = Backend::echo("a");
    let folder = TempDir::new().expect("a temporary folder");
    let write = |version: &str| {
        let config = json!({ "response": { "set": { "x-version": version } } });
        let plugins = json!([{ "use": "headers", "config": config }]);
        let document = json!({
            "root": "127.0.0.1:0",
            "admin": { "socket": "admin.sock" },
            "routes": { "*": { "backends": [backend.host()], "plugins": plugins } },
        });
        fs::write(folder.path().join("cup.json"), document.to_string()).expect("it can be written to");
    };
    write("1");
    let mut command = cloud_cup(["--config", "cup.json"]);
    command.current_dir(folder.path());
    let program = Program::serving(command).await;
    let version =
        || async { request(program.address("root"), get("/")).await.header("x-version").map(str::to_owned) };
    assert_eq!(version().await.as_deref(), Some("1"));
    write("2");
    eventually(|| async { version().await.as_deref() == Some("2") }).await;
    // Without a word of it in the document, the access log goes to standard output, and the log elsewhere.
    program.signal("TERM");
    let ended = program.ended().await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stdout.lines().count() >= 2, "{}", ended.stdout);
    for line in ended.stdout.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_eq!((&line["path"], &line["status"]), (&json!("/"), &json!(200)));
    }
}

#[tokio::test]
async fn the_gateway_and_cupctl_meet_where_the_environment_says() {
    let folder = TempDir::new().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    fs::write(at("cup.json"), r#"{ "root": "127.0.0.1:0", "access_log": "off", "routes": {} }"#)
        .expect("it can be written to");
    let mut command = cloud_cup([OsStr::new("--config"), at("cup.json").as_os_str()]);
    command.env("CLOUDCUP_SOCKET", at("there.sock"));
    let _program = Program::serving(command).await;
    let mut status = cupctl(["status"]);
    status.env("CLOUDCUP_SOCKET", at("there.sock"));
    assert_eq!(run(status).await.code, 0);
    assert!(at("there.sock").exists());
}

#[tokio::test]
async fn an_access_log_that_nobody_reads_holds_nobody_up() {
    // More than a pipe takes.
    const REQUESTS: usize = 1000;
    let backend = Backend::respond("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let folder = TempDir::new().expect("a temporary folder");
    let document = json!({
        "root": "127.0.0.1:0",
        "admin": { "socket": "admin.sock" },
        "routes": { "*": { "backends": [backend.host()] } },
    });
    let path = folder.path().join("cup.json");
    fs::write(&path, document.to_string()).expect("it can be written to");
    let program = Program::serving_unread(cloud_cup([OsStr::new("--config"), path.as_os_str()])).await;
    let mut client = Wire::connect(program.address("root")).await;
    for _ in 0..REQUESTS {
        client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert_eq!(client.read_head().await.status(), 200);
    }
    program.signal("TERM");
    assert_eq!(program.ended().await.code, 0);
}
