//! HTTP/2 frames (RFC 9113, section 4.1) as nobody should send them, and what comes back.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

use crate::support::within;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
pub const PRIORITY_UPDATE: u8 = 16;

pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;
pub const WITH_PRIORITY: u8 = 32;

pub const ENHANCE_YOUR_CALM: u32 = 11;

/// `:scheme http`, `:path /` and `:authority a` (RFC 7541, appendix A), to follow a method.
const FIELDS: [u8; 5] = [0x86, 0x84, 0x01, 1, b'a'];
pub const GET: [u8; 6] = [0x82, FIELDS[0], FIELDS[1], FIELDS[2], FIELDS[3], FIELDS[4]];
pub const POST: [u8; 6] = [0x83, FIELDS[0], FIELDS[1], FIELDS[2], FIELDS[3], FIELDS[4]];

/// How long one flood goes on at most.
const LONGEST: Duration = Duration::from_secs(4);
/// A gateway that takes nothing for so long takes nothing more.
const STALLED: Duration = Duration::from_secs(1);
/// Bytes that are written at one time.
const BATCH: usize = 16 << 10;

/// A frame whose length is what its payload has.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    frame_of_length(payload.len() as u32, kind, flags, stream, payload)
}

/// A frame that says its length is another.
pub fn frame_of_length(length: u32, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    [&length.to_be_bytes()[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The stream of a client's request, by its number.
pub fn stream(request: u32) -> u32 {
    2 * request + 1
}

/// A whole request.
pub fn get_on(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &GET)
}

/// A request with a body to come.
pub fn post_on(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &POST)
}

pub fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &8u32.to_be_bytes())
}

pub fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
}

/// One setting (RFC 9113, section 6.5.2).
pub fn setting(name: u16, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

/// What became of a flood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The gateway ended the connection.
    Closed,
    /// The gateway reads no more of it.
    HeldBack,
    /// All of it was taken, or as much as there was time for.
    Taken,
}

/// An attacker's end of a connection.
#[derive(Debug)]
pub struct Attacker {
    io: TcpStream,
    read: Vec<u8>,
    /// How many frames of each kind came.
    frames: BTreeMap<u8, usize>,
    /// Octets of bodies that came.
    pub body: usize,
    /// Why the gateway says that it ends the connection.
    pub code: Option<u32>,
    is_closed: bool,
}

impl Attacker {
    /// Connects, and sends the preface with empty settings.
    pub async fn connect(address: SocketAddr) -> Self {
        let mut attacker = Self::connect_raw(address).await;
        attacker.flood([PREFACE.to_vec(), frame(SETTINGS, 0, 0, &[])]).await;
        attacker
    }

    /// Connects, and sends nothing.
    pub async fn connect_raw(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        // What the kernel keeps for somebody who does not read is not the gateway's memory.
        socket.set_recv_buffer_size(16 << 10).expect("it is a socket");
        let io = within(socket.connect(address)).await.expect("the address accepts connections");
        io.set_nodelay(true).expect("it is TCP");
        Self { io, read: Vec::new(), frames: BTreeMap::new(), body: 0, code: None, is_closed: false }
    }

    /// Sends frames as fast as they are taken, and reads what comes meanwhile.
    pub async fn flood(&mut self, frames: impl IntoIterator<Item = Vec<u8>>) -> End {
        self.send_all(frames, Interest::READABLE | Interest::WRITABLE).await
    }

    /// The same without reading.
    pub async fn flood_unread(&mut self, frames: impl IntoIterator<Item = Vec<u8>>) -> End {
        self.send_all(frames, Interest::WRITABLE).await
    }

    async fn send_all(&mut self, frames: impl IntoIterator<Item = Vec<u8>>, interest: Interest) -> End {
        let (mut batch, begun) = (Vec::new(), Instant::now());
        for frame in frames {
            batch.extend(frame);
            if batch.len() < BATCH {
                continue;
            }
            match self.send(&batch, interest).await {
                End::Taken if begun.elapsed() < LONGEST => batch.clear(),
                end => return end,
            }
        }
        self.send(&batch, interest).await
    }

    async fn send(&mut self, mut bytes: &[u8], interest: Interest) -> End {
        while !bytes.is_empty() {
            let Ok(ready) = timeout(STALLED, self.io.ready(interest)).await else { return End::HeldBack };
            if ready.expect("it is registered").is_readable() && interest.is_readable() {
                self.read_some();
            }
            match self.io.try_write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => {
                    // The reason may have come already.
                    self.read_some();
                    self.is_closed = true;
                }
            }
            if self.is_closed {
                return End::Closed;
            }
        }
        End::Taken
    }

    /// Reads until there is a frame of this kind more than before. False where the connection ends first.
    pub async fn await_frame(&mut self, kind: u8) -> bool {
        let before = self.count(kind);
        while self.count(kind) == before {
            if self.is_closed {
                return false;
            }
            within(self.io.readable()).await.expect("it is registered");
            self.read_some();
        }
        true
    }

    /// Whether the connection is alive: a PING is answered, which also means that everything before it was seen.
    pub async fn is_alive(&mut self) -> bool {
        self.flood([frame(PING, 0, 0, b"are you?")]).await == End::Taken && self.await_frame(PING).await
    }

    /// Reads until the gateway closes.
    pub async fn await_end(&mut self) {
        while !self.is_closed {
            within(self.io.readable()).await.expect("it is registered");
            self.read_some();
        }
    }

    /// Says that no more comes, and reads until the gateway closes.
    pub async fn finish(&mut self) {
        // It may be closed already.
        let _ = tokio::io::AsyncWriteExt::shutdown(&mut self.io).await;
        self.await_end().await;
    }

    /// How many frames of this kind came.
    pub fn count(&self, kind: u8) -> usize {
        self.frames.get(&kind).copied().unwrap_or_default()
    }

    /// Reads what is there.
    fn read_some(&mut self) {
        let mut piece = [0; 4096];
        while !self.is_closed {
            match self.io.try_read(&mut piece) {
                Ok(count @ 1..) => self.read.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Ok(0) | Err(_) => self.is_closed = true,
            }
            self.take_frames();
        }
    }

    fn take_frames(&mut self) {
        while let Some((head, rest)) = self.read.split_first_chunk::<9>() {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let Some(payload) = rest.get(..length) else { return };
            match head[3] {
                DATA => self.body += length,
                GOAWAY => self.code = payload[4..8].try_into().map(u32::from_be_bytes).ok(),
                _ => {}
            }
            *self.frames.entry(head[3]).or_default() += 1;
            self.read.drain(..9 + length);
        }
    }
}
