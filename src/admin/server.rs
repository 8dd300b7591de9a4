//! The admin API's doors, over HTTP/1.1.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use axum::Router;
use axum::extract::Extension;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tracing::{debug, warn};

use super::api;
use super::status::Sources;
use super::users::user_name;
use crate::base::transport::Transport;
use crate::listener::tls::{Refused, Tls};
use crate::reload::Requests;

/// Connections served at one time at each door; more of them wait.
const CONNECTIONS: usize = 64;
/// What is answered to plain HTTP where TLS is spoken.
const CLEARTEXT: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain\r\n\r\n\
    this address speaks TLS: ask for https\n";
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers the operator.
#[derive(Clone)]
pub struct Admin {
    pub(super) sources: Arc<Sources>,
    pub(super) requests: Requests,
    is_ready: Arc<AtomicBool>,
    /// Told what the operator wants of the process.
    pub(super) wishes: mpsc::Sender<Wish>,
}

/// What the operator wants of the process.
#[derive(Debug)]
pub enum Wish {
    /// To end, when what is in flight is finished.
    End,
    /// To be replaced by another process, which runs this program or another one, and then to end. The answer is the
    /// other's process id, or why nothing has changed.
    Replace(Option<PathBuf>, oneshot::Sender<Result<u32, String>>),
}

/// Who may ask for what.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Whoever may open the socket, or knows the token, may change the gateway.
    Full,
    /// Whoever reaches the address may look.
    Observe,
}

/// Who asks.
#[derive(Clone)]
pub(super) struct Caller {
    pub access: Access,
    /// What revisions remember of it.
    pub name: String,
}

/// One way in. Each has places of its own, so that a crowd at one does not keep the operator from the other.
struct Door {
    api: Router,
    places: Arc<Semaphore>,
    connections: JoinSet<()>,
}

impl Door {
    fn new(admin: Admin) -> Self {
        let (api, connections) = (api::router(admin), JoinSet::new());
        Self { api, places: Arc::new(Semaphore::new(CONNECTIONS)), connections }
    }

    /// Serves a connection, once it is known whose it is.
    async fn admit<F>(&mut self, accepted: io::Result<F>)
    where
        F: Future<Output = Option<(Transport, Caller)>> + Send + 'static,
    {
        while self.connections.try_join_next().is_some() {}
        let greeting = match accepted {
            Ok(greeting) => greeting,
            Err(error) => {
                warn!(%error, "admin connection cannot be accepted");
                return tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { return };
        let api = self.api.clone();
        self.connections.spawn(async move {
            let greeted = tokio::time::timeout(HEAD_TIMEOUT, greeting).await;
            let Ok(Some((io, caller))) = greeted else { return drop(place) };
            let service = TowerToHyperService::new(api.layer(Extension(caller)));
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .serve_connection(TokioIo::new(io), service);
            if let Err(error) = served.await {
                debug!(%error, "admin connection ended");
            }
            drop(place);
        });
    }
}

impl Admin {
    /// An admin API over these sources.
    pub fn new(
        sources: Sources,
        requests: Requests,
        is_ready: Arc<AtomicBool>,
        wishes: mpsc::Sender<Wish>,
    ) -> Self {
        Self { sources: Arc::new(sources), requests, is_ready, wishes }
    }

    /// Serves the unix socket for ever. Dropping it ends the requests under way.
    pub async fn serve_socket(self, socket: UnixListener) {
        let mut door = Door::new(self);
        loop {
            let accepted = socket.accept().await.map(|(io, _)| {
                let caller = Caller { access: Access::Full, name: operator(&io) };
                std::future::ready(Some((Transport::Unix(io), caller)))
            });
            door.admit(accepted).await;
        }
    }

    /// Serves an address for ever, for looking but for who shows the token. Dropping it ends the requests under way.
    pub async fn serve_address(self, listener: TcpListener) {
        let ledger = Arc::clone(&self.sources.ledger);
        let mut door = Door::new(self);
        loop {
            let accepted = listener.accept().await;
            let tls = ledger.served().admin_tls.clone();
            door.admit(accepted.map(|(io, peer)| Box::pin(greet(io, peer, tls)))).await;
        }
    }

    /// Whether this is the token of the document that is served.
    pub(super) fn opens(&self, shown: &[u8]) -> bool {
        self.sources.ledger.served().token.is_some_and(|token| token.is(shown))
    }

    pub(super) fn is_ready(&self) -> bool {
        self.is_ready.load(Relaxed)
    }
}

/// Finds out who has connected, by TLS where that is spoken: whoever shows a certificate that is good is an operator.
async fn greet(io: TcpStream, peer: SocketAddr, tls: Option<Arc<Tls>>) -> Option<(Transport, Caller)> {
    let visitor = Caller { access: Access::Observe, name: peer.to_string() };
    let Some(tls) = tls else { return Some((Transport::Tcp(io), visitor)) };
    match tls.accept(io).await {
        Ok(secured) => {
            let caller = match &secured.session.client_certificate {
                Some(certificate) => Caller { access: Access::Full, name: certificate.subject.clone() },
                None => visitor,
            };
            Some((secured.transport, caller))
        }
        Err(Refused::Cleartext(mut io)) => {
            // Whoever does not read it has learned as much by the end of the connection. What was asked is read first: closing
            // with a request unread would make the system throw the answer away.
            let mut asked = [0; 4096];
            let _ = io.read(&mut asked).await;
            let _ = io.write_all(CLEARTEXT).await;
            None
        }
        Err(error) => {
            debug!(%error, "TLS handshake at the admin address failed");
            None
        }
    }
}

/// Who is at the other end of a socket of this machine, as the system has it.
fn operator(io: &UnixStream) -> String {
    io.peer_cred().map_or_else(|_| "unknown".to_owned(), |peer| user_name(peer.uid()))
}
