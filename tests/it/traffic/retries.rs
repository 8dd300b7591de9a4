//! Requests that are asked again.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::{Method, Request, Response, Version};
use http_body_util::Full;
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::sync::{Barrier, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{hosts, pool_load, ruled, with};
use crate::support::{
    Backend, Client, Feed, Gateway, Port, Wire, eventually, feed, get, post, request, within,
};

/// What a backend does with a request that it has read.
#[derive(Clone)]
enum Act {
    Answer(String),
    Close,
    Reset,
    Hang,
}

use Act::{Answer, Close, Hang, Reset};

fn status(status: u16) -> Act {
    answer(status, "", "told")
}

/// With fields, each with its line's end.
fn answer(status: u16, fields: &str, body: &str) -> Act {
    let length = body.len();
    Answer(format!("HTTP/1.1 {status} Told\r\n{fields}content-length: {length}\r\n\r\n{body}"))
}

/// Does these with its requests, one after the other, and the last one with all that follow. Their bodies are kept.
fn acting(acts: impl Into<Vec<Act>>) -> (Backend, Arc<Mutex<Vec<String>>>) {
    let bodies = Arc::<Mutex<Vec<String>>>::default();
    let (acts, kept) = (acts.into(), Arc::clone(&bodies));
    let backend = Backend::with(move |mut wire: Wire| {
        let (acts, kept) = (acts.clone(), Arc::clone(&kept));
        async move {
            while let Some(head) = wire.try_read_head().await {
                let Some(body) = wire.read_body(&head).await else { return };
                let count = {
                    let mut kept = kept.lock().expect("nobody panics with it");
                    kept.push(String::from_utf8(body).expect("text"));
                    kept.len()
                };
                match &acts[(count - 1).min(acts.len() - 1)] {
                    Answer(answer) => {
                        if wire.try_send(answer).await.is_err() {
                            return;
                        }
                    }
                    Close => return,
                    Reset => return wire.reset(),
                    Hang => drop(wire.read_some().await),
                }
            }
        }
    });
    (backend, bodies)
}

/// One worker, so that backends have their turns in order, over these backends.
async fn over<'b>(backends: impl IntoIterator<Item = &'b Backend>, retry: Value) -> Gateway {
    before(hosts(backends), json!({}), retry).await
}

async fn before(backends: Value, fields: Value, retry: Value) -> Gateway {
    let fields = with(json!({ "backends": backends }), fields);
    // Quick, but for those that are about the wait.
    let retry = with(json!({ "backoff": { "base": "1ms", "max": "1ms" } }), retry);
    Gateway::start(with(ruled(fields, json!({ "retry": retry })), json!({ "workers": 1 }))).await
}

async fn attempts(gateway: &Gateway, lines: usize) -> u64 {
    gateway.logged(lines).await[lines - 1]["attempts"].as_u64().expect("a number")
}

#[tokio::test]
async fn each_condition_is_met_by_what_it_names() {
    let grpc = |code: u8| answer(200, &format!("grpc-status: {code}\r\n"), "");
    let garbage = || Answer("what do you mean?\r\n\r\n".to_owned());
    let cases: [(&str, Vec<(Act, bool)>); 10] = [
        (
            "reset",
            vec![
                (Close, true),
                (Reset, true),
                (status(500), false),
                (status(502), false),
                (garbage(), false),
            ],
        ),
        (
            "5xx",
            vec![
                (Close, true),
                (Reset, true),
                (status(500), true),
                (status(599), true),
                (garbage(), true),
                (status(404), false),
            ],
        ),
        (
            "gateway-error",
            vec![
                (Close, true),
                (garbage(), true),
                (status(502), true),
                (status(503), true),
                (status(504), true),
                (status(500), false),
                (status(505), false),
            ],
        ),
        (
            "retriable-4xx",
            vec![(status(409), true), (status(404), false), (status(503), false), (Close, false)],
        ),
        ("connect-failure", vec![(Close, false), (status(503), false)]),
        ("cancelled", vec![(grpc(1), true), (grpc(2), false), (status(503), false)]),
        ("deadline-exceeded", vec![(grpc(4), true), (grpc(0), false)]),
        ("resource-exhausted", vec![(grpc(8), true), (grpc(14), false)]),
        ("internal", vec![(grpc(13), true), (grpc(14), false)]),
        ("unavailable", vec![(grpc(14), true), (grpc(13), false), (Close, false)]),
    ];
    for (on, acts) in cases {
        for (index, (act, is_repeated)) in acts.into_iter().enumerate() {
            let ((bad, _), good) = (acting([act]), Backend::echo("good"));
            let gateway = over([&bad, &good], json!({ "on": [on] })).await;
            request(gateway.address(), get("/")).await;
            let asked = (bad.requests(), good.requests());
            assert_eq!(asked, (1, usize::from(is_repeated)), "{on}, act {index}");
            assert_eq!(attempts(&gateway, 1).await, 1 + u64::from(is_repeated), "{on}, act {index}");
        }
    }
}

