//! One attempt at one backend: a connection, the request on it, and the head of its answer.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use http::{StatusCode, header};
use http_body::Body as _;
use tokio::time::{Instant, timeout};

use super::forward::{Answered, Forward};
use super::retry::{Miss, is_idempotent};
use super::tunnel::Tunnel;
use super::{Failure, Reason};
use crate::message::http1::{Answer, Bounds, HeadError, RoundtripError};
use crate::message::upgrade::websocket_accept;
use crate::message::{Body, Exchange, ResponseHead, Roundtrip, Upgrade};
use crate::upstream::connect::Ends;
use crate::upstream::{Cluster, ConnectError, Endpoint, Line, Member, Permit, Pool};

/// A failed attempt. The body comes back where it can be sent again although nobody kept it.
pub(super) struct Missed {
    pub failure: Failure,
    pub miss: Miss,
    pub body: Option<Body>,
    /// Whether it may be that the connection was at its end when the request came.
    was_late: bool,
    /// The error, where the backend is to blame. The client is told less of it.
    blame: Option<Box<str>>,
}

impl Forward<'_> {
    /// An attempt, which backends are judged by.
    pub(super) async fn timed(
        &self,
        cluster: &Cluster,
        member: &Member,
        exchange: &Exchange,
        body: Body,
        waits: &Cell<bool>,
    ) -> Result<Answered, Box<Missed>> {
        let began = Instant::now();
        let answered = match self.retry.and_then(|policy| policy.per_try_timeout) {
            None => self.attempt(cluster, member, exchange, body, waits).await,
            Some(allowed) => {
                let attempt = pin!(self.attempt(cluster, member, exchange, body, waits));
                timeout(allowed, attempt).await.unwrap_or_else(|_| Err(Missed::per_try()))
            }
        };
        waits.set(false);
        match &answered {
            Ok((head, _)) => {
                cluster.answered_in(member, began.elapsed());
                self.health.answered(cluster, member, head.status);
            }
            Err(missed) => {
                if let Some(blame) = &missed.blame {
                    self.health.failed(cluster, member, blame);
                }
            }
        }
        answered
    }

    async fn attempt(
        &self,
        cluster: &Cluster,
        member: &Member,
        exchange: &Exchange,
        mut body: Body,
        waits: &Cell<bool>,
    ) -> Result<Answered, Box<Missed>> {
        // Of a body the client may be late with its part.
        let is_whole = body.is_end_stream();
        let endpoint = &member.endpoint;
        let pool = self.pools.of(endpoint, self.settings.pool_idle);
        let oldest = Instant::now().checked_sub(self.settings.timeouts.backend_keep_alive);
        // Another protocol takes its connection to itself, unless HTTP/2 is all that the backend speaks.
        let may_share = exchange.upgrade.is_none() || endpoint.dial.has_http2_only();
        if let Some(line) = pool.take(endpoint, may_share, oldest) {
            waits.set(is_whole);
            match self.exchange_on(line, &pool, endpoint, exchange, body).await {
                // The backend may close what is unused; that our request was on its way is no failure of its.
                Err(mut missed) if missed.was_late => match missed.body.take() {
                    Some(untouched) => body = untouched,
                    None => {
                        missed.blame = None;
                        return Err(missed);
                    }
                },
                outcome => return outcome,
            }
        }
        waits.set(false);
        // Boxed: the task of every connection of a client would have room for it all the time.
        match Box::pin(self.line(cluster, endpoint, &pool, exchange, may_share)).await {
            Ok(line) => {
                waits.set(is_whole);
                self.exchange_on(line, &pool, endpoint, exchange, body).await
            }
            Err(NoLine::Connect(error)) => {
                let (failure, blame) = (Failure::from(&*error), Some(error.to_string().into()));
                let miss = Miss::Connect;
                Err(Box::new(Missed { failure, miss, body: Some(body), was_late: false, blame }))
            }
            Err(NoLine::Full(failure)) => {
                let miss = Miss::Final;
                Err(Box::new(Missed { failure, miss, body: None, was_late: false, blame: None }))
            }
        }
    }

    /// A connection, or a place on one, as soon as the cluster may have one more or one becomes free.
    async fn line(
        &self,
        cluster: &Cluster,
        endpoint: &Arc<Endpoint>,
        pool: &Rc<Pool>,
        exchange: &Exchange,
        may_share: bool,
    ) -> Result<Line, NoLine> {
        let ends = Ends { source: exchange.client.address, destination: self.connection.local };
        let (head_size, patience) = (self.settings.head.bytes as u32, self.timeouts.patience);
        let mut queue = None;
        loop {
            let is_shared = may_share && pool.is_shared(endpoint);
            let freed = cluster.load().freed();
            let seat = if is_shared && pool.is_opening() { None } else { pool.seat(cluster) };
            if is_shared && (seat.is_some() || pool.is_opening()) {
                if let Some(line) = pool.open_shared(endpoint, head_size, seat, patience).await? {
                    return Ok(line);
                }
                continue;
            }
            match seat {
                Some(seat) if may_share => {
                    let line = pool.open(endpoint, Some(ends), head_size, seat, patience).await?;
                    // It may turn out to take those too who wait.
                    cluster.load().free();
                    if let Some(line) = line {
                        return Ok(line);
                    }
                }
                Some(seat) => return Ok(pool.open_single(endpoint, Some(ends), seat, patience).await?),
                None => match &queue {
                    // Who gave one up before this was counted has told nobody, so it looks once more.
                    None => queue = Some(self.enqueue(cluster)?),
                    Some(queue) => {
                        if tokio::time::timeout_at(queue.until, freed).await.is_err() {
                            let message = "no connection to the backends of this route became free in time";
                            return Err(NoLine::Full(Failure::new(Reason::QueueTimeout, message)));
                        }
                    }
                },
            }
            let oldest = Instant::now().checked_sub(self.settings.timeouts.backend_keep_alive);
            if let Some(line) = pool.take(endpoint, may_share, oldest) {
                return Ok(line);
            }
        }
    }

    fn enqueue(&self, cluster: &Cluster) -> Result<Queue, NoLine> {
        let permit = cluster.load().pending(&cluster.spec().limits).ok_or_else(|| {
            let message = "as many requests wait for the backends of this route as may";
            NoLine::Full(Failure::new(Reason::Overflow, message))
        })?;
        Ok(Queue { until: Instant::now() + self.timeouts.queue, _permit: permit })
    }

    async fn exchange_on(
        &self,
        line: Line,
        pool: &Rc<Pool>,
        endpoint: &Endpoint,
        exchange: &Exchange,
        body: Body,
    ) -> Result<Answered, Box<Missed>> {
        let bounds = Bounds {
            head: self.settings.head,
            idle: self.timeouts.backend_idle,
            tunnel_idle: self.settings.timeouts.tunnel_idle,
        };
        if exchange.upgrade.is_some() && !Box::pin(line.takes_upgrades(self.timeouts.patience.connect)).await
        {
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
        let (bytes, lasts) = (roundtrip.into_body(), self.timeouts.tunnel);
        let body = Tunnel::open(bytes, is_websocket, lasts, &self.connection.drain, self.metrics);
        Ok((head, body))
    }

    /// 100 is between the client and the gateway, which has said it already; the others are for the client.
    fn pass_on(&self, response: http::Response<()>) {
        if response.status() != http::StatusCode::CONTINUE {
            self.interim.push(response);
        }
    }
}

