//! What the requests of one client connection have in common.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::{HeaderValue, Response};

use crate::message::exchange::field_value;

/// A client's connection, as the proxy sees it.
#[derive(Debug)]
pub struct Connection {
    /// Who connected.
    pub peer: SocketAddr,
    /// The listener's name.
    pub listener: Arc<str>,
    /// The peer's address as a field value: the same for every request.
    pub(super) peer_value: HeaderValue,
    /// The last host that was asked for with the `forwarded` element that it gave. Clients seldom change it.
    forwarded: RefCell<Option<(HeaderValue, HeaderValue)>>,
    /// Interim responses that wait to be sent, where the protocol can send them.
    pub interim: Option<RefCell<Vec<Response<()>>>>,
}

impl Connection {
    /// A connection of `peer` to `listener`. `interim` says whether 1xx responses can be passed on.
    pub fn new(peer: SocketAddr, listener: Arc<str>, interim: bool) -> Self {
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        Self {
            peer,
            listener,
            peer_value: field_value(peer.ip().to_string()),
            forwarded: RefCell::default(),
            interim: interim.then(RefCell::default),
        }
    }

    /// The element of `forwarded` that describes this hop (RFC 7239).
    pub(super) fn forwarded(&self, host: Option<&HeaderValue>) -> HeaderValue {
        let Some(host) = host else { return forwarded_element(self.peer.ip(), None) };
        let mut cached = self.forwarded.borrow_mut();
        match &*cached {
            Some((known, element)) if known == host => element.clone(),
            _ => {
                let element = forwarded_element(self.peer.ip(), host.to_str().ok());
                *cached = Some((host.clone(), element.clone()));
                element
            }
        }
    }
}

fn forwarded_element(client: IpAddr, host: Option<&str>) -> HeaderValue {
    let client = match client {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("\"[{address}]\""),
    };
    match host {
        Some(host) if !host.contains(['"', '\\']) => {
            field_value(format!("for={client};host=\"{host}\";proto=http"))
        }
        _ => field_value(format!("for={client};proto=http")),
    }
}
