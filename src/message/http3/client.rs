//! The gateway as a client of HTTP/3.

use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;

use bytes::Bytes;
use h3::client::{RequestStream, SendRequest};
use h3::error::{ConnectionError, StreamError};
use http::Request;

use super::quic::{Both, Flow, Known, Opener, Quic};

/// Sends requests on a connection. When the last one is dropped, the connection closes.
#[derive(Clone)]
pub struct Sender {
    requests: SendRequest<Opener, Bytes>,
    known: Rc<Known>,
}

/// The other end of all senders. It must be driven.
pub struct Connection(h3::client::Connection<Quic, Bytes>);

/// A request's stream, and how far h3 is ahead on it.
pub(super) type Opened = (RequestStream<Both, Bytes>, Rc<Flow>);

/// Begins to speak HTTP/3. The peer may send heads of at most `head_size` bytes.
pub async fn connect(
    quic: quinn::Connection,
    head_size: u32,
) -> Result<(Sender, Connection), ConnectionError> {
    let (streams, known) = Quic::new(quic);
    let mut builder = h3::client::builder();
    builder.max_field_section_size(head_size.into()).send_grease(false);
    let (connection, requests) = builder.build(streams).await?;
    Ok((Sender { requests, known }, Connection(connection)))
}

impl Sender {
    /// Sends a head, as soon as the peer takes one more stream.
    pub(super) async fn open(mut self, request: Request<()>) -> Result<Opened, StreamError> {
        let stream = self.requests.send_request(request).await?;
        let flow = self.known.take_opened(stream.id());
        Ok((stream, flow.expect("every stream that is open has its flow")))
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl Connection {
    /// Moves what belongs to the connection as a whole, until it ends.
    pub async fn drive(mut self) -> ConnectionError {
        poll_fn(|cx| self.0.poll_close(cx)).await
    }
}
