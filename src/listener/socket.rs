//! Opening listening sockets, and closing them without a reset.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::{fs, io};

use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;

use super::Inherited;
use crate::base::address::ListenAddress;
use crate::base::transport::Transport;
use crate::protocol::http3::{Place, places};

/// Connections that may wait to be accepted, per worker. The kernel has the last word (net.core.somaxconn).
const BACKLOG: i32 = 4096;
/// Who connects by a socket of this machine.
const THIS_MACHINE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// Bytes of packets that may wait on a socket for QUIC, each way.
const UDP_BUFFER: usize = 2 << 20;

/// An address that cannot be listened on.
#[derive(Debug, Error)]
#[error("cannot listen on {address}: {source}")]
pub struct BindError {
    /// Which.
    pub address: ListenAddress,
    /// Why.
    #[source]
    pub source: io::Error,
}

impl BindError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self.source.kind() {
            io::ErrorKind::AddrInUse if self.address.tcp().is_none() => {
                Some("another process answers on that socket")
            }
            io::ErrorKind::AddrInUse => Some("another process listens there; `ss -ltnp` tells which"),
            io::ErrorKind::PermissionDenied => Some(
                "ports below 1024 need CAP_NET_BIND_SERVICE or a higher net.ipv4.ip_unprivileged_port_start",
            ),
            io::ErrorKind::AddrNotAvailable => Some("no interface of this machine has that address"),
            _ => None,
        }
    }
}

/// A listener's sockets in one worker.
#[derive(Debug)]
pub struct Bound {
    /// For connections.
    pub(super) listening: Listening,
    /// For QUIC, where it is spoken.
    pub(super) quic: Option<QuicSocket>,
}

/// A socket that accepts connections.
#[derive(Debug)]
pub(super) enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A socket for QUIC.
#[derive(Debug)]
pub(super) struct QuicSocket {
    pub udp: UdpSocket,
    pub place: Place,
}

/// The same on a worker's runtime.
pub(super) enum AsyncListening {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

impl Bound {
    /// Where it listens.
    pub fn address(&self) -> io::Result<ListenAddress> {
        match &self.listening {
            Listening::Tcp(socket) => socket.local_addr().map(ListenAddress::Tcp),
            Listening::Unix(socket) => {
                let address = socket.local_addr()?;
                Ok(ListenAddress::Unix(address.as_pathname().unwrap_or(Path::new("")).into()))
            }
        }
    }
}

impl Listening {
    pub fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(socket) => socket.try_clone().map(Self::Tcp),
            Self::Unix(socket) => socket.try_clone().map(Self::Unix),
        }
    }
}

impl AsyncListening {
    pub fn open(listening: Listening) -> io::Result<Self> {
        match listening {
            Listening::Tcp(socket) => {
                socket.set_nonblocking(true)?;
                tokio::net::TcpListener::from_std(socket).map(Self::Tcp)
            }
            Listening::Unix(socket) => {
                socket.set_nonblocking(true)?;
                tokio::net::UnixListener::from_std(socket).map(Self::Unix)
            }
        }
    }

    /// The next connection, and who it is from. Those who connect within the machine are this machine.
    pub async fn accept(&self) -> io::Result<(Transport, SocketAddr)> {
        match self {
            Self::Tcp(socket) => {
                let (io, peer) = socket.accept().await?;
                // A peer that is gone already shows in the first read.
                let _ = io.set_nodelay(true);
                Ok((Transport::Tcp(io), peer))
            }
            Self::Unix(socket) => Ok((Transport::Unix(socket.accept().await?.0), THIS_MACHINE)),
        }
    }
}

/// Opens sockets for each worker on `address`, for QUIC too where `has_quic`. A port of 0 becomes the same free port for
/// all of them. `is_ours` says that this gateway has the port already, on an address that overlaps.
pub fn bind(
    address: &ListenAddress,
    has_quic: bool,
    workers: usize,
    is_ours: bool,
    inherited: &Inherited,
) -> Result<Vec<Bound>, BindError> {
    let bound = match address {
        ListenAddress::Tcp(address) => {
            bind_network(*address, has_quic, workers, is_ours || inherited.takes_over)
        }
        ListenAddress::Unix(path) => {
            let socket = if inherited.takes_over { replace_path(path) } else { bind_path(path) };
            socket.and_then(|socket| shared(&Listening::Unix(socket), workers))
        }
        ListenAddress::Inherited(name) => inherited.open(name).and_then(|socket| shared(&socket, workers)),
    };
    bound.map_err(|source| BindError { address: address.clone(), source })
}

/// One socket, from which all workers take connections.
fn shared(socket: &Listening, workers: usize) -> io::Result<Vec<Bound>> {
    (0..workers).map(|_| Ok(Bound { listening: socket.try_clone()?, quic: None })).collect()
}

/// A socket that a dead process left is replaced.
fn bind_path(path: &Path) -> io::Result<UnixListener> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if is_socket && std::os::unix::net::UnixStream::connect(path).is_err() {
        // If it cannot be removed, the bind says why.
        let _ = fs::remove_file(path);
    }
    UnixListener::bind(path)
}

/// A socket in the place of another one, which stays open for whoever has it. Nobody finds the place empty.
pub fn replace_path(path: &Path) -> io::Result<UnixListener> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let beside = path.with_file_name(name);
    let socket = UnixListener::bind(&beside)?;
    fs::rename(&beside, path)?;
    Ok(socket)
}

/// A socket on the network for one thread alone. `is_ours` says that it is this gateway's already, or that of the one that
/// it replaces.
pub fn bind_alone(address: SocketAddr, is_ours: bool) -> io::Result<TcpListener> {
    bind_tcp(address, 1, is_ours).map(|mut sockets| sockets.remove(0))
}

fn bind_network(
    address: SocketAddr,
    has_quic: bool,
    workers: usize,
    is_ours: bool,
) -> io::Result<Vec<Bound>> {
    let listeners = bind_tcp(address, workers, is_ours)?;
    let bound = listeners[0].local_addr()?;
    let mut places = if has_quic { places(workers)? } else { Vec::new() }.into_iter();
    let sockets = listeners.into_iter().map(|tcp| {
        let quic = |place| Ok::<_, io::Error>(QuicSocket { udp: open_udp(bound)?, place });
        Ok(Bound { listening: Listening::Tcp(tcp), quic: places.next().map(quic).transpose()? })
    });
    sockets.collect()
}

fn bind_tcp(address: SocketAddr, workers: usize, is_ours: bool) -> io::Result<Vec<TcpListener>> {
    if address.port() != 0 && !is_ours {
        // Sockets that share an address would also share it with another gateway's: a first one that does not share
        // finds out whether somebody is there already.
        drop(open(address, false)?);
    }
    let first = open(address, true)?;
    let bound = first.local_addr()?;
    let others = (1..workers).map(|_| open(bound, true));
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

fn open_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    // A client that downloads has many packets under way. The kernel grants what it is configured to.
    let _ = (socket.set_recv_buffer_size(UDP_BUFFER), socket.set_send_buffer_size(UDP_BUFFER));
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
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
