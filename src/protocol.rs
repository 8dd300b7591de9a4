//! Protocols: bytes of a client's connection to requests, and responses back to bytes.

mod http1;
mod http2;
pub mod http3;
mod streams;

pub use http1::{refuse, serve};

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use crate::base::drain::Drain;
use crate::base::transport::Transport;
use crate::message::Entrance;
use crate::message::tls::TlsSession;
use crate::proxy::{Connection, Proxy};

/// Which protocols may be spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Protocols {
    /// HTTP/1.0 and HTTP/1.1.
    pub h1: bool,
    /// HTTP/2: by negotiation over TLS, in the clear with prior knowledge (RFC 9113, section 3.3).
    pub h2: bool,
    /// HTTP/3, over QUIC on the same port.
    pub h3: bool,
}

/// A connection that was accepted, after its TLS handshake where it has one.
#[derive(Debug)]
pub struct Accepted {
    /// Its bytes.
    pub transport: Transport,
    /// Who connected.
    pub peer: SocketAddr,
    /// Where it connected.
    pub local: SocketAddr,
    /// Where it came in.
    pub entrance: Arc<Entrance>,
    /// Its TLS session; none in the clear.
    pub tls: Option<Arc<TlsSession>>,
    /// What may be spoken on it.
    pub protocols: Protocols,
}

/// What a connection is served with.
pub struct Session {
    /// This worker's proxy.
    pub proxy: Proxy,
    /// Tells when to come to an end.
    pub drain: Rc<Drain>,
}

impl Accepted {
    fn connection(&self, drain: &Rc<Drain>) -> Connection {
        let (entrance, tls) = (Arc::clone(&self.entrance), self.tls.clone());
        Connection::new(self.peer, self.local, entrance, tls, Rc::clone(drain))
    }
}
