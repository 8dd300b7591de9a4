//! HTTP/3.

use std::time::Duration;

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderValue, Request};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::with;
use crate::support::{Authority, Backend, Client, Gateway, Http3, document, eventually, get, within};

const NAME: &str = "a.example";

struct Served {
    gateway: Gateway,
    authority: Authority,
}

impl Served {
    /// A gateway that speaks HTTP/3, too, before this backend.
    async fn new(backend: &Backend, fields: Value) -> Self {
        let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new("the authority"));
        authority.issue(&[NAME]).write(folder.path(), "a");
        let listener = json!({
            "address": "127.0.0.1:0",
            "protocols": ["h1", "h2", "h3"],
            "tls": { "certificates": [{ "certificate": "a.pem", "key": "a.key" }] },
        });
        let routes = json!({ "*": { "backends": [backend.host()] } });
        let document = with(document(routes), json!({ "listeners": { "secure": listener } }));
        let started = Gateway::try_start_in(folder, with(document, fields)).await;
        let gateway = started.unwrap_or_else(|error| panic!("{error}\n{error:?}"));
        Self { gateway, authority }
    }

    async fn connect(&self) -> Http3 {
        Http3::connect(self.gateway.address(), NAME, &self.authority).await
    }
}

fn ask(method: &str, path: &str) -> Request<Bytes> {
    Request::builder().method(method).uri(path).body(Bytes::new()).expect("a request")
}

#[tokio::test]
async fn requests_reach_the_backend() {
    let backend = Backend::echo("a");
    let served = Served::new(&backend, json!({})).await;
    let mut client = served.connect().await;
    for _ in 0..3 {
        let answer = client.send(ask("POST", "/x?y").map(|_| Bytes::from("hello"))).await;
        let told = answer.json();
        assert_eq!((answer.status.as_u16(), &told["version"]), (200, &"HTTP/1.1".into()));
        assert_eq!(
            (&told["method"], &told["target"], &told["body"]),
            (&"POST".into(), &"/x?y".into(), &"hello".into())
        );
        let host = format!("{NAME}:{}", served.gateway.address().port());
        assert_eq!(answer.echoed("host"), Some(host));
        assert_eq!(answer.echoed("content-length").as_deref(), Some("5"), "a length that is known is told");
        assert_eq!(answer.echoed("x-forwarded-proto").as_deref(), Some("https"));
        assert_eq!(answer.header("content-length"), Some(&*answer.body.len().to_string()));
    }
    let answer = client.send(ask("GET", "/")).await;
    assert_eq!((answer.echoed("transfer-encoding"), answer.echoed("content-length")), (None, None));
    assert_eq!(client.send(ask("HEAD", "/")).await.body.len(), 0);
    let log = served.gateway.logged(5).await;
    assert_eq!((&log[0]["protocol"], &log[0]["complete"]), (&"HTTP/3".into(), &true.into()));
}

#[tokio::test]
async fn clients_of_other_versions_are_told_of_it() {
    let backend = Backend::echo("a");
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
    let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new("the authority"));
    authority.issue(&[NAME]).write(folder.path(), "a");
    let listener = json!({
        "address": port.to_string(),
        "protocols": ["h1", "h3"],
        "tls": { "certificates": [{ "certificate": "a.pem", "key": "a.key" }] },
    });
    let routes = json!({ "*": { "backends": [backend.host()] } });
    let document = with(document(routes), json!({ "listeners": { "secure": listener } }));
    let gateway = Gateway::try_start_in(folder, document).await.unwrap_or_else(|error| panic!("{error}"));
    let io = authority.client(&["http/1.1"], None).connect(port, NAME).await.expect("a session");
    let mut client = Client::over(io).await.expect("HTTP/1.1");
    let mut asked = get("/");
    asked.headers_mut().insert("host", HeaderValue::from_static(NAME));
    let answer = client.send(asked).await.expect("a response");
    assert_eq!(answer.header("alt-svc"), Some(&*format!("h3=\":{}\"; ma=86400", port.port())));
    let mut client = Http3::connect(port, NAME, &authority).await;
    assert_eq!(client.send(ask("GET", "/")).await.header("alt-svc"), None);
    drop(gateway);
}

#[tokio::test]
async fn many_requests_share_a_connection() {
    const SIZE: usize = 300_000;
    let backend = Backend::with(|mut wire| async move {
        while let Some(head) = wire.try_read_head().await {
            let body = wire.read_body(&head).await.expect("whole");
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            wire.send([head.as_bytes(), &body].concat()).await;
        }
    });
    let served = Served::new(&backend, json!({})).await;
    let mut client = served.connect().await;
    let mut streams = Vec::new();
    for index in 0..10u8 {
        let mut stream = client.begin(Request::post("/").body(()).expect("a request")).await;
        stream.send_data(Bytes::from(vec![index; SIZE])).await.expect("it is taken");
        stream.finish().await.expect("it is taken");
        streams.push(stream);
    }
    for (index, stream) in streams.iter_mut().enumerate() {
        let answer = Http3::read(stream).await;
        assert!(answer.body.len() == SIZE && answer.body.iter().all(|byte| usize::from(*byte) == index));
    }
}

