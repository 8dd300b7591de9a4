//! Requests before the end of a handshake (0-RTT, RFC 8470).

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use h3::client::SendRequest;
use http::{Method, Request, Version};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connecting, Connection, Endpoint, ZeroRttAccepted};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use super::with;
use crate::support::{Answer, Authority, Backend, Gateway, document, eventually, within};

const NAME: &str = "a.example";

/// What passes datagrams on, between one client at a time and a gateway, and can hold a handshake up.
struct Relay {
    address: SocketAddr,
    holds: Arc<AtomicBool>,
    passing: JoinHandle<()>,
}

impl Relay {
    async fn before(gateway: SocketAddr) -> Self {
        let inside = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a socket");
        let outside = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a socket");
        inside.connect(gateway).await.expect("an address");
        let (address, holds) = (outside.local_addr().expect("it is bound"), Arc::<AtomicBool>::default());
        let passing = tokio::spawn(pass(inside, outside, Arc::clone(&holds)));
        Self { address, holds, passing }
    }

    /// From now on what a client sends after it has heard of the gateway does not get there.
    fn hold(&self) {
        self.holds.store(true, SeqCst);
    }

    fn release(&self) {
        self.holds.store(false, SeqCst);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.passing.abort();
    }
}

async fn pass(inside: UdpSocket, outside: UdpSocket, holds: Arc<AtomicBool>) {
    let (mut sent, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let (mut client, mut has_heard) = (None, false);
    loop {
        tokio::select! {
            received = outside.recv_from(&mut sent) => {
                let (size, from) = received.expect("a datagram");
                client = Some(from);
                if !holds.load(SeqCst) {
                    has_heard = false;
                }
                // One that is lost is sent again.
                if !has_heard {
                    inside.send(&sent[..size]).await.expect("it is sent");
                }
            }
            received = inside.recv(&mut answered) => {
                let size = received.expect("a datagram");
                if holds.load(SeqCst) && !has_heard {
                    // The client gets to write its requests before.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    while let Ok((size, _)) = outside.try_recv_from(&mut sent) {
                        inside.send(&sent[..size]).await.expect("it is sent");
                    }
                    has_heard = true;
                }
                if let Some(client) = client {
                    outside.send_to(&answered[..size], client).await.expect("it is sent");
                }
            }
        }
    }
}

/// A client that comes back with the sessions that it was given.
struct Returning {
    endpoint: Endpoint,
    address: SocketAddr,
}

type Sender = SendRequest<h3_quinn::OpenStreams, Bytes>;

impl Returning {
    fn new(relay: &Relay, authority: &Authority) -> Self {
        let mut config = authority.client_config(&["h3"], None);
        config.enable_early_data = true;
        let crypto = QuicClientConfig::try_from(config).expect("TLS 1.3");
        let mut endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).expect("a socket");
        endpoint.set_default_client_config(ClientConfig::new(Arc::new(crypto)));
        Self { endpoint, address: relay.address }
    }

    fn connect(&self) -> Connecting {
        self.endpoint.connect(self.address, NAME).expect("an address")
    }

    /// Is there once.
    async fn visit(&self) {
        let connection = within(self.connect()).await.expect("a handshake");
        let mut sender = speak(connection.clone()).await;
        assert_eq!(ask(&mut sender, Method::POST, "/early").await.status, 200);
        connection.close(0u32.into(), b"");
    }

    /// Comes back without waiting for the handshake. None where the gateway has not said that this is possible.
    fn come_back(&self) -> Option<(Connection, ZeroRttAccepted)> {
        self.connect().into_0rtt().ok()
    }
}

async fn speak(connection: Connection) -> Sender {
    let building = h3::client::new(h3_quinn::Connection::new(connection));
    let (mut driver, sender) = within(building).await.expect("it speaks HTTP/3");
    tokio::spawn(async move { std::future::poll_fn(|cx| driver.poll_close(cx)).await });
    sender
}

