//! Step 9 of a request: when its last byte has left, or nobody wants it any more.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

use super::compress::Asked;
use super::forward::Attempts;
use super::handle::Worker;
use super::{Failure, GrpcWeb, Reason, View};
use crate::base::immediate::immediate;
use crate::message::body::Meter;
use crate::message::grpc_web::Mode;
use crate::message::http1::FieldLines;
use crate::message::{Body, BodyError, Exchange};
use crate::observe::access_log::Entry;
use crate::plugin::{Chain, Origin, Outcome};

/// A response's body, and with it the end of its request: dropping it finishes the request.
pub struct ResponseBody {
    lines: Option<FieldLines>,
    body: Body,
    finish: Box<Finish>,
}

/// Everything that is told of a request when it is over. It is told when this is dropped, whichever way that comes
/// about: a client that leaves drops the future that was serving it.
pub(super) struct Finish {
    pub worker: Rc<Worker>,
    pub view: Rc<View>,
    pub started: Instant,
    pub exchange: Option<Box<Exchange>>,
    pub route: Option<usize>,
    /// Of the route.
    pub rule: Option<usize>,
    pub cluster: Option<usize>,
    pub chain: Chain,
    pub attempts: Attempts,
    pub backend_time: Option<Duration>,
    pub status: StatusCode,
    pub origin: Origin,
    pub reason: Option<Reason>,
    /// What a person reads of it.
    pub message: Option<String>,
    /// The form in which a gRPC-Web client is answered, and by which rule.
    pub grpc_web: Option<(Mode, Arc<GrpcWeb>)>,
    /// What the client said of codings, where its rule compresses.
    pub compress: Option<Asked>,
    pub received: Option<Rc<Meter>>,
    sent: u64,
    is_complete: bool,
    backend_failed: bool,
}

impl Finish {
    /// A request that has only begun: if it goes no further, that is because the client left.
    pub fn new(worker: Rc<Worker>, view: Rc<View>) -> Box<Self> {
        Box::new(Self {
            worker,
            view,
            started: Instant::now(),
            exchange: None,
            route: None,
            rule: None,
            cluster: None,
            chain: Chain::default(),
            attempts: Attempts::default(),
            backend_time: None,
            status: Reason::ClientClosed.status(),
            origin: Origin::Gateway,
            reason: Some(Reason::ClientClosed),
            message: None,
            grpc_web: None,
            compress: None,
            received: None,
            sent: 0,
            is_complete: false,
            backend_failed: false,
        })
    }

    /// The gateway answers by what stands in the document.
    pub fn answer_itself(&mut self) {
        (self.origin, self.reason) = (Origin::Gateway, None);
    }

    /// The gateway answers by itself.
    pub fn blame(&mut self, failure: &Failure) {
        (self.origin, self.reason) = (Origin::Gateway, Some(failure.reason));
        self.message = Some(failure.message.clone());
    }

    fn tell_health(&self) {
        // Of a client's own deadline nobody knows whether it can be held.
        if self.reason == Some(Reason::RequestTimeout)
            && let (Some(member), Some(cluster)) = (self.attempts.late(), self.cluster)
        {
            let cause = "it did not answer before the request's time was over";
            self.worker.health.failed(&self.view.snapshot.clusters[cluster], member, cause);
        }
        let (Some(member), Origin::Backend) = (&self.attempts.backend, self.origin) else { return };
        if self.is_complete {
            self.worker.health.succeeded(member);
        } else if self.backend_failed
            && let Some(cluster) = self.cluster
        {
            let cause = "it broke off in the middle of a response";
            self.worker.health.failed(&self.view.snapshot.clusters[cluster], member, cause);
        }
    }

    /// The rest of a request that the client did not send is not the backend's fault, and neither is the end of a tunnel:
    /// a server resets a WebSocket whose client breaks the rules, and no client may take a backend from all others.
    fn is_backends_fault(&self, error: &BodyError) -> bool {
        self.status != StatusCode::SWITCHING_PROTOCOLS
            && !matches!(error, BodyError::Request(_) | BodyError::Late)
    }