/// Why there is no connection for a request.
enum NoLine {
    Connect(Rc<ConnectError>),
    Full(Failure),
}

impl From<Rc<ConnectError>> for NoLine {
    fn from(error: Rc<ConnectError>) -> Self {
        Self::Connect(error)
    }
}

/// A request's place among those that wait for a connection.
struct Queue {
    until: Instant,
    _permit: Permit,
}

impl Missed {
    fn new(error: RoundtripError, body: Option<Body>) -> Box<Self> {
        let blame = match error {
            RoundtripError::RequestBody(_) => None,
            _ => Some(error.to_string().into()),
        };
        let miss = match error {
            RoundtripError::Refused => Miss::Refused,
            RoundtripError::Unanswered(_) | RoundtripError::Reset | RoundtripError::Truncated => Miss::Reset,
            RoundtripError::Invalid(_) => Miss::Invalid,
            RoundtripError::Timeout => Miss::Silent,
            RoundtripError::RequestBody(_) => Miss::Final,
        };
        let was_late = matches!(error, RoundtripError::Unanswered(_) | RoundtripError::Refused);
        Box::new(Self { failure: error.into(), miss, body, was_late, blame })
    }

    fn per_try() -> Box<Self> {
        let message = "the backend did not answer within the time of one attempt";
        let failure = Failure::new(Reason::PerTryTimeout, message);
        let blame = Some(message.into());
        Box::new(Self { failure, miss: Miss::Reset, body: None, was_late: false, blame })
    }
}

impl From<&ConnectError> for Failure {
    fn from(error: &ConnectError) -> Self {
        let reason = match error {
            ConnectError::Io(_) => Reason::ConnectFailed,
            ConnectError::Tls(_) | ConnectError::Protocol => Reason::BackendTlsFailed,
            ConnectError::Timeout(_) => Reason::ConnectTimeout,
            ConnectError::TlsTimeout(_) => Reason::BackendTlsTimeout,
        };
        let message = match reason {
            Reason::BackendTlsFailed | Reason::BackendTlsTimeout => {
                "no TLS session with the backend came about"
            }
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