#[tokio::test]
async fn statuses_and_headers_are_conditions_of_their_own() {
    for (fields, act, is_repeated) in [
        (json!({ "statuses": [418, 429] }), status(418), true),
        (json!({ "statuses": [418, 429] }), status(429), true),
        (json!({ "statuses": [418, 429] }), status(503), false),
        // The default conditions stay.
        (json!({ "statuses": [418] }), Close, true),
        (json!({ "statuses": [418], "on": [] }), Close, false),
        (json!({ "headers": ["X-Try-Again"] }), answer(200, "x-try-again: yes\r\n", "told"), true),
        (json!({ "headers": ["X-Try-Again"] }), answer(200, "x-try: yes\r\n", "told"), false),
        (json!({}), Close, true),
        (json!({}), Reset, true),
        (json!({}), status(503), false),
    ] {
        let ((bad, _), good) = (acting([act]), Backend::echo("good"));
        let gateway = over([&bad, &good], fields.clone()).await;
        request(gateway.address(), get("/")).await;
        assert_eq!((bad.requests(), good.requests()), (1, usize::from(is_repeated)), "{fields}");
    }
}

#[tokio::test]
async fn a_connection_that_does_not_come_about_is_tried_again_as_often_as_is_said() {
    let dead = Port::reserve();
    for (on, expected) in [("connect-failure", 4), ("5xx", 4), ("gateway-error", 4), ("reset", 1)] {
        let fields = json!({ "backends": [with(dead.host(), json!({ "max_failure": 1000 }))] });
        let retry = json!({ "on": [on], "attempts": 3 });
        let gateway = before(fields["backends"].clone(), json!({}), retry).await;
        let answer = request(gateway.address(), get("/")).await;
        assert_eq!((answer.status.as_u16(), &*answer.code()), (502, "backend-connect-failed"));
        assert_eq!(attempts(&gateway, 1).await, expected, "{on}");
    }
}

/// Refuses so many streams, and answers the others.
fn refusing(count: usize) -> Backend {
    let left = Arc::new(Semaphore::new(count));
    Backend::with(move |wire: Wire| {
        let left = Arc::clone(&left);
        async move {
            let Ok(mut connection) = h2::server::handshake(wire.into_io()).await else { return };
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                match left.try_acquire() {
                    Ok(permit) => {
                        permit.forget();
                        respond.send_reset(Reason::REFUSED_STREAM);
                    }
                    Err(_) => drop(respond.send_response(Response::new(()), true)),
                }
            }
        }
    })
}

#[tokio::test]
async fn a_stream_that_was_refused_is_tried_again() {
    for (on, method, expected) in [
        ("refused-stream", "GET", (200, 3)),
        // Nobody has looked at it.
        ("refused-stream", "POST", (200, 3)),
        ("5xx", "GET", (200, 3)),
        ("reset", "GET", (502, 1)),
    ] {
        let backend = refusing(2);
        let gateway = before(hosts([&backend]), json!({ "protocol": "h2c" }), json!({ "on": [on] })).await;
        let mut asking = post("/", "hello");
        *asking.method_mut() = method.parse::<Method>().expect("a method");
        let answer = request(gateway.address(), asking).await;
        assert_eq!((answer.status.as_u16(), attempts(&gateway, 1).await), expected, "{on} {method}");
    }
}

