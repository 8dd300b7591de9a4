//! How backends are spoken to: HTTP/2, TLS, sockets, the host they are sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Frame, Incoming};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::with;
use crate::support::{
    Authority, Backend, Client, Frames, Gateway, PATIENCE, document, eventually, feed, get, post, request,
    within,
};

/// A document with one upstream of these backends and these further fields.
fn through(backends: &[Value], fields: Value) -> Value {
    let upstream = with(json!({ "backends": backends }), fields);
    let routes = json!({ "*": { "upstream": "all" } });
    with(document(routes), json!({ "upstreams": { "all": upstream } }))
}

async fn to_h2c(backend: &Backend, fields: Value) -> Gateway {
    let fields = with(json!({ "protocol": "h2c" }), fields);
    Gateway::start(through(&[backend.host()], fields)).await
}

/// A folder with a backend's certificate and the authority that vouches for it.
struct Secured {
    folder: TempDir,
    authority: Authority,
}

impl Secured {
    fn new() -> Self {
        let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new("the authority"));
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).expect("the folder can be written to");
        Self { folder, authority }
    }

    fn backend(&self, names: &[&str], alpn: &[&str]) -> Backend {
        Backend::echo_tls("a", self.authority.issue(names).acceptor(alpn, None))
    }

    async fn before(self, backend: &Backend, fields: Value) -> Gateway {
        let document = through(&[backend.host()], fields);
        Gateway::try_start_in(self.folder, document)
            .await
            .unwrap_or_else(|error| panic!("{error}\n{error:?}"))
    }
}

#[tokio::test]
async fn requests_of_every_client_reach_a_backend_over_http2() {
    let backend = Backend::echo_h2c("a");
    let gateway = to_h2c(&backend, json!({})).await;
    for mut client in [Client::http1(gateway.address()).await, Client::http2(gateway.address()).await]
        .map(|client| client.expect("a connection"))
    {
        let answer = client.send(post("/x?y", "hello")).await.expect("a response");
        let told = answer.json();
        assert_eq!((answer.status.as_u16(), &told["version"]), (200, &"HTTP/2.0".into()));
        assert_eq!((&told["method"], &told["body"]), (&"POST".into(), &"hello".into()));
        assert_eq!(told["target"], format!("http://{}/x?y", gateway.address()));
        assert_eq!(answer.echoed("x-forwarded-for").as_deref(), Some("127.0.0.1"));
        assert_eq!(answer.echoed("content-length"), None, "frames tell the length");
        assert_eq!(answer.header("content-length"), Some(&*answer.body.len().to_string()));
    }
}

