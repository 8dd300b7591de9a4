//! What a gateway owes to gRPC: errors in its own form, and deadlines.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{HeaderName, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::Instant;

use super::Reason;
use crate::base::timer::Timer;
use crate::message::body::Streamed;
use crate::message::grpc::{Code, is_grpc, status_headers, timeout};
use crate::message::{Body, BodyError, Exchange, ResponseHead};

/// Bytes of a plugin's answer that are passed on as the message of a status.
const MESSAGE: usize = 1024;

/// When the client of a gRPC call wants an answer at the latest, from the moment at which it came.
pub(super) fn deadline(exchange: &Exchange, came: Instant) -> Option<Instant> {
    let timeout = timeout(&exchange.headers).filter(|_| is_grpc(&exchange.headers))?;
    came.checked_add(timeout)
}

/// Makes of an error a response of trailers only, which is how gRPC tells of one: the status is 200 whatever happened.
pub(super) fn tell(head: &mut ResponseHead, body: &mut Body, reason: Option<Reason>, message: Option<&str>) {
    if is_grpc(&head.headers) || head.status == StatusCode::SWITCHING_PROTOCOLS {
        return;
    }
    let plugins_message = match body {
        Body::Full(bytes) => String::from_utf8_lossy(&bytes[..bytes.len().min(MESSAGE)]).trim().to_owned(),
        _ => String::new(),
    };
    let status = status_headers(code(head.status, reason), message.unwrap_or(&plugins_message));
    for name in [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::CONTENT_ENCODING] {
        head.headers.remove(name);
    }
    head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    head.headers.extend(status);
    head.status = StatusCode::OK;
    *body = Body::Empty;
}

fn code(status: StatusCode, reason: Option<Reason>) -> Code {
    match reason {
        Some(Reason::Deadline) => Code::DeadlineExceeded,
        Some(Reason::BodyTooLarge) => Code::ResourceExhausted,
        Some(Reason::ClientClosed) => Code::Cancelled,
        _ => Code::from_http(status),
    }
}

/// A response that is cut off by its client's deadline.
#[derive(Debug)]
pub(super) struct Deadline {
    body: Body,
    timer: Timer,
    has_passed: bool,
}

impl Deadline {
    /// The body, until then.
    pub fn install(body: Body, deadline: Instant) -> Body {
        let mut timer = Timer::default();
        timer.set_at(deadline);
        Body::Streamed(Box::new(Self { body, timer, has_passed: false }))
    }
}

impl Streamed for Deadline {
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
