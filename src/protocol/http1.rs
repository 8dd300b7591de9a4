//! HTTP/1.0 and HTTP/1.1 from clients, on one task per connection.

mod read;
mod respond;

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, Version};

use super::{Accepted, Protocols, Session, http2};
use crate::message::Body;
use crate::message::http1::{
    BodyEncoding, Decoder, Framing, HeadError, HeadLimits, Inbound, ReceivedBody, RequestHead, SentResponse,
    Stream, parse_request, write_response_head,
};
use crate::proxy::{Connection, Failure, Interim, ResponseBody, Timeouts};
use read::Next;
use respond::Sent;

/// What an HTTP/2 client sends first, as an HTTP/1.1 parser sees it (RFC 9113, section 3.4).
const PREFACE_HEAD: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";
/// An unread body of up to this many bytes is read to its end, so that the connection can be used again.
const WORTH_READING: u64 = 64 << 10;
/// How long a client that goes on sending is listened to behind the last response: one that has a request under way, one
/// that sends what cannot be understood, and one that is silent.
const LINGER: Duration = Duration::from_secs(5);
const LINGER_REFUSED: Duration = Duration::from_secs(1);
const LINGER_SILENT: Duration = Duration::from_secs(1);

/// The state of one connection.
struct Http1 {
    inbound: Rc<RefCell<Inbound>>,
    connection: Connection,
    session: Session,
    protocols: Protocols,
}

/// What of the settings a connection acts on. Copied, since a connection that waits must not keep a snapshot alive.
struct Bounds {
    head: HeadLimits,
    timeouts: Timeouts,
}

/// Serves a connection until it ends.
pub async fn serve(accepted: Accepted, session: Session) {
    let http1 = Http1::new(accepted, session);
    if let End::Preface = http1.run().await {
        let Ok(inbound) = Rc::try_unwrap(http1.inbound) else { return };
        let (transport, rest) = inbound.into_inner().stream.into_parts();
        let read = Bytes::from([PREFACE_HEAD, &*rest].concat());
        Box::pin(http2::serve(transport, read, http1.connection, http1.session)).await;
    }
}

/// Answers a connection on which nothing can be understood, and ends it.
pub async fn refuse(accepted: Accepted, session: Session, failure: &Failure) {
    let http1 = Http1::new(accepted, session);
    let bounds = http1.bounds();
    http1.refuse(failure, &bounds).await;
}

/// Parses a head. One that may be held for hours is not to hold the buffer that it was read into.
fn parse(head: &Bytes, limits: HeadLimits) -> Result<RequestHead, HeadError> {
    match parse_request(head, limits) {
        Ok(parsed) if parsed.upgrade.is_some() => parse_request(&Bytes::copy_from_slice(head), limits),
        parsed => parsed,
    }
}

enum End {
    Closed,
    Preface,
}

impl Http1 {
    fn new(accepted: Accepted, session: Session) -> Self {
        let (connection, protocols) = (accepted.connection(&session.drain), accepted.protocols);
        let inbound = Inbound {
            stream: Stream::new(accepted.transport),
            decoder: Decoder::new(Framing::Length(0), 0),
            awaits_continue: false,
            awaits_switch: false,
            idle: Duration::ZERO,
        };
        Self { inbound: Rc::new(RefCell::new(inbound)), connection, session, protocols }
    }

    async fn run(&self) -> End {
        let mut is_first = true;
        loop {
            let bounds = self.bounds();
            let head = match self.read_head(&bounds, is_first).await {
                Next::Head(head) => head,
                Next::Closed => {
                    self.inbound.borrow_mut().stream.say_goodbye();
                    return End::Closed;
                }
                Next::Failed(failure) => return self.refuse(&failure, &bounds).await,
            };
            if is_first && self.protocols.h2 && *head == *PREFACE_HEAD {
                return End::Preface;
            }
            is_first = false;
            if !self.protocols.h1 {
                return self.refuse(&Failure::from(HeadError::Version), &bounds).await;
            }
            let head = match parse(&head, bounds.head) {
                Ok(head) => head,
                Err(error) => return self.refuse(&error.into(), &bounds).await,
            };
            if !self.exchange(head, &bounds).await {
                return End::Closed;
            }
        }
    }

    fn bounds(&self) -> Bounds {
        let view = self.session.proxy.view();
        let settings = &view.snapshot.settings;
        Bounds { head: settings.head, timeouts: settings.timeouts.clone() }
    }

    /// Serves one request. True when the connection can take another one.
    async fn exchange(&self, head: RequestHead, bounds: &Bounds) -> bool {
        let (method, version, keep_alive) = (head.method.clone(), head.version, head.keep_alive);
        let request = self.begin(head, bounds);
        let response = self.handle(request, version).await;
        let Some(response) = response.filter(|response| !response.body().is_for_nobody()) else {
            return false;
        };
        match self.respond(response, &method, version, keep_alive, bounds).await {
            Sent::Reusable if self.finish_reading(bounds).await => return true,
            Sent::Reusable | Sent::Last | Sent::Broken => self.linger(LINGER).await,
            Sent::Cut => self.inbound.borrow_mut().stream.reset_on_close(),
        }
        false
    }