#[tokio::test]
async fn trailers_and_interim_responses_pass() {
    let backend = Backend::with(|mut wire| async move {
        let head = wire.read_head().await;
        wire.send("HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n").await;
        let body = wire.read_body(&head).await.expect("whole");
        assert_eq!(body, b"hello");
        wire.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-end: yes\r\n\r\n")
            .await;
    });
    let served = Served::new(&backend, json!({})).await;
    let mut client = served.connect().await;
    let asked = Request::post("/").header("expect", "100-continue").body(()).expect("a request");
    let mut stream = client.begin(asked).await;
    assert_eq!(Http3::read_head(&mut stream).await.status, 100);
    let hints = Http3::read_head(&mut stream).await;
    assert_eq!((hints.status.as_u16(), hints.header("link")), (103, Some("</a.css>")));
    stream.send_data(Bytes::from("hello")).await.expect("it is taken");
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checked", HeaderValue::from_static("1"));
    stream.send_trailers(trailers).await.expect("they are taken");
    stream.finish().await.expect("it is taken");
    let answer = Http3::read(&mut stream).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, "ok"));
    assert_eq!(answer.trailers.expect("trailers")["x-end"], "yes");
}

#[tokio::test]
async fn a_length_that_is_wrong_reaches_no_backend_whole() {
    let backend = Backend::echo("a");
    let served = Served::new(&backend, json!({})).await;
    let mut client = served.connect().await;
    for (told, sent) in [("3", "hello"), ("9", "hello"), ("x", "hello"), ("+5", "hello")] {
        let asked = Request::post("/").header("content-length", told).body(()).expect("a request");
        let mut stream = client.begin(asked).await;
        stream.send_data(Bytes::from(sent)).await.expect("it is taken");
        stream.finish().await.expect("it is taken");
        let answer = Http3::read(&mut stream).await;
        assert_eq!((answer.status.as_u16(), &*answer.code()), (400, "malformed-body"), "{told}");
    }
}

#[tokio::test]
async fn fields_that_http3_does_not_have_are_refused() {
    let backend = Backend::echo("a");
    let served = Served::new(&backend, json!({})).await;
    let mut client = served.connect().await;
    for (name, value) in [
        ("connection", "close"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("te", "gzip"),
        ("x", " a"),
        ("x", "a\t"),
    ] {
        let asked = Request::get("/").header(name, value).body(Bytes::new()).expect("a request");
        let answer = client.send(asked).await;
        assert_eq!((answer.status.as_u16(), &*answer.code()), (400, "malformed-request"), "{name}");
    }
    assert_eq!(backend.requests(), 0);
}

#[tokio::test]
async fn a_client_that_changes_its_port_in_a_download_loses_nothing() {
    const SIZE: usize = 4 << 20;
    let backend = Backend::with(|mut wire| async move {
        wire.read_head().await;
        wire.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {SIZE}\r\n\r\n")).await;
        for piece in 0..SIZE / 65_536 {
            wire.send(vec![piece as u8; 65_536]).await;
        }
    });
    // With four workers the new port is another's three times out of four.
    let served = Served::new(&backend, json!({ "workers": 4 })).await;
    let mut client = served.connect().await;
    let mut stream = client.begin(Request::get("/").body(()).expect("a request")).await;
    stream.finish().await.expect("it is taken");
    assert_eq!(Http3::read_head(&mut stream).await.status, 200);
    let (mut got, mut moves) = (0, 0);
    while let Some(mut data) = within(stream.recv_data()).await.expect("no reset") {
        let data = data.copy_to_bytes(data.remaining());
        let is_right = |(offset, byte): (usize, &u8)| *byte == ((got + offset) / 65_536) as u8;
        assert!(data.iter().enumerate().all(is_right), "behind {got}");
        got += data.len();
        if got > (moves + 1) * SIZE / 10 {
            client.move_away();
            moves += 1;
        }
    }
    assert_eq!(got, SIZE);
    assert!(moves >= 8, "{moves} moves");
}

#[tokio::test]
async fn requests_in_flight_finish_when_the_gateway_stops() {
    let (release, released) = tokio::sync::watch::channel(false);
    let backend = Backend::with(move |mut wire| {
        let mut released = released.clone();
        async move {
            wire.read_head().await;
            released.wait_for(|released| *released).await.expect("it comes");
            wire.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone").await;
        }
    });
    let served = Served::new(&backend, json!({})).await;
    let mut client = served.connect().await;
    let mut stream = client.begin(Request::get("/").body(()).expect("a request")).await;
    stream.finish().await.expect("it is taken");
    eventually(|| async { backend.requests() == 1 }).await;
    let stopping = tokio::spawn(served.gateway.stop());
    tokio::time::sleep(Duration::from_millis(50)).await;
    release.send(true).expect("somebody waits");
    assert_eq!(Http3::read(&mut stream).await.text(), "done");
    drop(stream);
    assert!(client.ended().await, "the connection ends in peace");
    assert_eq!(within(stopping).await.expect("no panic"), 0, "none was cut off");
}

#[tokio::test]
async fn a_quiet_connection_ends() {
    let backend = Backend::echo("a");
    let served = Served::new(&backend, json!({ "timeouts": { "keep_alive": "200ms" } })).await;
    let mut client = served.connect().await;
    assert_eq!(client.send(ask("GET", "/")).await.status, 200);
    assert!(client.ended().await);
    eventually(|| async { served.gateway.metric("cloudcup_connections").await == 0.0 }).await;
}

#[tokio::test]
async fn a_client_that_leaves_abandons_its_requests() {
    let backend = Backend::with(|mut wire| async move {
        wire.read_head().await;
        wire.expect_eof().await;
    });
    let served = Served::new(&backend, json!({})).await;
    let mut client = served.connect().await;
    let mut stream = client.begin(Request::get("/").body(()).expect("a request")).await;
    stream.finish().await.expect("it is taken");
    eventually(|| async { backend.requests() == 1 }).await;
    client.quic().close(0u32.into(), b"");
    let log = served.gateway.logged(1).await;
    assert_eq!((&log[0]["status"], &log[0]["reason"]), (&499.into(), &"client-closed".into()));
}
