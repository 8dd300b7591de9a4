//! One worker's accept loop on one listener.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tracing::{error, warn};

use super::greet::greet;
use super::quic::Quic;
use super::socket::AsyncListening;
use super::tls::Tls;
use super::{Bound, stop_accepting};
use crate::base::address::ListenAddress;
use crate::base::drain::Drain;
use crate::base::network::IpNetwork;
use crate::base::transport::Transport;
use crate::message::Entrance;
use crate::observe::metrics::WorkerMetrics;
use crate::protocol::{Accepted, Protocols, Session, serve};
use crate::proxy::Proxy;

/// How long connections whose handshake had begun may take to arrive once no more are let in.
const LAST_CALL: Duration = Duration::from_millis(100);
/// How long to wait when the process or the system is out of something, and when the worker has all the connections
/// that it may have.
const OUT_OF_RESOURCES: Duration = Duration::from_millis(100);
const FULL: Duration = Duration::from_millis(5);

/// What the document says of a listener.
#[derive(Debug, Clone)]
pub struct ListenerSpec {
    /// Where it listens.
    pub address: ListenAddress,
    /// What it speaks.
    pub protocols: Protocols,
    /// What its requests are told of it, its name among it.
    pub entrance: Arc<Entrance>,
    /// Its TLS; none in the clear.
    pub tls: Option<Arc<Tls>>,
    /// Peers that say by the PROXY protocol whose connection it is; none where nobody does.
    pub proxies: Option<Arc<[IpNetwork]>>,
}

impl PartialEq for ListenerSpec {
    /// TLS is the same only where it is the same object: [`Tls::build`] keeps that where nothing changed.
    fn eq(&self, other: &Self) -> bool {
        let same_tls = match (&self.tls, &other.tls) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            _ => false,
        };
        same_tls
            && self.address == other.address
            && self.protocols == other.protocols
            && self.entrance == other.entrance
            && self.proxies == other.proxies
    }
}

/// What tells one listener from another: its address, or where any free port will do, its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ListenerKey {
    /// An address that is one listener's, and whether QUIC is spoken on it.
    Address(ListenAddress, bool),
    /// A name, on an IP address, and whether QUIC is spoken there.
    Name(Arc<str>, IpAddr, bool),
}

impl ListenerSpec {
    /// Its name in the document.
    pub fn name(&self) -> &Arc<str> {
        &self.entrance.listener
    }

    /// See [`ListenerKey`].
    pub fn key(&self) -> ListenerKey {
        let has_quic = self.protocols.h3;
        match &self.address {
            ListenAddress::Tcp(any) if any.port() == 0 => {
                ListenerKey::Name(Arc::clone(self.name()), any.ip(), has_quic)
            }
            address => ListenerKey::Address(address.clone(), has_quic),
        }
    }

    /// Whether a connection begins with the PROXY protocol. On a socket of this machine everybody is trusted who may open
    /// it.
    fn expects_header(&self, io: &Transport, peer: SocketAddr) -> bool {
        let is_trusted = |proxies: &Arc<[IpNetwork]>| {
            matches!(io, Transport::Unix(_)) || proxies.iter().any(|network| network.contains(peer.ip()))
        };
        self.proxies.as_ref().is_some_and(is_trusted)
    }
}

/// A listener in one worker.
pub struct Accept {
    spec: Rc<RefCell<ListenerSpec>>,
    /// Its connections.
    pub drain: Rc<Drain>,
    stop: Rc<Notify>,
    stopped: Rc<Notify>,
    quic: Option<Rc<Quic>>,
    stop_quic: Rc<Notify>,
    quic_stopped: Rc<Notify>,
}

impl Accept {
    /// Begins to accept. Must be called on a worker.
    pub fn start(bound: Bound, spec: ListenerSpec, proxy: Proxy) -> io::Result<Self> {
        let (tls, spec) = (spec.tls.clone(), Rc::new(RefCell::new(spec)));
        let drain = Rc::<Drain>::default();
        let quic = bound.quic.zip(tls).map(|(socket, tls)| {
            Quic::open(socket, &tls, Rc::clone(&spec), proxy.clone(), Rc::clone(&drain))
        });
        let accept = Self {
            spec,
            drain,
            stop: Rc::default(),
            stopped: Rc::default(),
            quic: quic.transpose()?,
            stop_quic: Rc::default(),
            quic_stopped: Rc::default(),
        };
        accept.run_quic();
        let acceptor = Acceptor {
            socket: AsyncListening::open(bound.listening)?,
            spec: Rc::clone(&accept.spec),
            proxy,
            drain: Rc::clone(&accept.drain),
        };
        let (stop, stopped) = (Rc::clone(&accept.stop), Rc::clone(&accept.stopped));
        tokio::task::spawn_local(async move {
            tokio::select! {
                () = acceptor.run() => {}
                () = stop.notified() => acceptor.last_call().await,
            }
            stopped.notify_one();
        });
        Ok(accept)
    }

