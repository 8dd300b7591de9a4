//! Change after change, while requests are served all the time.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{assert_applied, marked, versioned};
use crate::support::{Backend, Client, Gateway, get, guest, request};

const RELOADS: u32 = 200;

#[tokio::test]
async fn guest_two_hundred_changes_under_load_fail_no_request() {
    let backend = Backend::echo("a");
    let component = fs::read(guest("noop")).expect("it is there");
    let folder = TempDir::new().expect("a temporary folder");
    fs::write(folder.path().join("mine.wasm"), &component).expect("it can be written to");
    let document = |number: u32| {
        let mut route = versioned(&backend, number);
        route["plugins"].as_array_mut().expect("a list").push(json!("mine"));
        json!({ "plugins": { "mine": { "source": "mine.wasm" } }, "routes": { "*": route } })
    };
    let gateway = Gateway::try_start_in(folder, document(0)).await.unwrap_or_else(|error| panic!("{error}"));
    let is_done = Arc::new(AtomicBool::new(false));
    let clients = start_clients(&gateway, &is_done);
    let began = Instant::now();
    for number in 1..=RELOADS {
        change(&gateway, number, document(number), &component);
        assert_applied(&gateway.reload().await);
        assert!(began.elapsed() < Duration::from_secs(60), "{number} changes take too long");
    }
    is_done.store(true, SeqCst);
    let mut answered = 0;
    for client in clients {
        answered += client.await.expect("no request fails");
    }
    assert!(answered > RELOADS as usize, "there was some load: {answered} requests");
    assert_eq!(
        gateway.metric("cloudcup_snapshot_revision").await,
        f64::from(RELOADS + 1),
        "each was a change"
    );
    assert_eq!(gateway.metric("cloudcup_reloads_total{outcome=\"rejected\"}").await, 0.0);
    assert_eq!(gateway.stop().await, 0, "nobody is cut off");
}

/// The document and the component by turns.
fn change(gateway: &Gateway, number: u32, document: Value, component: &[u8]) {
    if number.is_multiple_of(2) {
        gateway.write(document);
        return;
    }
    let new = gateway.folder().join("mine.new");
    fs::write(&new, marked(component, number)).expect("it can be written to");
    fs::rename(new, gateway.folder().join("mine.wasm")).expect("it can be replaced");
}

/// Clients that keep their connections, in both protocols, and one that never does.
fn start_clients(gateway: &Gateway, is_done: &Arc<AtomicBool>) -> Vec<tokio::task::JoinHandle<usize>> {
    let address = gateway.address();
    let kept = [true, true, false].map(|is_http1| {
        let is_done = Arc::clone(is_done);
        tokio::spawn(async move {
            let client = if is_http1 { Client::http1(address).await } else { Client::http2(address).await };
            let (mut client, mut answered) = (client.expect("it accepts"), 0);
            while !is_done.load(SeqCst) {
                let answer = client.send(get("/")).await.expect("the connection is kept");
                assert_eq!(answer.status, 200);
                answered += 1;
            }
            answered
        })
    });
    let is_done = Arc::clone(is_done);
    let fresh = tokio::spawn(async move {
        let mut answered = 0;
        while !is_done.load(SeqCst) {
            assert_eq!(request(address, get("/")).await.status, 200);
            answered += 1;
        }
        answered
    });
    kept.into_iter().chain([fresh]).collect()
}
