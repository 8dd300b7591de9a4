//! Steps 5 and 6 of a request: pick an endpoint, send, and try the next one where that is safe.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;

use http::{Method, StatusCode, header};
use tokio::time::Instant;

use super::tunnel::Tunnel;
use super::{Connection, Failure, Interim, Reason, Settings};
use crate::message::http1::{Answer, Bounds, HeadError, RoundtripError};
use crate::message::upgrade::websocket_accept;
use crate::message::{Body, Exchange, ResponseHead, Roundtrip, Upgrade};
use crate::observe::metrics::WorkerMetrics;
use crate::upstream::connect::Ends;
use crate::upstream::{Busy, Cluster, ConnectError, Endpoint, Health, Line, Member, Permit, Pool, Pools};

/// What forwarding needs of its worker.
pub(super) struct Forward<'a> {
    pub pools: &'a Pools,
    pub health: &'a Health,
    pub settings: &'a Settings,
    pub connection: &'a Connection,
    pub interim: &'a Interim,
    pub metrics: &'a Arc<WorkerMetrics>,
}

/// What came of it, beside the response.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// The backend that was asked last.
    pub backend: Option<Member>,
    /// How many were asked.
    pub count: u32,
    /// The request is one of its cluster's.
    admitted: Option<Permit>,
    /// And one of that backend's.
    busy: Option<Busy>,
}

/// A failed attempt. The body comes back where it can be sent again.
struct Missed {
    failure: Failure,
    body: Option<Body>,
    /// The error, where the backend is to blame. The client is told less of it.
    blame: Option<String>,
}

impl Forward<'_> {
    /// Asks the cluster's endpoints, each at most once, until one answers.
    pub async fn send(
        &self,
        cluster: &Arc<Cluster>,
        exchange: &Exchange,
        mut body: Body,
        attempts: &mut Attempts,
    ) -> Result<(ResponseHead, Body), Failure> {
        attempts.admitted = cluster.load().request(&cluster.spec().limits);
        if attempts.admitted.is_none() {
            let message = "the backends of this route have as many requests as they may";
            return Err(Failure::new(Reason::Overflow, message));
        }
        let mut tried = cluster.ids(&exchange.avoided);
        let mut last = None;
        loop {
            let Some(member) = cluster.pick(&cluster.choice(exchange, &tried)) else {
                let none = || Failure::new(Reason::NoHealthyBackend, "no backend of this route is healthy");
                return Err(last.unwrap_or_else(none));
            };
            attempts.count += 1;
            attempts.busy = Some(member.endpoint.begin());
            attempts.backend = Some(member.clone());
            let began = Instant::now();
            let missed = match self.attempt(&member, exchange, body).await {
                Ok(mut answer) => {
                    cluster.answered_in(&member, began.elapsed());
                    self.health.answered(cluster, &member, answer.0.status);
                    bind_client(cluster, &member, exchange, &mut answer.0);
                    return Ok(answer);
                }
                Err(missed) => missed,
            };
            if let Some(blame) = &missed.blame {
                self.health.failed(cluster, &member, blame);
            }
            let Some(untouched) = missed.body else { return Err(missed.failure) };
            tried.push(member.endpoint.id);
            last = Some(missed.failure);
            body = untouched;
        }
    }

    async fn attempt(
        &self,
        member: &Member,
        exchange: &Exchange,
        mut body: Body,
    ) -> Result<(ResponseHead, Body), Missed> {
        let endpoint = &member.endpoint;
        let (pool, timeouts) = (self.pools.of(endpoint, self.settings.pool_idle), &self.settings.timeouts);
        let oldest = Instant::now().checked_sub(timeouts.backend_keep_alive);
        // Another protocol takes its connection to itself, unless HTTP/2 is all that the backend speaks.
        let may_share = exchange.upgrade.is_none() || endpoint.dial.has_http2_only();
        if let Some(line) = pool.take(endpoint, may_share, oldest) {
            match self.exchange_on(line, &pool, endpoint, exchange, body).await {
                // The backend may close what is unused; that our request was on its way is no failure of its.
                Err(Missed { failure, body: untouched, .. }) if failure.reason == Reason::BackendClosed => {
                    match untouched {
                        Some(untouched) => body = untouched,
                        None => return Err(Missed { failure, body: None, blame: None }),
                    }
                }
                outcome => return outcome,
            }
        }
        let ends = Ends { source: exchange.client.address, destination: self.connection.local };
        let head_size = self.settings.head.bytes as u32;
        // Boxed: the task of every connection of a client would have room for it all the time.
        let opened = match may_share {
            true => Box::pin(pool.open(endpoint, Some(ends), head_size, timeouts.connect)).await,
            false => Box::pin(pool.open_single(endpoint, Some(ends), timeouts.connect)).await,
        };
        match opened {
            Ok(line) => self.exchange_on(line, &pool, endpoint, exchange, body).await,
            Err(error) => {
                let (failure, blame) = (Failure::from(&*error), Some(error.to_string()));
                Err(Missed { failure, body: Some(body), blame })
            }
        }
    }

    async fn exchange_on(
        &self,
        line: Line,
        pool: &Rc<Pool>,
        endpoint: &Endpoint,
        exchange: &Exchange,
        body: Body,
    ) -> Result<(ResponseHead, Body), Missed> {
        let timeouts = &self.settings.timeouts;
        let bounds = Bounds {
            head: self.settings.head,
            idle: timeouts.backend_idle,
            tunnel_idle: timeouts.tunnel_idle,
        };
        if exchange.upgrade.is_some() && !Box::pin(line.takes_upgrades(timeouts.connect)).await {
            let unfit = HeadError::Malformed("the backend takes no extended CONNECT");
            return Err(Missed::new(RoundtripError::Invalid(unfit), None));
        }
        let sent = line.send(exchange, body, endpoint, pool, bounds);
        let mut roundtrip = sent.map_err(|(error, body)| Missed::new(error, Some(body)))?;
        loop {
            match poll_fn(|cx| roundtrip.poll_answer(cx)).await {
                Ok(Answer::Interim(response)) => self.pass_on(response),
                Ok(Answer::Final(head)) if head.status == StatusCode::SWITCHING_PROTOCOLS => {
                    return self.switch(head, roundtrip, exchange).map_err(|error| Missed::new(error, None));
                }
                Ok(Answer::Final(head)) => return Ok((head, roundtrip.into_body())),
                Err(error) => {
                    let is_safe = match error {
                        RoundtripError::Refused => true,
                        RoundtripError::Unanswered(_) => is_idempotent(&exchange.method),
                        _ => false,
                    };
                    let body = if is_safe { roundtrip.into_untouched_body() } else { None };
                    return Err(Missed::new(error, body));
                }
            }
        }
    }

    /// Client and backend are about to speak another protocol.
    fn switch(
        &self,
        mut head: ResponseHead,
        roundtrip: Roundtrip,
        exchange: &Exchange,
    ) -> Result<(ResponseHead, Body), RoundtripError> {
        let is_websocket = exchange.upgrade.as_ref().is_some_and(Upgrade::is_websocket);
        if let Some(key) = exchange.headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| is_websocket) {
            head.complete_headers();
            let expected = websocket_accept(key);
            match head.headers.get(header::SEC_WEBSOCKET_ACCEPT) {
                Some(accept) if *accept == expected => {}
                None if matches!(roundtrip, Roundtrip::Http2(_)) => {
                    head.headers.insert(header::SEC_WEBSOCKET_ACCEPT, expected);
                }
                _ => return Err(RoundtripError::Invalid(HeadError::Malformed("bad sec-websocket-accept"))),
            }
        }
        let body = Tunnel::open(roundtrip.into_body(), is_websocket, &self.connection.drain, self.metrics);
        Ok((head, body))
    }

    /// 100 is between the client and the gateway, which has said it already; the others are for the client.
    fn pass_on(&self, response: http::Response<()>) {
        if response.status() != http::StatusCode::CONTINUE {
            self.interim.push(response);
        }
    }
}

