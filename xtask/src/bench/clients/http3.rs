//! HTTP/3, by quinn and h3.

use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::{Buf, Bytes};
use h3::client::{RequestStream, SendRequest};
use http::Request;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Endpoint, TransportConfig, VarInt};

use crate::bench::backend::{SMALL_BODY, length_of};
use crate::bench::certificate::{self, HOST, Sessions};

/// Longer than any turn, so that it is the server who decides about an idle connection.
const IDLE: Duration = Duration::from_secs(600);
/// Enough to send the farewell; nobody waits until it is certain that it came.
const CLOSE: Duration = Duration::from_millis(20);

/// The configuration of a client that trusts the certificate in a folder.
pub fn config(dir: &Path) -> Result<ClientConfig> {
    let tls = certificate::client(dir, &["h3"], Sessions::New)?;
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    let mut transport = TransportConfig::default();
    transport.max_idle_timeout(Some(IDLE.try_into()?));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

/// A socket that connections are made from.
pub fn endpoint(config: &ClientConfig) -> Result<Endpoint> {
    let mut endpoint = Endpoint::client(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    endpoint.set_default_client_config(config.clone());
    Ok(endpoint)
}

/// Ends all connections of a socket.
pub async fn close(endpoint: &Endpoint) {
    endpoint.close(VarInt::from_u32(0x100), b"");
    let _ = tokio::time::timeout(CLOSE, endpoint.wait_idle()).await;
}

/// A connection, or one more handle to it.
#[derive(Clone)]
pub struct Http3 {
    sender: SendRequest<h3_quinn::OpenStreams, Bytes>,
    authority: String,
}

/// A response whose head has come.
struct Answer {
    stream: RequestStream<h3_quinn::BidiStream<Bytes>, Bytes>,
    left: u64,
}

impl Http3 {
    pub async fn connect(endpoint: &Endpoint, port: u16) -> Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let connection = endpoint.connect(address, HOST)?.await.context("no handshake")?;
        let (mut driver, sender) = h3::client::new(h3_quinn::Connection::new(connection)).await?;
        // It ends with the connection.
        tokio::spawn(async move { poll_fn(|context| driver.poll_close(context)).await });
        Ok(Self { sender, authority: format!("{HOST}:{port}") })
    }

    /// One request, and the whole of its response.
    pub async fn get(&mut self, path: &str) -> Result<()> {
        let mut response = self.ask(path).await?;
        while response.receive().await? > 0 {}
        Ok(())
    }

    /// Sends a request and reads the head of its response.
    async fn ask(&mut self, path: &str) -> Result<Answer> {
        let request = Request::get(format!("https://{}{path}", self.authority)).body(())?;
        let mut stream = self.sender.send_request(request).await?;
        stream.finish().await?;
        let response = stream.recv_response().await?;
        ensure!(response.status() == 200, "the answer was {}", response.status());
        Ok(Answer { stream, left: length_of(path) })
    }
}

impl Answer {
    /// The next piece of the body: its length, 0 at the end.
    async fn receive(&mut self) -> Result<u64> {
        let Some(mut data) = self.stream.recv_data().await? else {
            ensure!(self.left == 0, "{} bytes of the body are missing", self.left);
            return Ok(0);
        };
        let length = data.remaining() as u64;
        // All of a small body, and a sample of a large one.
        let begin = data.copy_to_bytes(data.remaining().min(SMALL_BODY));
        ensure!(begin.iter().all(|&byte| byte == b'x'), "the body is another one");
        self.left = self.left.checked_sub(length).context("the body is longer than it should be")?;
        Ok(length)
    }
}
