//! A client that looks the same over every version of HTTP.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use h3::client::RequestStream;
use h3::error::Code;
use http::{HeaderMap, HeaderValue, Request, Response, Version, header, response};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::client::TlsStream;

use super::{Entrance, Entrances, NAME};
use crate::support::{Answer, Client, Http3, Responding, within};

/// A connection, on which one request may follow the other.
pub struct Caller {
    entrance: Entrance,
    connection: Connection,
}

enum Connection {
    Hyper(Client<Fed>),
    Http3(Box<Http3>),
}

/// The request's side of an exchange.
pub enum Upload {
    Hyper(mpsc::Sender<io::Result<Frame<Bytes>>>),
    Http3(Box<RequestStream<h3_quinn::SendStream<Bytes>, Bytes>>),
}

/// The response's side of an exchange. Whoever drops it wants no more of the response.
pub enum Download {
    Awaited(Responding),
    Hyper(Incoming),
    Http3(Box<RequestStream<h3_quinn::RecvStream, Bytes>>),
}

/// Why there is no more of a response.
#[derive(Debug)]
pub struct Broken(#[expect(dead_code, reason = "it is shown when a test fails")] String);

/// A body that is sent as a test goes on, and may break off.
pub struct Fed(mpsc::Receiver<io::Result<Frame<Bytes>>>);

impl From<mpsc::Receiver<io::Result<Frame<Bytes>>>> for Fed {
    fn from(frames: mpsc::Receiver<io::Result<Frame<Bytes>>>) -> Self {
        Self(frames)
    }
}

impl Body for Fed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_closed() && self.0.is_empty()
    }
}

impl Caller {
    pub async fn connect(entrances: &Entrances, entrance: Entrance) -> Self {
        let connection = match entrance {
            Entrance::H1 => Client::http1(entrances.clear).await.map(Connection::Hyper),
            Entrance::H2c => Client::http2(entrances.clear).await.map(Connection::Hyper),
            Entrance::H1OverTls => {
                Client::over(secured(entrances, "http/1.1").await).await.map(Connection::Hyper)
            }
            Entrance::H2 => Client::over(secured(entrances, "h2").await).await.map(Connection::Hyper),
            Entrance::H3 => {
                let client = Http3::connect(entrances.secure, NAME, &entrances.authority).await;
                Ok(Connection::Http3(Box::new(client)))
            }
        };
        Self { entrance, connection: connection.expect("a connection") }
    }

    /// The version that this is.
    pub fn version(&self) -> Version {
        match self.entrance {
            Entrance::H1 | Entrance::H1OverTls => Version::HTTP_11,
            Entrance::H2c | Entrance::H2 => Version::HTTP_2,
            Entrance::H3 => Version::HTTP_3,
        }
    }

    /// Sends a request without a body.
    pub async fn ask(&mut self, request: Request<()>) -> Download {
        match &mut self.connection {
            Connection::Hyper(client) => {
                let (_, nothing) = mpsc::channel(1);
                let request = aimed(self.entrance, request.map(|()| Fed(nothing)));
                Download::Awaited(client.start(request).await.expect("it is taken"))
            }
            Connection::Http3(client) => {
                let (mut upload, download) = client.begin(request).await.split();
                within(upload.finish()).await.expect("it is taken");
                Download::Http3(Box::new(download))
            }
        }
    }

    /// Sends the head of a request.
    pub async fn call(&mut self, request: Request<()>) -> (Upload, Download) {
        match &mut self.connection {
            Connection::Hyper(client) => {
                let (sender, frames) = mpsc::channel(1);
                let request = aimed(self.entrance, request.map(|()| Fed(frames)));
                let responding = client.start(request).await.expect("it is taken");
                (Upload::Hyper(sender), Download::Awaited(responding))
            }
            Connection::Http3(client) => {
                let (upload, download) = client.begin(request).await.split();
                (Upload::Http3(Box::new(upload)), Download::Http3(Box::new(download)))
            }
        }
    }

    /// Sends a request with this body, and reads the response to its end.
    pub async fn exchange(&mut self, request: Request<()>, body: impl Into<Bytes>) -> Result<Answer, Broken> {
        let (mut upload, download) = self.call(request).await;
        upload.send(body.into()).await;
        upload.finish(None).await;
        download.answer().await
    }
}

async fn secured(entrances: &Entrances, alpn: &str) -> TlsStream<TcpStream> {
    entrances.authority.client(&[alpn], None).connect(entrances.secure, NAME).await.expect("a session")
}

