//! Protocols: bytes of a client's connection to requests, and responses back to bytes.

mod http1;
mod http2;

pub use http1::serve;

use std::rc::Rc;

use crate::base::drain::Drain;
use crate::proxy::Proxy;

/// Which protocols a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocols {
    /// HTTP/1.0 and HTTP/1.1.
    pub h1: bool,
    /// HTTP/2 on cleartext, with prior knowledge (RFC 9113, section 3.3).
    pub h2c: bool,
}

/// What a connection is served with.
pub struct Session {
    /// This worker's proxy.
    pub proxy: Proxy,
    /// Tells when to come to an end.
    pub drain: Rc<Drain>,
    /// What may be spoken.
    pub protocols: Protocols,
}