    fn tell_metrics(&self, duration: Duration) {
        let metrics = &self.worker.metrics;
        let route = self.route.map_or(&metrics.unrouted, |route| &*self.view.routes[route]);
        route.answered(self.status.as_u16(), duration);
        metrics.answered.add(1);
        metrics.failed.add(u64::from(self.status.is_server_error()));
        if let Some(reason) = self.reason {
            metrics.answered_itself(reason.code());
        }
        if self.attempts.count > 1 {
            metrics.retries.add(u64::from(self.attempts.count) - 1);
        }
    }

    fn tell_access_log(&self, duration: Duration) {
        let Some(log) = &self.view.access_log else { return };
        let Some(exchange) = &self.exchange else { return };
        log.write(Entry {
            revision: self.view.snapshot.revision,
            exchange,
            plugins: self.chain.verdicts(&self.view.instances).collect(),
            backend: self.attempts.backend.as_ref().map(|member| member.endpoint.host.as_str()),
            attempts: self.attempts.count,
            status: self.status.as_u16(),
            received: self.received_bytes(),
            sent: self.sent,
            is_complete: self.is_complete,
            duration,
            backend_time: self.backend_time,
            reason: self.reason.map(Reason::code),
        });
    }

    fn tell_plugins(&mut self, duration: Duration) {
        if !self.chain.wants_finish(&self.view.instances) {
            return;
        }
        let Some(exchange) = self.exchange.take() else { return };
        let outcome = Outcome {
            status: self.status.as_u16(),
            origin: self.origin,
            reason: self.reason.map(|reason| reason.code().to_owned()),
            backend: self.attempts.backend.as_ref().map(|member| member.endpoint.host.clone()),
            complete: self.is_complete,
            request_bytes: self.received_bytes(),
            response_bytes: self.sent,
            duration: duration.as_nanos() as u64,
        };
        let (mut chain, view) = (std::mem::take(&mut self.chain), Rc::clone(&self.view));
        let waits = chain.finish_waits(&view.instances);
        let finishing = async move {
            chain.on_finish(&view.instances, &mut Some(exchange), &outcome).await;
        };
        if waits {
            // Nobody waits for it: what it does has its own deadlines, and the worker ends it when it stops.
            tokio::task::spawn_local(finishing);
        } else {
            immediate(finishing).expect("only plugins that wait are waited for");
        }
    }

    fn received_bytes(&self) -> u64 {
        self.received.as_ref().map_or(0, |meter| meter.bytes())
    }
}

impl Drop for Finish {
    fn drop(&mut self) {
        let duration = self.started.elapsed();
        // Its client has left while a backend was asked.
        if let Some(exchange) = &mut self.exchange {
            exchange.restore();
        }
        self.tell_health();
        self.tell_metrics(duration);
        self.tell_access_log(duration);
        self.tell_plugins(duration);
    }
}

impl ResponseBody {
    pub(super) fn new(lines: Option<FieldLines>, body: Body, finish: Box<Finish>) -> Self {
        Self { lines, body, finish }
    }

    /// Fields that belong to the head and are not among its headers: a protocol that writes lines can write these.
    pub fn take_lines(&mut self) -> Option<FieldLines> {
        self.lines.take()
    }

    /// Whether the response is one that the gateway made of a request after which the connection has no reading.
    pub fn breaks_connection(&self) -> bool {
        self.finish.reason.is_some_and(Reason::breaks_connection)
    }

    /// The client left in the middle of its request, so there is nobody to answer.
    pub fn is_for_nobody(&self) -> bool {
        self.finish.reason == Some(Reason::ClientClosed)
    }

    /// See [`Body::drive`].
    pub fn drive(&mut self, cx: &mut Context<'_>) {
        self.body.drive(cx);
    }

    /// The transport failed after the body's last piece was taken: the client has not got all of it.
    pub fn abort(&mut self) {
        self.finish.is_complete = false;
    }

    /// There is no body to be sent, so the response was complete with its head.
    pub fn complete(&mut self) {
        self.finish.is_complete = true;
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                self.finish.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
                self.finish.is_complete = self.body.is_end_stream();
            }
            Some(Err(error)) => self.finish.backend_failed = self.finish.is_backends_fault(error),
            None => self.finish.is_complete = true,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
