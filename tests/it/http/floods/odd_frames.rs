//! Frames that are no frames, or are in the wrong place. Each ends its connection or its stream, or is ignored.

use serde_json::json;

use super::Victim;
use super::frames::{
    ACK, Attacker, CONTINUATION, DATA, END_HEADERS, END_STREAM, GET, GOAWAY, HEADERS, PADDED, PING, POST,
    PREFACE, PRIORITY, PRIORITY_UPDATE, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, WITH_PRIORITY,
    frame, frame_of_length, get_on, post_on, reset, window_update,
};
use crate::support::Backend;

const WHOLE: u8 = END_STREAM | END_HEADERS;

/// What ends the connection (RFC 9113, sections 4 to 6).
fn fatal() -> Vec<(&'static str, Vec<u8>)> {
    let padding = |kind, payload: &[u8]| frame(kind, PADDED | WHOLE, 1, payload);
    vec![
        ("a frame larger than allowed", frame(DATA, 0, 1, &[0; 16_385])),
        ("a length of 16 MiB", frame_of_length(0xff_ffff, DATA, 0, 1, &[0; 20_000])),
        ("a length of 16 MiB, for a type nobody knows", frame_of_length(0xff_ffff, 0xee, 0, 1, &[0; 20_000])),
        ("data on no stream", frame(DATA, 0, 0, b"x")),
        ("data on an idle stream", frame(DATA, 0, 1, b"x")),
        ("data padded by more than there is", [post_on(1), padding(DATA, &[5, b'x'])].concat()),
        ("data padded without a length", [post_on(1), padding(DATA, &[])].concat()),
        ("a head padded by more than there is", padding(HEADERS, &[200, 0x82])),
        ("a head padded without a length", padding(HEADERS, &[])),
        ("a head whose priority is cut off", frame(HEADERS, WITH_PRIORITY | WHOLE, 1, &[0, 0, 0])),
        ("a head on no stream", frame(HEADERS, WHOLE, 0, &GET)),
        ("a head on a stream of the server's", frame(HEADERS, WHOLE, 2, &GET)),
        ("a head on an older stream", [get_on(5), get_on(3)].concat()),
        ("a priority on no stream", frame(PRIORITY, 0, 0, &[0, 0, 0, 3, 1])),
        ("a reset of no stream", reset(0)),
        ("a reset of an idle stream", reset(1)),
        ("a reset of a wrong length", [post_on(1), frame(RST_STREAM, 0, 1, &[0; 3])].concat()),
        ("settings of a stream", frame(SETTINGS, 0, 1, &[])),
        ("settings of a wrong length", frame(SETTINGS, 0, 0, &[0; 5])),
        ("settings that are acknowledged with some", frame(SETTINGS, ACK, 0, &[0, 4, 0, 0, 0, 0])),
        ("a push that is neither on nor off", frame(SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 2])),
        ("frames smaller than there can be", frame(SETTINGS, 0, 0, &[0, 5, 0, 0, 0, 1])),
        ("frames larger than there can be", frame(SETTINGS, 0, 0, &[0, 5, 1, 0, 0, 0])),
        ("a promise of a client", frame(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2], &GET[..]].concat())),
        ("a ping of a stream", frame(PING, 0, 1, &[0; 8])),
        ("a ping of a wrong length", frame(PING, 0, 0, &[0; 7])),
        ("a goodbye of a wrong length", frame(GOAWAY, 0, 0, &[0; 7])),
        ("a goodbye of a stream", frame(GOAWAY, 0, 1, &[0; 8])),
        ("a window of a wrong length", frame(WINDOW_UPDATE, 0, 0, &[0; 3])),
        ("a window of nothing", window_update(0, 0)),
        ("a window of an idle stream", window_update(1, 1)),
        ("a continuation of nothing", frame(CONTINUATION, END_HEADERS, 1, &GET)),
        ("a continuation behind a whole head", [post_on(1), frame(CONTINUATION, 4, 1, &[])].concat()),
        (
            "a continuation of another stream",
            [frame(HEADERS, 0, 1, &GET), frame(CONTINUATION, END_HEADERS, 3, &[])].concat(),
        ),
        (
            "something in the middle of a head",
            [frame(HEADERS, 0, 1, &GET), frame(PING, 0, 0, &[0; 8])].concat(),
        ),
        (
            "something unknown in the middle of a head",
            [frame(HEADERS, 0, 1, &GET), frame(0xee, 0, 0, &[])].concat(),
        ),
    ]
}

