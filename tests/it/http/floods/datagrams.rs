//! Datagrams at a QUIC port (RFC 9000) that begin no connection, or thousands.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Endpoint};
use serde_json::json;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::{Chance, NAME, Victim};
use crate::support::{Authority, Backend, Http3, within};

/// The sizes that datagrams have on their way.
const LARGEST: usize = 1500;
/// The type of a packet that makes a client prove its address (RFC 9000, section 17.2).
const RETRY: u8 = 3;

/// An answer that takes longer is not on its way.
const LOST: Duration = Duration::from_millis(500);

async fn bind() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").await.expect("a socket")
}

async fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut datagram = [0; LARGEST];
    let (length, from) = within(socket.recv_from(&mut datagram)).await.expect("it is bound");
    (datagram[..length].to_vec(), from)
}

/// The id that a client has chosen for the gateway, in the first packet of a datagram.
fn chosen_id(datagram: &[u8]) -> Option<&[u8]> {
    let is_first = datagram.first()? & 0xb0 == 0x80;
    datagram.get(6..6 + usize::from(*datagram.get(5)?)).filter(|_| is_first)
}

/// What so many real clients begin with, one datagram of each, by a socket that does not answer.
async fn first_datagrams(clients: usize, trusts: &Authority) -> Vec<Vec<u8>> {
    let crypto = QuicClientConfig::try_from(trusts.client_config(&["h3"], None)).expect("TLS 1.3");
    let config = ClientConfig::new(Arc::new(crypto));
    let mut datagrams = Vec::new();
    while datagrams.len() < clients {
        datagrams.extend(a_few_first_datagrams(&config).await);
    }
    datagrams.truncate(clients);
    datagrams
}

