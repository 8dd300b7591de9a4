//! A well-behaved client, by hyper.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, Version, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::client::TlsStream;

use super::within;

/// A connection that stays open.
pub struct Client<B = Full<Bytes>> {
    address: SocketAddr,
    sender: Sender<B>,
}

enum Sender<B> {
    Http1(http1::SendRequest<B>),
    Http2(http2::SendRequest<B>),
}

/// The head of a response that is to come.
pub type Responding = Pin<Box<dyn Future<Output = hyper::Result<Response<Incoming>>> + Send>>;

/// A body that is sent as a test goes on. Dropping the sender ends it.
pub struct Feed(mpsc::Receiver<Frame<Bytes>>);

/// A response, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub version: Version,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub trailers: Option<HeaderMap>,
}

/// A request without a body.
pub fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(path).body(Full::default()).expect("a path")
}

/// A request with a body.
pub fn post(path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post(path).body(Full::from(body.into())).expect("a path")
}

/// A request whose body is what the sender gives.
pub fn feed(path: &str) -> (mpsc::Sender<Frame<Bytes>>, Request<Feed>) {
    let (sender, frames) = mpsc::channel(1);
    (sender, Request::post(path).body(Feed(frames)).expect("a path"))
}

impl From<mpsc::Receiver<Frame<Bytes>>> for Feed {
    fn from(frames: mpsc::Receiver<Frame<Bytes>>) -> Self {
        Self(frames)
    }
}

impl Body for Feed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(Ok))
    }
}

/// A body of frames that are there from the beginning.
pub struct Frames(VecDeque<io::Result<Frame<Bytes>>>);

impl Frames {
    pub fn of(frames: impl IntoIterator<Item = io::Result<Frame<Bytes>>>) -> Self {
        Self(frames.into_iter().collect())
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Ready(self.0.pop_front())
    }
}

/// Sends one request on a connection of its own, in HTTP/2 where its version says so, and else in HTTP/1.1.
pub async fn request<B>(address: SocketAddr, request: Request<B>) -> Answer
where
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + Unpin + 'static,
{
    let client = match request.version() {
        Version::HTTP_2 => Client::http2(address).await,
        _ => Client::http1(address).await,
    };
    client.expect("the gateway accepts connections").send(request).await.expect("a whole response")
}

impl<B> Client<B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + Unpin + 'static,
{
    /// Connects for HTTP/1.1.
    pub async fn http1(address: SocketAddr) -> hyper::Result<Self> {
        let (sender, connection) = within(http1::handshake(connect(address).await)).await?;
        tokio::spawn(connection);
        Ok(Self { address, sender: Sender::Http1(sender) })
    }

    /// Connects for HTTP/2 with prior knowledge.
    pub async fn http2(address: SocketAddr) -> hyper::Result<Self> {
        let (sender, connection) =
            within(http2::handshake(TokioExecutor::new(), connect(address).await)).await?;
        tokio::spawn(connection);
        Ok(Self { address, sender: Sender::Http2(sender) })
    }

    /// Speaks over TLS what was agreed on.
    pub async fn over(io: TlsStream<TcpStream>) -> hyper::Result<Self> {
        let (tcp, session) = io.get_ref();
        let address = tcp.peer_addr().expect("it is connected");
        if session.alpn_protocol() == Some(b"h2") {
            let (sender, connection) =
                within(http2::handshake(TokioExecutor::new(), TokioIo::new(io))).await?;
            tokio::spawn(connection);
            return Ok(Self { address, sender: Sender::Http2(sender) });
        }
        let (sender, connection) = within(http1::handshake(TokioIo::new(io))).await?;
        tokio::spawn(connection);
        Ok(Self { address, sender: Sender::Http1(sender) })
    }

    /// Sends a request and reads the response to its end. Several requests may be under way in HTTP/2.
    pub async fn send(&mut self, request: Request<B>) -> hyper::Result<Answer> {
        let response = self.begin(request).await?;
        within(Answer::read(response)).await
    }

    /// Sends a request and returns when the response's head is there.
    pub async fn begin(&mut self, request: Request<B>) -> hyper::Result<Response<Incoming>> {
        within(self.start(request).await?).await
    }

    /// Sends a request and returns at once. Whoever gives up the head of the response gives up the request.
    pub async fn start(&mut self, request: Request<B>) -> hyper::Result<Responding> {
        let request = complete(request, self.address, matches!(self.sender, Sender::Http2(_)));
        match &mut self.sender {
            Sender::Http1(sender) => {
                within(sender.ready()).await?;
                Ok(Box::pin(sender.send_request(request)))
            }
            Sender::Http2(sender) => {
                within(sender.ready()).await?;
                Ok(Box::pin(sender.send_request(request)))
            }
        }
    }
}

/// Several clients of an HTTP/2 connection.
impl<B> Clone for Client<B> {
    fn clone(&self) -> Self {
        match &self.sender {
            Sender::Http1(_) => panic!("HTTP/1.1 has one request at a time"),
            Sender::Http2(sender) => Self { address: self.address, sender: Sender::Http2(sender.clone()) },
        }
    }
}

async fn connect(address: SocketAddr) -> TokioIo<TcpStream> {
    let io = within(TcpStream::connect(address)).await.expect("the address accepts connections");
    io.set_nodelay(true).expect("it is TCP");
    TokioIo::new(io)
}

/// Adds what the protocol needs and a test does not care about: the authority.
fn complete<B>(mut request: Request<B>, address: SocketAddr, is_http2: bool) -> Request<B> {
    if is_http2 {
        *request.version_mut() = Version::HTTP_2;
        if request.uri().authority().is_none() {
            let target = format!("http://{address}{}", request.uri());
            *request.uri_mut() = target.parse::<Uri>().expect("a target");
        }
    } else if !request.headers().contains_key(header::HOST) {
        let host = HeaderValue::try_from(address.to_string()).expect("an address");
        request.headers_mut().insert(header::HOST, host);
    }
    request
}

impl Answer {
    /// Reads a response to its end.
    pub async fn read(response: Response<Incoming>) -> hyper::Result<Self> {
        let (head, body) = response.into_parts();
        let body = body.collect().await?;
        let trailers = body.trailers().cloned();
        let (status, version, headers) = (head.status, head.version, head.headers);
        Ok(Self { status, version, headers, body: body.to_bytes(), trailers })
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(self.text()).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Which backend answered, of [`Backend::echo`](super::Backend::echo).
    #[track_caller]
    pub fn backend(&self) -> String {
        self.json()["backend"]
            .as_str()
            .unwrap_or_else(|| panic!("no backend answered: {}", self.text()))
            .to_owned()
    }

    /// The code of a response that the gateway made itself.
    #[track_caller]
    pub fn code(&self) -> String {
        self.json()["code"]
            .as_str()
            .unwrap_or_else(|| panic!("not the gateway's: {}", self.text()))
            .to_owned()
    }

    /// A field of the response.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// A field of the request as an echo backend got it; several are joined by `|`.
    #[track_caller]
    pub fn echoed(&self, name: &str) -> Option<String> {
        let told = self.json();
        let pairs = told["headers"].as_array().expect("an echo backend answered");
        let values: Vec<_> =
            pairs.iter().filter(|pair| pair[0] == name).filter_map(|pair| pair[1].as_str()).collect();
        (!values.is_empty()).then(|| values.join("|"))
    }
}
