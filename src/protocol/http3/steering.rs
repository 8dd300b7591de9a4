//! Keeping a client on its worker when its address changes.
//!
//! The kernel shares packets out among the workers' sockets by address and port. A client that changes either, because
//! its network does (RFC 9000, section 9), may be given to another worker, which has never heard of its connection. So
//! the connection ids that a worker hands out say which one it is, and whoever gets a packet for another worker's
//! connection passes it on. Only packets of connections that are established are looked at: until then a client must not
//! change its address, and names connections as it likes.

use std::hash::{BuildHasher, RandomState};
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use aws_lc_rs::hmac;
use quinn::crypto::HmacKey;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, ConnectionId, ConnectionIdGenerator, UdpPoller};
use tokio::sync::mpsc;

/// Bytes of a connection id. The first one is for the worker.
const LENGTH: usize = 8;
/// Packets that may wait for a worker. More of them are lost, which QUIC is made for.
const WAITING: usize = 1024;
/// Set in the first byte of packets of connections that are not established yet (RFC 9000, section 17.2).
const LONG_HEADER: u8 = 0x80;

/// A packet on its way from one worker to another.
#[derive(Debug)]
struct Packet {
    bytes: Vec<u8>,
    meta: RecvMeta,
}

/// What the workers of one port have in common.
struct Port {
    /// Hides the worker's number in connection ids.
    cover: RandomState,
    /// What stateless resets are made by.
    reset: [u8; 32],
    mailboxes: Vec<mpsc::Sender<Packet>>,
}

/// One worker's place on a port.
pub struct Place {
    index: u8,
    port: Arc<Port>,
    mailbox: mpsc::Receiver<Packet>,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "place {} of {}", self.index, self.port.mailboxes.len())
    }
}

/// Places for so many workers, at most 256.
pub fn places(workers: usize) -> io::Result<Vec<Place>> {
    let (mailboxes, mails): (Vec<_>, Vec<_>) = (0..workers.min(256)).map(|_| mpsc::channel(WAITING)).unzip();
    let mut reset = [0; 32];
    getrandom::fill(&mut reset).map_err(|error| io::Error::other(error.to_string()))?;
    let port = Arc::new(Port { cover: RandomState::new(), reset, mailboxes });
    let place = |(index, mailbox)| Place { index: index as u8, port: Arc::clone(&port), mailbox };
    Ok(mails.into_iter().enumerate().map(place).collect())
}

impl Place {
    /// The same for all workers, so that each of them can tell a client that its connection is no more.
    pub(super) fn reset_key(&self) -> Arc<dyn HmacKey> {
        Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &self.port.reset))
    }

    /// Makes the ids that clients are to use.
    pub(super) fn connection_ids(
        &self,
    ) -> impl Fn() -> Box<dyn ConnectionIdGenerator> + Send + Sync + 'static {
        let (index, port) = (self.index, Arc::clone(&self.port));
        move || Box::new(ConnectionIds { index, port: Arc::clone(&port) })
    }
}

impl Port {
    /// What the number of the worker is hidden by.
    fn cover(&self, rest: &[u8]) -> u8 {
        self.cover.hash_one(rest) as u8
    }

    /// The worker whose connection a packet is of; none where it cannot be told.
    fn owner(&self, packet: &[u8]) -> Option<usize> {
        let (first, rest) = packet.split_first()?;
        let id = rest.get(..LENGTH).filter(|_| first & LONG_HEADER == 0)?;
        let index = usize::from(id[0] ^ self.cover(&id[1..]));
        (index < self.mailboxes.len()).then_some(index)
    }
}

struct ConnectionIds {
    index: u8,
    port: Arc<Port>,
}

impl ConnectionIdGenerator for ConnectionIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; LENGTH];
        // Without chance there are no connections: they would not be told apart.
        getrandom::fill(&mut id).expect("the system has random numbers");
        id[0] = self.index ^ self.port.cover(&id[1..]);
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        LENGTH
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// A worker's socket, and what others have got for it.
#[derive(Debug)]
pub(super) struct Steered {
    socket: Arc<dyn AsyncUdpSocket>,
    index: usize,
    port: Arc<Port>,
    /// Only the endpoint's own task takes it.
    mailbox: Mutex<mpsc::Receiver<Packet>>,
}

impl std::fmt::Debug for Port {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} workers", self.mailboxes.len())
    }
}

impl Steered {
    pub fn new(socket: Arc<dyn AsyncUdpSocket>, place: Place) -> Self {
        let Place { index, port, mailbox } = place;
        Self { socket, index: index.into(), port, mailbox: Mutex::new(mailbox) }
    }

    fn poll_mailbox(&self, cx: &mut Context<'_>) -> Poll<Option<Packet>> {
        self.mailbox.lock().unwrap_or_else(PoisonError::into_inner).poll_recv(cx)
    }

    /// Passes on what is another worker's. A batch that is not all ours goes through the mailboxes packet by packet.
    fn steer(&self, bytes: &[u8], meta: &mut RecvMeta) {
        let packets = || bytes[..meta.len].chunks(meta.stride.max(1));
        let owner = |packet: &[u8]| self.port.owner(packet).unwrap_or(self.index);
        if packets().all(|packet| owner(packet) == self.index) {
            return;
        }
        for packet in packets() {
            let meta = RecvMeta { len: packet.len(), stride: packet.len(), ..*meta };
            // A worker that cannot keep up loses packets, as it does at its own socket.
            let _ = self.port.mailboxes[owner(packet)].try_send(Packet { bytes: packet.to_vec(), meta });
        }
        meta.len = 0;
    }
}

impl AsyncUdpSocket for Steered {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.socket).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.socket.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Some(packet)) = self.poll_mailbox(cx) {
            let size = packet.bytes.len().min(buffers[0].len());
            buffers[0][..size].copy_from_slice(&packet.bytes[..size]);
            metas[0] = RecvMeta { len: size, stride: size, ..packet.meta };
            return Poll::Ready(Ok(1));
        }
        let count = ready!(self.socket.poll_recv(cx, buffers, metas))?;
        for (buffer, meta) in buffers.iter().zip(metas.iter_mut()).take(count) {
            self.steer(buffer, meta);
        }
        Poll::Ready(Ok(count))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_lead_back_to_their_worker() {
        let places = places(4).unwrap();
        for place in &places {
            let mut ids = place.connection_ids()();
            for _ in 0..100 {
                let packet = [&[0x40], &*ids.generate_cid(), &[1, 2, 3]].concat();
                assert_eq!(places[0].port.owner(&packet), Some(place.index.into()));
            }
        }
    }

    #[test]
    fn packets_of_connections_that_begin_are_nobodys() {
        let place = places(2).unwrap().remove(1);
        let id = place.connection_ids()().generate_cid();
        assert_eq!(place.port.owner(&[&[0xc0, 0, 0, 0, 1, 8], &*id].concat()), None);
        assert_eq!(place.port.owner(&[0x40, 1, 2]), None);
        assert_eq!(place.port.owner(&[]), None);
    }

    #[test]
    fn ids_do_not_show_their_worker() {
        let place = places(2).unwrap().remove(0);
        let mut ids = place.connection_ids()();
        let first: std::collections::BTreeSet<u8> = (0..1000).map(|_| ids.generate_cid()[0]).collect();
        assert!(first.len() > 200, "{} values", first.len());
    }
}
