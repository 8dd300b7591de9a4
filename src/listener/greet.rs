//! What comes before HTTP on a connection: who it is really from, by the PROXY protocol, and the TLS handshake.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpStream;
use tracing::debug;

use super::tls::{Refused, Secured, Tls};
use crate::base::transport::Transport;
use crate::message::proxy_protocol::{Header, Progress, decode};
use crate::observe::metrics::WorkerMetrics;
use crate::protocol::{Accepted, Session, refuse, serve};
use crate::proxy::{Failure, Reason};

/// Serves a connection whose client has something to say before HTTP. Everything of that has to come within `allowed`.
pub(super) async fn greet(
    mut io: Transport,
    accepted: impl FnOnce(Transport) -> Accepted,
    has_header: bool,
    tls: Option<Arc<Tls>>,
    session: Session,
    allowed: Duration,
) {
    let mut ends = None;
    if has_header {
        match tokio::time::timeout(allowed, read_header(&mut io)).await {
            Ok(Ok(header)) => ends = header.source.zip(header.destination),
            Ok(Err(error)) => return debug!(%error, "no PROXY protocol header"),
            Err(_) => return debug!("no PROXY protocol header within {allowed:?}"),
        }
    }
    let accepted = |transport| with_ends(accepted(transport), ends);
    let (io, tls) = match (io, tls) {
        (Transport::Tcp(io), Some(tls)) => (io, tls),
        (io, _) => return serve(accepted(io), session).await,
    };
    // Only the handshake needs the room that it needs.
    match Box::pin(shake_hands(&tls, io, allowed, session.proxy.metrics())).await {
        Shaken::Secured(Secured { transport, session: tls, protocols, .. }) => {
            let accepted = Accepted { tls: Some(tls), protocols, ..accepted(transport) };
            serve(accepted, session).await;
        }
        Shaken::Cleartext(io) => {
            let failure = Failure::new(Reason::Cleartext, "this port speaks TLS: use https");
            Box::pin(refuse(accepted(Transport::Tcp(io)), session, &failure)).await;
        }
        Shaken::Closed => {}
    }
}

fn with_ends(accepted: Accepted, ends: Option<(SocketAddr, SocketAddr)>) -> Accepted {
    match ends {
        Some((peer, local)) => Accepted { peer, local, ..accepted },
        None => accepted,
    }
}

/// Reads a header, and nothing behind it.
async fn read_header(io: &mut (impl AsyncRead + Unpin)) -> io::Result<Header> {
    let mut read = Vec::new();
    loop {
        match decode(&read).map_err(io::Error::other)? {
            Progress::Done(header) => return Ok(header),
            Progress::Needs(more) => {
                let known = read.len();
                read.resize(known + more, 0);
                io.read_exact(&mut read[known..]).await?;
            }
            Progress::NeedsLine(_) => read.push(io.read_u8().await?),
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
            return Shaken::Secured(secured);
        }
        Ok(Err(Refused::Cleartext(io))) => {
            metrics.failed.add(1);
            return Shaken::Cleartext(io);
        }
        Ok(Err(Refused::Failed(error))) => debug!(%error, "TLS handshake failed"),
        Err(_) => debug!("TLS handshake took longer than {allowed:?}"),
    }
    metrics.failed.add(1);
    Shaken::Closed
}
