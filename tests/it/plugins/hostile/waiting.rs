//! Hostile guests of the kind that waits.

use std::collections::HashSet;
use std::future::pending;
use std::time::{Duration, Instant};

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::{Others, granted};
use crate::plugins::route;
use crate::support::{Answer, Backend, Client, Gateway, eventually, get, guests, guests_with, request};

const SECRET: &str = "a secret of thirty-two bytes or so";
/// How long a request to a server that never answers takes.
const HTTP_TIME: Duration = Duration::from_millis(300);
/// Calls that may wait on one worker; the gateways here have one.
const WAITING: usize = 4;

/// What the hostile guest's verifier opens.
pub fn key_sets() -> Value {
    json!({ "keys": { "secret": SECRET } })
}

/// One that is good.
pub fn token() -> String {
    let claims = json!({ "exp": 4_000_000_000_u64, "sub": "somebody" });
    encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).expect("a token")
}

/// Takes connections and requests, and says nothing.
fn silent() -> Backend {
    Backend::with(|mut wire| async move {
        wire.try_read_head().await;
        pending().await
    })
}

/// A gateway with one worker on which `/bad` does this with a server that never answers.
async fn start(backend: &Backend, what: &str, hook: &str, silent: &Backend) -> Gateway {
    let mut granted = granted();
    granted["hosts"] = json!([silent.address().to_string()]);
    let mut plugins = guests_with(&["hostile-waits"], &granted);
    plugins["noop"] = guests(&["noop"])["noop"].clone();
    let url = format!("http://{}/", silent.address());
    let guest = json!({
        "use": "hostile-waits",
        "config": { "do": what, "hook": hook, "url": url },
        "limits": { "time": "50ms", "waiting_calls": WAITING },
    });
    Gateway::start(json!({
        "workers": 1,
        "plugins": plugins,
        "key_sets": key_sets(),
        "routes": {
            "/bad": route(backend, json!([guest])),
            "/good": route(backend, json!([])),
            "/noop": route(backend, json!(["noop"])),
        },
    }))
    .await
}

/// So many at the same time, each with the time that its answer took.
async fn at_once(gateway: &Gateway, count: usize) -> Vec<(Answer, Duration)> {
    let address = gateway.address();
    let asking = (0..count).map(|_| {
        tokio::spawn(async move {
            let begin = Instant::now();
            (request(address, get("/bad")).await, begin.elapsed())
        })
    });
    let mut answers = Vec::new();
    for asked in asking.collect::<Vec<_>>() {
        answers.push(asked.await.expect("an answer"));
    }
    answers
}

#[tokio::test]
async fn guest_a_call_that_waits_holds_up_nobody_and_there_are_so_many() {
    let (backend, silent) = (Backend::echo("a"), silent());
    let gateway = start(&backend, "slow", "on-request", &silent).await;
    let others = Others::start(&gateway);
    let answers = at_once(&gateway, 4 * WAITING).await;
    let (waited, refused): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|(answer, _)| answer.status == 200);
    assert_eq!((waited.len(), refused.len()), (WAITING, 3 * WAITING));
    for (answer, took) in &waited {
        assert!(answer.backend() == "a" && *took >= HTTP_TIME, "{took:?}");
    }
    for (answer, took) in &refused {
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (503, "plugin-busy"));
        assert!(*took < HTTP_TIME, "who cannot be called is not waited for: {took:?}");
    }
    assert!(others.stop().await > 20, "others are served meanwhile");
    let answers = at_once(&gateway, WAITING).await;
    assert!(answers.iter().all(|(answer, _)| answer.status == 200), "it does not trip for that");
}

#[tokio::test]
async fn guest_waiting_again_and_again_comes_to_an_end() {
    let (backend, silent) = (Backend::echo("a"), silent());
    let gateway = start(&backend, "slow-forever", "on-request", &silent).await;
    let others = Others::start(&gateway);
    let (answer, took) = at_once(&gateway, 1).await.remove(0);
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (500, "plugin-deadline"));
    // A wait takes a tick of five milliseconds from the call's fifty, however long it is.
    assert!(took < 12 * HTTP_TIME, "{took:?}");
    assert!(others.stop().await > 20);
}

#[tokio::test]
async fn guest_who_leaves_while_a_call_waits_frees_its_place() {
    let (backend, silent) = (Backend::echo("a"), silent());
    let gateway = start(&backend, "slow", "on-request", &silent).await;
    for round in 1..=3 {
        for _ in 0..WAITING {
            let mut client = Client::http1(gateway.address()).await.expect("it accepts");
            let leaving = tokio::time::timeout(Duration::from_millis(20), client.send(get("/bad")));
            assert!(leaving.await.is_err(), "nobody is answered so soon, round {round}");
        }
    }
    let is_free = || async {
        let answers = at_once(&gateway, WAITING).await;
        let statuses: HashSet<_> = answers.iter().map(|(answer, _)| answer.status.as_u16()).collect();
        statuses == HashSet::from([200])
    };
    eventually(is_free).await;
}

#[tokio::test]
async fn guest_waiting_at_the_end_keeps_nobody_and_is_bounded() {
    let (backend, silent) = (Backend::echo("a"), silent());
    let gateway = start(&backend, "slow", "on-finish", &silent).await;
    let others = Others::start(&gateway);
    let answers = at_once(&gateway, 4 * WAITING).await;
    assert!(answers.iter().all(|(answer, _)| answer.status == 200), "{answers:?}");
    let fastest = answers.iter().map(|(_, took)| took).min();
    assert!(fastest < Some(&HTTP_TIME), "the answer does not wait for the end: {answers:?}");
    let busy = "cloudcup_plugin_faults_total{plugin=\"hostile-waits\",code=\"plugin-busy\"}";
    eventually(|| async { gateway.metric(busy).await >= (2 * WAITING) as f64 }).await;
    assert!(others.stop().await > 0);
    gateway.stop().await;
}

/// It is configured for the first time when the document is checked, and on a worker whenever an instance is made.
#[tokio::test]
async fn guest_what_could_wait_may_take_its_time_to_be_configured() {
    let (backend, silent) = (Backend::echo("a"), silent());
    let gateway = start(&backend, "busy", "configure", &silent).await;
    let answers = at_once(&gateway, WAITING).await;
    assert!(answers.iter().all(|(answer, _)| answer.status == 200), "{answers:?}");
}
