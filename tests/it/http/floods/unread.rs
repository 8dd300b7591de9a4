//! Frames that ask for an answer, or for nothing, sent in numbers by somebody who may not read what comes back.

use serde_json::{Value, json};

use super::frames::{
    ACK, CONTINUATION, END_HEADERS, End, GET, HEADERS, PING, PRIORITY, PRIORITY_UPDATE, SETTINGS, frame,
    get_on, setting, stream, window_update,
};
use super::{Victim, silent};
use crate::support::Backend;

const FRAMES: u32 = 100_000;
/// More octets than the kernel keeps for anybody.
const OCTETS: usize = 20 << 20;

/// This frame until [`OCTETS`] are full.
fn again_and_again(frame: Vec<u8>) -> impl Iterator<Item = Vec<u8>> {
    let count = OCTETS / frame.len();
    std::iter::repeat_n(frame, count)
}

fn hurried() -> Value {
    json!({ "timeouts": { "client_head": "1s", "keep_alive": "1s", "client_idle": "1s" } })
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answers_is_not_read_either() {
    let backend = Backend::echo("a");
    let victim = Victim::start(&backend, hurried()).await;
    for asks in [frame(PING, 0, 0, b"are you?"), frame(SETTINGS, 0, 0, &[]), setting(4, 70_000)] {
        let mut attacker = victim.attacker().await;
        let end = victim.during(attacker.flood_unread(again_and_again(asks))).await;
        assert_ne!(end, End::Taken);
        // It is let go although its client is still there.
        victim.let_go().await;
    }
    victim.recovered().await;
}

#[tokio::test]
async fn a_request_does_not_make_a_flood_of_questions_better() {
    let (backend, _) = silent();
    let victim = Victim::start(&backend, json!({})).await;
    for asks in [frame(PING, 0, 0, b"are you?"), frame(SETTINGS, 0, 0, &[])] {
        let mut attacker = victim.attacker().await;
        attacker.flood([get_on(1)]).await;
        let end = victim.during(attacker.flood_unread(again_and_again(asks))).await;
        assert_ne!(end, End::Taken);
    }
    victim.recovered().await;
}

#[tokio::test]
async fn questions_are_answered_to_those_who_read() {
    let backend = Backend::echo("a");
    let victim = Victim::start(&backend, json!({})).await;
    for (kind, asks) in [(PING, frame(PING, 0, 0, b"are you?")), (SETTINGS, setting(4, 70_000))] {
        let mut attacker = victim.attacker().await;
        let asked = std::iter::repeat_n(asks, FRAMES as usize);
        assert_eq!(victim.during(attacker.flood(asked)).await, End::Taken);
        assert!(attacker.is_alive().await);
        // There is as much of it as there was time for.
        assert!(attacker.count(kind) > 100, "{} answers", attacker.count(kind));
    }
    victim.recovered().await;
}

#[tokio::test]
async fn a_connection_on_which_nothing_is_asked_for_ends_however_much_is_sent_on_it() {
    let backend = Backend::echo("a");
    let victim = Victim::start(&backend, hurried()).await;
    for (name, idle) in [
        ("answers to nothing", frame(PING, ACK, 0, b"are you?")),
        ("questions", frame(PING, 0, 0, b"are you?")),
        ("priorities", frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1])),
        ("new priorities", frame(PRIORITY_UPDATE, 0, 0, b"\0\0\0\x01u=1")),
        ("a type that nobody knows", frame(0xee, 0, 0, b"12345678")),
    ] {
        let mut attacker = victim.attacker().await;
        let forever = std::iter::repeat(idle);
        let end = victim.during(attacker.flood(forever)).await;
        assert_ne!(end, End::Taken, "{name}: it goes on for as long as something comes");
        attacker.await_end().await;
    }
    victim.recovered().await;
}

#[tokio::test]
async fn churn_of_priorities_is_ignored_or_ended() {
    let backend = Backend::echo("a");
    let victim = Victim::start(&backend, json!({})).await;
    let of_streams: [fn(u32) -> Vec<u8>; 3] = [
        |id| frame(PRIORITY, 0, id, &[0, 0, 0, 0, 1]),
        |id| frame(PRIORITY_UPDATE, 0, 0, &[&id.to_be_bytes()[..], b"u=1"].concat()),
        |id| frame(0xee, 0xff, id, &[]),
    ];
    for of_stream in of_streams {
        let mut attacker = victim.attacker().await;
        // That the connection was ended may show only when all was written.
        victim.during(attacker.flood((0..FRAMES).map(|request| of_stream(stream(request))))).await;
    }
    victim.recovered().await;
}

#[tokio::test]
async fn a_head_that_never_ends_ends_the_connection() {
    let backend = Backend::echo("a");
    let victim = Victim::start(&backend, json!({})).await;
    let field = [&[0][..], &[1, b'x', 100], &[b'y'; 100]].concat();
    for (name, piece) in
        [("nothing", vec![]), ("a byte", vec![0]), ("a field", field), ("the same", vec![0x82; 4000])]
    {
        let mut attacker = victim.attacker().await;
        attacker.flood([frame(HEADERS, 0, 1, &GET)]).await;
        let more = std::iter::repeat_n(frame(CONTINUATION, 0, 1, &piece), FRAMES as usize);
        assert_eq!(victim.during(attacker.flood(more)).await, End::Closed, "{name}");
    }
    assert_eq!(backend.requests(), 0);
    victim.recovered().await;
}

#[tokio::test]
async fn a_head_in_many_small_pieces_may_not_be_larger_than_allowed() {
    let backend = Backend::echo("a");
    let victim = Victim::start(&backend, json!({})).await;
    let field = [&[0][..], &[1, b'x', 100], &[b'y'; 100]].concat();
    let mut attacker = victim.attacker().await;
    for request in 0..100 {
        let id = stream(request);
        let more = std::iter::repeat_n(frame(CONTINUATION, 0, id, &field), 400);
        let last = frame(CONTINUATION, END_HEADERS, id, &field);
        let pieces = std::iter::once(frame(HEADERS, 1, id, &GET)).chain(more).chain([last]);
        if victim.during(attacker.flood(pieces)).await == End::Closed {
            break;
        }
    }
    assert_eq!(backend.requests(), 0);
    drop(attacker);
    victim.recovered().await;
}

#[tokio::test]
async fn a_client_that_never_finishes_its_first_head_is_let_go() {
    let backend = Backend::echo("a");
    let victim = Victim::start(&backend, hurried()).await;
    let mut attackers = Vec::new();
    for _ in 0..100 {
        let mut attacker = victim.attacker().await;
        attacker.flood([frame(HEADERS, 0, 1, &GET)]).await;
        attackers.push(attacker);
    }
    victim.during(victim.let_go()).await;
    for attacker in &mut attackers {
        attacker.await_end().await;
    }
    victim.recovered().await;
}

#[tokio::test]
async fn room_that_nobody_needs_costs_nothing() {
    let backend = Backend::echo("a");
    let victim = Victim::start(&backend, json!({})).await;
    let mut attacker = victim.attacker().await;
    let end = victim.during(attacker.flood((0..FRAMES).map(|_| window_update(0, 1)))).await;
    assert_eq!(end, End::Taken);
    assert!(attacker.is_alive().await);
    drop(attacker);
    victim.recovered().await;
}
