//! The access log through changes, of the document and of its file.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::{apply, rejected, served, version};
use crate::support::{Backend, Gateway, eventually, get, request};

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("a line of the access log is JSON")).collect()
}

async fn ask(gateway: &Gateway, path: &str) {
    assert_eq!(request(gateway.address(), get(path)).await.status, 200);
}

#[tokio::test]
async fn a_file_that_is_moved_is_left_for_a_new_one() {
    let backend = Backend::echo("a");
    let gateway = Gateway::start(version(&backend, 1)).await;
    let (log, moved) = (gateway.folder().join("access.log"), gateway.folder().join("access.log.1"));
    ask(&gateway, "/before").await;
    gateway.logged(1).await;
    fs::rename(&log, &moved).expect("it can be moved");
    let mut asked = 1;
    eventually(|| {
        asked += 1;
        async {
            ask(&gateway, "/after").await;
            !lines(&log).is_empty()
        }
    })
    .await;
    // Nothing is lost: what the new file does not have stands in the old one.
    eventually(|| async { lines(&log).len() + lines(&moved).len() == asked }).await;
    assert_eq!(lines(&moved)[0]["path"], "/before");
}

#[tokio::test]
async fn a_file_that_vanishes_is_made_anew() {
    let backend = Backend::echo("a");
    let gateway = Gateway::start(version(&backend, 1)).await;
    let log = gateway.folder().join("access.log");
    for _ in 0..2 {
        ask(&gateway, "/").await;
        gateway.logged(1).await;
        fs::remove_file(&log).expect("it is there");
        eventually(|| async {
            ask(&gateway, "/").await;
            log.exists()
        })
        .await;
    }
}

#[tokio::test]
async fn another_target_takes_the_lines_from_then_on() {
    let backend = Backend::echo("a");
    let gateway = Gateway::start(version(&backend, 1)).await;
    ask(&gateway, "/one").await;
    let mut document = version(&backend, 2);
    document["access_log"] = json!("second.log");
    apply(&gateway, document).await;
    ask(&gateway, "/two").await;
    let second = gateway.folder().join("second.log");
    eventually(|| async { lines(&second).len() == 1 }).await;
    assert_eq!((&lines(&second)[0]["path"], &lines(&second)[0]["revision"]), (&json!("/two"), &json!(2)));
    assert_eq!(gateway.logged(1).await.len(), 1, "what was asked before stands where it was told before");
    let mut document = version(&backend, 3);
    document["access_log"] = json!("off");
    apply(&gateway, document).await;
    ask(&gateway, "/three").await;
    apply(&gateway, version(&backend, 4)).await;
    ask(&gateway, "/four").await;
    let log = gateway.logged(2).await;
    assert_eq!((log.len(), &log[1]["path"]), (2, &json!("/four")));
    assert_eq!(lines(&second).len(), 1);
}

#[tokio::test]
async fn a_target_that_cannot_be_opened_rejects_the_change() {
    let backend = Backend::echo("a");
    let gateway = Gateway::start(version(&backend, 1)).await;
    let mut document = version(&backend, 2);
    document["access_log"] = json!("no/such/folder/access.log");
    let diagnostics = rejected(gateway.change(document).await);
    assert_eq!(diagnostics.len(), 1, "{diagnostics:?}");
    assert_eq!(diagnostics[0].pointer, "/access_log");
    assert!(diagnostics[0].hint.is_some(), "{}", diagnostics[0]);
    assert_eq!(served(gateway.address()).await, 1);
    assert_eq!(gateway.logged(1).await[0]["revision"], 1, "the old one goes on");
}

#[tokio::test]
async fn a_full_disk_drops_lines_and_counts_them() {
    let backend = Backend::echo("a");
    let mut document = version(&backend, 1);
    // Every write to this device fails as on a full disk.
    document["access_log"] = json!("/dev/full");
    let gateway = Gateway::start(document).await;
    for _ in 0..3 {
        ask(&gateway, "/").await;
    }
    let dropped = "cloudcup_access_log_dropped_lines_total";
    eventually(|| async { gateway.metric(dropped).await == 3.0 }).await;
    ask(&gateway, "/").await;
}
