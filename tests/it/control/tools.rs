//! `cupctl`, as its users call it.

use std::fs;

use serde_json::{Value, json};

use super::{changed, gateway};
use crate::check::program::{Ended, Program, cupctl, run};
use crate::support::{Backend, Gateway, Port, document, eventually, get, request};

async fn call(gateway: &Gateway, arguments: &[&str]) -> Ended {
    let socket = gateway.app().socket.display().to_string();
    run(cupctl(["--socket", &socket].iter().chain(arguments))).await
}

/// A file with another version than the one that is served.
fn file(gateway: &Gateway, version: u32) -> String {
    let path = gateway.folder().join(format!("{version}.json"));
    fs::write(&path, changed(gateway, version)).expect("the folder can be written to");
    path.display().to_string()
}

#[tokio::test]
async fn a_plan_tells_what_would_change_and_changes_nothing() {
    let backend = Backend::echo("a");
    let gateway = gateway(&backend).await;
    let same = call(&gateway, &["plan", &file(&gateway, 1)]).await;
    assert_eq!(
        (same.code, same.stdout.as_str()),
        (0, "nothing would change: revision 1 serves this already\n")
    );
    let other = call(&gateway, &["plan", &file(&gateway, 2)]).await;
    assert_eq!(other.code, 2, "{other:?}");
    for part in ["x-version", "\"1\" -> \"2\"", "routes replaced: *", "plugins replaced: headers"] {
        assert!(other.stdout.contains(part), "{part}: {}", other.stdout);
    }
    assert!(other.stdout.contains("upstreams: 1 keep their connections and health"), "{}", other.stdout);
    assert!(!other.stdout.contains('\x1b'), "colours are for terminals");
    let bad = gateway.folder().join("bad.json");
    fs::write(&bad, "{}").expect("the folder can be written to");
    let bad = call(&gateway, &["plan", &bad.display().to_string()]).await;
    assert_eq!((bad.code, bad.stdout.as_str()), (1, ""), "{bad:?}");
    assert!(bad.stderr.contains("missing field `routes`"), "{bad:?}");
    let told = call(&gateway, &["plan", &file(&gateway, 2), "-o", "json"]).await;
    let told: Value = serde_json::from_str(&told.stdout).expect("JSON");
    assert_eq!(told["routes"]["changed"][0], "*");
    assert_eq!(call(&gateway, &["history"]).await.stdout.lines().count(), 2);
}

#[tokio::test]
async fn apply_history_diff_and_rollback_go_together() {
    let backend = Backend::echo("a");
    let gateway = gateway(&backend).await;
    let applied = call(&gateway, &["apply", "-f", &file(&gateway, 2), "-m", "the second"]).await;
    assert!(applied.stdout.starts_with("applied as revision 2 in "), "{applied:?}");
    let again = call(&gateway, &["apply", "-f", &file(&gateway, 2)]).await;
    assert_eq!((again.code, again.stdout.as_str()), (0, "unchanged: revision 2 serves this already\n"));
    let late = call(&gateway, &["apply", "-f", &file(&gateway, 3), "--if-match", "1"]).await;
    assert_eq!(late.code, 3, "{late:?}");
    assert!(late.stderr.contains("revision 2 is running, not 1"), "{late:?}");
    assert!(late.stdout.contains("x-version"), "what has changed since: {late:?}");
    let history = call(&gateway, &["history"]).await.stdout;
    assert!(history.lines().nth(1).is_some_and(|line| line.ends_with("the second")), "{history}");
    let diff = call(&gateway, &["diff", "1"]).await;
    assert_eq!(diff.code, 2);
    assert!(diff.stdout.starts_with("~ /routes/*/plugins/0/config/response/set/x-version"), "{diff:?}");
    assert_eq!(call(&gateway, &["diff", "2", "2"]).await.code, 0);
    assert_eq!(call(&gateway, &["diff", "7"]).await.code, 1);
    let back = call(&gateway, &["rollback"]).await;
    assert!(back.stdout.starts_with("applied as revision 3 in "), "{back:?}");
    assert_eq!(call(&gateway, &["diff", "1"]).await.code, 0);
    let rejected = gateway.folder().join("bad.json");
    fs::write(&rejected, "{}").expect("the folder can be written to");
    assert_eq!(call(&gateway, &["apply", "-f", &rejected.display().to_string()]).await.code, 1);
    assert_eq!(call(&gateway, &["apply", "-f", "/none.json"]).await.code, 2);
}

