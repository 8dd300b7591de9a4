//! Streams that are opened and broken off in numbers: rapid reset (CVE-2023-44487) and its kin, where the gateway is made
//! to break them off itself (MadeYouReset, CVE-2025-8671).

use serde_json::json;

use super::frames::{
    Attacker, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, End, GET, HEADERS, POST, PRIORITY,
    RST_STREAM, frame, get_on, post_on, reset, stream, window_update,
};
use super::{Load, Victim, silent};

const STREAMS: u32 = 50_000;
/// Requests that one connection may have under way: `limits.h2_streams` as it is by default.
const MOST_STREAMS: usize = 100;

/// What reached the backend was never more than one connection may have at one time, twice over: what was given up ends
/// there a little later.
fn assert_reasonable(load: &Load) {
    let peak = load.peak();
    assert!(peak <= 2 * MOST_STREAMS, "the backend worked at {peak} requests");
}

#[tokio::test]
async fn rapid_resets_end_the_connection() {
    let (backend, load) = silent();
    let victim = Victim::start(&backend, json!({})).await;
    let mut attacker = victim.attacker().await;
    let frames = (0..STREAMS).map(|request| [get_on(stream(request)), reset(stream(request))].concat());
    assert_eq!(victim.during(attacker.flood(frames)).await, End::Closed);
    assert_eq!(attacker.code.unwrap_or(ENHANCE_YOUR_CALM), ENHANCE_YOUR_CALM);
    assert_reasonable(&load);
    assert!(backend.requests() < 1000, "{} requests", backend.requests());
    drop(attacker);
    victim.recovered().await;
}

#[tokio::test]
async fn resets_that_keep_under_the_limit_cost_a_backend_no_more_than_requests_would() {
    let (backend, load) = silent();
    let victim = Victim::start(&backend, json!({})).await;
    let mut attacker = victim.attacker().await;
    let attack = async {
        for batch in 0..200 {
            for request in batch * 10..batch * 10 + 10 {
                attacker.flood([get_on(stream(request)), reset(stream(request))]).await;
            }
            // The gateway has seen all of them before more come.
            if !attacker.is_alive().await {
                return;
            }
        }
    };
    victim.during(attack).await;
    assert_reasonable(&load);
    drop(attacker);
    victim.recovered().await;
}

/// A request, and something that makes the gateway break it off.
type Mistake = (&'static str, fn(u32) -> Vec<u8>);

const MISTAKES: &[Mistake] = &[
    ("a window update of nothing", |id| [post_on(id), window_update(id, 0)].concat()),
    ("a window that overflows", |id| [post_on(id), window_update(id, 0x7fff_ffff)].concat()),
    ("a body behind the end", |id| [get_on(id), frame(DATA, 0, id, b"x")].concat()),
    ("a head behind the end", |id| [get_on(id), get_on(id)].concat()),
    ("a stream that depends on itself", |id| {
        [post_on(id), frame(PRIORITY, 0, id, &[id.to_be_bytes().as_slice(), &[0]].concat())].concat()
    }),
    ("a priority of a wrong length", |id| [post_on(id), frame(PRIORITY, 0, id, &[0; 4])].concat()),
    ("trailers that do not end", |id| [post_on(id), post_on(id)].concat()),
    ("a length that is exceeded", |id| {
        let head = [&POST[..], &[0x0f, 0x0d, 1, b'1']].concat();
        [frame(HEADERS, END_HEADERS, id, &head), frame(DATA, END_STREAM, id, b"two")].concat()
    }),
    ("a head without a method", |id| frame(HEADERS, END_STREAM | END_HEADERS, id, &GET[1..])),
];

#[tokio::test]
async fn a_client_can_make_the_gateway_reset_only_so_many_streams() {
    let (backend, load) = silent();
    let victim = Victim::start(&backend, json!({})).await;
    for (name, mistake) in MISTAKES {
        let mut attacker = victim.attacker().await;
        let end = victim.during(attacker.flood((0..STREAMS).map(|request| mistake(stream(request))))).await;
        assert_eq!(end, End::Closed, "{name}");
        let resets = attacker.count(RST_STREAM);
        assert!(resets <= 2 * 128, "{name}: {resets} streams were reset");
    }
    assert_reasonable(&load);
    assert!(backend.requests() < 3000, "{} requests", backend.requests());
    victim.recovered().await;
}

#[tokio::test]
async fn mistakes_that_come_one_by_one_are_counted_too() {
    let (backend, load) = silent();
    let victim = Victim::start(&backend, json!({})).await;
    for (name, mistake) in MISTAKES {
        let mut attacker = victim.attacker().await;
        let ended = victim.during(ended_after(&mut attacker, *mistake)).await;
        assert!(ended.is_some_and(|streams| streams <= 200), "{name}: it goes on after {ended:?}");
        drop(attacker);
    }
    assert_reasonable(&load);
    victim.recovered().await;
}

/// After how many streams, each seen before the next one comes, the connection is ended.
async fn ended_after(attacker: &mut Attacker, mistake: fn(u32) -> Vec<u8>) -> Option<u32> {
    for request in 0..400 {
        attacker.flood([mistake(stream(request))]).await;
        if !attacker.is_alive().await {
            return Some(request);
        }
    }
    None
}
