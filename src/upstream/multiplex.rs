//! One worker's connections to one endpoint that take several requests at one time.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, Connection, SendRequest};
use h2::{Ping, PingPong};
use tokio::time::{Instant, sleep};
use tracing::debug;

use super::connect::Connected;
use super::pool::Seat;
use super::{ConnectError, Dial};
use crate::base::transport::Transport;
use crate::message::http3;

/// What a backend may send ahead of a response's body, on one stream and on the whole connection.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// How long a backend may take to answer a ping.
const PONG: Duration = Duration::from_secs(10);

/// The connections that take requests.
#[derive(Debug, Default)]
pub struct Multiplexed {
    live: RefCell<Vec<Rc<Shared>>>,
}

/// By what requests are sent.
#[derive(Debug, Clone)]
pub enum Sender {
    /// Over HTTP/2.
    Http2(SendRequest<Bytes>),
    /// Over HTTP/3.
    Http3(http3::Sender),
}

#[derive(Debug)]
struct Shared {
    sender: Sender,
    active: Cell<usize>,
    born: Instant,
    used: Cell<Instant>,
    is_gone: Rc<Cell<bool>>,
    _seat: Seat,
}

/// A request's place on a connection, given up by dropping it.
#[derive(Debug)]
pub struct Place(Rc<Shared>);

impl Place {
    /// To be set when its connection turns out to take no more requests.
    pub fn is_gone(&self) -> Rc<Cell<bool>> {
        Rc::clone(&self.0.is_gone)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.active.set(self.0.active.get() - 1);
        self.0.used.set(Instant::now());
    }
}

impl Multiplexed {
    /// A place on the first connection that has one. The sender can be sent by at once.
    pub fn take(&self, dial: &Dial) -> Option<(Sender, Place)> {
        let mut live = self.live.borrow_mut();
        live.retain(|shared| !shared.is_gone.get());
        live.iter().find_map(|shared| shared.take(dial))
    }

    /// Begins to speak on a new connection, whose other end is served by a task of its own from here on. One that serves
    /// one request at a time is dropped.
    pub async fn add(
        &self,
        connected: Connected,
        head_size: u32,
        dial: &Dial,
        seat: Seat,
    ) -> Result<(), ConnectError> {
        let is_gone = Rc::<Cell<bool>>::default();
        let sender = match connected {
            Connected::Http1(_) => return Ok(()),
            Connected::Http2(transport) => {
                let begun = begin_http2(transport, head_size, dial.ping, &is_gone).await;
                Sender::Http2(begun.map_err(|error| ConnectError::Io(io::Error::other(error)))?)
            }
            Connected::Http3(quic) => {
                let begun = begin_http3(quic, head_size, &is_gone).await;
                Sender::Http3(begun.map_err(|error| ConnectError::Io(io::Error::other(error)))?)
            }
        };
        let now = Instant::now();
        let shared =
            Shared { sender, active: Cell::new(0), born: now, used: Cell::new(now), is_gone, _seat: seat };
        self.live.borrow_mut().push(Rc::new(shared));
        Ok(())
    }

    /// Closes those that are unused since before `oldest`, and those that take no more requests and have none.
    pub fn sweep(&self, oldest: Instant) {
        self.live.borrow_mut().retain(|shared| {
            let is_unused = shared.active.get() == 0 && shared.used.get() < oldest;
            !is_unused && !shared.is_gone.get()
        });
    }

    /// How many have no request.
    pub fn idle(&self) -> usize {
        self.live.borrow().iter().filter(|shared| shared.active.get() == 0).count()
    }
}

impl Shared {
    fn take(self: &Rc<Self>, dial: &Dial) -> Option<(Sender, Place)> {
        let most = match &self.sender {
            Sender::Http2(sender) => dial.streams.min(sender.current_max_send_streams()),
            Sender::Http3(_) => dial.streams,
        };
        let is_old = dial.most_age.is_some_and(|most| self.born.elapsed() >= most);
        if is_old && self.active.get() == 0 {
            self.is_gone.set(true);
        }
        if is_old || self.active.get() >= most {
            return None;
        }
        let mut sender = self.sender.clone();
        if let Sender::Http2(sender) = &mut sender {
            match sender.poll_ready(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Ok(())) => {}
                // The backend has said that it takes no more.
                Poll::Ready(Err(_)) => {
                    self.is_gone.set(true);
                    return None;
                }
                Poll::Pending => return None,
            }
        }
        self.active.set(self.active.get() + 1);
        Some((sender, Place(Rc::clone(self))))
    }
}

async fn begin_http2(
    transport: Transport,
    head_size: u32,
    ping: Option<Duration>,
    is_gone: &Rc<Cell<bool>>,
) -> Result<SendRequest<Bytes>, h2::Error> {
    let handshake = Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(head_size)
        .enable_push(false)
        .handshake(transport);
    let (sender, connection) = handshake.await?;
    tokio::task::spawn_local(drive(connection, ping, Rc::clone(is_gone)));
    Ok(sender)
}

async fn begin_http3(
    quic: quinn::Connection,
    head_size: u32,
    is_gone: &Rc<Cell<bool>>,
) -> Result<http3::Sender, h3::error::ConnectionError> {
    let (sender, connection) = http3::connect(quic, head_size).await?;
    let is_gone = Rc::clone(is_gone);
    tokio::task::spawn_local(async move {
        let error = connection.drive().await;
        debug!(%error, "HTTP/3 connection to a backend ended");
        is_gone.set(true);
    });
    Ok(sender)
}

/// Moves a connection's frames until it ends: when nobody has a sender or a stream of it any more, when the backend
/// ends it, or when that does not answer a ping.
async fn drive(mut connection: Connection<Transport>, ping: Option<Duration>, is_gone: Rc<Cell<bool>>) {
    let pings = connection.ping_pong().zip(ping);
    let mut living = pin!(async move {
        match pings {
            Some((pings, interval)) => keep_asking(pings, interval).await,
            None => std::future::pending().await,
        }
    });
    let ended = poll_fn(|cx| match Pin::new(&mut connection).poll(cx) {
        Poll::Pending => living.as_mut().poll(cx).map(|()| Ok(())),
        ended => ended,
    });
    if let Err(error) = ended.await {
        debug!(%error, "HTTP/2 connection to a backend ended");
    }
    is_gone.set(true);
}

/// Ends when a ping is not answered in time.
async fn keep_asking(mut pings: PingPong, interval: Duration) {
    loop {
        sleep(interval).await;
        let answered = tokio::time::timeout(PONG, pings.ping(Ping::opaque())).await;
        if !matches!(answered, Ok(Ok(_))) {
            return;
        }
    }
}