/// What concerns one stream, or nobody.
fn tolerable() -> Vec<(&'static str, Vec<u8>)> {
    let padded = [&[3][..], &POST, &[0; 3]].concat();
    vec![
        ("a type that nobody knows", frame(0xee, 0xff, 0x7fff_ffff, &[0; 100])),
        ("reserved bits", frame(PING, 0, 0x8000_0000, &[0; 8])),
        ("flags that nobody knows", frame(PING, 0xfe, 0, &[0; 8])),
        ("an answer to no question", frame(PING, ACK, 0, &[0; 8])),
        ("settings that nobody knows", frame(SETTINGS, 0, 0, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff])),
        ("a padded head", frame(HEADERS, PADDED | END_HEADERS, 1, &padded)),
        ("a priority of an idle stream", frame(PRIORITY, 0, 99, &[0x80, 0, 0, 0, 255])),
        ("a new priority", frame(PRIORITY_UPDATE, 0, 0, b"\0\0\0\x01u=1, i")),
        ("a new priority that makes no sense", frame(PRIORITY_UPDATE, 0, 7, &[0xff; 3])),
        ("a reset of a stream that was reset", [post_on(1), reset(1), reset(1)].concat()),
        ("a window of a stream that was reset", [post_on(1), reset(1), window_update(1, 1)].concat()),
        (
            "trailers behind a body",
            [post_on(1), frame(DATA, 0, 1, b"x"), frame(HEADERS, WHOLE, 1, &[])].concat(),
        ),
        ("nothing behind a body", [post_on(1), frame(DATA, 0, 1, b"x"), frame(DATA, 1, 1, b"")].concat()),
    ]
}

#[tokio::test]
async fn what_breaks_the_protocol_ends_the_connection() {
    let backend = Backend::echo("a");
    let victim = Victim::start(&backend, json!({})).await;
    let mut kept = Vec::new();
    for (name, frames) in fatal() {
        let mut attacker = victim.attacker().await;
        attacker.flood([frames]).await;
        if attacker.is_alive().await {
            kept.push(name);
        }
    }
    assert!(kept.is_empty(), "the connection goes on after {kept:?}");
    victim.recovered().await;
}

#[tokio::test]
async fn what_concerns_nobody_is_ignored() {
    let backend = Backend::echo("a");
    let victim = Victim::start(&backend, json!({})).await;
    for (name, frames) in tolerable() {
        let mut attacker = victim.attacker().await;
        attacker.flood([frames, get_on(1001)]).await;
        assert!(attacker.await_frame(HEADERS).await, "{name}: no response");
        assert!(attacker.is_alive().await, "{name}");
    }
    victim.recovered().await;
}

#[tokio::test]
async fn frames_may_be_cut_off_anywhere() {
    let backend = Backend::echo("a");
    let victim = Victim::start(&backend, json!({})).await;
    let whole = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &post_on(1), &frame(DATA, 1, 1, b"body")].concat();
    for end in 0..whole.len() {
        let mut attacker = Attacker::connect_raw(victim.front()).await;
        attacker.flood([whole[..end].to_vec()]).await;
        attacker.finish().await;
    }
    victim.recovered().await;
}

#[tokio::test]
async fn a_preface_of_something_else_is_refused() {
    let backend = Backend::echo("a");
    let victim = Victim::start(&backend, json!({})).await;
    for (name, bytes) in [
        ("a preface twice", [PREFACE, PREFACE, &get_on(1)].concat()),
        ("another version", b"PRI * HTTP/3.0\r\n\r\nSM\r\n\r\n".to_vec()),
        ("another word", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_vec()),
    ] {
        let mut attacker = Attacker::connect_raw(victim.front()).await;
        attacker.flood([bytes]).await;
        attacker.finish().await;
        assert_eq!(backend.requests(), 0, "{name}");
    }
    victim.recovered().await;
}
