//! When a response has to be there, all of it: by the word of its client (gRPC), or of the document.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderValue};
use http::{HeaderName, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::Instant;

use super::{Failure, Reason};
use crate::base::timer::Timer;
use crate::message::body::Streamed;
use crate::message::grpc::{Code, status_headers};
use crate::message::{Body, BodyError, ResponseHead};

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    at: Instant,
    is_clients: bool,
}

impl Deadline {
    /// The earlier of the client's own and what a rule allows from when a request came.
    pub fn of(clients: Option<Instant>, allowed: Option<Duration>, came: Instant) -> Option<Self> {
        let own = allowed.and_then(|allowed| came.checked_add(allowed));
        let own = own.map(|at| Self { at, is_clients: false });
        let clients = clients.map(|at| Self { at, is_clients: true });
        [clients, own].into_iter().flatten().min_by_key(|deadline| deadline.at)
    }

    /// The answer of a backend, where it comes in time, with a body that is cut off in time.
    pub async fn hold(
        self,
        forwarding: impl Future<Output = Result<(ResponseHead, Body), Failure>>,
    ) -> Result<(ResponseHead, Body), Failure> {
        let Ok(answered) = tokio::time::timeout_at(self.at, forwarding).await else {
            return Err(match self.is_clients {
                true => Failure::new(Reason::Deadline, "the deadline of the call passed"),
                false => Failure::new(Reason::RequestTimeout, "the request took longer than it may"),
            });
        };
        answered.map(|(head, body)| {
            let is_tunnel = head.status == StatusCode::SWITCHING_PROTOCOLS;
            (head, if is_tunnel { body } else { self.install(body) })
        })
    }

    fn install(self, body: Body) -> Body {
        if body.is_end_stream() {
            return body;
        }
        let mut timer = Timer::default();
        timer.set_at(self.at);
        Body::Streamed(Box::new(Held { body, timer, is_clients: self.is_clients, has_passed: false }))
    }
}

/// A response that is cut off.
#[derive(Debug)]
struct Held {
    body: Body,
    timer: Timer,
    is_clients: bool,
    has_passed: bool,
}

impl Streamed for Held {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.has_passed {
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        self.timer.poll_expired(cx).map(|()| {
            self.has_passed = true;
            // Nobody waits for the rest.
            self.body = Body::Empty;
            if !self.is_clients {
                return Some(Err(BodyError::Late));
            }
            let status: [(HeaderName, HeaderValue); 2] =
                status_headers(Code::DeadlineExceeded, "the deadline passed in the middle of the response");
            Some(Ok(Frame::trailers(HeaderMap::from_iter(status))))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.has_passed || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    fn drive(&mut self, cx: &mut Context<'_>) {
        self.body.drive(cx);
    }
}
