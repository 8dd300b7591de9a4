//! A client and a backend that speak HTTP/3, by quinn, h3 and what is between them.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use bytes::{Buf, Bytes, BytesMut};
use h3::client::{RequestStream, SendRequest};
use h3::server::RequestResolver;
use http::{Request, Response, Version};
use quinn::crypto::rustls::{HandshakeData, QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Endpoint, ServerConfig};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::{Answer, Authority, Issued, within};

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

/// A backend that answers every request over HTTP/3 with JSON: `method`, `target`, `host`, `sni` and `body`. Its
/// connections close when it is dropped.
pub struct Http3Backend {
    endpoint: Endpoint,
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
    /// Told when the connections that are there are to take no more requests.
    leave: Arc<Notify>,
}

impl Http3Backend {
    /// Starts to listen, with this certificate.
    pub fn start(issued: &Issued) -> Self {
        Self::start_at(issued, SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// The same on a port that is to be free.
    pub fn start_at(issued: &Issued, address: SocketAddr) -> Self {
        let crypto = Arc::clone(issued.acceptor(&["h3"], None).config());
        let crypto = QuicServerConfig::try_from(crypto).expect("TLS 1.3");
        let config = ServerConfig::with_crypto(Arc::new(crypto));
        let endpoint = Endpoint::server(config, address).expect("the port is free");
        let address = endpoint.local_addr().expect("it is bound");
        let (connections, leave) = (Arc::<AtomicUsize>::default(), Arc::<Notify>::default());
        let accepting = {
            let (endpoint, connections, leave) =
                (endpoint.clone(), Arc::clone(&connections), Arc::clone(&leave));
            async move {
                while let Some(incoming) = endpoint.accept().await {
                    // A handshake that fails is the gateway's business.
                    let Ok(connection) = incoming.await else { continue };
                    connections.fetch_add(1, SeqCst);
                    tokio::spawn(serve(connection, Arc::clone(&leave)));
                }
            }
        };
        Self { endpoint, address, connections, serving: tokio::spawn(accepting), leave }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// As a backend in a document.
    pub fn host(&self) -> Value {
        json!({ "host": self.address.to_string() })
    }

    /// How many connections it has had.
    pub fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }

    /// Closes its connections, and frees its port.
    pub async fn stop(self) {
        let endpoint = self.endpoint.clone();
        drop(self);
        within(endpoint.wait_idle()).await;
    }

    /// Says on the connections that are there that they take no more requests, and leaves them open.
    pub fn leave(&self) {
        self.leave.notify_waiters();
    }
}

impl Drop for Http3Backend {
    fn drop(&mut self) {
        self.serving.abort();
        self.endpoint.close(0u32.into(), b"");
    }
}

async fn serve(connection: quinn::Connection, leave: Arc<Notify>) {
    let data = connection.handshake_data().and_then(|data| data.downcast::<HandshakeData>().ok());
    let sni = data.and_then(|data| data.server_name);
    let quic = h3_quinn::Connection::new(connection);
    let mut connection =
        within(h3::server::Connection::<_, Bytes>::new(quic)).await.expect("it speaks HTTP/3");
    loop {
        tokio::select! {
            accepted = connection.accept() => match accepted {
                Ok(Some(resolver)) => drop(tokio::spawn(tell(resolver, sni.clone()))),
                _ => return,
            },
            () = leave.notified() => connection.shutdown(0).await.expect("it is told"),
        }
    }
}

async fn tell(resolver: RequestResolver<h3_quinn::Connection, Bytes>, sni: Option<String>) {
    // A client may leave whenever it likes.
    let Ok((request, mut stream)) = resolver.resolve_request().await else { return };
    let mut body = BytesMut::new();
    while let Ok(Some(mut data)) = stream.recv_data().await {
        body.extend_from_slice(&data.copy_to_bytes(data.remaining()));
    }
    let told = json!({
        "method": request.method().as_str(),
        "target": request.uri().path_and_query().map(|target| target.as_str()),
        "host": request.uri().authority().map(|host| host.as_str()),
        "forwarded": request.headers().get("x-forwarded-for").map(|client| client.to_str().expect("text")),
        "sni": sni,
        "body": String::from_utf8_lossy(&body),
    });
    if stream.send_response(Response::new(())).await.is_ok() {
        let _ = stream.send_data(told.to_string().into()).await;
        let _ = stream.finish().await;
    }
}
