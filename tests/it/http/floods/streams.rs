//! Games with streams that are open: bodies of nothing, windows of nothing, and many of them at one time.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::frames::{DATA, End, HEADERS, PADDED, frame, get_on, post_on, setting, stream, window_update};
use super::{Victim, silent};
use crate::support::{Backend, eventually};

const FRAMES: u32 = 100_000;
/// The setting of the window that streams begin with (RFC 9113, section 6.5.2).
const INITIAL_WINDOW: u16 = 4;
/// What may be in the sockets between a backend and a client that do not meet, and a little in the gateway.
const BETWEEN: usize = 32 << 20;

fn impatient() -> Value {
    json!({ "timeouts": { "client_idle": "500ms" } })
}

/// A backend that reads heads, and nothing of bodies.
fn deaf() -> Backend {
    Backend::with(|mut wire| async move {
        wire.try_read_head().await;
        pending().await
    })
}

/// A backend whose response never ends, and how much of it was taken.
fn endless() -> (Backend, Arc<AtomicUsize>) {
    let taken = Arc::<AtomicUsize>::default();
    let shared = Arc::clone(&taken);
    let backend = Backend::with(move |mut wire| {
        let taken = Arc::clone(&shared);
        async move {
            wire.try_read_head().await;
            let mut written = wire.io().write(b"HTTP/1.1 200 OK\r\n\r\n").await;
            while let Ok(count @ 1..) = written {
                taken.fetch_add(count, SeqCst);
                written = wire.io().write(&[b'x'; 8 << 10]).await;
            }
        }
    });
    (backend, taken)
}

#[tokio::test]
async fn bodies_of_many_small_pieces_take_no_more_room_than_the_window() {
    let backend = deaf();
    let victim = Victim::start(&backend, json!({})).await;
    // Nothing, nothing but padding, a byte, a byte and padding.
    for (flags, payload) in [(0, &b""[..]), (PADDED, &[3, 0, 0, 0]), (0, b"x"), (PADDED, &[1, b'x', 0])] {
        let mut attacker = victim.attacker().await;
        attacker.flood([post_on(1)]).await;
        let pieces = std::iter::repeat_n(frame(DATA, flags, 1, payload), 3 * FRAMES as usize);
        // Whether the connection outlives that is a matter of taste, and may show only when all was written.
        victim.during(attacker.flood(pieces)).await;
    }
    victim.recovered().await;
}

#[tokio::test]
async fn bodies_of_many_small_pieces_on_many_streams_take_no_more_room_than_the_windows() {
    let backend = deaf();
    let victim = Victim::start(&backend, json!({})).await;
    let mut attackers = Vec::new();
    for _ in 0..2 {
        let mut attacker = victim.attacker().await;
        attacker.flood((0..100).map(|request| post_on(stream(request)))).await;
        let pieces = (0..3 * FRAMES).map(|piece| frame(DATA, 0, stream(piece % 100), b"x"));
        victim.during(attacker.flood(pieces)).await;
        attackers.push(attacker);
    }
    drop(attackers);
    victim.recovered().await;
}

#[tokio::test]
async fn an_empty_piece_does_not_end_a_body() {
    let backend = Backend::echo("a");
    let victim = Victim::start(&backend, json!({})).await;
    let mut attacker = victim.attacker().await;
    let nothing = std::iter::repeat_n(frame(DATA, 0, 1, b""), 100);
    let end = [frame(DATA, 0, 1, b"whole "), frame(DATA, 1, 1, b"body")];
    let frames = std::iter::once(post_on(1)).chain(nothing).chain(end);
    assert_eq!(victim.during(attacker.flood(frames)).await, End::Taken);
    assert!(attacker.await_frame(HEADERS).await);
    assert_eq!(backend.requests(), 1);
    drop(attacker);
    victim.recovered().await;
}

