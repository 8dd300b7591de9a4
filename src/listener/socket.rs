//! Opening listening sockets, and closing them without a reset.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;

/// Connections that may wait to be accepted, per worker. The kernel has the last word (net.core.somaxconn).
const BACKLOG: i32 = 4096;

/// An address that cannot be listened on.
#[derive(Debug, Error)]
#[error("cannot listen on {address}: {source}")]
pub struct BindError {
    /// Which.
    pub address: SocketAddr,
    /// Why.
    #[source]
    pub source: io::Error,
}

impl BindError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self.source.kind() {
            io::ErrorKind::AddrInUse => Some("another process listens there; `ss -ltnp` tells which"),
            io::ErrorKind::PermissionDenied => Some(
                "ports below 1024 need CAP_NET_BIND_SERVICE or a higher net.ipv4.ip_unprivileged_port_start",
            ),
            io::ErrorKind::AddrNotAvailable => Some("no interface of this machine has that address"),
            _ => None,
        }
    }
}

/// Opens one socket per worker on `address`. A port of 0 becomes the same free port for all of them. `is_ours` says that
/// this gateway has the port already, on an address that overlaps.
pub fn bind(address: SocketAddr, workers: usize, is_ours: bool) -> Result<Vec<TcpListener>, BindError> {
    let failed = |source| BindError { address, source };
    if address.port() != 0 && !is_ours {
        // Sockets that share an address would also share it with another gateway's: a first one that does not share
        // finds out whether somebody is there already.
        drop(open(address, false).map_err(failed)?);
    }
    let first = open(address, true).map_err(failed)?;
    let bound = first.local_addr().map_err(failed)?;
    let others = (1..workers).map(|_| open(bound, true).map_err(failed));
    std::iter::once(Ok(first)).chain(others).collect()
}

fn open(address: SocketAddr, is_shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if is_shared {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        // `[::]` means what it says; `0.0.0.0` can be a listener of its own.
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Lets no new connection into the accept queue, while those in it can still be accepted: a socket that is closed with
/// a full queue resets everybody in it. Clients that knock meanwhile try again a second later, and find whoever
/// listens then.
#[cfg(target_os = "linux")]
pub fn stop_accepting(listener: &impl std::os::fd::AsFd) -> io::Result<()> {
    use socket2::{SockFilter, SockRef};
    const LOAD_BYTE: u16 = 0x30;
    const JUMP_IF_SET: u16 = 0x45;
    const RETURN: u16 = 0x06;
    const TCP_FLAGS: u32 = 13;
    const SYN: u32 = 0x02;
    // The filter sees a segment from its TCP header on. Dropped are segments with SYN; the last step of a handshake
    // that has begun passes.
    let program = [
        SockFilter::new(LOAD_BYTE, 0, 0, TCP_FLAGS),
        SockFilter::new(JUMP_IF_SET, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ];
    SockRef::from(listener).attach_filter(&program)
}

/// Elsewhere the accept queue is emptied as well as it can be.
#[cfg(not(target_os = "linux"))]
pub fn stop_accepting(_: &impl std::os::fd::AsFd) -> io::Result<()> {
    Ok(())
}
