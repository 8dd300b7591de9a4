//! The admin API over HTTP/1.1.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::{debug, warn};

use super::capabilities::BreakerAction;
use super::status::Sources;
use crate::reload::Requests;

/// Connections served at one time at each door; more of them wait.
const CONNECTIONS: usize = 64;
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers the operator.
#[derive(Clone)]
pub struct Admin {
    sources: Arc<Sources>,
    reloads: Requests,
    is_ready: Arc<AtomicBool>,
}

/// Who may ask for what.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    /// Whoever may open the socket may change the gateway.
    Full,
    /// Whoever reaches the address may look.
    Observe,
}

/// One way in. Each has places of its own, so that a crowd at one does not keep the operator from the other.
struct Door {
    access: Access,
    places: Arc<Semaphore>,
    connections: JoinSet<()>,
}

impl Door {
    fn new(access: Access) -> Self {
        Self { access, places: Arc::new(Semaphore::new(CONNECTIONS)), connections: JoinSet::new() }
    }
}

impl Admin {
    /// An admin API over these sources.
    pub fn new(sources: Sources, reloads: Requests, is_ready: Arc<AtomicBool>) -> Self {
        Self { sources: Arc::new(sources), reloads, is_ready }
    }

    /// Serves the unix socket for ever. Dropping it ends the requests under way.
    pub async fn serve_socket(self, socket: UnixListener) {
        let mut door = Door::new(Access::Full);
        loop {
            let accepted = socket.accept().await.map(|(io, _)| io);
            self.clone().admit(accepted, &mut door).await;
        }
    }

    /// Serves an address for ever. Dropping it ends the requests under way.
    pub async fn serve_address(self, listener: TcpListener) {
        let mut door = Door::new(Access::Observe);
        loop {
            let accepted = listener.accept().await.map(|(io, _): (_, SocketAddr)| io);
            self.clone().admit(accepted, &mut door).await;
        }
    }

    async fn admit(
        self,
        accepted: io::Result<impl AsyncRead + AsyncWrite + Unpin + Send + 'static>,
        door: &mut Door,
    ) {
        let access = door.access;
        while door.connections.try_join_next().is_some() {}
        let io = match accepted {
            Ok(io) => io,
            Err(error) => {
                warn!(%error, "admin connection cannot be accepted");
                return tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let Ok(place) = Arc::clone(&door.places).acquire_owned().await else { return };
        door.connections.spawn(async move {
            let service = service_fn(|request| self.answer(request, access));
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

    async fn answer(
        &self,
        request: Request<Incoming>,
        access: Access,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let answer = match (request.method(), request.uri().path()) {
            (&Method::GET, "/metrics") => {
                text(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", self.sources.metrics())
            }
            (&Method::GET, "/healthz") => text(StatusCode::OK, "text/plain", "ok\n".to_owned()),
            (&Method::GET, "/readyz") if self.is_ready.load(Relaxed) => {
                text(StatusCode::OK, "text/plain", "ready\n".to_owned())
            }
            (&Method::GET, "/readyz") => {
                text(StatusCode::SERVICE_UNAVAILABLE, "text/plain", "not ready\n".to_owned())
            }
            (&Method::GET, "/status") => json(StatusCode::OK, &self.sources.status()),
            (_, "/reload" | "/breaker" | "/plugin/reset") if access == Access::Observe => text(
                StatusCode::FORBIDDEN,
                "text/plain",
                "changes are made over the admin socket\n".to_owned(),
            ),
            (&Method::POST, "/reload") => self.reload().await,
            (&Method::POST, "/breaker") => self.force_breakers(request.uri().query()),
            (&Method::POST, "/plugin/reset") => self.reset_plugin(request.uri().query()),
            (
                _,
                "/metrics" | "/healthz" | "/readyz" | "/status" | "/reload" | "/breaker" | "/plugin/reset",
            ) => text(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "method not allowed\n".to_owned()),
            _ => text(StatusCode::NOT_FOUND, "text/plain", "not found\n".to_owned()),
        };
        Ok(answer)
    }

    /// `?name=NAME&action=open|close|reset`
    fn force_breakers(&self, query: Option<&str>) -> Response<Full<Bytes>> {
        let action = match parameter(query, "action").as_deref() {
            Some("open") => BreakerAction::Open,
            Some("close") => BreakerAction::Close,
            Some("reset") => BreakerAction::Reset,
            _ => return changed("`action` must be `open`, `close` or `reset`", None),
        };
        let Some(name) = parameter(query, "name") else { return changed("`name` is missing", None) };
        let count = self.sources.force_breakers(&name, action);
        changed(
            "no plugin has opened a breaker of this name, and none with this key has seen a request",
            Some(count),
        )
    }

    /// `?name=NAME`
    fn reset_plugin(&self, query: Option<&str>) -> Response<Full<Bytes>> {
        let Some(name) = parameter(query, "name") else { return changed("`name` is missing", None) };
        changed("no plugin of this name is attached", Some(self.sources.reset_plugin(&name)))
    }

    async fn reload(&self) -> Response<Full<Bytes>> {
        use crate::reload::Outcome;
        match self.reloads.reload().await {
            Some(outcome @ (Outcome::Applied { .. } | Outcome::Unchanged { .. })) => {
                json(StatusCode::OK, &outcome)
            }
            Some(outcome) => json(StatusCode::UNPROCESSABLE_ENTITY, &outcome),
            None => {
                text(StatusCode::SERVICE_UNAVAILABLE, "text/plain", "the gateway is stopping\n".to_owned())
            }
        }
    }
}

fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    let mut query = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    query.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// The answer to a change of so many things; none is a request that says too little.
fn changed(words: &str, count: Option<usize>) -> Response<Full<Bytes>> {
    let message = serde_json::json!({ "message": words });
    match count {
        None => json(StatusCode::BAD_REQUEST, &message),
        Some(0) => json(StatusCode::NOT_FOUND, &message),
        Some(count) => json(StatusCode::OK, &serde_json::json!({ "changed": count })),
    }
}

fn text(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn json(status: StatusCode, value: &impl serde::Serialize) -> Response<Full<Bytes>> {
    let body = serde_json::to_string(value).unwrap_or_else(|error| format!("{{\"message\":\"{error}\"}}"));
    text(status, "application/json", body + "\n")
}