#[tokio::test]
async fn a_window_that_grows_by_a_byte_at_a_time_lets_no_response_in() {
    let (backend, taken) = endless();
    let victim = Victim::start(&backend, impatient()).await;
    let mut attacker = victim.attacker().await;
    attacker.flood([setting(INITIAL_WINDOW, 0), get_on(1)]).await;
    let drops = (0..FRAMES).map(|_| window_update(1, 1));
    assert_eq!(victim.during(attacker.flood(drops)).await, End::Taken);
    assert!(attacker.body <= FRAMES as usize, "{} octets", attacker.body);
    assert!(taken.load(SeqCst) < BETWEEN, "{} octets were taken", taken.load(SeqCst));
    // Then nothing more comes from the client, and that is the end.
    attacker.await_end().await;
    victim.recovered().await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_responses_is_let_go() {
    let (backend, taken) = endless();
    let victim = Victim::start(&backend, impatient()).await;
    let mut attacker = victim.attacker().await;
    attacker.flood([setting(INITIAL_WINDOW, 0)]).await;
    attacker.flood((0..100).map(|request| get_on(stream(request)))).await;
    victim.during(attacker.await_end()).await;
    assert_eq!(attacker.body, 0);
    assert!(taken.load(SeqCst) < 100 * BETWEEN, "{} octets were taken", taken.load(SeqCst));
    victim.recovered().await;
}

#[tokio::test]
async fn windows_that_change_under_open_streams_are_followed() {
    let (backend, taken) = endless();
    let victim = Victim::start(&backend, impatient()).await;
    let mut attacker = victim.attacker().await;
    attacker.flood([setting(INITIAL_WINDOW, 0)]).await;
    attacker.flood((0..100).map(|request| get_on(stream(request)))).await;
    let sizes = (0..FRAMES).map(|round| setting(INITIAL_WINDOW, (round % 2) * 1000));
    // Whether it is let go on the way is a matter of time: it takes something of each response, and then nothing.
    victim.during(attacker.flood(sizes)).await;
    assert!(taken.load(SeqCst) < 100 * BETWEEN, "{} octets were taken", taken.load(SeqCst));
    drop(attacker);
    victim.recovered().await;
}

#[tokio::test]
async fn a_window_that_overflows_ends_what_it_is_of() {
    let (backend, _) = endless();
    let victim = Victim::start(&backend, impatient()).await;
    let most = 0x7fff_ffff;
    let opened = [setting(INITIAL_WINDOW, 0), get_on(1)].concat();
    for (name, overflow, survives) in [
        ("a stream's", [window_update(1, most), window_update(1, most)].concat(), true),
        ("the connection's", window_update(0, most), false),
        ("a stream's by settings", [window_update(1, most), setting(INITIAL_WINDOW, most)].concat(), false),
        ("more than there can be", setting(INITIAL_WINDOW, most + 1), false),
    ] {
        let mut attacker = victim.attacker().await;
        attacker.flood([opened.clone()]).await;
        attacker.flood([overflow]).await;
        assert_eq!(victim.during(attacker.is_alive()).await, survives, "{name}");
    }
    victim.recovered().await;
}

#[tokio::test]
async fn only_so_many_bodies_are_awaited_and_only_so_long() {
    const MOST: usize = 20;
    let (backend, load) = silent();
    let fields = json!({ "limits": { "h2_streams": MOST }, "timeouts": { "client_idle": "500ms" } });
    let victim = Victim::start(&backend, fields).await;
    let mut attacker = victim.attacker().await;
    let opened = (0..FRAMES).map(|request| post_on(stream(request)));
    victim.during(attacker.flood(opened)).await;
    assert!(load.peak() <= 2 * MOST, "the backend worked at {} requests", load.peak());
    // Those that were let in are given up, since nothing more comes of them.
    eventually(|| async { load.now.load(SeqCst) == 0 }).await;
    drop(attacker);
    victim.recovered().await;
}

#[tokio::test]
async fn connections_full_of_open_streams_stay_within_their_limits() {
    let (backend, load) = silent();
    let victim = Victim::start(&backend, json!({ "limits": { "h2_streams": 10 } })).await;
    let mut attackers = Vec::new();
    for _ in 0..30 {
        let mut attacker = victim.attacker().await;
        attacker.flood((0..10).map(|request| post_on(stream(request)))).await;
        attackers.push(attacker);
    }
    eventually(|| async { load.now.load(SeqCst) == 300 }).await;
    for attacker in &mut attackers {
        let pieces = std::iter::repeat_n(frame(DATA, 0, 1, &[b'x'; 1000]), 30);
        victim.during(attacker.flood(pieces)).await;
        assert!(attacker.is_alive().await);
    }
    drop(attackers);
    eventually(|| async { load.now.load(SeqCst) == 0 }).await;
    victim.recovered().await;
}

#[tokio::test]
async fn questions_do_not_help_a_client_that_takes_nothing_of_its_response() {
    let (backend, _) = endless();
    let victim = Victim::start(&backend, impatient()).await;
    let mut attacker = victim.attacker().await;
    attacker.flood([setting(INITIAL_WINDOW, 0), get_on(1)]).await;
    let mut pace = tokio::time::interval(Duration::from_millis(100));
    let asking = async {
        for _ in 0..50 {
            pace.tick().await;
            if !attacker.is_alive().await {
                return true;
            }
        }
        false
    };
    assert!(victim.during(asking).await, "the connection is kept for a client that takes nothing");
    victim.recovered().await;
}
