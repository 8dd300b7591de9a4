//! One worker's connections to backends, by endpoint.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::connect::{Connected, Ends, Protocol};
use super::multiplex::Multiplexed;
use super::{ConnectError, Endpoint, EndpointId, Line, connect};
use crate::base::transport::Transport;
use crate::message::http1::{IdleConnections, Stream};

/// New connections that a request waits for: others may have taken all places of one.
const MOST_ROUNDS: usize = 8;

/// Connections, kept across snapshots.
#[derive(Debug, Default)]
pub struct Pools {
    by_endpoint: RefCell<FxHashMap<EndpointId, Entry>>,
}

#[derive(Debug)]
struct Entry {
    endpoint: Weak<Endpoint>,
    pool: Rc<Pool>,
}

/// A worker's connections to one endpoint.
#[derive(Debug, Default)]
pub struct Pool {
    /// Unused ones for one request at a time.
    pub single: Rc<IdleConnections>,
    /// Those that take several.
    pub multiplexed: Multiplexed,
    /// Whether the backend was found to take several.
    is_multiplexed: Cell<bool>,
    opening: RefCell<Option<Rc<Opening>>>,
}

/// A connection that several requests wait for.
#[derive(Debug, Default)]
struct Opening {
    ended: RefCell<Option<Result<(), Rc<ConnectError>>>>,
    told: Notify,
}

impl Opening {
    async fn ended(&self) -> Result<(), Rc<ConnectError>> {
        loop {
            let told = self.told.notified();
            if let Some(ended) = &*self.ended.borrow() {
                return ended.clone();
            }
            told.await;
        }
    }
}

impl Pools {
    /// The connections to an endpoint, of which at most `most` are kept unused.
    pub fn of(&self, endpoint: &Arc<Endpoint>, most: usize) -> Rc<Pool> {
        let mut pools = self.by_endpoint.borrow_mut();
        let entry = pools
            .entry(endpoint.id)
            .or_insert_with(|| Entry { endpoint: Arc::downgrade(endpoint), pool: Rc::default() });
        entry.pool.single.keep(most);
        Rc::clone(&entry.pool)
    }

    /// Closes connections that are unused since before `oldest`, that their backend has ended, or whose endpoint is
    /// in no snapshot any more.
    pub fn sweep(&self, oldest: Instant) {
        self.by_endpoint.borrow_mut().retain(|_, entry| {
            entry.pool.single.sweep(oldest);
            entry.pool.multiplexed.sweep(oldest);
            entry.endpoint.strong_count() > 0
        });
    }

    /// How many connections are unused.
    pub fn idle(&self) -> usize {
        let pools = self.by_endpoint.borrow();
        pools.values().map(|entry| entry.pool.single.len() + entry.pool.multiplexed.idle()).sum()
    }
}

impl Pool {
    /// A place on a connection that is there; one with others only where `may_share`.
    pub fn take(&self, endpoint: &Endpoint, may_share: bool, oldest: Option<Instant>) -> Option<Line> {
        let shared = if may_share { self.multiplexed.take(&endpoint.dial) } else { None };
        let single = || oldest.and_then(|oldest| self.single.take(oldest)).map(Line::Single);
        shared.map(|(sender, place)| Line::Multiplexed(sender, place)).or_else(single)
    }

    /// A connection for one request at a time, whatever else the backend takes.
    pub async fn open_single(
        &self,
        endpoint: &Endpoint,
        ends: Option<Ends>,
        allowed: Duration,
    ) -> Result<Line, Rc<ConnectError>> {
        match connect(endpoint, Protocol::H1, ends, allowed).await? {
            Connected::Http1(transport) => Ok(single(transport, endpoint)),
            Connected::Http2(_) | Connected::Http3(_) => Err(Rc::new(ConnectError::Protocol)),
        }
    }

    /// A place on a new connection, within `allowed`. Where that will take several requests, all who want one wait for
    /// the same.
    pub async fn open(
        self: &Rc<Self>,
        endpoint: &Arc<Endpoint>,
        ends: Option<Ends>,
        head_size: u32,
        allowed: Duration,
    ) -> Result<Line, Rc<ConnectError>> {
        for _ in 0..MOST_ROUNDS {
            if endpoint.dial.is_multiplexed() || self.is_multiplexed.get() {
                self.opening(endpoint, head_size, allowed).ended().await?;
            } else {
                let protocol = endpoint.dial.protocol;
                match connect(endpoint, protocol, ends, allowed).await? {
                    Connected::Http1(transport) => return Ok(single(transport, endpoint)),
                    connected => self.multiplexed.add(connected, head_size, &endpoint.dial).await?,
                }
                self.is_multiplexed.set(true);
            }
            if let Some((sender, place)) = self.multiplexed.take(&endpoint.dial) {
                return Ok(Line::Multiplexed(sender, place));
            }
        }
        Err(Rc::new(ConnectError::Io(std::io::Error::other("every new connection was taken at once"))))
    }

    /// The connection that is being opened, by a task of its own: whoever asked for it first may leave.
    fn opening(self: &Rc<Self>, endpoint: &Arc<Endpoint>, head_size: u32, allowed: Duration) -> Rc<Opening> {
        if let Some(opening) = &*self.opening.borrow() {
            return Rc::clone(opening);
        }
        let opening = Rc::<Opening>::default();
        *self.opening.borrow_mut() = Some(Rc::clone(&opening));
        let (pool, endpoint, ours) = (Rc::clone(self), Arc::clone(endpoint), Rc::clone(&opening));
        tokio::task::spawn_local(async move {
            let ended = async {
                let connected = connect(&endpoint, endpoint.dial.protocol, None, allowed).await?;
                let is_multiplexed = !matches!(connected, Connected::Http1(_));
                // A backend that has changed its mind is asked again, alone.
                pool.is_multiplexed.set(is_multiplexed);
                pool.multiplexed.add(connected, head_size, &endpoint.dial).await
            };
            let ended = ended.await.map_err(Rc::new);
            pool.opening.take();
            *ours.ended.borrow_mut() = Some(ended);
            ours.told.notify_waiters();
        });
        opening
    }
}

fn single(transport: Transport, endpoint: &Endpoint) -> Line {
    let mut stream = Box::new(Stream::new(transport));
    stream.expires = endpoint.dial.most_age.map(|most| Instant::now() + most);
    Line::Single(stream)
}
