//! Addresses that come and go with a change.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::{apply, assert_applied, rejected, served, version};
use crate::support::{Backend, Client, Gateway, Port, Wire, eventually, get, request, within};

fn on(mut document: Value, address: SocketAddr) -> Value {
    document["root"] = json!(address.to_string());
    document
}

fn with_listener(mut document: Value, name: &str, address: SocketAddr) -> Value {
    document["listeners"][name] = json!({ "address": address.to_string() });
    // What has listeners gets no `root` by itself.
    on(document, SocketAddr::from(([127, 0, 0, 1], 0)))
}

/// A connection that has had a request and waits for its next one.
async fn idle(address: SocketAddr) -> Wire {
    let mut wire = Wire::connect(address).await;
    wire.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let head = wire.read_head().await;
    wire.read_body(&head).await.expect("a whole body");
    wire
}

async fn is_refused(address: SocketAddr) -> bool {
    within(TcpStream::connect(address)).await.is_err()
}

#[tokio::test]
async fn a_new_address_opens_before_the_old_one_closes() {
    let backend = Backend::echo("a");
    let (old, new) = (Port::reserve(), Port::reserve());
    let (old, new) = (old.address(), new.address());
    let gateway = Gateway::start(on(version(&backend, 1), old)).await;
    let is_done = Arc::new(AtomicBool::new(false));
    let knocking = tokio::spawn({
        let is_done = Arc::clone(&is_done);
        async move {
            while !is_done.load(SeqCst) {
                if is_refused(old).await {
                    assert!(!is_refused(new).await, "nobody listens anywhere");
                }
                tokio::task::yield_now().await;
            }
        }
    });
    assert_eq!(served(old).await, 1);
    apply(&gateway, on(version(&backend, 2), new)).await;
    assert_eq!(served(new).await, 2);
    eventually(|| is_refused(old)).await;
    is_done.store(true, SeqCst);
    knocking.await.expect("somebody listened all the time");
}