    /// Serves connections that come from now on by another specification of the same address.
    pub fn reconfigure(&self, spec: ListenerSpec) {
        if let (Some(quic), Some(tls)) = (&self.quic, &spec.tls)
            && let Err(error) = quic.reconfigure(tls)
        {
            error!(listener = &**spec.name(), %error, "QUIC goes on as before");
        }
        self.spec.replace(spec);
    }

    fn run_quic(&self) {
        let (stop, stopped) = (Rc::clone(&self.stop_quic), Rc::clone(&self.quic_stopped));
        match &self.quic {
            None => stopped.notify_one(),
            Some(quic) => {
                let quic = Rc::clone(quic);
                tokio::task::spawn_local(async move {
                    quic.run(stop).await;
                    stopped.notify_one();
                });
            }
        }
    }

    /// Accepts what waits and then no more, and asks the connections to end.
    pub fn stop(&self) {
        self.stop.notify_one();
        self.stop_quic.notify_one();
        self.drain.begin();
    }

    /// Waits until it has stopped accepting, and its connections have ended.
    pub async fn finished(&self) {
        self.stopped.notified().await;
        self.drain.finished().await;
        self.quic_stopped.notified().await;
    }
}

struct Acceptor {
    socket: AsyncListening,
    spec: Rc<RefCell<ListenerSpec>>,
    proxy: Proxy,
    drain: Rc<Drain>,
}

impl Acceptor {
    async fn run(&self) {
        loop {
            while is_full(&self.proxy) {
                tokio::time::sleep(FULL).await;
            }
            match self.socket.accept().await {
                Ok((io, peer)) => self.serve(io, peer),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    warn!(listener = &**self.spec.borrow().name(), %error, "cannot accept connections, trying again");
                    tokio::time::sleep(OUT_OF_RESOURCES).await;
                }
            }
        }
    }

    /// Serves those who wait already, then lets go of the socket.
    async fn last_call(self) {
        if let AsyncListening::Tcp(socket) = &self.socket
            && let Err(error) = stop_accepting(socket)
        {
            warn!(listener = &**self.spec.borrow().name(), %error, "connections may be reset as the listener closes");
        }
        let deadline = tokio::time::Instant::now() + LAST_CALL;
        while let Ok(accepted) = tokio::time::timeout_at(deadline, self.socket.accept()).await {
            if let Ok((io, peer)) = accepted {
                self.serve(io, peer);
            }
        }
    }

    fn serve(&self, io: Transport, peer: SocketAddr) {
        let session = Session { proxy: self.proxy.clone(), drain: Rc::clone(&self.drain) };
        let open = OpenConnection::accepted(self.proxy.metrics());
        let spec = self.spec.borrow();
        let (entrance, protocols) = (Arc::clone(&spec.entrance), spec.protocols);
        let local = io.local().unwrap_or(peer);
        let accepted = move |transport| Accepted { transport, peer, local, entrance, tls: None, protocols };
        let has_header = spec.expects_header(&io, peer);
        if spec.tls.is_none() && !has_header {
            let accepted = accepted(io);
            self.drain.spawn(async move {
                serve(accepted, session).await;
                drop(open);
            });
            return;
        }
        let tls = spec.tls.clone();
        let allowed = self.proxy.view().snapshot.settings.timeouts.client_head;
        self.drain.spawn(async move {
            greet(io, accepted, has_header, tls, session, allowed).await;
            drop(open);
        });
    }
}

/// Whether the worker has all the connections that it may have.
pub(super) fn is_full(proxy: &Proxy) -> bool {
    let most = proxy.view().snapshot.settings.connections;
    proxy.metrics().connections.read() >= most as u64
}

/// Counted as long as it lives.
pub(super) struct OpenConnection(Arc<WorkerMetrics>);

impl OpenConnection {
    pub fn accepted(metrics: &Arc<WorkerMetrics>) -> Self {
        metrics.accepted.add(1);
        metrics.connections.add(1);
        Self(Arc::clone(metrics))
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.connections.subtract(1);
    }
}

/// Errors that concern a connection which went away before it was accepted, not the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}
