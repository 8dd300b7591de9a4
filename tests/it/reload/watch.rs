//! Changes that are noticed by themselves.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use cloud_cup::app::App;
use cloud_cup::reload::Outcome;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{marked, served, version, versioned};
use crate::support::{Backend, Gateway, eventually, get, guest, request, within};

fn file(gateway: &Gateway) -> PathBuf {
    gateway.folder().join("document.json")
}

/// The text of the document in another version.
fn next(gateway: &Gateway, backend: &Backend, number: u32) -> String {
    let text = fs::read_to_string(file(gateway)).expect("it is there");
    let mut document: Value = serde_json::from_str(&text).expect("it is JSON");
    document["routes"]["*"] = versioned(backend, number);
    document.to_string()
}

async fn revision(gateway: &Gateway) -> f64 {
    gateway.metric("cloudcup_snapshot_revision").await
}

#[tokio::test]
async fn a_document_that_is_written_in_place_is_applied() {
    let backend = Backend::echo("a");
    let gateway = Gateway::start(version(&backend, 1)).await;
    for number in 2..=4 {
        fs::write(file(&gateway), next(&gateway, &backend, number)).expect("it can be written to");
        eventually(|| async { served(gateway.address()).await == number }).await;
    }
}

#[tokio::test]
async fn a_document_that_is_replaced_is_applied() {
    let backend = Backend::echo("a");
    let gateway = Gateway::start(version(&backend, 1)).await;
    for number in 2..=4 {
        gateway.write(version(&backend, number));
        eventually(|| async { served(gateway.address()).await == number }).await;
    }
}

#[tokio::test]
async fn a_document_that_an_editor_moves_aside_is_applied() {
    let backend = Backend::echo("a");
    let gateway = Gateway::start(version(&backend, 1)).await;
    for number in 2..=4 {
        let text = next(&gateway, &backend, number);
        fs::rename(file(&gateway), gateway.folder().join("document.json~")).expect("it can be moved");
        fs::write(file(&gateway), text).expect("it can be written to");
        eventually(|| async { served(gateway.address()).await == number }).await;
    }
}

#[tokio::test]
async fn a_document_behind_links_is_applied() {
    let backend = Backend::echo("a");
    let folder = TempDir::new().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    let write = |name: &str, number: u32| {
        let mut document = version(&backend, number);
        document["root"] = json!("127.0.0.1:0");
        document["access_log"] = json!("off");
        document["admin"] = json!({ "socket": at("admin.sock") });
        fs::create_dir(at(name)).expect("a new folder");
        fs::write(at(name).join("document.json"), document.to_string()).expect("it can be written to");
    };
    // As volumes of Kubernetes are made: the folder that the link leads through is replaced.
    write("one", 1);
    symlink("one", at("data")).expect("a link");
    symlink("data/document.json", at("document.json")).expect("a link");
    let app = match within(App::start(at("document.json"))).await {
        Ok(app) => app,
        Err(error) => panic!("{error}"),
    };
    for (number, name) in [(2, "two"), (3, "three")] {
        write(name, number);
        symlink(name, at("data.new")).expect("a link");
        fs::rename(at("data.new"), at("data")).expect("it can be replaced");
        eventually(|| async { served(app.addresses[0].1.tcp().expect("a port")).await == number }).await;
    }
}

#[tokio::test]
async fn a_component_that_is_replaced_is_a_change() {
    let backend = Backend::echo("a");
    let component = crate::plugins::dist("headers");
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("mine.wasm");
    fs::write(&path, &component).expect("it can be written to");
    let route = json!({ "backends": [backend.host()], "plugins": ["mine"] });
    let document = json!({ "plugins": { "mine": { "source": "mine.wasm" } }, "routes": { "*": route } });
    let gateway = Gateway::try_start_in(folder, document).await.unwrap_or_else(|error| panic!("{error}"));
    replace(&path, &marked(&component, 1));
    eventually(|| async { revision(&gateway).await == 2.0 }).await;
    fs::write(&path, marked(&component, 2)).expect("it can be written to");
    eventually(|| async { revision(&gateway).await == 3.0 }).await;
    // The same content is no change, whatever its date.
    replace(&path, &marked(&component, 2));
    assert!(matches!(gateway.reload().await, Outcome::Unchanged { revision: 3 }));
    assert_eq!(request(gateway.address(), get("/")).await.backend(), "a");
}

fn replace(path: &Path, bytes: &[u8]) {
    let new = path.with_extension("new");
    fs::write(&new, bytes).expect("it can be written to");
    fs::rename(new, path).expect("it can be replaced");
}

#[tokio::test]
async fn guest_a_component_that_does_something_else_serves_the_next_request() {
    let backend = Backend::echo("a");
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("mine.wasm");
    fs::copy(guest("noop"), &path).expect("it can be written to");
    let route = json!({ "backends": [backend.host()], "plugins": ["mine"] });
    let document = json!({ "plugins": { "mine": { "source": "mine.wasm" } }, "routes": { "*": route } });
    let gateway = Gateway::try_start_in(folder, document).await.unwrap_or_else(|error| panic!("{error}"));
    let count = || async { request(gateway.address(), get("/")).await.header("x-count").map(str::to_owned) };
    assert_eq!(count().await, None);
    replace(&path, &fs::read(guest("counter")).expect("it is there"));
    eventually(|| async { count().await.is_some() }).await;
    replace(&path, &fs::read(guest("noop")).expect("it is there"));
    eventually(|| async { count().await.is_none() }).await;
}

