//! Backends that are spoken to over HTTP/3.

use cloud_cup::message::upgrade::websocket_accept;
use http::HeaderValue;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use super::with;
use crate::support::{
    Authority, Backend, Client, Gateway, Http3Backend, Issued, Port, Wire, document, eventually, get, post,
    request, within,
};

/// The key of RFC 6455.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// An authority, and a backend's certificate of it.
struct Secured {
    authority: Authority,
    issued: Issued,
}

impl Secured {
    fn new() -> Self {
        let authority = Authority::new("the authority");
        let issued = authority.issue(&["127.0.0.1"]);
        Self { authority, issued }
    }

    /// A gateway with one worker that trusts the authority.
    async fn before(&self, host: Value) -> Gateway {
        self.before_with(host, json!({})).await
    }

    /// The same with further fields of the document.
    async fn before_with(&self, host: Value, fields: Value) -> Gateway {
        let folder = TempDir::new().expect("a folder");
        std::fs::write(folder.path().join("ca.pem"), self.authority.pem())
            .expect("the folder can be written to");
        let upstream = json!({ "backends": [host], "protocol": "h3", "tls": { "ca": "ca.pem" } });
        let routes = json!({ "*": { "upstream": "all" } });
        let document = with(document(routes), json!({ "upstreams": { "all": upstream }, "workers": 1 }));
        let gateway = Gateway::try_start_in(folder, with(document, fields)).await;
        gateway.unwrap_or_else(|error| panic!("{error}\n{error:?}"))
    }
}

#[tokio::test]
async fn requests_of_every_client_share_a_connection() {
    let secured = Secured::new();
    let backend = Http3Backend::start(&secured.issued);
    let gateway = secured.before(backend.host()).await;
    for mut client in [Client::http1(gateway.address()).await, Client::http2(gateway.address()).await]
        .map(|client| client.expect("a connection"))
    {
        let answer = client.send(post("/x?y", "hello")).await.expect("a response");
        let told = answer.json();
        assert_eq!((&told["method"], &told["body"]), (&"POST".into(), &"hello".into()), "{answer:?}");
        assert_eq!((&told["target"], &told["forwarded"]), (&"/x?y".into(), &"127.0.0.1".into()));
        assert_eq!(told["host"], gateway.address().to_string());
        assert_eq!(answer.header("content-length"), None, "the stream's end tells the length");
    }
    let mut asking = JoinSet::new();
    for _ in 0..40 {
        let address = gateway.address();
        asking.spawn(async move { request(address, get("/")).await.status.as_u16() });
    }
    assert!(within(asking.join_all()).await.iter().all(|status| *status == 200));
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn a_backend_that_takes_no_more_requests_is_connected_to_anew() {
    let secured = Secured::new();
    let backend = Http3Backend::start(&secured.issued);
    let gateway = secured.before(backend.host()).await;
    assert_eq!(request(gateway.address(), get("/")).await.status, 200);
    backend.leave();
    let anew = async || {
        // Whatever the gateway has heard of it by now, no request fails.
        assert_eq!(request(gateway.address(), get("/")).await.status, 200);
        backend.connections() == 2
    };
    eventually(anew).await;
}

#[tokio::test]
async fn a_backend_that_is_back_is_found_again() {
    let secured = Secured::new();
    let backend = Http3Backend::start(&secured.issued);
    let address = backend.address();
    let host = json!({ "host": address.to_string(), "max_failure": 1 });
    let gateway = secured.before(host).await;
    assert_eq!(request(gateway.address(), get("/")).await.status, 200);
    backend.stop().await;
    eventually(async || request(gateway.address(), get("/")).await.status == 503).await;
    let back = Http3Backend::start_at(&secured.issued, address);
    eventually(async || request(gateway.address(), get("/")).await.status == 200).await;
    assert!(back.connections() >= 1);
}

#[tokio::test]
async fn a_backend_that_cannot_be_verified_gets_no_request() {
    let secured = Secured::new();
    let backend = Http3Backend::start(&Authority::new("another").issue(&["127.0.0.1"]));
    let gateway = secured.before(backend.host()).await;
    let answer = request(gateway.address(), get("/")).await;
    assert_eq!((answer.status.as_u16(), &*answer.code()), (502, "backend-tls-failed"));
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn a_backend_that_speaks_no_quic_is_given_up_in_time() {
    let (secured, port) = (Secured::new(), Port::reserve());
    let gateway = secured.before_with(port.host(), json!({ "timeouts": { "connect": "200ms" } })).await;
    let answer = request(gateway.address(), get("/")).await;
    assert_eq!((answer.status.as_u16(), &*answer.code()), (504, "backend-connect-timeout"));
}

#[tokio::test]
async fn a_websocket_goes_to_the_same_port_over_tcp() {
    let secured = Secured::new();
    let acceptor = secured.issued.acceptor(&["http/1.1"], None);
    let tcp = Backend::with(move |wire| {
        let acceptor = acceptor.clone();
        async move {
            let mut io = within(acceptor.accept(wire.into_io())).await.expect("a session");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(within(io.read_u8()).await.expect("a request"));
            }
            let accept = websocket_accept(&HeaderValue::from_static(KEY));
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
                 sec-websocket-accept: {}\r\n\r\nhello",
                accept.to_str().expect("text")
            );
            within(io.write_all(answer.as_bytes())).await.expect("it is read");
        }
    });
    let backend = Http3Backend::start_at(&secured.issued, tcp.address());
    let gateway = secured.before(backend.host()).await;
    let mut wire = Wire::connect(gateway.address()).await;
    wire.send(format!(
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: {KEY}\r\n\r\n",
    ))
    .await;
    assert_eq!(wire.read_head().await.field("upgrade"), Some("websocket"));
    assert_eq!(wire.read_exact(5).await, b"hello");
    assert_eq!((tcp.connections(), backend.connections()), (1, 0));
    assert_eq!(request(gateway.address(), get("/")).await.status, 200);
    assert_eq!(backend.connections(), 1);
}
