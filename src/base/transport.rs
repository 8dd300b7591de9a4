//! What carries a connection's bytes.

use std::io::{self, BufRead, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsStream;

/// A connection's bytes, of a client or of a backend.
#[derive(Debug)]
pub enum Transport {
    /// In the clear.
    Tcp(TcpStream),
    /// In the clear, within the machine.
    Unix(UnixStream),
    /// Encrypted. What was written to it may wait in it until it is flushed.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Transport {
    /// Ready when there is something to be read, or when it is worth trying. Holds no buffer meanwhile.
    pub fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(io) => io.poll_read_ready(cx),
            Self::Unix(io) => io.poll_read_ready(cx),
            Self::Tls(io) => poll_tls_ready(io, cx),
        }
    }

    /// Where it ends here, on the network.
    pub fn local(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(io) => io.local_addr().ok(),
            Self::Tls(io) => io.get_ref().0.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    /// Closes with a reset once this is dropped, where the kernel knows such a thing.
    pub fn reset_on_close(&self) {
        let tcp = match self {
            Self::Tcp(io) => io,
            Self::Tls(io) => io.get_ref().0,
            Self::Unix(_) => return,
        };
        // A transport that takes no options any more is closed already.
        let _ = tcp.set_zero_linger();
    }
}

/// What was decrypted already is not announced by the socket. An error shows in the read.
fn poll_tls_ready(io: &mut TlsStream<TcpStream>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    let (tcp, buffered) = match io {
        TlsStream::Client(io) => {
            let (tcp, session) = io.get_mut();
            (tcp, session.reader().fill_buf().map(drop))
        }
        TlsStream::Server(io) => {
            let (tcp, session) = io.get_mut();
            (tcp, session.reader().fill_buf().map(drop))
        }
    };
    match buffered {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => tcp.poll_read_ready(cx),
        _ => Poll::Ready(Ok(())),
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_read(cx, buffer),
            Self::Unix(io) => Pin::new(io).poll_read(cx, buffer),
            Self::Tls(io) => Pin::new(io).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_write(cx, bytes),
            Self::Unix(io) => Pin::new(io).poll_write(cx, bytes),
            Self::Tls(io) => Pin::new(io).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_write_vectored(cx, slices),
            Self::Unix(io) => Pin::new(io).poll_write_vectored(cx, slices),
            Self::Tls(io) => Pin::new(io).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_flush(cx),
            Self::Unix(io) => Pin::new(io).poll_flush(cx),
            Self::Tls(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_shutdown(cx),
            Self::Unix(io) => Pin::new(io).poll_shutdown(cx),
            Self::Tls(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}
