//! Heads that abuse how they are packed (HPACK, RFC 7541).

use serde_json::json;

use super::Victim;
use super::frames::{
    CONTINUATION, END_HEADERS, END_STREAM, End, GET, HEADERS, frame, get_on, setting, stream,
};
use crate::support::Backend;

/// A request whose fields are packed like this, behind those that it needs.
fn packed(stream: u32, fields: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &[&GET, fields].concat())
}

/// Blocks that cannot be unpacked (RFC 7541, sections 2.3.3, 4.2, 5 and 6).
const BROKEN: &[(&str, &[u8])] = &[
    ("the index 0", &[0x80]),
    ("an index of nothing", &[0xbe]),
    ("an index of nothing, for a name", &[0x7e, 1, b'x']),
    ("an index far away", &[0xff, 0xff, 0xff, 0x7f]),
    ("an integer that overflows", &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
    ("an integer that does not end", &[0xff, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80]),
    ("an integer that is cut off", &[0xff, 0x80]),
    ("a table of a gigabyte", &[0x3f, 0xe1, 0xff, 0xff, 0xff, 0x03]),
    ("a table whose size overflows", &[0x3f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
    ("a table size behind a field", &[0x20]),
    ("a name that is cut off", &[0x00, 5, b'x']),
    ("a name of a gigabyte", &[0x00, 0x7f, 0xff, 0xff, 0xff, 0x03, b'x']),
    ("a value that is cut off", &[0x00, 1, b'x', 100, b'y']),
    ("a value of 4 GiB", &[0x00, 1, b'x', 0x7f, 0xff, 0xff, 0xff, 0xff, 0x0f]),
    ("Huffman's padding that is too long", &[0x00, 1, b'x', 0x82, 0xff, 0xff]),
    ("Huffman's end in the middle", &[0x00, 1, b'x', 0x84, 0xff, 0xff, 0xff, 0xff]),
    ("Huffman's padding of zeroes", &[0x00, 1, b'x', 0x81, 0x00]),
    ("a field that is not there", &[0x40]),
    ("a name without letters", &[0x00, 0, 1, b'x']),
];

#[tokio::test]
async fn a_head_that_cannot_be_unpacked_reaches_nobody() {
    let backend = Backend::echo("a");
    let victim = Victim::start(&backend, json!({})).await;
    for (name, fields) in BROKEN {
        let mut attacker = victim.attacker().await;
        attacker.flood([packed(1, fields)]).await;
        attacker.finish().await;
        assert_eq!(backend.requests(), 0, "{name}");
    }
    victim.recovered().await;
}

#[tokio::test]
async fn a_table_holds_no_more_than_it_may() {
    let backend = Backend::echo("a");
    let victim = Victim::start(&backend, json!({})).await;
    // 4000 octets to be kept, other ones each time, by many connections.
    let mut attackers = Vec::new();
    for connection in 0..50u8 {
        let mut attacker = victim.attacker().await;
        attacker.flood([setting(1, u32::MAX)]).await;
        for request in 0..20u8 {
            let value = [connection ^ request; 3990].map(|byte| b'a' + byte % 26);
            // A literal that is to be kept, whose value has 127 + 0x97 + 0x1d * 128 octets.
            let field = [&[0x40, 1, b'x', 0x7f, 0x97, 0x1e][..], &value].concat();
            attacker.flood([packed(stream(request.into()), &field)]).await;
        }
        assert!(attacker.is_alive().await);
        attackers.push(attacker);
    }
    drop(attackers);
    victim.recovered().await;
}

#[tokio::test]
async fn a_field_that_is_named_a_thousand_times_is_too_much() {
    let backend = Backend::echo("a");
    let victim = Victim::start(&backend, json!({})).await;
    let mut attacker = victim.attacker().await;
    // A field of 3 KiB, and then its index alone, which unpacks to 3 KiB each time.
    let kept = [&[0x40, 1, b'x', 0x7f, 0x81, 0x17][..], &[b'y'; 3072]].concat();
    assert_eq!(attacker.flood([packed(1, &kept)]).await, End::Taken);
    assert!(attacker.await_frame(HEADERS).await);
    assert_eq!(backend.requests(), 1);
    let bomb = (1..200).map(|request| packed(stream(request), &[0xbe; 16_000]));
    victim.during(attacker.flood(bomb)).await;
    assert_eq!(backend.requests(), 1);
    drop(attacker);
    victim.recovered().await;
}

#[tokio::test]
async fn a_bomb_may_come_in_pieces() {
    let backend = Backend::echo("a");
    let victim = Victim::start(&backend, json!({})).await;
    let mut attacker = victim.attacker().await;
    let kept = [&[0x40, 1, b'x', 0x7f, 0x81, 0x17][..], &[b'y'; 3072]].concat();
    let more = std::iter::repeat_n(frame(CONTINUATION, 0, 1, &[0xbe; 16_000]), 1000);
    let pieces = std::iter::once(frame(HEADERS, 1, 1, &[&GET[..], &kept].concat())).chain(more);
    assert_eq!(victim.during(attacker.flood(pieces)).await, End::Closed);
    assert_eq!(backend.requests(), 0);
    victim.recovered().await;
}

#[tokio::test]
async fn tables_that_shrink_and_grow_cost_nothing() {
    let backend = Backend::echo("a");
    let victim = Victim::start(&backend, json!({})).await;
    let mut attacker = victim.attacker().await;
    // The most that a client may allow the gateway, and nothing, in turns.
    let sizes = (0..100_000).map(|round| setting(1, if round % 2 == 0 { u32::MAX } else { 0 }));
    assert_eq!(victim.during(attacker.flood(sizes)).await, End::Taken);
    attacker.flood([get_on(1)]).await;
    assert!(victim.during(attacker.await_frame(HEADERS)).await);
    drop(attacker);
    victim.recovered().await;
}
