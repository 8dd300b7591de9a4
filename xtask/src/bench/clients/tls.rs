//! HTTP/1.1 over TLS.

use std::io::ErrorKind;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use rustls::{ClientConfig, HandshakeKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::bench::backend::{SMALL_BODY, length_of};
use crate::bench::certificate::{HOST, server_name};
use crate::bench::client::Response;

/// The plaintext of one record.
const READ_SIZE: usize = 16 * 1024;
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

pub struct TlsClient {
    stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
    /// How much of a body is still to come.
    left: u64,
}

impl TlsClient {
    pub async fn connect(port: u16, config: &Arc<ClientConfig>) -> Result<Self> {
        let stream = super::connect(port).await?;
        let connector = TlsConnector::from(config.clone());
        let stream = connector.connect(server_name(), stream).await.context("no handshake")?;
        Ok(Self { stream, buffer: vec![0; READ_SIZE], left: 0 })
    }

    /// Whether the handshake was that of an earlier session.
    pub fn is_resumed(&self) -> bool {
        self.stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// One request on a connection that is kept, and the whole of its response.
    pub async fn get(&mut self, path: &str) -> Result<()> {
        self.ask(path, "keep-alive").await?;
        while self.receive().await? > 0 {}
        Ok(())
    }

    /// The last request of a connection, its response, and the end, which is the server's to bring about.
    pub async fn get_last(&mut self, path: &str) -> Result<()> {
        self.ask(path, "close").await?;
        while self.receive().await? > 0 {}
        match self.stream.read(&mut self.buffer).await {
            Ok(0) => Ok(()),
            Ok(_) => bail!("there is something behind the response"),
            // A server need not say goodbye before it closes.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends a request and reads the head of its response, with what comes along of the body.
    async fn ask(&mut self, path: &str, connection: &str) -> Result<()> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: {connection}\r\n\r\n");
        self.stream.write_all(request.as_bytes()).await?;
        let (mut read, mut end) = (0, None);
        while end.is_none() {
            let length = self.stream.read(&mut self.buffer[read..]).await?;
            ensure!(length > 0, "the connection or the head was too short");
            read += length;
            let received = &self.buffer[..read];
            end = received.windows(END_OF_HEAD.len()).position(|window| window == END_OF_HEAD);
        }
        let end = end.unwrap_or_default() + END_OF_HEAD.len();
        let head = String::from_utf8(self.buffer[..end].to_vec())?;
        let response = Response::parse(head).context("cannot understand the response")?;
        ensure!(response.status == 200, "the answer was {}", response.status);
        let length: u64 = response.header("content-length").context("no content-length")?.parse()?;
        ensure!(length == length_of(path), "the body has {length} bytes");
        self.left = length;
        self.take(end, read)?;
        Ok(())
    }

    /// The next piece of a body: its length, 0 at the end.
    async fn receive(&mut self) -> Result<u64> {
        if self.left == 0 {
            return Ok(0);
        }
        let length = self.stream.read(&mut self.buffer).await?;
        ensure!(length > 0, "the connection ended within a body");
        self.take(0, length)
    }

    /// A piece of a body, as it lies in the buffer.
    fn take(&mut self, begin: usize, end: usize) -> Result<u64> {
        let piece = &self.buffer[begin..end];
        // All of a small body, and a sample of a large one.
        ensure!(piece.iter().take(SMALL_BODY).all(|&byte| byte == b'x'), "the body is another one");
        let length = piece.len() as u64;
        self.left = self.left.checked_sub(length).context("the body is longer than was said")?;
        Ok(length)
    }
}
