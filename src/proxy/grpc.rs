//! What a gateway owes to gRPC: errors in its own form, and its clients' deadlines.

use http::StatusCode;
use http::header::{self, HeaderValue};
use tokio::time::Instant;

use super::Reason;
use crate::message::grpc::{Code, is_grpc, status_headers, timeout};
use crate::message::{Body, Exchange, ResponseHead};

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
        Some(Reason::Deadline | Reason::RequestTimeout) => Code::DeadlineExceeded,
        Some(Reason::BodyTooLarge) => Code::ResourceExhausted,
        Some(Reason::ClientClosed) => Code::Cancelled,
        _ => Code::from_http(status),
    }
}
