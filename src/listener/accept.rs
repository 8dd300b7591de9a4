//! One worker's accept loop on one listener.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tracing::{debug, warn};

use super::stop_accepting;
use super::tls::{Refused, Secured, Tls};
use crate::base::drain::Drain;
use crate::base::transport::Transport;
use crate::message::Entrance;
use crate::observe::metrics::WorkerMetrics;
use crate::protocol::{Accepted, Protocols, Session, refuse, serve};
use crate::proxy::{Failure, Proxy, Reason};

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
    pub address: SocketAddr,
    /// What it speaks.
    pub protocols: Protocols,
    /// What its requests are told of it, its name among it.
    pub entrance: Arc<Entrance>,
    /// Its TLS; none in the clear.
    pub tls: Option<Arc<Tls>>,
}

impl PartialEq for ListenerSpec {
    /// TLS is the same only where it is the same object: [`Tls::build`] keeps that where nothing changed.
    fn eq(&self, other: &Self) -> bool {
        let same_tls = match (&self.tls, &other.tls) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            _ => false,
        };
        let of = |spec: &Self| (spec.address, spec.protocols, Arc::clone(&spec.entrance));
        same_tls && of(self) == of(other)
    }
}

/// What tells one listener from another: its address, or where any free port will do, its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ListenerKey {
    /// An address with a port.
    Address(SocketAddr),
    /// A name, on an IP address.
    Name(Arc<str>, IpAddr),
}

impl ListenerSpec {
    /// Its name in the document.
    pub fn name(&self) -> &Arc<str> {
        &self.entrance.listener
    }

    /// See [`ListenerKey`].
    pub fn key(&self) -> ListenerKey {
        if self.address.port() == 0 {
            ListenerKey::Name(Arc::clone(self.name()), self.address.ip())
        } else {
            ListenerKey::Address(self.address)
        }
    }
}

/// A listener in one worker.
#[derive(Debug)]
pub struct Accept {
    spec: Rc<RefCell<ListenerSpec>>,
    /// Its connections.
    pub drain: Rc<Drain>,
    stop: Rc<Notify>,
    stopped: Rc<Notify>,
}

impl Accept {
    /// Begins to accept. Must be called on a worker.
    pub fn start(socket: std::net::TcpListener, spec: ListenerSpec, proxy: Proxy) -> io::Result<Self> {
        let accept = Self {
            spec: Rc::new(RefCell::new(spec)),
            drain: Rc::default(),
            stop: Rc::default(),
            stopped: Rc::default(),
        };
        let acceptor = Acceptor {
            socket: TcpListener::from_std(socket)?,
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
        self.spec.replace(spec);
    }

    /// Accepts what waits and then no more, and asks the connections to end.
    pub fn stop(&self) {
        self.stop.notify_one();
        self.drain.begin();
    }

    /// Waits until it has stopped accepting.
    pub async fn finished(&self) {
        self.stopped.notified().await;
    }
}

struct Acceptor {
    socket: TcpListener,
    spec: Rc<RefCell<ListenerSpec>>,
    proxy: Proxy,
    drain: Rc<Drain>,
}

impl Acceptor {
    async fn run(&self) {
        loop {
            while self.is_full() {
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
        if let Err(error) = stop_accepting(&self.socket) {
            warn!(listener = &**self.spec.borrow().name(), %error, "connections may be reset as the listener closes");
        }
        let deadline = tokio::time::Instant::now() + LAST_CALL;
        while let Ok(accepted) = tokio::time::timeout_at(deadline, self.socket.accept()).await {
            if let Ok((io, peer)) = accepted {
                self.serve(io, peer);
            }
        }
    }

    fn is_full(&self) -> bool {
        let most = self.proxy.view().snapshot.settings.connections;
        self.proxy.metrics().connections.read() >= most as u64
    }

    fn serve(&self, io: TcpStream, peer: SocketAddr) {
        // A peer that is gone already shows in the first read.
        let _ = io.set_nodelay(true);
        let session = Session { proxy: self.proxy.clone(), drain: Rc::clone(&self.drain) };
        let metrics = Arc::clone(self.proxy.metrics());
        metrics.accepted.add(1);
        metrics.connections.add(1);
        let open = OpenConnection(Arc::clone(&metrics));
        let spec = self.spec.borrow();
        let (entrance, protocols) = (Arc::clone(&spec.entrance), spec.protocols);
        let local = io.local_addr().unwrap_or(spec.address);
        let accepted = move |transport| Accepted { transport, peer, local, entrance, tls: None, protocols };
        match &spec.tls {
            None => {
                let accepted = accepted(Transport::Tcp(io));
                self.drain.spawn(async move {
                    serve(accepted, session).await;
                    drop(open);
                });
            }
            Some(tls) => {
                let tls = Arc::clone(tls);
                let allowed = self.proxy.view().snapshot.settings.timeouts.client_head;
                self.drain.spawn(async move {
                    // Only the handshake needs the room that it needs.
                    match Box::pin(shake_hands(&tls, io, allowed, &metrics)).await {
                        Shaken::Secured(Secured { transport, session: tls, protocols, .. }) => {
                            let accepted = Accepted { tls: Some(tls), protocols, ..accepted(transport) };
                            serve(accepted, session).await;
                        }
                        Shaken::Cleartext(io) => {
                            let message = "this port speaks TLS: use https";
                            let failure = Failure::new(Reason::Cleartext, message);
                            Box::pin(refuse(accepted(Transport::Tcp(io)), session, &failure)).await;
                        }
                        Shaken::Closed => {}
                    }
                    drop(open);
                });
            }
        }
    }
}

/// What came of a handshake.
enum Shaken {
    Secured(Secured),
    Cleartext(TcpStream),
    Closed,
}

/// A handshake that fails is the client's affair: it is counted, and told of only where somebody debugs.
async fn shake_hands(tls: &Tls, io: TcpStream, allowed: Duration, metrics: &WorkerMetrics) -> Shaken {
    let metrics = &metrics.handshakes;
    match tokio::time::timeout(allowed, tls.accept(io)).await {
        Ok(Ok(secured)) => {
            let count = if secured.is_resumed { &metrics.resumed } else { &metrics.full };
            count.add(1);
            Shaken::Secured(secured)
        }
        Ok(Err(Refused::Cleartext(io))) => {
            metrics.failed.add(1);
            Shaken::Cleartext(io)
        }
        Ok(Err(Refused::Failed(error))) => {
            metrics.failed.add(1);
            debug!(%error, "TLS handshake failed");
            Shaken::Closed
        }
        Err(_) => {
            metrics.failed.add(1);
            debug!("TLS handshake took longer than {allowed:?}");
            Shaken::Closed
        }
    }
}

/// Counted as long as it lives.
struct OpenConnection(Arc<WorkerMetrics>);

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
