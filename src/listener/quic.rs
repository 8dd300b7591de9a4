//! One worker's accept loop on the UDP port of a listener.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::debug;

use super::accept::{ListenerSpec, OpenConnection, is_full};
use super::socket::QuicSocket;
use super::tls::Tls;
use crate::base::drain::Drain;
use crate::protocol::Session;
use crate::protocol::http3::{Endpoint, Handshaken, Knock, serve};
use crate::proxy::Proxy;

/// Handshakes under way in one worker, or failed a moment ago, from which on clients have to prove their addresses first.
const BUSY: usize = 64;
/// How long a failed handshake is remembered: what it has left in the endpoint may last for as long.
const REMEMBERED: Duration = Duration::from_secs(45);
/// How long the last packets may take to leave.
const LAST_PACKETS: Duration = Duration::from_millis(200);

/// A listener's UDP port in one worker.
pub(super) struct Quic {
    endpoint: Endpoint,
    address: SocketAddr,
    spec: Rc<RefCell<ListenerSpec>>,
    proxy: Proxy,
    drain: Rc<Drain>,
    handshakes: Cell<usize>,
    /// When handshakes failed last, at most [`BUSY`] of them.
    failures: RefCell<VecDeque<Instant>>,
}

impl Quic {
    /// Takes part in QUIC. Must be called on a worker.
    pub fn open(
        socket: QuicSocket,
        tls: &Tls,
        spec: Rc<RefCell<ListenerSpec>>,
        proxy: Proxy,
        drain: Rc<Drain>,
    ) -> io::Result<Rc<Self>> {
        let address = socket.udp.local_addr()?;
        let view = proxy.view();
        let endpoint = Endpoint::open(socket.udp, socket.place, tls.quic(), &view.snapshot.settings)?;
        Ok(Rc::new(Self {
            endpoint,
            address,
            spec,
            proxy,
            drain,
            handshakes: Cell::new(0),
            failures: RefCell::default(),
        }))
    }

    /// Serves connections that come from now on by another specification of the same address.
    pub fn reconfigure(&self, tls: &Tls) -> io::Result<()> {
        self.endpoint.reconfigure(tls.quic(), &self.proxy.view().snapshot.settings)
    }

    /// Accepts until it is told to stop; then until its connections have ended it sends new ones away.
    pub async fn run(self: Rc<Self>, stop: Rc<Notify>) {
        loop {
            tokio::select! {
                knock = self.endpoint.knock() => match knock {
                    Some(knock) => self.admit(knock),
                    None => return,
                },
                () = stop.notified() => break,
            }
        }
        let mut ended = std::pin::pin!(self.drain.finished());
        loop {
            tokio::select! {
                knock = self.endpoint.knock() => match knock {
                    Some(knock) => knock.refuse(),
                    None => return,
                },
                () = &mut ended => break,
            }
        }
        // Who has not heard of the end by then finds out by silence.
        let _ = tokio::time::timeout(LAST_PACKETS, self.endpoint.finished()).await;
    }

    fn admit(self: &Rc<Self>, knock: Knock) {
        if is_full(&self.proxy) {
            return knock.refuse();
        }
        if !knock.is_proven() && self.is_busy() {
            return knock.retry();
        }
        let Some(tls) = self.spec.borrow().tls.clone() else { return knock.refuse() };
        let open = OpenConnection::accepted(self.proxy.metrics());
        let quic = Rc::clone(self);
        self.drain.spawn(async move {
            if let Some(handshaken) = quic.shake_hands(knock, tls.takes_early_data()).await {
                let entrance = Arc::clone(&quic.spec.borrow().entrance);
                let facts =
                    tls.quic_session(handshaken.server_name.as_deref(), handshaken.certificate.as_ref());
                let session = Session { proxy: quic.proxy.clone(), drain: Rc::clone(&quic.drain) };
                drop(quic);
                serve(handshaken, entrance, Arc::new(facts), session).await;
            }
            drop(open);
        });
    }

    fn is_busy(&self) -> bool {
        let mut failures = self.failures.borrow_mut();
        while failures.front().is_some_and(|failed| failed.elapsed() > REMEMBERED) {
            failures.pop_front();
        }
        self.handshakes.get() + failures.len() >= BUSY
    }

    fn remember_failure(&self) {
        let mut failures = self.failures.borrow_mut();
        if failures.len() >= BUSY {
            failures.pop_front();
        }
        failures.push_back(Instant::now());
    }

    async fn shake_hands(&self, knock: Knock, takes_early_data: bool) -> Option<Handshaken> {
        let allowed = self.proxy.view().snapshot.settings.timeouts.client_head;
        let metrics = &self.proxy.metrics().handshakes;
        self.handshakes.set(self.handshakes.get() + 1);
        let shaken = tokio::time::timeout(allowed, knock.shake_hands(self.address, takes_early_data)).await;
        self.handshakes.set(self.handshakes.get() - 1);
        match shaken {
            Ok(Ok(handshaken)) => {
                metrics.full.add(1);
                return Some(handshaken);
            }
            Ok(Err(error)) => debug!(%error, "QUIC handshake failed"),
            Err(_) => debug!("QUIC handshake took longer than {allowed:?}"),
        }
        metrics.failed.add(1);
        self.remember_failure();
        None
    }
}
