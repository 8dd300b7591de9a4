//! What a guest can ask of the gateway.
//!
//! A store serves one exchange at a time, which lies in the host's hands while a hook runs; the handles that a guest
//! holds stand for "the exchange of this call" and carry nothing themselves.

mod capabilities;
mod facts;
mod heads;

use std::sync::Arc;

use http::header::{self, HeaderName};
use wasmtime::format_err;

use super::attachment::Attachment;
use super::limits::Limiter;
use crate::message::Exchange;

/// Type of the guest's handle on a request's head.
pub struct RequestHandle;

/// Type of the guest's handle on a response's head.
pub struct ResponseHandle;

/// The host's side of one instance.
pub struct Host {
    pub(super) limiter: Limiter,
    attachment: Arc<Attachment>,
    exchange: Option<Box<Exchange>>,
}

impl Host {
    pub(super) fn new(attachment: &Arc<Attachment>) -> Self {
        Self {
            limiter: Limiter::new(&attachment.spec.limits),
            attachment: Arc::clone(attachment),
            exchange: None,
        }
    }

    pub(super) fn begin(&mut self, exchange: Box<Exchange>) {
        self.limiter.denied = false;
        self.exchange = Some(exchange);
    }

    pub(super) fn end(&mut self) -> Box<Exchange> {
        self.exchange.take().expect("a call ends once, after it began")
    }

    pub(super) fn reply_size(&self) -> usize {
        self.attachment.spec.limits.reply_size
    }

    fn exchange(&self) -> wasmtime::Result<&Exchange> {
        self.exchange
            .as_deref()
            .ok_or_else(|| format_err!("there is no request while a plugin is configured"))
    }

    fn exchange_mut(&mut self) -> wasmtime::Result<&mut Exchange> {
        self.exchange
            .as_deref_mut()
            .ok_or_else(|| format_err!("there is no request while a plugin is configured"))
    }
}

/// Fields that frame a message or belong to one connection: a plugin that could set them could smuggle requests.
pub(super) fn is_forbidden(name: &HeaderName) -> bool {
    match *name {
        header::HOST
        | header::CONTENT_LENGTH
        | header::TRANSFER_ENCODING
        | header::CONNECTION
        | header::TE
        | header::TRAILER
        | header::UPGRADE => true,
        _ => matches!(name.as_str(), "keep-alive" | "proxy-connection"),
    }
}
