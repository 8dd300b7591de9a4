//! Scripted backends.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::Wire;

/// An address that is nobody else's and at which connections are refused.
pub struct Port {
    // Bound, not listening: what the kernel gives to nobody else and refuses in its name.
    socket: Socket,
    address: SocketAddr,
}

/// A backend. Dropping it closes its connections.
pub struct Backend {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Port {
    /// Some free one.
    pub fn reserve() -> Self {
        Self::reserve_address(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// This one.
    pub fn reserve_address(address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_reuse_address(true).expect("it is TCP");
        socket.set_nonblocking(true).expect("a socket can be");
        socket.bind(&address.into()).unwrap_or_else(|error| panic!("{address} is free: {error}"));
        let address = socket.local_addr().ok().and_then(|address| address.as_socket()).expect("it is bound");
        Self { socket, address }
    }

    /// Which.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// As a backend in a document.
    pub fn host(&self) -> Value {
        json!({ "host": self.address.to_string() })
    }

    /// Starts to listen.
    pub fn open<S, F>(self, serve: S) -> Backend
    where
        S: Fn(Wire) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        Backend::listen(self, move |io, requests| serve(Wire::new(io, requests)))
    }

    /// Starts to listen, as [`Backend::echo`] does.
    pub fn open_echo(self, name: &str) -> Backend {
        let name: Arc<str> = name.into();
        Backend::listen(self, move |io, requests| serve_echo(io, false, Arc::clone(&name), requests))
    }
}

impl Backend {
    /// Answers with JSON that tells what came: `backend`, `method`, `target`, `version`, `headers` as a list of pairs,
    /// `body` and `trailers`.
    pub fn echo(name: &str) -> Self {
        Port::reserve().open_echo(name)
    }

    /// The same over HTTP/2, by prior knowledge.
    pub fn echo_h2c(name: &str) -> Self {
        let name: Arc<str> = name.into();
        Self::listen(Port::reserve(), move |io, requests| serve_echo(io, true, Arc::clone(&name), requests))
    }

    /// The same over TLS, by what is negotiated. The backend tells as `sni` what it was asked for, and as `shown` whether
    /// it was shown a certificate.
    pub fn echo_tls(name: &str, acceptor: TlsAcceptor) -> Self {
        let name: Arc<str> = name.into();
        Self::listen(Port::reserve(), move |io, requests| {
            let (name, acceptor) = (Arc::clone(&name), acceptor.clone());
            async move {
                // A handshake that fails is the gateway's business.
                let Ok(io) = acceptor.accept(io).await else { return };
                let session = io.get_ref().1;
                let is_http2 = session.alpn_protocol() == Some(b"h2");
                let told = json!({
                    "sni": session.server_name(),
                    "shown": session.peer_certificates().is_some(),
                });
                serve_told(io, is_http2, name, requests, told).await;
            }
        })
    }

    /// Serves each request by a function of hyper's kind, over HTTP/2 with prior knowledge.
    pub fn serve_h2c<S, F, B>(service: S) -> Self
    where
        S: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: hyper::body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        Self::listen(Port::reserve(), move |io, requests| {
            let service = service.clone();
            async move {
                let service = service_fn(move |request| {
                    requests.fetch_add(1, SeqCst);
                    let answer = service(request);
                    async move { Ok::<_, Infallible>(answer.await) }
                });
                let mut builder = http2::Builder::new(TokioExecutor::new());
                builder.enable_connect_protocol();
                // How a connection ends is the gateway's business.
                let _ = builder.serve_connection(TokioIo::new(io), service).await;
            }
        })
    }

    /// Runs `serve` for each connection. Requests are counted as it reads their heads.
    pub fn with<S, F>(serve: S) -> Self
    where
        S: Fn(Wire) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        Port::reserve().open(serve)
    }

    /// Answers every request with these bytes, once it has read its body, and keeps the connection.
    pub fn respond(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self::with(move |mut wire| {
            let bytes = bytes.clone();
            async move {
                while let Some(head) = wire.try_read_head().await {
                    if wire.read_body(&head).await.is_none() || wire.try_send(&bytes).await.is_err() {
                        return;
                    }
                }
            }
        })
    }

    fn listen<S, F>(port: Port, serve: S) -> Self
    where
        S: Fn(TcpStream, Arc<AtomicUsize>) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        port.socket.listen(1024).expect("the port is ours");
        let listener = TcpListener::from_std(port.socket.into()).expect("a test runs on a runtime");
        let (connections, requests) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let accepting = tokio::spawn({
            let (connections, requests) = (Arc::clone(&connections), Arc::clone(&requests));
            async move {
                let mut served = JoinSet::new();
                while let Ok((io, _)) = listener.accept().await {
                    connections.fetch_add(1, SeqCst);
                    served.spawn(serve(io, Arc::clone(&requests)));
                }
            }
        });
        Self { address: port.address, connections, requests, accepting }
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

    /// How many requests it has had.
    pub fn requests(&self) -> usize {
        self.requests.load(SeqCst)
    }

    /// Closes its connections and refuses new ones. It can be opened again on the same port.
    pub async fn stop(mut self) -> Port {
        self.accepting.abort();
        // It was cancelled, which is what was asked for.
        let _ = (&mut self.accepting).await;
        Port::reserve_address(self.address)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve_echo(io: TcpStream, is_http2: bool, name: Arc<str>, requests: Arc<AtomicUsize>) {
    serve_told(io, is_http2, name, requests, json!({})).await;
}

async fn serve_told<I>(io: I, is_http2: bool, name: Arc<str>, requests: Arc<AtomicUsize>, told: Value)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let told = Arc::new(told);
    let service = service_fn(move |request| {
        requests.fetch_add(1, SeqCst);
        tell(request, Arc::clone(&name), Arc::clone(&told))
    });
    // How a connection ends is the gateway's business.
    if is_http2 {
        let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(io), service).await;
    } else {
        let _ = http1::Builder::new().serve_connection(TokioIo::new(io), service).await;
    }
}

async fn tell(
    request: Request<Incoming>,
    name: Arc<str>,
    more: Arc<Value>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap_or_default();
    let trailers = body.trailers().cloned().unwrap_or_default();
    let mut told = json!({
        "backend": &*name,
        "method": head.method.as_str(),
        "target": head.uri.to_string(),
        "version": format!("{:?}", head.version),
        "headers": pairs(&head.headers),
        "body": String::from_utf8_lossy(&body.to_bytes()),
        "trailers": pairs(&trailers),
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        told[name] = value.clone();
    }
    Ok(Response::new(Full::from(told.to_string())))
}

fn pairs(headers: &http::HeaderMap) -> Vec<(String, String)> {
    let pair = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    headers.iter().map(pair).collect()
}