#[tokio::test]
async fn attempts_are_counted_and_bounded() {
    for (fields, expected) in [(json!({}), 3), (json!({ "attempts": 1 }), 2), (json!({ "attempts": 10 }), 11)]
    {
        let (bad, _) = acting([status(503)]);
        let gateway = over([&bad], with(fields, json!({ "on": ["5xx"] }))).await;
        let answer = request(gateway.address(), get("/")).await;
        assert_eq!(
            (answer.status.as_u16(), answer.text()),
            (503, "told"),
            "the last response is the client's"
        );
        assert_eq!(bad.requests(), expected);
        assert_eq!(attempts(&gateway, 1).await as usize, expected);
        assert_eq!(gateway.metric("cloudcup_backend_retries_total").await as usize, expected - 1);
        let log = gateway.access_log();
        assert_eq!(log.len(), 1, "it was one request");
    }
}

#[tokio::test]
async fn each_attempt_has_its_time() {
    let ((hanging, _), good) = (acting([Hang]), Backend::echo("good"));
    let gateway = over([&hanging, &good], json!({ "per_try_timeout": "150ms" })).await;
    let began = Instant::now();
    assert_eq!(request(gateway.address(), get("/")).await.backend(), "good");
    assert!(began.elapsed() >= Duration::from_millis(150));
    assert_eq!(attempts(&gateway, 1).await, 2);
    // The one that took too long is not used any more, and nothing is left behind.
    eventually(|| async { pool_load(&gateway).await == [0.0, 0.0, 1.0, 0.0] }).await;
}

#[tokio::test]
async fn a_backend_that_is_silent_for_too_long_has_not_answered() {
    for (on, is_repeated) in
        [("5xx", true), ("gateway-error", true), ("reset", false), ("unavailable", false)]
    {
        let ((hanging, _), good) = (acting([Hang]), Backend::echo("good"));
        let rule = json!({ "retry": { "on": [on] }, "timeouts": { "backend_idle": "150ms" } });
        let document = ruled(json!({ "backends": hosts([&hanging, &good]) }), rule);
        let gateway = Gateway::start(with(document, json!({ "workers": 1 }))).await;
        let answer = request(gateway.address(), get("/")).await;
        assert_eq!(answer.status.as_u16(), if is_repeated { 200 } else { 504 }, "{on}");
        assert_eq!(good.requests(), usize::from(is_repeated), "{on}");
    }
}

#[tokio::test]
async fn another_host_is_preferred_and_the_same_is_better_than_none() {
    let ((one, _), (other, _)) = (acting([status(503)]), (acting([status(503)])));
    let good = Backend::echo("good");
    let gateway = over([&one, &other, &good], json!({ "on": ["5xx"] })).await;
    assert_eq!(request(gateway.address(), get("/")).await.backend(), "good");
    assert_eq!((one.requests(), other.requests()), (1, 1));
    let (recovering, _) = acting([status(503), status(503), status(200)]);
    let gateway = over([&recovering], json!({ "on": ["5xx"] })).await;
    assert_eq!(request(gateway.address(), get("/")).await.status, 200);
    assert_eq!(recovering.requests(), 3);
}