#[tokio::test]
async fn a_busy_neighbour_does_not_hide_a_change() {
    let backend = Backend::echo("a");
    let gateway = Gateway::start(version(&backend, 1)).await;
    let address = gateway.address();
    let neighbour = gateway.folder().join("neighbour");
    let busy = tokio::spawn(async move {
        loop {
            fs::write(&neighbour, "busy").expect("it can be written to");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    });
    // The access log lies in the same folder and is written to all the time too.
    for number in 2..=3 {
        fs::write(file(&gateway), next(&gateway, &backend, number)).expect("it can be written to");
        eventually(|| async { served(address).await == number }).await;
    }
    busy.abort();
    assert_eq!(revision(&gateway).await, 3.0, "the neighbour is no change");
}

#[tokio::test]
async fn the_last_of_many_changes_is_served_in_the_end() {
    let backend = Backend::echo("a");
    let gateway = Gateway::start(version(&backend, 1)).await;
    let mut number = 1;
    // At every distance from the reload that the one before it causes.
    for pause in (0..12).map(|step| std::time::Duration::from_millis(step * 25)) {
        for _ in 0..3 {
            number += 1;
            gateway.write(version(&backend, number));
            tokio::time::sleep(pause).await;
        }
        eventually(|| async { served(gateway.address()).await == number }).await;
    }
}

#[tokio::test]
async fn a_change_while_another_one_is_applied_is_not_lost() {
    let backend = Backend::echo("a");
    let gateway = Gateway::start(version(&backend, 1)).await;
    for number in (2..30).step_by(2) {
        gateway.write(version(&backend, number));
        let (outcome, ()) = tokio::join!(gateway.reload(), async {
            tokio::task::yield_now().await;
            gateway.write(version(&backend, number + 1));
        });
        super::assert_applied(&outcome);
        eventually(|| async { served(gateway.address()).await == number + 1 }).await;
    }
}

#[tokio::test]
async fn a_document_that_vanishes_leaves_the_running_one_in_place() {
    let backend = Backend::echo("a");
    let gateway = Gateway::start(version(&backend, 1)).await;
    fs::remove_file(file(&gateway)).expect("it is there");
    let Outcome::Failed { message } = gateway.reload().await else { panic!("there is nothing to reload") };
    assert!(message.contains("document.json") && message.contains("No such file"), "{message}");
    let failed = "cloudcup_reloads_total{outcome=\"rejected\"}";
    eventually(|| async { gateway.metric(failed).await >= 1.0 }).await;
    assert_eq!(served(gateway.address()).await, 1);
    gateway.write(version(&backend, 2));
    eventually(|| async { served(gateway.address()).await == 2 }).await;
}

#[tokio::test]
async fn a_rejected_document_leaves_the_running_one_in_place_until_it_is_mended() {
    let backend = Backend::echo("a");
    let gateway = Gateway::start(version(&backend, 1)).await;
    for (round, bad) in ["{", "", "{\"root\": 1}"].into_iter().enumerate() {
        let good = next(&gateway, &backend, round as u32 + 2);
        let before = gateway.metric("cloudcup_reloads_total{outcome=\"rejected\"}").await;
        fs::write(file(&gateway), bad).expect("it can be written to");
        eventually(|| async {
            gateway.metric("cloudcup_reloads_total{outcome=\"rejected\"}").await > before
        })
        .await;
        assert_eq!(served(gateway.address()).await, round as u32 + 1);
        fs::write(file(&gateway), good).expect("it can be written to");
        eventually(|| async { served(gateway.address()).await == round as u32 + 2 }).await;
    }
}

#[tokio::test]
async fn a_component_that_was_missing_is_noticed_when_it_comes() {
    let backend = Backend::echo("a");
    let gateway = Gateway::start(version(&backend, 1)).await;
    let mut document = version(&backend, 2);
    document["plugins"] = json!({ "mine": { "source": "later.wasm" } });
    document["routes"]["/mine"] = json!({ "backends": [backend.host()], "plugins": ["mine"] });
    super::rejected(gateway.change(document).await);
    assert_eq!(served(gateway.address()).await, 1);
    replace(&gateway.folder().join("later.wasm"), &crate::plugins::dist("headers"));
    eventually(|| async { served(gateway.address()).await == 2 }).await;
}

#[tokio::test]
async fn what_means_the_same_is_unchanged() {
    let backend = Backend::echo("a");
    let gateway = Gateway::start(version(&backend, 1)).await;
    assert!(matches!(gateway.reload().await, Outcome::Unchanged { revision: 1 }));
    let text = fs::read_to_string(file(&gateway)).expect("it is there");
    let document: Value = serde_json::from_str(&text).expect("it is JSON");
    fs::write(file(&gateway), format!("{document:#}\n\n")).expect("it can be written to");
    assert!(matches!(gateway.reload().await, Outcome::Unchanged { revision: 1 }));
    assert_eq!(revision(&gateway).await, 1.0);
}