#[tokio::test]
async fn what_is_served_is_shown() {
    let backend = Backend::echo("a");
    let gateway = gateway(&backend).await;
    for (what, part) in [
        ("routes", "*        "),
        ("upstreams", "healthy"),
        ("plugins", "headers"),
        ("listeners", "root"),
        ("config", "\"routes\""),
    ] {
        let shown = call(&gateway, &["show", what]).await;
        assert_eq!(shown.code, 0, "{shown:?}");
        assert!(shown.stdout.contains(part), "{what}: {}", shown.stdout);
        let told = call(&gateway, &["show", what, "-o", "json"]).await;
        assert!(serde_json::from_str::<Value>(&told.stdout).is_ok(), "{what}: {told:?}");
    }
    let place = call(&gateway, &["show", "config", "/routes/*/plugins/0/use"]).await;
    assert_eq!(place.stdout, "\"headers\"\n");
    let none = call(&gateway, &["show", "config", "/route"]).await;
    assert_eq!(none.code, 2);
    assert!(none.stderr.contains("routes"), "what was meant: {none:?}");
    assert!(call(&gateway, &["completions", "bash"]).await.stdout.contains("_cupctl"));
}

#[tokio::test]
async fn backends_are_asked_and_documents_tried_when_somebody_wants_to_know() {
    let (backend, nobody) = (Backend::echo("a"), Port::reserve());
    let routes = json!({ "/a": { "backends": [backend.host()] }, "/b": { "backends": [nobody.host()] } });
    let gateway = Gateway::start(document(routes)).await;
    let fit = call(&gateway, &["check", "-r", "/a"]).await;
    assert!(fit.code == 0 && fit.stdout.contains("answers"), "{fit:?}");
    let unfit = call(&gateway, &["check", "-b", &nobody.address().to_string()]).await;
    assert!(unfit.code == 1 && unfit.stdout.contains("refused"), "{unfit:?}");
    assert_eq!(call(&gateway, &["check", "-r", "/none"]).await.code, 2);
    let own = gateway.folder().join("document.json").display().to_string();
    assert_eq!(call(&gateway, &["check", &own, "--live"]).await.code, 0);
    // Whoever has the address is found only by trying.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let mut document: Value =
        serde_json::from_str(&fs::read_to_string(&own).expect("it is there")).expect("JSON");
    document["root"] = json!(taken.local_addr().expect("it is bound").to_string());
    let next = gateway.folder().join("next.json");
    fs::write(&next, document.to_string()).expect("the folder can be written to");
    let next = next.display().to_string();
    assert_eq!(call(&gateway, &["check", &next]).await.code, 0);
    let tried = call(&gateway, &["check", &next, "--live"]).await;
    assert!(tried.code == 1 && tried.stderr.contains("cannot listen"), "{tried:?}");
}

#[tokio::test]
async fn the_access_log_is_followed_and_rates_are_shown() {
    let backend = Backend::echo("a");
    let gateway = gateway(&backend).await;
    let socket = gateway.app().socket.display().to_string();
    let following = Program::start(cupctl(["--socket", &socket, "logs", "-f"]));
    let is_told = async || {
        request(gateway.address(), get("/followed")).await;
        following.stdout().contains(" GET 127.0.0.1") && following.stdout().contains("/followed 200 ")
    };
    eventually(is_told).await;
    let top = tokio::spawn({
        let socket = socket.clone();
        async move { run(cupctl(["--socket", &socket, "top", "--rounds", "1"])).await }
    });
    while !top.is_finished() {
        request(gateway.address(), get("/")).await;
    }
    let told = top.await.expect("no panic");
    let route = told.stdout.lines().find(|line| line.starts_with("* ")).unwrap_or_else(|| panic!("{told:?}"));
    let rate: f64 = route.split_whitespace().nth(1).and_then(|rate| rate.parse().ok()).expect("a rate");
    assert!(rate > 1.0, "{}", told.stdout);
}

#[tokio::test]
async fn a_check_tells_programs_what_is_wrong() {
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let file = folder.path().join("cup.json");
    let check = async |text: &str| {
        fs::write(&file, text).expect("the folder can be written to");
        let ended = run(cupctl(["check", &file.display().to_string(), "-o", "json"])).await;
        let told: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{ended:?}"));
        (ended.code, told)
    };
    let good = r#"{ "root": ":8080", "routes": { "*": { "backends": [{ "host": "a:1" }] } } }"#;
    assert_eq!(check(good).await, (0, json!({ "outcome": "good", "diagnostics": [] })));
    let (code, told) = check(r#"{ "root": ":8080", "routes": 1 }"#).await;
    assert_eq!((code, &told["diagnostics"][0]["pointer"]), (1, &json!("/routes")));
}