/// The same of as many as the socket has room for at one time.
async fn a_few_first_datagrams(config: &ClientConfig) -> Vec<Vec<u8>> {
    const FEW: usize = 20;
    let endpoint = Endpoint::client(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a socket");
    let (socket, mut first) = (bind().await, BTreeMap::new());
    let address = socket.local_addr().expect("it is bound");
    let connect = || endpoint.connect_with(config.clone(), address, NAME).expect("an address");
    // A client that is dropped says goodbye.
    let _connecting: Vec<_> = (0..FEW).map(|_| connect()).collect();
    while first.len() < FEW {
        let (datagram, _) = receive(&socket).await;
        if let Some(id) = chosen_id(&datagram).map(<[u8]>::to_vec) {
            first.entry(id).or_insert(datagram);
        }
    }
    first.into_values().collect()
}

/// Sends, and every now and then waits until the gateway has seen what was sent.
struct Sender {
    socket: UdpSocket,
    to: SocketAddr,
    /// A packet of a version that nobody knows.
    probe: Vec<u8>,
    sent: usize,
    /// How many packets made their client prove its address.
    retries: usize,
}

impl Sender {
    async fn new(victim: &Victim) -> Self {
        let mut probe = first_datagrams(1, &victim.authority).await.remove(0);
        probe[1..5].copy_from_slice(&[0x1a, 0x2a, 0x3a, 0x4a]);
        Self { socket: bind().await, to: victim.secure(), probe, sent: 0, retries: 0 }
    }

    async fn send(&mut self, datagram: &[u8]) {
        // Garbage may get a port unreachable in return where something has ended; that is for the end of a test to tell.
        let _ = self.socket.send_to(datagram, self.to).await;
        self.sent += 1;
        if self.sent.is_multiple_of(50) {
            self.await_versions().await;
        }
    }

    /// Waits for the answer to a probe, which may be lost as datagrams are. The answer.
    async fn await_versions(&mut self) -> Vec<u8> {
        loop {
            self.socket.send_to(&self.probe, self.to).await.expect("somebody listens");
            let mut datagram = [0; LARGEST];
            while let Ok(received) = timeout(LOST, self.socket.recv_from(&mut datagram)).await {
                let datagram = &datagram[..received.expect("somebody listens").0];
                match datagram {
                    [0x80..=0xff, 0, 0, 0, 0, ..] => return datagram.to_vec(),
                    [first @ 0x80..=0xff, ..] if (first & 0x30) >> 4 == RETRY => self.retries += 1,
                    _ => {}
                }
            }
        }
    }
}

/// A client that means well is served, and then everything ends.
async fn recovered(victim: &Victim) {
    Box::pin(serve_another(victim)).await;
    victim.recovered().await;
}

async fn serve_another(victim: &Victim) {
    let mut client = Http3::connect(victim.secure(), NAME, &victim.authority).await;
    let answer = client.send(Request::get("/fine").body(Bytes::new()).expect("a request")).await;
    assert_eq!(answer.status, 200);
    client.quic().close(0u32.into(), b"");
}

#[tokio::test]
async fn a_version_that_nobody_knows_is_answered_with_those_that_are() {
    let backend = Backend::echo("a");
    let victim = Victim::start(&backend, json!({})).await;
    let mut sender = Sender::new(&victim).await;
    let answer = sender.await_versions().await;
    // Behind the version stand the ids of the probe, the other way round (RFC 9000, section 17.2.1).
    let told = usize::from(sender.probe[5]);
    let (theirs, ours) = sender.probe[5..].split_at(told + 1);
    let ours = &ours[..=usize::from(ours[0])];
    let ids = [ours, theirs].concat();
    assert_eq!(answer[5..5 + ids.len()], ids);
    let versions: Vec<_> = answer[5 + ids.len()..].chunks(4).collect();
    assert!(versions.contains(&&[0, 0, 0, 1][..]), "{versions:?}");
    // Who did not bother to send as much as a connection needs gets no answer that could be aimed at somebody else.
    let small = sender.probe[..100].to_vec();
    let alone = bind().await;
    alone.send_to(&small, victim.secure()).await.expect("it leaves");
    sender.await_versions().await;
    assert!(alone.try_recv_from(&mut [0; LARGEST]).is_err());
    recovered(&victim).await;
}

#[tokio::test]
async fn garbage_is_dropped() {
    let backend = Backend::echo("a");
    let victim = Victim::start(&backend, json!({})).await;
    let (mut sender, mut chance) = (Sender::new(&victim).await, Chance(1));
    let attack = async {
        for _ in 0..5000 {
            let length = chance.below(LARGEST);
            sender.send(&chance.bytes(length)).await;
        }
    };
    victim.during(attack).await;
    recovered(&victim).await;
}

#[tokio::test]
async fn first_packets_that_are_damaged_are_dropped() {
    let backend = Backend::echo("a");
    let victim = Victim::start(&backend, json!({ "timeouts": { "client_head": "1s" } })).await;
    let (mut sender, mut chance) = (Sender::new(&victim).await, Chance(2));
    let whole = first_datagrams(1, &victim.authority).await.remove(0);
    let attack = async {
        for end in 0..whole.len() {
            sender.send(&whole[..end]).await;
            let mut flipped = whole.clone();
            flipped[end] ^= 1 << chance.below(8);
            sender.send(&flipped).await;
            // The head is where the sense is.
            let mut confused = whole.clone();
            confused[chance.below(40)] = chance.next() as u8;
            sender.send(&confused).await;
        }
    };
    victim.during(attack).await;
    recovered(&victim).await;
}

#[tokio::test]
async fn a_flood_of_first_packets_has_to_prove_where_it_comes_from() {
    const CLIENTS: usize = 2000;
    let backend = Backend::echo("a");
    let victim = Victim::start(&backend, json!({ "timeouts": { "client_head": "3s" } })).await;
    let datagrams = first_datagrams(CLIENTS, &victim.authority).await;
    let mut sender = Sender::new(&victim).await;
    let attack = async {
        for datagram in &datagrams {
            sender.send(datagram).await;
        }
        // Somebody who means it is let in even now.
        Box::pin(serve_another(&victim)).await;
        victim.metric("cloudcup_connections").await
    };
    let connections = victim.during(attack).await;
    assert!(connections < 200.0, "{connections} connections");
    assert!(sender.retries > 0, "nobody had to prove anything");
    recovered(&victim).await;
}

#[tokio::test]
async fn packets_of_connections_that_are_none_are_dropped() {
    let backend = Backend::echo("a");
    let victim = Victim::start(&backend, json!({})).await;
    let (mut sender, mut chance) = (Sender::new(&victim).await, Chance(3));
    let attack = async {
        for _ in 0..3000 {
            // As of an established connection, with ids that any worker may think are another one's.
            let length = 21 + chance.below(100);
            let mut packet = chance.bytes(length);
            packet[0] = 0x40 | packet[0] & 0x3f;
            sender.send(&packet).await;
        }
    };
    victim.during(attack).await;
    recovered(&victim).await;
}

/// What clients say that give up before anybody has answered: Initial packets that close their connections.
async fn farewells(config: &ClientConfig, count: usize) -> Vec<Vec<u8>> {
    let endpoint = Endpoint::client(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a socket");
    let (socket, mut first, mut last) = (bind().await, BTreeMap::new(), BTreeMap::new());
    let address = socket.local_addr().expect("it is bound");
    let connect = || endpoint.connect_with(config.clone(), address, NAME).expect("an address");
    let connecting: Vec<_> = (0..count).map(|_| connect()).collect();
    while first.len() < count {
        let (datagram, _) = receive(&socket).await;
        first.extend(chosen_id(&datagram).map(|id| (id.to_vec(), ())));
    }
    drop(connecting);
    while last.len() < count {
        let (datagram, _) = receive(&socket).await;
        if let Some(id) = chosen_id(&datagram).map(<[u8]>::to_vec) {
            last.insert(id, datagram);
        }
    }
    last.into_values().collect()
}

#[tokio::test]
async fn clients_that_begin_with_their_ends_leave_little_behind() {
    let backend = Backend::echo("a");
    let victim = Victim::start(&backend, json!({ "timeouts": { "client_head": "1s" } })).await;
    let crypto = QuicClientConfig::try_from(victim.authority.client_config(&["h3"], None)).expect("TLS 1.3");
    let config = ClientConfig::new(Arc::new(crypto));
    let mut sender = Sender::new(&victim).await;
    for _ in 0..60 {
        for datagram in farewells(&config, 20).await {
            sender.send(&datagram).await;
        }
    }
    recovered(&victim).await;
}