async fn ask(sender: &mut Sender, method: Method, path: &str) -> Answer {
    let uri = format!("https://{NAME}{path}");
    let request = Request::builder().method(method).uri(uri).body(()).expect("a request");
    let mut stream = within(sender.send_request(request)).await.expect("a stream");
    within(stream.finish()).await.expect("it is taken");
    let (head, ()) = within(stream.recv_response()).await.expect("a response").into_parts();
    let mut body = BytesMut::new();
    while let Some(mut data) = within(stream.recv_data()).await.expect("no reset") {
        body.extend_from_slice(&data.copy_to_bytes(data.remaining()));
    }
    let (status, headers, body) = (head.status, head.headers, body.freeze());
    Answer { status, version: Version::HTTP_3, headers, body, trailers: None }
}

struct Setting {
    relay: Relay,
    client: Returning,
    _gateway: Gateway,
    _backend: Backend,
}

/// A gateway with these fields in the rule of `/early`, and in its listener's TLS.
async fn setting(rule: Value, tls: Value) -> Setting {
    let (backend, authority) = (Backend::echo("a"), Authority::new("the authority"));
    let folder = TempDir::new().expect("a folder");
    authority.issue(&[NAME]).write(folder.path(), "a");
    std::fs::write(folder.path().join("ca.pem"), authority.pem()).expect("the folder can be written to");
    let own = json!({ "backends": [backend.host()] });
    let tls = with(json!({ "certificates": [{ "certificate": "a.pem", "key": "a.key" }] }), tls);
    let listener = json!({ "address": "127.0.0.1:0", "protocols": ["h1", "h3"], "tls": tls });
    let document = with(
        document(json!({ "/early": with(own.clone(), rule), "*": own })),
        json!({ "listeners": { "all": listener }, "workers": 1 }),
    );
    let gateway = Gateway::try_start_in(folder, document).await;
    let gateway = gateway.unwrap_or_else(|error| panic!("{error}\n{error:?}"));
    let relay = Relay::before(gateway.address_of("all")).await;
    let client = Returning::new(&relay, &authority);
    Setting { relay, client, _gateway: gateway, _backend: backend }
}

#[tokio::test]
async fn a_route_may_serve_safe_requests_before_the_handshake_is_done() {
    let setting = setting(json!({ "early_data": true }), json!({})).await;
    setting.client.visit().await;
    setting.relay.hold();
    let (connection, accepted) = setting.client.come_back().expect("early data");
    let mut sender = speak(connection).await;
    let answer = ask(&mut sender, Method::GET, "/early").await;
    assert_eq!((answer.status.as_u16(), answer.echoed("early-data").as_deref()), (200, Some("1")));
    setting.relay.release();
    assert!(within(accepted).await, "the early data was taken");
    let answer = ask(&mut sender, Method::GET, "/early").await;
    assert_eq!((answer.status.as_u16(), answer.echoed("early-data")), (200, None));
}

#[tokio::test]
async fn other_requests_have_to_wait_for_the_handshake() {
    let setting = setting(json!({ "early_data": true }), json!({})).await;
    setting.client.visit().await;
    setting.relay.hold();
    let (connection, _) = setting.client.come_back().expect("early data");
    let mut sender = speak(connection).await;
    let mut other = sender.clone();
    let answers =
        tokio::join!(ask(&mut sender, Method::GET, "/late"), ask(&mut other, Method::POST, "/early"),);
    for answer in [answers.0, answers.1] {
        assert_eq!((answer.status.as_u16(), &*answer.code()), (425, "too-early"));
    }
    setting.relay.release();
    let served = async || ask(&mut sender.clone(), Method::POST, "/early").await.status == 200;
    eventually(served).await;
}

#[tokio::test]
async fn early_data_is_not_taken_where_nobody_wants_it() {
    for (rule, tls) in [
        (json!({}), json!({})),
        (
            json!({ "early_data": true }),
            json!({ "client_certificates": { "ca": "ca.pem", "mode": "optional" } }),
        ),
    ] {
        let setting = setting(rule, tls).await;
        setting.client.visit().await;
        assert!(setting.client.come_back().is_none());
    }
}
