//! What is nearly right: streams of bytes that are good, changed by a seeded chance.

use std::net::SocketAddr;

use cloud_cup::message::proxy_protocol::encode_v2;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

use super::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GET, HEADERS, PADDED, PING, POST, PREFACE, PRIORITY,
    SETTINGS, frame, get_on, post_on, reset, setting, window_update,
};
use super::{Chance, Victim};
use crate::support::{Backend, Wire};

/// Connections that are open at one time.
const AT_ONCE: usize = 20;

/// Bytes that tend to mean something.
const TELLING: &[u8] = b"\0\r\n\t :;,0123456789abcdef\x7f\x80\xff";

impl Chance {
    /// Changes a few places.
    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            self.mutate_once(bytes);
        }
    }

    fn mutate_once(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len());
        let end = bytes.len().min(at + 1 + self.below(30));
        match self.below(8) {
            _ if bytes.is_empty() => {}
            0 => bytes[at] ^= 1 << self.below(8),
            1 => bytes[at] = self.next() as u8,
            2 => bytes[at] = TELLING[self.below(TELLING.len())],
            3 => bytes.truncate(at),
            4 => drop(bytes.drain(at..end)),
            5 => {
                let copy = bytes[at..end].to_vec();
                let to = self.below(bytes.len());
                drop(bytes.splice(to..to, copy));
            }
            6 => {
                let more = self.below(20);
                let more = self.bytes(more);
                drop(bytes.splice(at..at, more));
            }
            _ => bytes.insert(at, TELLING[self.below(TELLING.len())]),
        }
    }
}

/// Sends variations of these to an address, and sees that each connection ends.
async fn vary(victim: &Victim, address: SocketAddr, good: &[Vec<u8>], seed: u64, connections: usize) {
    let mut chance = Chance(seed);
    let mut tries = JoinSet::new();
    for _ in 0..connections {
        let mut bytes = good[chance.below(good.len())].clone();
        chance.mutate(&mut bytes);
        tries.spawn(async move {
            let mut wire = Wire::connect(address).await;
            // The gateway may be quicker to refuse it than we are to send it.
            if wire.try_send(&bytes).await.is_ok() {
                let _ = wire.io().shutdown().await;
            }
            wire.read_to_end().await;
        });
        if tries.len() == AT_ONCE {
            tries.join_next().await.expect("there are some").expect("its connection ends");
        }
    }
    tries.join_all().await;
    victim.recovered().await;
}

async fn victim(backend: &Backend) -> Victim {
    let fields = json!({ "timeouts": { "client_head": "1s", "client_idle": "1s", "keep_alive": "1s" } });
    Victim::start(backend, fields).await
}

fn http1() -> Vec<Vec<u8>> {
    [
        "GET /a?b=c HTTP/1.1\r\nhost: a.example\r\naccept: */*\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nhost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntrailer: x\r\n\r\n\
         5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nx: y\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET http://a.example/ HTTP/1.1\r\nhost: a.example\r\nconnection: close, x\r\nx: 1\r\n\r\n",
        "GET / HTTP/1.0\r\nconnection: keep-alive\r\nhost: a\r\n\r\nHEAD / HTTP/1.0\r\n\r\n",
        "PUT /%41/../b HTTP/1.1\r\nhost: a:80\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\nok",
        "GET /chat HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nhost: a\r\nforwarded: for=1.2.3.4\r\ncookie: a=b; c=d\r\n\r\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}

fn http2() -> Vec<Vec<u8>> {
    let begin = [PREFACE, &setting(4, 100_000)].concat();
    let padded = [&[2][..], &GET, &[0; 2]].concat();
    let kept = [&GET[..], &[0x40, 1, b'x', 3, b'a', b'b', b'c', 0x10, 1, b'y', 1, b'z']].concat();
    let trailers = frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0, 1, b't', 1, b'u']);
    [
        vec![get_on(1), get_on(3), frame(SETTINGS, 1, 0, &[]), frame(PING, 0, 0, b"12345678")],
        vec![post_on(1), frame(DATA, 0, 1, b"hello"), frame(DATA, PADDED | END_STREAM, 1, &[1, b'x', 0])],
        vec![post_on(1), frame(DATA, 0, 1, &[b'y'; 500]), trailers],
        vec![frame(HEADERS, END_STREAM, 1, &POST[..2]), frame(CONTINUATION, END_HEADERS, 1, &POST[2..])],
        vec![frame(HEADERS, 13, 1, &padded), frame(PRIORITY, 0, 3, &[0, 0, 0, 1, 9]), get_on(3)],
        vec![frame(HEADERS, 5, 1, &kept), frame(HEADERS, 5, 3, &[&GET[..], &[0xbe]].concat())],
        vec![post_on(1), window_update(0, 1000), window_update(1, 1000), reset(1), get_on(3)],
    ]
    .map(|frames| [begin.clone(), frames.concat()].concat())
    .into()
}

fn behind_a_balancer() -> Vec<Vec<u8>> {
    let [client, entrance] =
        ["203.0.113.7:5000", "[2001:db8::1]:443"].map(|text| text.parse().expect("an address"));
    let asks = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let headers = [
        b"PROXY TCP4 203.0.113.7 192.0.2.1 5000 443\r\n".to_vec(),
        b"PROXY TCP6 2001:db8::1 2001:db8::2 5000 443\r\n".to_vec(),
        b"PROXY UNKNOWN\r\n".to_vec(),
        encode_v2(client, client),
        encode_v2(client, entrance),
        [b"\r\n\r\n\0\r\nQUIT\n".as_slice(), &[0x20, 0, 0, 7, 0xee, 0, 4, 1, 2, 3, 4]].concat(),
    ];
    headers.map(|header| [&header[..], asks].concat()).into()
}

#[tokio::test]
async fn nearly_http1_harms_nobody() {
    let backend = Backend::echo("a");
    let victim = victim(&backend).await;
    vary(&victim, victim.front(), &http1(), 11, 800).await;
}

#[tokio::test]
async fn nearly_http2_harms_nobody() {
    let backend = Backend::echo("a");
    let victim = victim(&backend).await;
    vary(&victim, victim.front(), &http2(), 12, 800).await;
}

#[tokio::test]
async fn nearly_the_proxy_protocol_harms_nobody() {
    let backend = Backend::echo("a");
    let victim = victim(&backend).await;
    vary(&victim, victim.program.address("behind"), &behind_a_balancer(), 13, 800).await;
}
