//! A WebSocket over HTTP/1.1 that sends one message again and again.

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::bench::certificate::HOST;
use crate::bench::client::Response;
use crate::bench::websocket::{ACCEPT, FROM_CLIENT, FROM_SERVER, KEY, PATH};

pub struct WebSocket {
    stream: TcpStream,
}

impl WebSocket {
    pub async fn connect(port: u16) -> Result<Self> {
        let mut stream = super::connect(port).await?;
        let request = format!(
            "GET {PATH} HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.context("the connection ended within a head")?);
        }
        let response = Response::parse(String::from_utf8(head)?).context("cannot understand the response")?;
        ensure!(response.status == 101, "the answer was {}", response.status);
        ensure!(response.header("sec-websocket-accept") == Some(ACCEPT), "another WebSocket was accepted");
        Ok(Self { stream })
    }

    /// One message there and back.
    pub async fn echo(&mut self) -> Result<()> {
        self.stream.write_all(&FROM_CLIENT).await?;
        let mut answer = [0; FROM_SERVER.len()];
        self.stream.read_exact(&mut answer).await.context("the connection ended within a message")?;
        ensure!(answer == FROM_SERVER, "another message came back");
        Ok(())
    }
}
