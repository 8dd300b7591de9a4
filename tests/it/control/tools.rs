//! `cupctl`, as its users call it.

use std::fs;

use serde_json::Value;

use super::{changed, gateway};
use crate::check::program::{Ended, cupctl, run};
use crate::support::{Backend, Gateway};

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
