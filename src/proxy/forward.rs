//! Steps 5 and 6 of a request: pick an endpoint, send, and try the next one where that is safe.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;

use http::Method;
use tokio::time::Instant;

use super::{Connection, Failure, Reason, Settings};
use crate::base::transport::Transport;
use crate::message::http1::{Answer, IdleConnections, Roundtrip, RoundtripError, SentRequest, Stream};
use crate::message::{Body, Exchange, ResponseHead};
use crate::upstream::{Cluster, ConnectError, Health, Member, Pick, Pools, connect};

/// What forwarding needs of its worker.
pub(super) struct Forward<'a> {
    pub pools: &'a Pools,
    pub health: &'a Health,
    pub settings: &'a Settings,
    pub connection: &'a Connection,
}

/// What came of it, beside the response.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// The backend that was asked last.
    pub backend: Option<Member>,
    /// How many were asked.
    pub count: u32,
}

/// A failed attempt. The body comes back where it can be sent again.
struct Missed {
    failure: Failure,
    body: Option<Body>,
    /// Whether the backend is to blame.
    counts: bool,
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
        let mut tried = cluster.ids(&exchange.avoided);
        let mut last = None;
        loop {
            let Pick::Member(member) = cluster.pick(&tried) else {
                let none = || Failure::new(Reason::NoHealthyBackend, "no backend of this route is healthy");
                return Err(last.unwrap_or_else(none));
            };
            attempts.count += 1;
            attempts.backend = Some(member.clone());
            let missed = match self.attempt(&member, exchange, body).await {
                Ok(answer) => return Ok(answer),
                Err(missed) => missed,
            };
            if missed.counts {
                self.health.failed(cluster, &member);
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
        let home = self.pools.of(&member.endpoint, self.settings.pool_idle);
        let oldest = Instant::now().checked_sub(self.settings.timeouts.backend_keep_alive);
        if let Some(stream) = oldest.and_then(|oldest| home.take(oldest)) {
            match self.exchange_on(stream, &home, exchange, body).await {
                // The backend may close what is unused; that our request was on its way is no failure of its.
                Err(Missed { failure, body: untouched, .. }) if failure.reason == Reason::BackendClosed => {
                    match untouched {
                        Some(untouched) => body = untouched,
                        None => return Err(Missed { failure, body: None, counts: false }),
                    }
                }
                outcome => return outcome,
            }
        }
        let address = &member.endpoint.address;
        match connect(address, self.settings.timeouts.connect).await {
            Ok(io) => {
                self.exchange_on(Box::new(Stream::new(Transport::Tcp(io))), &home, exchange, body).await
            }
            Err(error) => {
                let reason = match error {
                    ConnectError::Io(_) => Reason::ConnectFailed,
                    ConnectError::Timeout(_) => Reason::ConnectTimeout,
                };
                let message = "no connection to the backend could be made";
                Err(Missed { failure: Failure::new(reason, message), body: Some(body), counts: true })
            }
        }
    }

    async fn exchange_on(
        &self,
        stream: Box<Stream>,
        home: &Rc<IdleConnections>,
        exchange: &Exchange,
        body: Body,
    ) -> Result<(ResponseHead, Body), Missed> {
        let request = SentRequest {
            method: &exchange.method,
            uri: &exchange.uri,
            headers: &exchange.headers,
            lines: exchange.forwarded.as_deref().map_or(&[], |forwarded| &forwarded.lines),
        };
        let idle = self.settings.timeouts.backend_idle;
        let mut roundtrip =
            Box::new(Roundtrip::new(stream, &request, body, self.settings.head, idle, Rc::downgrade(home)));
        loop {
            match poll_fn(|cx| roundtrip.poll_answer(cx)).await {
                Ok(Answer::Interim(response)) => self.pass_on(response),
                Ok(Answer::Final(head)) => return Ok((head, Body::Backend(roundtrip))),
                Err(error) => {
                    let is_safe =
                        is_idempotent(&exchange.method) && matches!(error, RoundtripError::Unanswered(_));
                    let body = if is_safe { roundtrip.into_untouched_body() } else { None };
                    let counts = !matches!(error, RoundtripError::RequestBody(_));
                    return Err(Missed { failure: error.into(), body, counts });
                }
            }
        }
    }

    /// 100 is between the client and the gateway, which has said it already; the others are for the client.
    fn pass_on(&self, response: http::Response<()>) {
        if response.status() != http::StatusCode::CONTINUE
            && let Some(interim) = &self.connection.interim
        {
            interim.borrow_mut().push(response);
        }
    }
}

/// RFC 9110, section 9.2.2.
fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    )
}

impl From<RoundtripError> for Failure {
    fn from(error: RoundtripError) -> Self {
        let reason = match error {
            RoundtripError::RequestBody(error) => return error.into(),
            RoundtripError::Unanswered(_) | RoundtripError::Truncated => Reason::BackendClosed,
            RoundtripError::Timeout => Reason::BackendTimeout,
            RoundtripError::Invalid(_) => Reason::BackendInvalid,
        };
        Self::new(reason, error.to_string())
    }
}
