//! One worker's connections to backends, by endpoint.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::{Arc, Weak};

use rustc_hash::FxHashMap;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::connect::{Connected, Ends, Patience, Protocol};
use super::multiplex::Multiplexed;
use super::{Cluster, ConnectError, Endpoint, EndpointId, Line, Permit, connect};
use crate::base::transport::Transport;
use crate::message::http1::{IdleConnections, Stream};

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
    /// How many there are, unused ones among them.
    count: Rc<Cell<usize>>,
}

/// One of a worker's connections, and of those that its cluster may have.
#[derive(Debug)]
pub struct Seat {
    _permit: Permit,
    count: Rc<Cell<usize>>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.count.set(self.count.get() - 1);
    }
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

    /// The right to make a connection, where the cluster may have one more.
    pub fn seat(&self, cluster: &Cluster) -> Option<Seat> {
        let permit = cluster.load().connection(&cluster.spec().limits, self.count.get() == 0)?;
        self.count.set(self.count.get() + 1);
        Some(Seat { _permit: permit, count: Rc::clone(&self.count) })
    }

    /// A connection for one request at a time, whatever else the backend takes.
    pub async fn open_single(
        &self,
        endpoint: &Endpoint,
        ends: Option<Ends>,
        seat: Seat,
        patience: Patience,
    ) -> Result<Line, Rc<ConnectError>> {
        match connect(endpoint, Protocol::H1, ends, patience).await? {
            Connected::Http1(transport) => Ok(single(transport, endpoint, seat)),
            Connected::Http2(_) | Connected::Http3(_) => Err(Rc::new(ConnectError::Protocol)),
        }
    }

    /// A connection that is made for one request, which may turn out to take several.
    pub async fn open(
        &self,
        endpoint: &Endpoint,
        ends: Option<Ends>,
        head_size: u32,
        seat: Seat,
        patience: Patience,
    ) -> Result<Option<Line>, Rc<ConnectError>> {
        match connect(endpoint, endpoint.dial.protocol, ends, patience).await? {
            Connected::Http1(transport) => return Ok(Some(single(transport, endpoint, seat))),
            connected => self.multiplexed.add(connected, head_size, &endpoint.dial, seat).await?,
        }
        self.is_multiplexed.set(true);
        Ok(self.take_shared(endpoint))
    }

    /// Whether who wants a connection waits for one that is being made for all.
    pub fn is_shared(&self, endpoint: &Endpoint) -> bool {
        endpoint.dial.is_multiplexed() || self.is_multiplexed.get()
    }

    /// Whether one is being made for all.
    pub fn is_opening(&self) -> bool {
        self.opening.borrow().is_some()
    }

    fn take_shared(&self, endpoint: &Endpoint) -> Option<Line> {
        self.multiplexed.take(&endpoint.dial).map(|(sender, place)| Line::Multiplexed(sender, place))
    }

    /// A place on a connection that is made for all who want one. None where others have taken all of them. `seat` is not
    /// needed where one is being made already.
    pub async fn open_shared(
        self: &Rc<Self>,
        endpoint: &Arc<Endpoint>,
        head_size: u32,
        seat: Option<Seat>,
        patience: Patience,
    ) -> Result<Option<Line>, Rc<ConnectError>> {
        let opening = self.opening.borrow().clone();
        match (opening, seat) {
            (Some(opening), _) => opening.ended().await?,
            (None, Some(seat)) => self.begin(endpoint, head_size, seat, patience).ended().await?,
            (None, None) => {}
        }
        Ok(self.take_shared(endpoint))
    }

    /// The connection that is being opened, by a task of its own: whoever asked for it first may leave.
    fn begin(
        self: &Rc<Self>,
        endpoint: &Arc<Endpoint>,
        head_size: u32,
        seat: Seat,
        patience: Patience,
    ) -> Rc<Opening> {
        let opening = Rc::<Opening>::default();
        *self.opening.borrow_mut() = Some(Rc::clone(&opening));
        let (pool, endpoint, ours) = (Rc::clone(self), Arc::clone(endpoint), Rc::clone(&opening));
        tokio::task::spawn_local(async move {
            let ended = async {
                let connected = connect(&endpoint, endpoint.dial.protocol, None, patience).await?;
                let is_multiplexed = !matches!(connected, Connected::Http1(_));
                // A backend that has changed its mind is asked again, alone.
                pool.is_multiplexed.set(is_multiplexed);
                pool.multiplexed.add(connected, head_size, &endpoint.dial, seat).await
            };
            let ended = ended.await.map_err(Rc::new);
            pool.opening.take();
            *ours.ended.borrow_mut() = Some(ended);
            ours.told.notify_waiters();
        });
        opening
    }
}

fn single(transport: Transport, endpoint: &Endpoint, seat: Seat) -> Line {
    let mut stream = Box::new(Stream::new(transport));
    stream.held = Some(Box::new(seat));
    stream.expires = endpoint.dial.most_age.map(|most| Instant::now() + most);
    Line::Single(stream)
}