#[tokio::test]
async fn an_address_that_is_removed_finishes_what_it_began() {
    let go = Arc::new(Notify::new());
    let backend = Backend::with({
        let go = Arc::clone(&go);
        move |mut wire| {
            let go = Arc::clone(&go);
            async move {
                while let Some(head) = wire.try_read_head().await {
                    if head.target() == "/slow" {
                        go.notified().await;
                    }
                    wire.send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwhole").await;
                }
            }
        }
    });
    let inside = Port::reserve().address();
    let gateway = Gateway::start(with_listener(version(&backend, 1), "inside", inside)).await;
    let mut idle = idle(inside).await;
    let mut busy = Wire::connect(inside).await;
    busy.send("GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await;
    eventually(|| async { backend.requests() == 2 }).await;
    apply(&gateway, version(&backend, 2)).await;
    eventually(|| is_refused(inside)).await;
    idle.expect_eof().await;
    go.notify_one();
    let head = busy.read_head().await;
    assert_eq!((head.status(), head.field("connection")), (200, Some("close")));
    assert_eq!(head.field("x-version"), Some("1"));
    assert_eq!(busy.read_exact(5).await, b"whole");
    busy.expect_eof().await;
    assert_eq!(served(gateway.address()).await, 2);
}

#[tokio::test]
async fn an_occupied_address_rejects_the_whole_change() {
    let backend = Backend::echo("a");
    let occupied = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let occupied = (occupied.local_addr().expect("it is bound"), occupied);
    let free = Port::reserve();
    let gateway = Gateway::start(version(&backend, 1)).await;
    let document = with_listener(version(&backend, 2), "free", free.address());
    let diagnostics = rejected(gateway.change(with_listener(document.clone(), "taken", occupied.0)).await);
    assert_eq!(diagnostics.len(), 1, "{diagnostics:?}");
    assert!(diagnostics[0].pointer.starts_with("/listeners/taken"), "{}", diagnostics[0]);
    assert!(diagnostics[0].message.contains(&occupied.0.to_string()), "{}", diagnostics[0]);
    assert!(diagnostics[0].hint.is_some(), "{}", diagnostics[0]);
    assert_eq!(served(gateway.address()).await, 1, "nothing of it is applied");
    assert!(is_refused(free.address()).await, "and nothing is left open");
    drop(occupied.1);
    apply(&gateway, with_listener(document, "taken", occupied.0)).await;
    for address in [gateway.address(), free.address(), occupied.0] {
        assert_eq!(served(address).await, 2);
    }
}

#[tokio::test]
async fn an_address_and_every_address_on_its_port_are_not_somebody_elses() {
    let backend = Backend::echo("a");
    let one = Port::reserve().address();
    let every = SocketAddr::from(([0, 0, 0, 0], one.port()));
    let gateway = Gateway::start(on(version(&backend, 1), one)).await;
    match gateway.change(on(version(&backend, 2), every)).await {
        outcome @ cloud_cup::reload::Outcome::Rejected { .. } => {
            let diagnostics = rejected(outcome);
            let hint = diagnostics[0].hint.clone().unwrap_or_default();
            assert!(!hint.is_empty() && !hint.contains("another process"), "{}", diagnostics[0]);
            assert_eq!(served(one).await, 1);
        }
        outcome => {
            assert_applied(&outcome);
            assert_eq!(served(one).await, 2);
        }
    }
}

#[tokio::test]
async fn free_ports_of_one_address_are_listeners_of_their_own() {
    let backend = Backend::echo("a");
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let gateway = Gateway::start(with_listener(version(&backend, 1), "inside", any)).await;
    let (root, inside) = (gateway.address(), gateway.address_of("inside"));
    assert_ne!(root, inside);
    assert_eq!((served(root).await, served(inside).await), (1, 1));
    apply(&gateway, with_listener(version(&backend, 2), "inside", any)).await;
    assert_eq!((served(root).await, served(inside).await), (2, 2), "they keep their ports");
    apply(&gateway, version(&backend, 3)).await;
    eventually(|| is_refused(inside)).await;
    assert_eq!(served(root).await, 3);
    let mut idle = idle(root).await;
    assert_eq!(gateway.stop().await, 0, "nobody is cut off");
    idle.expect_eof().await;
}

#[tokio::test]
async fn protocols_of_a_listener_change_for_connections_to_come() {
    let backend = Backend::echo("a");
    let inside = Port::reserve().address();
    let speaking = |number: u32, protocols: Value| {
        let mut document = with_listener(version(&backend, number), "inside", inside);
        document["listeners"]["inside"]["protocols"] = protocols;
        document
    };
    let gateway = Gateway::start(speaking(1, json!(["h1", "h2c"]))).await;
    let mut before = Client::http2(inside).await.expect("it accepts");
    assert_eq!(before.send(get("/")).await.expect("an answer").header("x-version"), Some("1"));
    apply(&gateway, speaking(2, json!(["h1"]))).await;
    assert_eq!(served(inside).await, 2);
    assert_eq!(
        before.send(get("/")).await.expect("an answer").header("x-version"),
        Some("2"),
        "it was let in"
    );
    let refused = match Client::http2(inside).await {
        Ok(mut client) => client.send(get("/")).await.is_err(),
        Err(_) => true,
    };
    assert!(refused, "HTTP/2 is not spoken any more");
    apply(&gateway, speaking(3, json!(["h2c"]))).await;
    let mut asked = get("/");
    *asked.version_mut() = http::Version::HTTP_2;
    assert_eq!(request(inside, asked).await.header("x-version"), Some("3"));
    assert_eq!(request(inside, get("/")).await.status, 505);
}

#[tokio::test]
async fn what_needs_a_new_start_is_told() {
    let backend = Backend::echo("a");
    let gateway = Gateway::start(version(&backend, 1)).await;
    let mut document = version(&backend, 2);
    document["workers"] = json!(3);
    document["admin"] = json!({ "listen": "127.0.0.1:0", "socket": gateway.folder().join("admin.sock") });
    gateway.write(document);
    let cloud_cup::reload::Outcome::Applied { warnings, .. } = gateway.reload().await else {
        panic!("the rest of it is applied")
    };
    let pointers: Vec<_> = warnings.iter().map(|warning| warning.pointer.as_str()).collect();
    assert_eq!(pointers, ["/workers", "/admin"], "in the order of the text");
    assert_eq!(served(gateway.address()).await, 2);
}

#[tokio::test]
async fn listeners_change_their_names_and_keep_their_addresses() {
    let backend = Backend::echo("a");
    let [one, two] = [Port::reserve().address(), Port::reserve().address()];
    let named = |number: u32, names: [&str; 2]| {
        with_listener(with_listener(version(&backend, number), names[0], one), names[1], two)
    };
    let gateway = Gateway::start(named(0, ["x", "y"])).await;
    let mut lines = 0;
    for (number, names) in [(1, ["a", "b"]), (2, ["b", "a"]), (3, ["c", "d"])] {
        apply(&gateway, named(number, names)).await;
        for (address, name) in [one, two].into_iter().zip(names) {
            assert_eq!(served(address).await, number);
            lines += 1;
            assert_eq!(gateway.logged(lines).await[lines - 1]["listener"], name);
        }
    }
}
