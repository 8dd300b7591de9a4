//! A client that speaks HTTP/3, by quinn and h3.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use h3::client::{RequestStream, SendRequest};
use http::{Request, Response, Version};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Endpoint};
use tokio::task::JoinHandle;

use super::{Answer, Authority, within};

/// A connection that stays open.
pub struct Http3 {
    endpoint: Endpoint,
    connection: quinn::Connection,
    sender: SendRequest<h3_quinn::OpenStreams, Bytes>,
    driving: JoinHandle<h3::error::ConnectionError>,
    authority: String,
}

/// A request under way.
pub type Stream = RequestStream<h3_quinn::BidiStream<Bytes>, Bytes>;

impl Http3 {
    /// Connects, asking for this name.
    pub async fn connect(address: SocketAddr, name: &str, trusts: &Authority) -> Self {
        let crypto = QuicClientConfig::try_from(trusts.client_config(&["h3"], None)).expect("TLS 1.3");
        let mut endpoint = Endpoint::client(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a socket");
        endpoint.set_default_client_config(ClientConfig::new(Arc::new(crypto)));
        let connecting = endpoint.connect(address, name).expect("an address");
        let connection = within(connecting).await.expect("a handshake");
        let quic = h3_quinn::Connection::new(connection.clone());
        let (mut driver, sender) = within(h3::client::new(quic)).await.expect("it speaks HTTP/3");
        let driving = tokio::spawn(async move { std::future::poll_fn(|cx| driver.poll_close(cx)).await });
        let authority = format!("{name}:{}", address.port());
        Self { endpoint, connection, sender, driving, authority }
    }

    /// Sends a request and reads the response to its end.
    pub async fn send(&mut self, request: Request<impl Into<Bytes>>) -> Answer {
        let (mut head, body) = request.into_parts();
        let body = body.into();
        if !body.is_empty() {
            head.headers.entry("content-length").or_insert_with(|| body.len().into());
        }
        let mut stream = self.begin(Request::from_parts(head, ())).await;
        if !body.is_empty() {
            within(stream.send_data(body)).await.expect("it is taken");
        }
        within(stream.finish()).await.expect("it is taken");
        Self::read(&mut stream).await
    }

    /// Sends a request's head.
    pub async fn begin(&mut self, request: Request<()>) -> Stream {
        let (mut head, ()) = request.into_parts();
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        head.uri = format!("https://{}{target}", self.authority).parse().expect("a target");
        within(self.sender.send_request(Request::from_parts(head, ()))).await.expect("a stream")
    }

    /// Reads a response to its end.
    pub async fn read(stream: &mut Stream) -> Answer {
        let (mut answer, mut body) = (Self::read_head(stream).await, BytesMut::new());
        while let Some(mut data) = within(stream.recv_data()).await.expect("no reset") {
            body.extend_from_slice(&data.copy_to_bytes(data.remaining()));
        }
        answer.body = body.freeze();
        answer.trailers = within(stream.recv_trailers()).await.expect("no reset");
        answer
    }

    /// Reads the head of a response.
    pub async fn read_head(stream: &mut Stream) -> Answer {
        let (head, ()) = Response::into_parts(within(stream.recv_response()).await.expect("a response"));
        let (status, headers) = (head.status, head.headers);
        Answer { status, version: Version::HTTP_3, headers, body: Bytes::new(), trailers: None }
    }

    /// Goes on from another port, as a client does whose network has changed.
    pub fn move_away(&self) {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        self.endpoint.rebind(socket).expect("it can move");
    }

    /// The connection below.
    pub fn quic(&self) -> &quinn::Connection {
        &self.connection
    }

    /// Waits until the server has ended the connection; whether it did so in peace.
    pub async fn ended(self) -> bool {
        let Self { driving, sender, .. } = self;
        drop(sender);
        within(driving).await.expect("no panic").is_h3_no_error()
    }
}
