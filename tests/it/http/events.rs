//! Server-sent events and long polls: nothing is held back, and nothing ends before its time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::BodyExt;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::before_with;
use crate::support::{Backend, Client, Wire, get, within};

#[tokio::test]
async fn events_pass_one_by_one() {
    let (send, sent) = mpsc::channel::<String>(1);
    let sent = Arc::new(Mutex::new(Some(sent)));
    let backend = Backend::with(move |mut wire| {
        let sent = Arc::clone(&sent);
        async move {
            wire.read_head().await;
            wire.send(
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
            )
            .await;
            let sent = sent.lock().expect("nobody panics with it").take();
            let mut sent = sent.expect("there is one request");
            while let Some(event) = sent.recv().await {
                wire.send(format!("{:x}\r\n{event}\r\n", event.len())).await;
            }
            wire.send("0\r\n\r\n").await;
        }
    });
    let gateway = before_with(&backend, json!({ "workers": 1 })).await;
    let mut client = Client::http2(gateway.address()).await.expect("a connection");
    let mut events = client.begin(get("/")).await.expect("a response").into_body();
    for number in 0..5 {
        let event = format!("data: {number}\n\n");
        send.send(event.clone()).await.expect("it is read");
        let frame = within(events.frame()).await.expect("a frame").expect("no reset");
        assert_eq!(frame.into_data().expect("data"), event);
    }
    drop(send);
    let rest = within(events.collect()).await.expect("no reset");
    assert!(rest.to_bytes().is_empty());
}

#[tokio::test]
async fn a_long_poll_lasts_as_long_as_the_document_allows() {
    let backend = Backend::with(|mut wire| async move {
        wire.read_head().await;
        sleep(Duration::from_millis(600)).await;
        // The gateway may have gone.
        let _ = wire.try_send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    });
    let timeouts = |idle: &str| json!({ "timeouts": { "backend_idle": idle, "client_idle": "100ms", "keep_alive": "100ms" } });
    let gateway = before_with(&backend, timeouts("10s")).await;
    for mut client in [Client::http1(gateway.address()).await, Client::http2(gateway.address()).await]
        .map(|client| client.expect("a connection"))
    {
        assert_eq!(client.send(get("/")).await.expect("a response").text(), "ok");
    }
    let gateway = before_with(&backend, timeouts("300ms")).await;
    let started = Instant::now();
    let mut client = Client::http1(gateway.address()).await.expect("a connection");
    assert_eq!(client.send(get("/")).await.expect("a response").code(), "backend-timeout");
    assert!(started.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_silent_stream_of_events_ends_when_the_document_says() {
    let backend = Backend::with(|mut wire| async move {
        wire.read_head().await;
        wire.send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n").await;
        wire.expect_eof().await;
    });
    let gateway = before_with(&backend, json!({ "timeouts": { "backend_idle": "300ms" } })).await;
    let mut wire = Wire::connect(gateway.address()).await;
    wire.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let started = Instant::now();
    assert_eq!(wire.read_head().await.status(), 200);
    let got = wire.read_to_end().await;
    assert!(got.starts_with(b"9\r\ndata: 1\n\n"), "{got:?}");
    assert!(!got.ends_with(b"0\r\n\r\n"), "what broke off does not look whole");
    assert!(started.elapsed() >= Duration::from_millis(300));
}
