//! TLS handshakes (RFC 8446) that are none, or take for ever.

use std::sync::Arc;

use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;

use super::{Chance, NAME, Victim};
use crate::support::{Backend, Wire, raw, within};

const HANDSHAKE: u8 = 22;

/// What a real client begins with.
fn hello(victim: &Victim) -> Vec<u8> {
    let config = Arc::new(victim.authority.client_config(&["h2"], None));
    let name = ServerName::try_from(NAME).expect("a name");
    let mut client = ClientConnection::new(config, name).expect("a client");
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).expect("there is room");
    bytes
}

/// A record (RFC 8446, section 5.1) that says that it has so many octets.
fn record(kind: u8, length: u16, fragment: &[u8]) -> Vec<u8> {
    [&[kind, 3, 3][..], &length.to_be_bytes(), fragment].concat()
}

#[tokio::test]
async fn a_hello_may_come_byte_by_byte() {
    let backend = Backend::echo("a");
    let victim = Victim::start(&backend, json!({})).await;
    let mut wire = Wire::connect(victim.secure()).await;
    for byte in hello(&victim) {
        wire.send([byte]).await;
    }
    assert_eq!(wire.read_exact(1).await, [HANDSHAKE]);
    drop(wire);
    victim.recovered().await;
}

#[tokio::test]
async fn what_is_no_handshake_is_refused() {
    let backend = Backend::echo("a");
    let victim = Victim::start(&backend, json!({ "timeouts": { "client_head": "500ms" } })).await;
    let hello = hello(&victim);
    let cut = [&hello[..3], &[0, 1], &hello[5..]].concat();
    let long = [&hello[..3], &[0xff, 0xff], &hello[5..]].concat();
    let other = [&[HANDSHAKE, 9, 9][..], &hello[3..]].concat();
    for (name, bytes) in [
        ("a record of another length", cut),
        ("a record longer than there can be", long),
        ("a record of another version", other),
        ("a record of nothing", record(HANDSHAKE, 0, &[])),
        ("an alert", record(21, 2, &[1, 0])),
        ("application data", record(23, 5, b"hello")),
        ("a handshake of another kind", record(HANDSHAKE, 4, &[99, 0, 0, 0])),
        ("a hello of nothing", record(HANDSHAKE, 4, &[1, 0, 0, 0])),
        ("a hello cut off", hello[..hello.len() / 2].to_vec()),
        ("nothing", Vec::new()),
    ] {
        let answer = within(raw(victim.secure(), bytes)).await;
        assert!(answer.len() < 1000, "{name} got {} octets", answer.len());
    }
    assert_eq!(backend.requests(), 0);
    victim.recovered().await;
}

#[tokio::test]
async fn records_of_garbage_are_refused() {
    let backend = Backend::echo("a");
    let victim = Victim::start(&backend, json!({ "timeouts": { "client_head": "1s" } })).await;
    let (hello, mut chance) = (hello(&victim), Chance(4));
    let attack = async {
        for _ in 0..10 {
            let mut tries = JoinSet::new();
            for round in 0..30 {
                let mut bytes = hello.clone();
                if round % 3 == 0 {
                    let length = chance.below(2000);
                    bytes = record(HANDSHAKE, length as u16, &chance.bytes(length));
                }
                for _ in 0..=chance.below(3) {
                    let at = chance.below(bytes.len());
                    bytes[at] = chance.next() as u8;
                }
                let address = victim.secure();
                tries.spawn(async move {
                    let mut wire = Wire::connect(address).await;
                    // It may be refused before it is whole.
                    if wire.try_send(bytes).await.is_ok() {
                        let _ = tokio::io::AsyncWriteExt::shutdown(wire.io()).await;
                    }
                    wire.read_to_end().await;
                });
            }
            tries.join_all().await;
        }
    };
    victim.during(attack).await;
    victim.recovered().await;
}

#[tokio::test]
async fn a_hello_of_16_mebibytes_is_not_gathered() {
    let backend = Backend::echo("a");
    let victim = Victim::start(&backend, json!({})).await;
    let attack = async {
        let mut wire = Wire::connect(victim.secure()).await;
        let begin = record(HANDSHAKE, 4, &[1, 0xff, 0xff, 0xff]);
        let more = record(HANDSHAKE, 16_384, &[0; 16_384]);
        let mut sent = 0;
        let mut is_taken = wire.try_send(begin).await.is_ok();
        while is_taken && sent < 16 << 20 {
            is_taken = wire.try_send(&more).await.is_ok();
            sent += more.len();
        }
        assert!(!is_taken, "all of it was taken");
    };
    victim.during(attack).await;
    victim.recovered().await;
}

#[tokio::test]
async fn handshakes_that_are_never_finished_are_let_go() {
    let backend = Backend::echo("a");
    let victim = Victim::start(&backend, json!({ "timeouts": { "client_head": "1s" } })).await;
    let hello = hello(&victim);
    let mut wires = Vec::new();
    for index in 0..200 {
        let mut wire = Wire::connect(victim.secure()).await;
        // Nothing, one byte, half of a hello, a whole one without what has to follow it.
        let end = [0, 1, hello.len() / 2, hello.len()][index % 4];
        wire.send(&hello[..end]).await;
        wires.push(wire);
    }
    victim.during(victim.let_go()).await;
    for wire in &mut wires {
        let mut rest = Vec::new();
        // Closed or reset, but not open.
        let _ = within(wire.io().read_to_end(&mut rest)).await;
    }
    victim.recovered().await;
}