impl Missed {
    fn new(error: RoundtripError, body: Option<Body>) -> Self {
        let blame = match error {
            RoundtripError::RequestBody(_) => None,
            _ => Some(error.to_string()),
        };
        Self { failure: error.into(), body, blame }
    }
}

/// Makes a client come back to a member, where it would not by itself.
fn bind_client(cluster: &Cluster, member: &Member, exchange: &Exchange, head: &mut ResponseHead) {
    let Some(affinity) = &cluster.spec().balancing.affinity else { return };
    let value = affinity.value(cluster.name(), &member.endpoint.host);
    if affinity.shown(&exchange.headers) != Some(value.as_str()) {
        let is_secure = exchange.client.tls.is_some();
        head.headers.append(header::SET_COOKIE, affinity.field(&value, is_secure));
    }
}

/// RFC 9110, section 9.2.2.
fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    )
}

impl From<&ConnectError> for Failure {
    fn from(error: &ConnectError) -> Self {
        let reason = match error {
            ConnectError::Io(_) => Reason::ConnectFailed,
            ConnectError::Tls(_) | ConnectError::Protocol => Reason::BackendTlsFailed,
            ConnectError::Timeout(_) => Reason::ConnectTimeout,
        };
        let message = match reason {
            Reason::BackendTlsFailed => "no TLS session with the backend came about",
            _ => "no connection to the backend could be made",
        };
        Self::new(reason, message)
    }
}

impl From<RoundtripError> for Failure {
    fn from(error: RoundtripError) -> Self {
        let reason = match error {
            RoundtripError::RequestBody(error) => return error.into(),
            RoundtripError::Unanswered(_)
            | RoundtripError::Refused
            | RoundtripError::Reset
            | RoundtripError::Truncated => Reason::BackendClosed,
            RoundtripError::Timeout => Reason::BackendTimeout,
            RoundtripError::Invalid(_) => Reason::BackendInvalid,
        };
        Self::new(reason, error.to_string())
    }
}