/// A request with the authority where its version has it.
fn aimed<B>(entrance: Entrance, mut request: Request<B>) -> Request<B> {
    if entrance.is_http1() {
        request.headers_mut().insert(header::HOST, HeaderValue::from_static(NAME));
        return request;
    }
    let scheme = if entrance == Entrance::H2 { "https" } else { "http" };
    *request.uri_mut() = format!("{scheme}://{NAME}{}", request.uri()).parse().expect("a target");
    request
}

impl Upload {
    /// Sends a piece. False where no more of the request is wanted; then there is nothing to finish, either.
    pub async fn send(&mut self, data: Bytes) -> bool {
        match self {
            Self::Hyper(sender) => within(sender.send(Ok(Frame::data(data)))).await.is_ok(),
            Self::Http3(stream) => within(stream.send_data(data)).await.is_ok(),
        }
    }

    /// Ends the request, even where its end is not wanted any more.
    pub async fn finish(self, trailers: Option<HeaderMap>) {
        match self {
            Self::Hyper(sender) => {
                if let Some(trailers) = trailers {
                    let _ = within(sender.send(Ok(Frame::trailers(trailers)))).await;
                }
            }
            Self::Http3(mut stream) => {
                if let Some(trailers) = trailers {
                    let _ = within(stream.send_trailers(trailers)).await;
                }
                let _ = within(stream.finish()).await;
            }
        }
    }

    /// Breaks off in the middle, by the means of the version: the connection's end or the stream's reset.
    pub async fn abort(self) {
        match self {
            Self::Hyper(sender) => {
                within(sender.send(Err(io::Error::other("enough")))).await.expect("it is still read");
            }
            Self::Http3(mut stream) => stream.stop_stream(Code::H3_REQUEST_CANCELLED),
        }
    }
}

impl Download {
    /// The next head: the response's, or an interim one where the version shows them.
    pub async fn head(&mut self) -> Result<response::Parts, Broken> {
        match self {
            Self::Awaited(responding) => {
                let (head, body) = within(responding).await?.into_parts();
                *self = Self::Hyper(body);
                Ok(head)
            }
            Self::Hyper(_) => panic!("the head was read"),
            Self::Http3(stream) => Ok(Response::into_parts(within(stream.recv_response()).await?).0),
        }
    }

    /// The next piece of the body, or its trailers. None at the end.
    pub async fn frame(&mut self) -> Result<Option<Frame<Bytes>>, Broken> {
        match self {
            Self::Awaited(_) => panic!("the head comes first"),
            Self::Hyper(body) => Ok(within(body.frame()).await.transpose()?),
            Self::Http3(stream) => {
                if let Some(mut data) = within(stream.recv_data()).await? {
                    return Ok(Some(Frame::data(data.copy_to_bytes(data.remaining()))));
                }
                Ok(within(stream.recv_trailers()).await?.map(Frame::trailers))
            }
        }
    }

    /// So many bytes of the body, which other pieces than those sent may make up.
    pub async fn bytes(&mut self, count: usize) -> Result<Bytes, Broken> {
        let mut bytes = BytesMut::new();
        while bytes.len() < count {
            let frame = self.frame().await?.ok_or_else(|| Broken(format!("an end after {bytes:?}")))?;
            bytes.extend(frame.into_data().map_err(|frame| Broken(format!("{frame:?}")))?);
        }
        Ok(bytes.freeze())
    }

    /// The response to its end.
    pub async fn answer(mut self) -> Result<Answer, Broken> {
        let head = self.head().await?;
        self.rest(head).await
    }

    /// The response behind its head.
    pub async fn rest(mut self, head: response::Parts) -> Result<Answer, Broken> {
        let (mut body, mut trailers) = (BytesMut::new(), None);
        while let Some(frame) = self.frame().await? {
            match frame.into_data() {
                Ok(data) => body.extend(data),
                Err(frame) => trailers = frame.into_trailers().ok(),
            }
            if trailers.is_some() {
                break;
            }
        }
        let (status, version, headers) = (head.status, head.version, head.headers);
        Ok(Answer { status, version, headers, body: body.freeze(), trailers })
    }
}

impl From<hyper::Error> for Broken {
    fn from(error: hyper::Error) -> Self {
        Self(format!("{error:?}"))
    }
}

impl From<h3::error::StreamError> for Broken {
    fn from(error: h3::error::StreamError) -> Self {
        Self(format!("{error:?}"))
    }
}