#[tokio::test]
async fn many_requests_share_one_connection_per_worker() {
    const REQUESTS: usize = 40;
    let barrier = Arc::new(Barrier::new(REQUESTS));
    let backend = Backend::serve_h2c(move |_: Request<Incoming>| {
        let barrier = Arc::clone(&barrier);
        async move {
            barrier.wait().await;
            Response::new(Full::<Bytes>::from("done"))
        }
    });
    let gateway = Gateway::start(with(
        through(&[backend.host()], json!({ "protocol": "h2c" })),
        json!({ "workers": 1 }),
    ))
    .await;
    let mut asking = JoinSet::new();
    for _ in 0..REQUESTS {
        let address = gateway.address();
        asking.spawn(async move { request(address, get("/")).await });
    }
    let answers = within(asking.join_all()).await;
    assert!(answers.iter().all(|answer| answer.text() == "done"));
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn no_more_streams_than_allowed_are_opened_on_a_connection() {
    const REQUESTS: usize = 6;
    let barrier = Arc::new(Barrier::new(REQUESTS));
    let backend = Backend::serve_h2c(move |_: Request<Incoming>| {
        let barrier = Arc::clone(&barrier);
        async move {
            barrier.wait().await;
            Response::new(Full::<Bytes>::from("done"))
        }
    });
    let fields = json!({ "protocol": "h2c", "streams": 2 });
    let gateway = Gateway::start(with(through(&[backend.host()], fields), json!({ "workers": 1 }))).await;
    let mut asking = JoinSet::new();
    for _ in 0..REQUESTS {
        let address = gateway.address();
        asking.spawn(async move { request(address, get("/")).await });
    }
    within(asking.join_all()).await;
    assert_eq!(backend.connections(), 3);
}

#[tokio::test]
async fn trailers_pass_both_ways_over_http2() {
    let backend = Backend::serve_h2c(|request: Request<Incoming>| async move {
        let body = request.into_body().collect().await.expect("whole");
        let trailers = body.trailers().cloned().unwrap_or_default();
        Response::new(Frames::of([Ok(Frame::data(body.to_bytes())), Ok(Frame::trailers(trailers))]))
    });
    let gateway = to_h2c(&backend, json!({})).await;
    let (frames, asked) = feed("/");
    let mut client = Client::http2(gateway.address()).await.expect("a connection");
    let sending = async {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-end", "yes".parse().expect("a value"));
        frames.send(Frame::data("hello".into())).await.expect("it is read");
        frames.send(Frame::trailers(trailers)).await.expect("it is read");
        drop(frames);
    };
    let (answer, ()) = within(async { tokio::join!(client.send(asked), sending) }).await;
    let answer = answer.expect("a response");
    assert_eq!(answer.text(), "hello");
    assert_eq!(answer.trailers.expect("trailers")["x-end"], "yes");
}

#[tokio::test]
async fn a_connection_that_is_old_takes_no_more_requests() {
    let backend = Backend::serve_h2c(|request: Request<Incoming>| async {
        let body = request.into_body().collect().await.expect("whole");
        Response::new(Full::from(body.to_bytes()))
    });
    let gateway = to_h2c(&backend, json!({ "connection_age": "1s" })).await;
    let mut client = Client::http1(gateway.address()).await.expect("a connection");
    let started = tokio::time::Instant::now();
    while backend.connections() < 2 {
        let answer = client.send(post("/", "x")).await.expect("a response");
        assert_eq!(answer.text(), "x");
        assert!(started.elapsed() < PATIENCE, "an old connection is replaced");
    }
    assert!(started.elapsed().as_millis() >= 900, "a connection is used until it is old");
}

#[tokio::test]
async fn a_backend_that_resets_a_stream_is_a_bad_gateway() {
    let seen = Arc::<AtomicUsize>::default();
    let backend = Backend::serve_h2c({
        let seen = Arc::clone(&seen);
        move |_: Request<Incoming>| {
            seen.fetch_add(1, SeqCst);
            async { Response::new(Frames::of([Err(std::io::Error::other("no more"))])) }
        }
    });
    let gateway = to_h2c(&backend, json!({})).await;
    let answer = request(gateway.address(), get("/")).await;
    assert_eq!((answer.status.as_u16(), &*answer.code()), (502, "backend-closed"));
    assert_eq!(seen.load(SeqCst), 1, "it may have been acted on, so it is not sent again");
}

#[tokio::test]
async fn the_protocol_is_negotiated_with_the_backend() {
    for (alpn, version) in
        [(&["h2", "http/1.1"][..], "HTTP/2.0"), (&["http/1.1"], "HTTP/1.1"), (&[], "HTTP/1.1")]
    {
        let secured = Secured::new();
        let backend = secured.backend(&["127.0.0.1"], alpn);
        let gateway = secured.before(&backend, json!({ "tls": { "ca": "ca.pem" } })).await;
        for _ in 0..3 {
            let answer = request(gateway.address(), get("/")).await;
            assert_eq!(answer.json()["version"], version, "{alpn:?}");
        }
    }
}

#[tokio::test]
async fn a_backend_is_verified_by_its_name() {
    let secured = Secured::new();
    let backend = secured.backend(&["games.internal"], &["h2"]);
    let tls = json!({ "ca": "ca.pem", "server_name": "games.internal" });
    let gateway = secured.before(&backend, json!({ "tls": tls })).await;
    let answer = request(gateway.address(), get("/")).await;
    assert_eq!(answer.json()["sni"], "games.internal");
}

#[tokio::test]
async fn a_backend_that_cannot_be_verified_gets_no_request() {
    for (names, tls) in [
        (["other.internal"], json!({ "ca": "ca.pem" })),
        (["127.0.0.1"], json!({})),
        (["127.0.0.1"], json!({ "ca": "ca.pem", "server_name": "games.internal" })),
    ] {
        let secured = Secured::new();
        let backend = secured.backend(&names, &[]);
        let gateway = secured.before(&backend, json!({ "tls": tls })).await;
        let answer = request(gateway.address(), get("/")).await;
        assert_eq!((answer.status.as_u16(), &*answer.code()), (502, "backend-tls-failed"), "{tls}");
        assert_eq!(backend.requests(), 0);
    }
}

#[tokio::test]
async fn verification_can_be_switched_off_by_name_only() {
    let secured = Secured::new();
    let backend = secured.backend(&["other.internal"], &["h2"]);
    let gateway = secured.before(&backend, json!({ "tls": { "verify": false } })).await;
    assert_eq!(request(gateway.address(), get("/")).await.status, 200);
}

#[tokio::test]
async fn the_gateway_shows_its_certificate_to_backends() {
    let secured = Secured::new();
    let ours = Authority::new("the gateway's");
    ours.issue(&["gateway.internal"]).write(secured.folder.path(), "gateway");
    let issued = secured.authority.issue(&["127.0.0.1"]);
    let backend = Backend::echo_tls("a", issued.acceptor(&["h2"], Some(&ours)));
    let tls = json!({ "ca": "ca.pem", "certificate": "gateway.pem", "key": "gateway.key" });
    let gateway = secured.before(&backend, json!({ "tls": tls })).await;
    assert_eq!(request(gateway.address(), get("/")).await.json()["shown"], true);
}

#[tokio::test]
async fn a_changed_authority_is_taken_up() {
    let secured = Secured::new();
    let other = Authority::new("another");
    let backend = Backend::echo_tls("a", other.issue(&["127.0.0.1"]).acceptor(&["h2"], None));
    let gateway = secured.before(&backend, json!({ "tls": { "ca": "ca.pem" } })).await;
    assert_eq!(request(gateway.address(), get("/")).await.status, 502);
    std::fs::write(gateway.folder().join("ca.pem"), other.pem()).expect("the folder can be written to");
    eventually(async || request(gateway.address(), get("/")).await.status == 200).await;
}

#[tokio::test]
async fn a_backend_must_speak_what_was_asked_for() {
    let secured = Secured::new();
    let backend = secured.backend(&["127.0.0.1"], &["http/1.1"]);
    let gateway = secured.before(&backend, json!({ "protocol": "h2", "tls": { "ca": "ca.pem" } })).await;
    let answer = request(gateway.address(), get("/")).await;
    assert_eq!((answer.status.as_u16(), &*answer.code()), (502, "backend-tls-failed"));
}

#[tokio::test]
async fn backends_are_sent_the_host_that_the_upstream_names() {
    for (is_http2, backend) in [(false, Backend::echo("a")), (true, Backend::echo_h2c("a"))] {
        let own = backend.address().to_string();
        for (host, expected) in
            [("client", "asked.example"), ("backend", &own), ("api.internal:81", "api.internal:81")]
        {
            let protocol = if is_http2 { "h2c" } else { "h1" };
            let fields = json!({ "host": host, "protocol": protocol });
            let gateway = Gateway::start(through(&[backend.host()], fields)).await;
            let mut asked = get("/");
            asked.headers_mut().insert("host", "asked.example".parse().expect("a host"));
            let answer = request(gateway.address(), asked).await;
            let told = match is_http2 {
                true => answer.json()["target"].as_str().expect("a target").to_owned(),
                false => format!("http://{}/", answer.echoed("host").expect("a host")),
            };
            assert_eq!(told, format!("http://{expected}/"));
            assert_eq!(answer.echoed("x-forwarded-host").as_deref(), Some("asked.example"));
        }
    }
}

#[tokio::test]
async fn a_backend_on_a_socket_of_this_machine_is_reached() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("backend.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    let serving = tokio::spawn(async move {
        let (mut io, _) = listener.accept().await.expect("a connection");
        for _ in 0..2 {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(io.read_u8().await.expect("a byte"));
            }
            io.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await.expect("it is read");
        }
    });
    let host = json!({ "host": format!("unix:{}", path.display()) });
    let gateway =
        Gateway::start(with(document(json!({ "*": { "backends": [host] } })), json!({ "workers": 1 }))).await;
    for _ in 0..2 {
        assert_eq!(request(gateway.address(), get("/")).await.text(), "hi");
    }
    within(serving).await.expect("both came over one connection");
}

