//! HTTP/1.1 by the byte, for both ends: a client that sends what no library would, and a backend's side of a
//! connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{PATIENCE, within};

/// One end of a connection.
pub struct Wire {
    io: TcpStream,
    read: Vec<u8>,
    /// Where heads are counted, at a backend's end.
    heads: Arc<AtomicUsize>,
}

/// A head as it came, without its empty line.
#[derive(Debug, Clone)]
pub struct Head {
    /// The first line.
    pub start: String,
    /// Names in lower case.
    pub fields: Vec<(String, String)>,
}

/// Sends bytes and returns all that comes back until the other end closes. A connection that stays open fails the
/// test; one that is reset returns what came before.
pub async fn raw(address: SocketAddr, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut wire = Wire::connect(address).await;
    // A server that refuses may close before everything is sent.
    let _ = wire.try_send(bytes).await;
    wire.read_to_end().await
}

impl Wire {
    /// A client's end.
    pub async fn connect(address: SocketAddr) -> Self {
        let io = within(TcpStream::connect(address)).await.expect("the address accepts connections");
        Self::new(io, Arc::default())
    }

    /// Either end.
    pub fn new(io: TcpStream, heads: Arc<AtomicUsize>) -> Self {
        io.set_nodelay(true).expect("it is TCP");
        Self { io, read: Vec::new(), heads }
    }

    /// The transport.
    pub fn io(&mut self) -> &mut TcpStream {
        &mut self.io
    }

    /// The transport, for somebody else to speak on. Nothing may have been read.
    pub fn into_io(self) -> TcpStream {
        assert!(self.read.is_empty(), "bytes would be lost");
        self.io
    }

    /// Sends all of it.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.expect("the other end takes what it is sent");
    }

    /// Sends all of it, unless the other end has closed.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        within(self.io.write_all(bytes.as_ref())).await
    }

    /// Says that no more comes.
    pub async fn finish(&mut self) {
        self.io.shutdown().await.expect("the other end is still there");
    }

    /// Closes with a reset.
    pub fn reset(self) {
        self.io.set_zero_linger().expect("it is TCP");
    }

    /// The next head. None where the connection ended, or was reset, before its first byte.
    pub async fn try_read_head(&mut self) -> Option<Head> {
        loop {
            if let Some(end) = find(&self.read, b"\r\n\r\n") {
                let head = self.read.drain(..end + 4).collect::<Vec<_>>();
                self.heads.fetch_add(1, SeqCst);
                return Some(Head::parse(&head[..end]));
            }
            if self.fill().await == 0 {
                assert!(self.read.is_empty(), "a broken head: {}", String::from_utf8_lossy(&self.read));
                return None;
            }
        }
    }

    /// The next head.
    pub async fn read_head(&mut self) -> Head {
        self.try_read_head().await.expect("a head, not the end of the connection")
    }

    /// The next so many bytes.
    pub async fn read_exact(&mut self, count: usize) -> Vec<u8> {
        while self.read.len() < count {
            let more = self.fill().await;
            assert!(more > 0, "{count} bytes were expected, but only {} came", self.read.len());
        }
        self.read.drain(..count).collect()
    }

    /// The next so many bytes. None where the connection ends before.
    pub async fn try_read_exact(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.read.len() < count {
            if self.fill().await == 0 {
                return None;
            }
        }
        Some(self.read.drain(..count).collect())
    }

    /// What is there, or comes next; empty at the end.
    pub async fn read_some(&mut self) -> Vec<u8> {
        if self.read.is_empty() {
            self.fill().await;
        }
        std::mem::take(&mut self.read)
    }

    /// Everything up to the end of the connection, or up to its reset.
    pub async fn read_to_end(&mut self) -> Vec<u8> {
        while self.fill().await > 0 {}
        std::mem::take(&mut self.read)
    }

    /// Whether the connection ends with a reset, and not in order.
    pub async fn is_reset(&mut self) -> bool {
        loop {
            match within(self.io.read_buf(&mut self.read)).await {
                Ok(0) => return false,
                Ok(_) => {}
                Err(_) => return true,
            }
        }
    }

    /// The other end closes, and sends nothing before.
    pub async fn expect_eof(&mut self) {
        let rest = self.read_to_end().await;
        assert!(rest.is_empty(), "only the end was expected: {}", String::from_utf8_lossy(&rest));
    }

    /// The body behind a head, with its chunks put together and its trailers dropped. None where it is broken off.
    pub async fn read_body(&mut self, head: &Head) -> Option<Vec<u8>> {
        if head.field("transfer-encoding").is_some() {
            return self.read_chunks().await;
        }
        let length = head.field("content-length").map_or(0, |length| length.parse().expect("a number"));
        self.try_read_exact(length).await
    }

    async fn read_chunks(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.read_line().await?;
            let size =
                usize::from_str_radix(line.split(';').next().unwrap_or_default(), 16).expect("a chunk size");
            if size == 0 {
                while !self.read_line().await?.is_empty() {}
                return Some(body);
            }
            body.extend(self.try_read_exact(size).await?);
            assert_eq!(self.try_read_exact(2).await?, b"\r\n", "a line end behind a chunk");
        }
    }

    /// The next line, without its end. None at the end of the connection.
    pub async fn read_line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = find(&self.read, b"\r\n") {
                let line: Vec<_> = self.read.drain(..end + 2).take(end).collect();
                return Some(String::from_utf8_lossy(&line).into_owned());
            }
            if self.fill().await == 0 {
                return None;
            }
        }
    }

    /// Waits for more. 0 at the end and after a reset.
    async fn fill(&mut self) -> usize {
        let read = timeout(PATIENCE, self.io.read_buf(&mut self.read)).await;
        let read = read.unwrap_or_else(|_| {
            panic!("the connection stays open after: {}", String::from_utf8_lossy(&self.read))
        });
        read.unwrap_or_default()
    }
}

impl Head {
    fn parse(head: &[u8]) -> Self {
        let text = String::from_utf8_lossy(head);
        let mut lines = text.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let fields = lines.map(|line| {
            let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("`{line}` is a field"));
            (name.to_lowercase(), value.to_owned())
        });
        Self { start, fields: fields.collect() }
    }

    /// The value of a field that is there once.
    #[track_caller]
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(candidate, _)| candidate == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "`{name}` is there more than once: {:?}", self.fields);
        value
    }

    /// The status, of a response.
    pub fn status(&self) -> u16 {
        let code = self.start.split(' ').nth(1).unwrap_or_default();
        code.parse().unwrap_or_else(|_| panic!("`{}` is a status line", self.start))
    }

    /// The target, of a request.
    pub fn target(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
