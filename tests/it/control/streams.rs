//! Connections and streams that a change does not concern stay, whatever else is changed.
//!
//! CI has a hundred of them; `CLOUDCUP_STREAMS=5000` has as many as the gateway must keep, through a thousand changes.

use std::env;
use std::sync::Arc;

use bytes::Bytes;
use cloud_cup::message::upgrade::websocket_accept;
use http::{HeaderValue, Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

use crate::check::program::{Program, cupctl, run};
use crate::support::{Backend, Client, Wire, feed, within};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// Streams of one HTTP/2 connection.
const STREAMS: usize = 50;

/// A backend that agrees to a WebSocket and gives back whatever comes.
fn echoing() -> Backend {
    Backend::with(|mut wire| async move {
        while wire.try_read_head().await.is_some() {
            let accept = websocket_accept(&HeaderValue::from_static(KEY));
            wire.send(format!(
                "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
                 sec-websocket-accept: {}\r\n\r\n",
                accept.to_str().expect("text")
            ))
            .await;
            let (mut reading, mut writing) = wire.io().split();
            // The gateway ends it when the test does.
            let _ = tokio::io::copy(&mut reading, &mut writing).await;
        }
    })
}

/// A backend whose responses go on when this is told.
fn pausing(go_on: &Arc<Notify>) -> Backend {
    let go_on = Arc::clone(go_on);
    Backend::with(move |mut wire| {
        let go_on = Arc::clone(&go_on);
        async move {
            while wire.try_read_head().await.is_some() {
                let told = go_on.notified();
                tokio::pin!(told);
                told.as_mut().enable();
                wire.send(
                    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n\
                     9\r\ndata: a\n\n\r\n",
                )
                .await;
                told.await;
                wire.send("9\r\ndata: b\n\n\r\n0\r\n\r\n").await;
            }
        }
    })
}

/// A backend that gives back the messages of a call as they come.
fn calling() -> Backend {
    Backend::serve_h2c(|request: Request<Incoming>| async move { Response::new(request.into_body()) })
}

struct Home {
    folder: TempDir,
    document: Value,
    program: Program,
}

impl Home {
    async fn new(backends: [&Backend; 3]) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let [sockets, events, calls] = backends.map(Backend::host);
        let document = json!({
            "root": "127.0.0.1:0", "workers": 2, "access_log": "off", "history": "revisions",
            "admin": { "socket": folder.path().join("admin.sock") },
            "timeouts": { "backend_idle": "10m", "client_idle": "10m" },
            "routes": {
                "/socket": { "backends": [sockets] },
                "/events": { "backends": [events] },
                "/call": { "upstream": "calls" },
                "/changing": { "backends": [{ "host": "127.0.0.1:9" }] },
            },
            "upstreams": { "calls": { "backends": [calls], "protocol": "h2c" } },
        });
        let file = folder.path().join("cup.json");
        std::fs::write(&file, document.to_string()).expect("the folder can be written to");
        let program = Program::serve(&file).await;
        Self { folder, document, program }
    }

    /// Changes another route, its backends and its plugin.
    async fn change(&self, round: usize) {
        let mut document = self.document.clone();
        let config = json!({ "response": { "set": { "x-round": round.to_string() } } });
        document["routes"]["/changing"] = json!({
            "backends": [{ "host": format!("127.0.0.1:{}", 10 + round % 7) }],
            "plugins": if round.is_multiple_of(2) { json!([{ "use": "headers", "config": config }]) } else { json!([]) },
        });
        document["routes"][format!("/added/{round}")] = json!({ "upstream": "calls" });
        let file = self.folder.path().join("next.json");
        std::fs::write(&file, document.to_string()).expect("the folder can be written to");
        let socket = self.folder.path().join("admin.sock").display().to_string();
        let ended = run(cupctl(["--socket", &socket, "apply", "-f", &file.display().to_string()])).await;
        assert!(ended.stdout.starts_with("applied as revision"), "{ended:?}");
    }
}

async fn open_socket(address: std::net::SocketAddr) -> Wire {
    let mut wire = Wire::connect(address).await;
    wire.send(format!(
        "GET /socket HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: {KEY}\r\n\r\n"
    ))
    .await;
    assert!(wire.read_head().await.start.contains("101"));
    wire
}

#[tokio::test]
async fn streams_stay_through_changes_of_others() {
    let sockets = env::var("CLOUDCUP_STREAMS").ok().and_then(|count| count.parse().ok()).unwrap_or(100);
    let (others, rounds) = (sockets / 10, sockets / 5);
    let go_on = Arc::new(Notify::new());
    let (echoing, pausing, calling) = (echoing(), pausing(&go_on), calling());
    let home = Home::new([&echoing, &pausing, &calling]).await;
    let address = home.program.address("root");

    let mut tunnels = Vec::new();
    for _ in 0..sockets {
        tunnels.push(open_socket(address).await);
    }
    let mut events = Vec::new();
    for _ in 0..others {
        let mut wire = Wire::connect(address).await;
        wire.send("GET /events HTTP/1.1\r\nhost: a\r\n\r\n").await;
        wire.read_head().await;
        assert_eq!(wire.read_line().await.as_deref(), Some("9"));
        events.push(wire);
    }
    let mut calls: Vec<(mpsc::Sender<Frame<Bytes>>, Incoming)> = Vec::new();
    let mut clients = Vec::new();
    for index in 0..others {
        if index % STREAMS == 0 {
            clients.push(Client::http2(address).await.expect("a connection"));
        }
        let (frames, mut asked) = feed("/call");
        *asked.uri_mut() = format!("http://{address}/call").parse().expect("a target");
        let client = clients.last_mut().expect("there is one");
        let responding = client.start(asked).await.expect("it is taken");
        let response = within(responding).await.expect("a response");
        calls.push((frames, response.into_body()));
    }

    for round in 0..rounds {
        home.change(round).await;
    }

    for wire in &mut tunnels {
        wire.send("still there").await;
        assert_eq!(wire.read_exact(11).await, b"still there");
    }
    for (frames, body) in &mut calls {
        within(frames.send(Frame::data("still there".into()))).await.expect("it is taken");
        let frame = within(body.frame()).await.expect("a frame").expect("no reset");
        assert_eq!(frame.into_data().expect("data"), "still there");
    }
    go_on.notify_waiters();
    let mut reading = JoinSet::new();
    for mut wire in events {
        reading.spawn(async move { while wire.read_line().await.expect("it goes on") != "0" {} });
    }
    within(reading.join_all()).await;
    assert_eq!((echoing.connections(), pausing.connections()), (sockets, others), "none was made anew");
}