    /// Makes a request of its head; its body, if it has one, reads from this connection.
    fn begin(&self, head: RequestHead, bounds: &Bounds) -> Request<Body> {
        let mut inbound = self.inbound.borrow_mut();
        inbound.awaits_switch = head.upgrade.is_some();
        // What follows an upgrade is the other protocol's, up to the end.
        let framing = if inbound.awaits_switch { Framing::UntilClose } else { head.framing };
        inbound.decoder = Decoder::new(framing, bounds.head.bytes);
        inbound.idle = bounds.timeouts.client_idle;
        let has_body = !inbound.decoder.is_done();
        inbound.awaits_continue = head.expects_continue && has_body;
        drop(inbound);
        let body =
            if has_body { Body::Received(ReceivedBody(Rc::clone(&self.inbound))) } else { Body::Empty };
        let mut request = Request::new(body);
        *request.method_mut() = head.method;
        *request.uri_mut() = head.uri;
        *request.version_mut() = head.version;
        *request.headers_mut() = head.headers;
        if let Some(upgrade) = head.upgrade {
            request.extensions_mut().insert(upgrade);
        }
        request
    }

    /// Lets the proxy answer, passing interim responses on meanwhile. None when the client went away.
    async fn handle(&self, request: Request<Body>, version: Version) -> Option<Response<ResponseBody>> {
        let interim = Interim::default();
        let mut handling = pin!(self.session.proxy.handle(request, &self.connection, &interim));
        poll_fn(|cx| {
            let answered = handling.as_mut().poll(cx);
            self.send_interim(&interim, cx, version);
            match answered {
                Poll::Ready(response) => Poll::Ready(Some(response)),
                Poll::Pending => self.poll_gone(cx).map(|()| None),
            }
        })
        .await
    }

    fn send_interim(&self, interim: &Interim, cx: &mut Context<'_>, version: Version) {
        let waiting = interim.take();
        if waiting.is_empty() {
            return;
        }
        let stream = &mut self.inbound.borrow_mut().stream;
        for response in waiting {
            // HTTP/1.0 has no interim responses (RFC 9110, section 15.2).
            if version != Version::HTTP_10 {
                let sent =
                    SentResponse { status: response.status(), headers: response.headers(), lines: &[] };
                write_response_head(&mut stream.output, version, &sent, BodyEncoding::None, None);
            }
        }
        // What cannot be written now leaves with the response; a transport that failed shows then.
        let _ = stream.poll_flush(cx);
    }

    /// Ready when the client went away while nothing was expected of it.
    fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let inbound = &mut *self.inbound.borrow_mut();
        let is_waited_for = inbound.decoder.is_done() || inbound.awaits_switch;
        if is_waited_for { inbound.stream.poll_gone(cx) } else { Poll::Pending }
    }

    /// Reads what is left of a request's body, where that is worth it. True when the next request can begin.
    async fn finish_reading(&self, bounds: &Bounds) -> bool {
        let is_worth_it = {
            let inbound = self.inbound.borrow();
            inbound.decoder.is_done() || inbound.decoder.remaining().is_some_and(|left| left <= WORTH_READING)
        };
        let mut body = ReceivedBody(Rc::clone(&self.inbound));
        let drained = async {
            while !body.is_end_stream() {
                match poll_fn(|cx| body.poll_frame(cx)).await {
                    Some(Ok(_)) => {}
                    Some(Err(_)) => return false,
                    None => break,
                }
            }
            true
        };
        is_worth_it
            && (self.inbound.borrow().decoder.is_done()
                || tokio::time::timeout(bounds.timeouts.client_idle, drained).await.unwrap_or(false))
    }

    /// Answers a request that cannot be understood, after which nothing on this connection can be.
    async fn refuse(&self, failure: &Failure, bounds: &Bounds) -> End {
        let response = self.session.proxy.refuse(failure, &self.connection);
        self.respond(response, &Method::GET, Version::HTTP_11, false, bounds).await;
        self.linger(LINGER_REFUSED).await;
        End::Closed
    }

    /// Closing while the client still sends would make its system throw the response away unread, as far as that has not
    /// arrived: say that no more comes, and read on for a while.
    async fn linger(&self, allowed: Duration) {
        let lingering = async {
            let shut = poll_fn(|cx| self.inbound.borrow_mut().stream.poll_shutdown(cx)).await;
            while shut.is_ok() {
                let reading = poll_fn(|cx| self.inbound.borrow_mut().stream.poll_fill(cx));
                let read = tokio::time::timeout(LINGER_SILENT, reading).await;
                self.inbound.borrow_mut().stream.input.clear();
                if !matches!(read, Ok(Ok(1..))) {
                    return;
                }
            }
        };
        // Time is up for whom it is up.
        let _ = tokio::time::timeout(allowed, lingering).await;
    }
}