#[tokio::test]
async fn waits_between_attempts() {
    let (bad, _) = acting([status(503)]);
    let backoff = json!({ "base": "100ms", "max": "100ms" });
    let retry = json!({ "on": ["5xx"], "attempts": 10, "backoff": backoff });
    let gateway = over([&bad], retry).await;
    let began = Instant::now();
    assert_eq!(request(gateway.address(), get("/")).await.status, 503);
    // Each is anything up to 100 ms: together they are less than 150 ms once in 60,000 times.
    let took = began.elapsed();
    assert!((Duration::from_millis(150)..Duration::from_secs(5)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn a_backend_may_ask_for_a_longer_wait() {
    for code in [503, 429] {
        let busy = answer(code, "retry-after: 1\r\n", "busy");
        let retry =
            |max: &str| json!({ "on": ["5xx"], "statuses": [429], "backoff": { "base": "1ms", "max": max } });
        let ((bad, _), good) = (acting([busy.clone()]), Backend::echo("good"));
        let gateway = over([&bad, &good], retry("2s")).await;
        let began = Instant::now();
        assert_eq!(request(gateway.address(), get("/")).await.backend(), "good");
        assert!(began.elapsed() >= Duration::from_secs(1), "{code}");
        // What would be too long is the client's business.
        let gateway = over([&bad, &good], retry("900ms")).await;
        let answer = request(gateway.address(), get("/")).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (code, "busy"));
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_eq!(attempts(&gateway, 1).await, 1);
    }
}

/// A PUT whose body comes in pieces of which nobody knows how many there are.
async fn put_pieces(gateway: &Gateway, version: Version, pieces: &[&'static str]) -> crate::support::Answer {
    let (sender, mut asking) = feed("/");
    *asking.method_mut() = Method::PUT;
    let client = match version {
        Version::HTTP_2 => Client::<Feed>::http2(gateway.address()).await,
        _ => Client::<Feed>::http1(gateway.address()).await,
    };
    let mut client = client.expect("it accepts connections");
    let sending = async {
        for piece in pieces {
            // A backend may answer before it has all of it.
            let _ = sender.send(Frame::data((*piece).into())).await;
        }
        drop(sender);
    };
    let (answer, ()) = tokio::join!(client.send(asking), sending);
    answer.expect("a response")
}

fn put(version: Version, body: &'static str) -> Request<Full<Bytes>> {
    let mut asking = post("/", body);
    (*asking.method_mut(), *asking.version_mut()) = (Method::PUT, version);
    asking
}

#[tokio::test]
async fn bodies_are_sent_again_as_far_as_they_were_kept() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        for (act, failed) in [(status(503), 503), (Close, 502)] {
            let ((bad, seen), good) = (acting([act]), Backend::echo("good"));
            let retry = json!({ "on": ["5xx"], "body": "10B" });
            let gateway = over([&bad, &good], retry).await;
            let answers = [
                request(gateway.address(), put(version, "0123456789")).await,
                // The second turn of the good one.
                request(gateway.address(), put(version, "x")).await,
                put_pieces(&gateway, version, &["01234", "56789"]).await,
            ];
            let told: Vec<_> = answers.iter().map(|answer| answer.json()["body"].clone()).collect();
            assert_eq!(told, ["0123456789", "x", "0123456789"], "{version:?}");
            assert!(bad.requests() >= 1);
            let before = good.requests();
            // One byte more is sent once. Whose turn it is, is not known any more.
            let mut met = Vec::new();
            for pieces in
                [&["01234", "56789", "x"][..], &["0123456789x"], &["01", "23456789x"], &["", "0123456789x"]]
            {
                let answer = put_pieces(&gateway, version, pieces).await;
                met.push(answer.status.as_u16());
            }
            for _ in 0..2 {
                met.push(request(gateway.address(), put(version, "0123456789x")).await.status.as_u16());
            }
            let failures = met.iter().filter(|status| **status == failed).count();
            assert!(failures > 0 && met.iter().all(|status| [200, failed].contains(status)), "{met:?}");
            assert_eq!(good.requests() - before, met.len() - failures, "none was sent twice");
            let seen = seen.lock().expect("nobody panics with it");
            assert!(
                seen.iter().all(|body| ["0123456789", "x", "0123456789x"].contains(&&**body)),
                "{seen:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_body_is_sent_again_over_http2_too() {
    let good = Backend::echo_h2c("good");
    let bad = refusing(usize::MAX >> 4);
    for retries in ["refused-stream", "5xx"] {
        let gateway =
            before(hosts([&bad, &good]), json!({ "protocol": "h2c" }), json!({ "on": [retries] })).await;
        for _ in 0..2 {
            let answer = request(gateway.address(), put(Version::HTTP_2, "hello")).await;
            assert_eq!(answer.json()["body"], "hello");
            let answer = put_pieces(&gateway, Version::HTTP_11, &["hel", "lo"]).await;
            assert_eq!(answer.json()["body"], "hello");
        }
    }
}

#[tokio::test]
async fn a_body_that_is_still_coming_is_sent_from_its_beginning() {
    // The first one answers as soon as it has the first half.
    let bad = Backend::with(|mut wire: Wire| async move {
        wire.read_head().await;
        wire.read_some().await;
        wire.send("HTTP/1.1 503 Told\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await;
    });
    let good = Backend::echo("good");
    let gateway = over([&bad, &good], json!({ "on": ["5xx"] })).await;
    let (sender, mut asking) = feed("/");
    *asking.method_mut() = Method::PUT;
    let mut client = Client::<Feed>::http1(gateway.address()).await.expect("it accepts connections");
    let sending = async {
        sender.send(Frame::data("first ".into())).await.expect("it is wanted");
        eventually(|| async { good.connections() > 0 }).await;
        sender.send(Frame::data("second".into())).await.expect("it is wanted");
        drop(sender);
    };
    let (answer, ()) = tokio::join!(client.send(asking), sending);
    assert_eq!(answer.expect("a response").json()["body"], "first second");
}

#[tokio::test]
async fn nothing_is_asked_again_of_which_a_byte_went_to_the_client() {
    let bad = Backend::with(|mut wire: Wire| async move {
        wire.read_head().await;
        wire.send("HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello").await;
    });
    let good = Backend::echo("good");
    let gateway = over([&bad, &good], json!({ "on": ["5xx", "reset", "connect-failure"] })).await;
    let mut wire = Wire::connect(gateway.address()).await;
    wire.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let head = wire.read_head().await;
    assert_eq!((head.status(), wire.read_body(&head).await), (200, None));
    assert_eq!((attempts(&gateway, 1).await, good.requests()), (1, 0));
    // Half a head has not gone anywhere.
    let half = Backend::with(|mut wire: Wire| async move {
        wire.read_head().await;
        wire.send("HTTP/1.1 200 OK\r\ncontent-len").await;
    });
    let gateway = over([&half, &good], json!({})).await;
    assert_eq!(request(gateway.address(), get("/")).await.backend(), "good");
}

#[tokio::test]
async fn what_may_not_be_done_twice_is_asked_once() {
    for method in ["POST", "PATCH", "X"] {
        for (fields, is_repeated) in [(json!({}), false), (json!({ "non_idempotent": true }), true)] {
            for act in [status(503), Close] {
                let ((bad, _), good) = (acting([act]), Backend::echo("good"));
                let gateway = over([&bad, &good], with(fields.clone(), json!({ "on": ["5xx"] }))).await;
                let mut asking = post("/", "hello");
                *asking.method_mut() = method.parse::<Method>().expect("a method");
                let answer = request(gateway.address(), asking).await;
                assert_eq!((bad.requests(), good.requests()), (1, usize::from(is_repeated)), "{method}");
                if is_repeated {
                    assert_eq!(answer.json()["body"], "hello");
                }
            }
        }
    }
}

#[tokio::test]
async fn what_nobody_has_seen_goes_elsewhere_and_is_no_retry() {
    let (dead, good) = (Port::reserve(), Backend::echo("good"));
    let limits = json!({ "limits": { "retries": 0, "retry_budget": 0 } });
    let members = json!([with(dead.host(), json!({ "max_failure": 1000 })), good.host()]);
    let gateway = before(members, limits.clone(), json!({})).await;
    for _ in 0..6 {
        assert_eq!(request(gateway.address(), post("/", "hello")).await.backend(), "good");
    }
    // A backend that reads a request and closes may have seen it.
    let (bad, _) = acting([Close]);
    let gateway = before(hosts([&bad, &good]), limits, json!({})).await;
    assert_eq!(request(gateway.address(), get("/")).await.code(), "backend-closed");
    assert_eq!(attempts(&gateway, 1).await, 1);
}

/// Lets so many requests fail at one time, and keeps those that follow until it is let go.
fn failing_together(count: usize) -> (Backend, Arc<Semaphore>) {
    let (barrier, held) = (Arc::new(Barrier::new(count)), Arc::new(Semaphore::new(0)));
    let first = Arc::new(Semaphore::new(count));
    let released = Arc::clone(&held);
    let backend = Backend::with(move |mut wire: Wire| {
        let (barrier, held, first) = (Arc::clone(&barrier), Arc::clone(&held), Arc::clone(&first));
        async move {
            while wire.try_read_head().await.is_some() {
                let answer = match first.try_acquire() {
                    Ok(permit) => {
                        permit.forget();
                        barrier.wait().await;
                        "HTTP/1.1 503 Told\r\ncontent-length: 0\r\n\r\n"
                    }
                    Err(_) => {
                        within(held.acquire()).await.expect("it is not closed").forget();
                        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
                    }
                };
                if wire.try_send(answer).await.is_err() {
                    return;
                }
            }
        }
    });
    (backend, released)
}

#[tokio::test]
async fn a_burst_of_failures_makes_no_more_retries_than_the_budget() {
    const BURST: usize = 20;
    for (limits, expected) in [
        (json!({ "retries": 2, "retry_budget": 0 }), 2),
        (json!({ "retries": 0, "retry_budget": 0 }), 0),
        (json!({ "retries": 0, "retry_budget": 20 }), 4),
        (json!({ "retries": 3, "retry_budget": 100 }), 20),
        (json!({}), 4),
    ] {
        let (backend, released) = failing_together(BURST);
        let gateway = before(hosts([&backend]), json!({ "limits": limits }), json!({ "on": ["5xx"] })).await;
        let mut asking = JoinSet::new();
        for _ in 0..BURST {
            let address = gateway.address();
            asking.spawn(async move { request(address, get("/")).await.status.as_u16() });
        }
        let mut met = Vec::new();
        for _ in 0..BURST - expected {
            met.push(within(asking.join_next()).await.expect("there are more").expect("it is answered"));
        }
        assert!(met.iter().all(|status| *status == 503), "{limits}: {met:?}");
        eventually(|| async { backend.requests() == BURST + expected }).await;
        assert_eq!(pool_load(&gateway).await[3], expected as f64, "{limits}");
        released.add_permits(BURST);
        let rest = asking.join_all().await;
        assert_eq!(rest, vec![200; expected], "{limits}");
        assert_eq!(backend.requests(), BURST + expected, "{limits}");
        eventually(|| async {
            pool_load(&gateway).await[..2] == [0.0, 0.0] && pool_load(&gateway).await[3] == 0.0
        })
        .await;
    }
}

#[tokio::test]
async fn one_request_needs_one_place_in_the_budget_however_often_it_is_asked_again() {
    let (bad, _) = acting([status(503)]);
    let limits = json!({ "limits": { "retries": 1, "retry_budget": 0 } });
    let gateway = before(hosts([&bad]), limits, json!({ "on": ["5xx"], "attempts": 4 })).await;
    request(gateway.address(), get("/")).await;
    assert_eq!(bad.requests(), 5);
}

#[tokio::test]
async fn a_retry_counts_until_it_is_answered() {
    let endless = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n".to_owned();
    let (backend, _) = acting([status(503), Answer(endless)]);
    let limits = json!({ "limits": { "retries": 1, "retry_budget": 0 } });
    let gateway = before(hosts([&backend]), limits, json!({ "on": ["5xx"] })).await;
    let mut wire = Wire::connect(gateway.address()).await;
    wire.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(wire.read_head().await.status(), 200);
    let [requests, _, _, retries] = pool_load(&gateway).await;
    assert_eq!((requests, retries), (1.0, 0.0), "others may be asked again meanwhile");
}

/// Waits for the word before it answers, and tells when the connection of a request was closed instead.
fn slow(name: &'static str) -> (Backend, mpsc::Receiver<()>, Arc<Semaphore>) {
    let (closed, told) = mpsc::channel(16);
    let go = Arc::new(Semaphore::new(0));
    let word = Arc::clone(&go);
    let backend = Backend::with(move |mut wire: Wire| {
        let (closed, go) = (closed.clone(), Arc::clone(&go));
        async move {
            while let Some(head) = wire.try_read_head().await {
                wire.read_body(&head).await;
                tokio::select! {
                    permit = go.acquire() => permit.expect("it is not closed").forget(),
                    _ = wire.read_some() => {
                        closed.send(()).await.expect("the test waits");
                        return;
                    }
                }
                let body = json!({ "backend": name }).to_string();
                let length = body.len();
                let _ =
                    wire.try_send(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}")).await;
            }
        }
    });
    (backend, told, word)
}

#[tokio::test]
async fn a_second_backend_is_asked_when_the_first_takes_long() {
    for asking in [get("/"), put(Version::HTTP_11, ""), put(Version::HTTP_2, "")] {
        let (slow, mut closed, _) = slow("slow");
        let good = Backend::echo("good");
        let gateway = over([&slow, &good], json!({ "hedge_after": "100ms" })).await;
        let began = Instant::now();
        let answer = request(gateway.address(), asking).await;
        assert_eq!(answer.backend(), "good");
        assert!(began.elapsed() >= Duration::from_millis(100));
        within(closed.recv()).await.expect("the loser's connection is closed");
        assert_eq!((slow.requests(), good.requests()), (1, 1));
        let log = gateway.logged(1).await;
        assert_eq!(
            (&log[0]["attempts"], &log[0]["backend"]),
            (&json!(2), &json!(good.address().to_string()))
        );
        eventually(|| async { pool_load(&gateway).await == [0.0, 0.0, 1.0, 0.0] }).await;
    }
}

#[tokio::test]
async fn the_first_backend_may_still_win() {
    let ((first, _, go), (second, mut closed, _)) = (slow("first"), slow("second"));
    let gateway = over([&first, &second], json!({ "hedge_after": "50ms" })).await;
    let asking = tokio::spawn(request(gateway.address(), get("/")));
    eventually(|| async { second.requests() == 1 }).await;
    go.add_permits(1);
    assert_eq!(within(asking).await.expect("it is answered").backend(), "first");
    within(closed.recv()).await.expect("the loser's connection is closed");
    // Who answers in time is asked alone.
    let quick = Backend::echo("quick");
    let gateway = over([&quick, &second], json!({ "hedge_after": "5s" })).await;
    assert_eq!(request(gateway.address(), get("/")).await.backend(), "quick");
    assert_eq!(attempts(&gateway, 1).await, 1);
}

#[tokio::test]
async fn who_fails_leaves_it_to_the_other() {
    let ((first, _, go), bad) = (slow("first"), Port::reserve());
    let gateway =
        before(json!([first.host(), bad.host()]), json!({}), json!({ "hedge_after": "50ms" })).await;
    let asking = tokio::spawn(request(gateway.address(), get("/")));
    tokio::time::sleep(Duration::from_millis(150)).await;
    go.add_permits(1);
    assert_eq!(within(asking).await.expect("it is answered").backend(), "first");
    assert_eq!(attempts(&gateway, 1).await, 2);
}

#[tokio::test]
async fn nothing_is_asked_twice_at_a_time_that_may_not_be_or_beyond_the_budget() {
    for (fields, asking) in
        [(json!({}), post("/", "")), (json!({ "limits": { "retries": 0, "retry_budget": 0 } }), get("/"))]
    {
        let ((first, _, go), good) = (slow("first"), Backend::echo("good"));
        let gateway = before(hosts([&first, &good]), fields, json!({ "hedge_after": "50ms" })).await;
        let asking = tokio::spawn(request(gateway.address(), asking));
        tokio::time::sleep(Duration::from_millis(200)).await;
        go.add_permits(1);
        assert_eq!(within(asking).await.expect("it is answered").backend(), "first");
        assert_eq!(good.requests(), 0);
    }
}