#[tokio::test]
async fn backends_are_told_whose_connection_it_is() {
    let backend = Backend::with(|mut wire| async move {
        let header = wire.read_exact(28).await;
        assert_eq!(&header[..14], b"\r\n\r\n\0\r\nQUIT\n\x21\x11");
        let port = u16::from_be_bytes([header[24], header[25]]);
        let head = wire.read_head().await;
        assert_eq!(head.field("x-forwarded-for"), Some("127.0.0.1"));
        let body = format!("{}.{}.{}.{}:{port}", header[16], header[17], header[18], header[19]);
        let length = body.len();
        wire.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}")).await;
        assert!(wire.try_read_head().await.is_none(), "nobody else's request follows");
    });
    let gateway = Gateway::start(through(&[backend.host()], json!({ "proxy_protocol": "v2" }))).await;
    let mut client = Client::http1(gateway.address()).await.expect("a connection");
    let first = client.send(get("/")).await.expect("a response");
    let second = client.send(get("/")).await.expect("a response");
    assert!(first.text().starts_with("127.0.0.1:"));
    assert_eq!(first.text(), second.text());
    assert_eq!(backend.connections(), 2);
}

#[tokio::test]
async fn a_connection_is_tried_by_pings() {
    const PING: u8 = 6;
    let (seen, mut pinged) = tokio::sync::mpsc::channel(1);
    let backend = Backend::with(move |mut wire| {
        let seen = seen.clone();
        async move {
            wire.read_exact(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len()).await;
            // Empty SETTINGS, and after that silence.
            wire.send([0, 0, 0, 4, 0, 0, 0, 0, 0]).await;
            while let Some(head) = wire.try_read_exact(9).await {
                let size = u32::from_be_bytes([0, head[0], head[1], head[2]]);
                wire.read_exact(size as usize).await;
                if head[3] == PING {
                    seen.send(()).await.expect("the test waits");
                }
            }
        }
    });
    let gateway = to_h2c(&backend, json!({ "ping": "1s" })).await;
    let mut client = Client::http1(gateway.address()).await.expect("a connection");
    let asking = tokio::spawn(async move { client.begin(get("/")).await.is_ok() });
    within(pinged.recv()).await.expect("a ping");
    asking.abort();
}
