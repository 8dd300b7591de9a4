//! What a guest can ask of the gateway.
//!
//! A store serves one exchange at a time, which lies in the host's hands while a hook runs; the handles that a guest
//! holds stand for "the exchange of this call" and carry nothing themselves.

mod capabilities;
mod circuit;
mod facts;
mod heads;
mod http;
mod jwt;
mod metrics;
mod rate_limit;
mod state;

use std::sync::Arc;

use ::http::header::{self, HeaderName};
use wasmtime::component::{Resource, ResourceTable};
use wasmtime::{UpdateDeadline, format_err};

use super::attachment::Attachment;
use super::limits::Limiter as Memory;
use super::opened::{Opened, find, find_or_open};
use crate::message::Exchange;

pub(super) use capabilities::clip;
pub use circuit::Breaker;
pub use jwt::{Claims, Verifier};
pub use metrics::{Counter, Gauge, Histogram};
pub use rate_limit::Limiter;

/// Type of the guest's handle on a request's head.
pub struct RequestHandle;

/// Type of the guest's handle on a response's head.
pub struct ResponseHandle;

/// Handles on the host's things that one instance may hold at a time.
const MOST_HANDLES: usize = 4096;

/// The host's side of one instance.
pub struct Host {
    pub(super) limiter: Memory,
    /// What is left of the call's time, for one that may wait.
    pub(super) ticks_left: u64,
    /// Why the guest is about to trap, in its own words.
    pub(super) last_words: Option<String>,
    attachment: Arc<Attachment>,
    exchange: Option<Box<Exchange>>,
    /// What the guest has handles on.
    table: ResourceTable,
    /// Present while the first instance of the attachment is configured.
    opening: Option<Opened>,
}

impl Host {
    pub(super) fn new(attachment: &Arc<Attachment>, opening: Option<Opened>) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(MOST_HANDLES);
        Self {
            limiter: Memory::new(&attachment.spec.limits),
            ticks_left: 0,
            last_words: None,
            attachment: Arc::clone(attachment),
            exchange: None,
            table,
            opening,
        }
    }

    pub(super) fn begin(&mut self, exchange: Option<Box<Exchange>>) {
        self.limiter.denied = false;
        self.last_words = None;
        self.exchange = exchange;
    }

    pub(super) fn end(&mut self) -> Option<Box<Exchange>> {
        self.exchange.take()
    }

    /// What becomes of a call that may wait, at each tick. One that configures has nobody who would wait for it.
    pub(super) fn spend_tick(&mut self) -> UpdateDeadline {
        self.ticks_left = self.ticks_left.saturating_sub(1);
        match self.ticks_left {
            0 => UpdateDeadline::Interrupt,
            _ if self.exchange.is_none() => UpdateDeadline::Continue(1),
            _ => UpdateDeadline::Yield(1),
        }
    }

    pub(super) fn take_opened(&mut self) -> Opened {
        self.opening.take().unwrap_or_default()
    }

    pub(super) fn reply_size(&self) -> usize {
        self.attachment.spec.limits.reply_size
    }

    /// Gives the guest a handle on what it opens by name: for the first instance something that is made or found, for the
    /// others the same.
    fn open<K: PartialEq, V, H: Send + 'static>(
        &mut self,
        key: K,
        list: impl Fn(&mut Opened) -> &mut Vec<(K, Arc<V>)>,
        listed: impl Fn(&Opened) -> &[(K, Arc<V>)],
        make: impl FnOnce(&Attachment, &K) -> Result<Arc<V>, String>,
        handle: impl FnOnce(Arc<V>) -> H,
    ) -> wasmtime::Result<Result<Resource<H>, String>> {
        let attachment = &self.attachment;
        let value = match (&mut self.opening, attachment.opened.get()) {
            _ if self.exchange.is_some() => {
                Err("things are opened in `configure`, not for a request".to_owned())
            }
            (Some(opening), _) => find_or_open(list(opening), key, |key| make(attachment, key)),
            (None, Some(opened)) => find(listed(opened), &key)
                .ok_or_else(|| "it is not what the first instance of this plugin has opened".to_owned()),
            (None, None) => Err("the plugin was not checked".to_owned()),
        };
        Ok(match value {
            Ok(value) => Ok(self.table.push(handle(value))?),
            Err(words) => Err(words),
        })
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
