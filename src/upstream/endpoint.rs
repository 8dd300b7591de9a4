//! One live backend of one cluster, and its health as all workers see it.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock, atomic};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::HeaderValue;
use tokio::time::Instant;

use super::Dial;
use super::balance::Ewma;
use super::health::Record;
use crate::base::address::Address;
use crate::base::sync::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use crate::message::exchange::field_value;

/// Names an endpoint for the life of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EndpointId(u64);

/// A backend that requests can be sent to.
#[derive(Debug)]
pub struct Endpoint {
    /// Key of the connection pools.
    pub id: EndpointId,
    /// As the document has it, and with the IP address where a name was resolved to several: `a.internal:80 (10.0.0.1)`.
    pub host: String,
    /// Where it listens.
    pub address: Address,
    /// What that was resolved to. None where no lookup is needed, or it is done whenever a connection is made.
    pub resolved: Option<IpAddr>,
    /// How it is spoken to.
    pub dial: Arc<Dial>,
    /// What it would be asked for by somebody who knows no other name of it.
    pub own_host: HeaderValue,
    /// How long it takes to answer.
    pub(super) latency: Ewma,
    /// How it has answered, for those who judge it by that.
    pub(super) record: Record,
    /// Why it takes no turns: values of [`Out`], by bit.
    reasons: AtomicU8,
    /// Requests that it has.
    active: AtomicU32,
    failures: AtomicU32,
    ejections: AtomicU64,
    /// When it last began to take turns, in milliseconds since the process began.
    since: AtomicU64,
    cause: ArcSwapOption<String>,
}

/// Why an endpoint takes no turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Out {
    /// By its answers, until it may be tried again.
    Ejected = 1,
    /// By a health check, until the next good ones.
    Unfit = 2,
    /// By the operator's word.
    Drained = 4,
}

/// A request that an endpoint has, for as long as this lives.
#[derive(Debug)]
pub struct Busy(Arc<Endpoint>);

impl Endpoint {
    /// One that takes turns.
    pub fn new(host: String, address: Address, dial: Arc<Dial>) -> Self {
        static NEXT: atomic::AtomicU64 = atomic::AtomicU64::new(0);
        Self {
            id: EndpointId(NEXT.fetch_add(1, Relaxed)),
            host,
            own_host: own_host(&address, dial.tls.is_some()),
            address,
            resolved: None,
            dial,
            latency: Ewma::new(),
            record: Record::default(),
            reasons: AtomicU8::new(0),
            active: AtomicU32::new(0),
            failures: AtomicU32::new(0),
            ejections: AtomicU64::new(0),
            since: AtomicU64::new(milliseconds(uptime())),
            cause: ArcSwapOption::empty(),
        }
    }

    /// Whether it takes no turns for this reason.
    pub fn is_out(&self, reason: Out) -> bool {
        self.reasons.load(Relaxed) & reason as u8 != 0
    }

    /// Whether it answers as it should.
    pub fn is_healthy(&self) -> bool {
        self.reasons.load(Relaxed) & !(Out::Drained as u8) == 0
    }

    /// Whether it takes its turns.
    pub fn takes_turns(&self) -> bool {
        self.reasons.load(Relaxed) == 0
    }

    /// Takes it out. True for the one caller that did. Requests that it has are finished.
    pub fn take_out(&self, reason: Out) -> bool {
        let is_new = self.reasons.fetch_or(reason as u8, Relaxed) & reason as u8 == 0;
        if is_new && reason != Out::Drained {
            self.ejections.fetch_add(1, Relaxed);
        }
        is_new
    }

    /// Takes it for unfit until somebody has looked, which is no finding.
    pub(super) fn assume_unfit(&self) {
        self.reasons.fetch_or(Out::Unfit as u8, Relaxed);
    }

    /// Lets it back in, as far as this reason goes. True for the one caller that did.
    pub fn let_in(&self, reason: Out) -> bool {
        let before = self.reasons.fetch_and(!(reason as u8), Relaxed);
        if before == reason as u8 {
            self.since.store(milliseconds(uptime()), Relaxed);
        }
        before & reason as u8 != 0
    }

    /// How long it has been taking turns.
    pub(super) fn age(&self) -> Duration {
        uptime().saturating_sub(Duration::from_millis(self.since.load(Relaxed)))
    }

    /// How often it was found unfit since the process began.
    pub fn ejections(&self) -> u64 {
        self.ejections.load(Relaxed)
    }

    /// Why it was taken out the last time, in words for the operator.
    pub fn cause(&self) -> Option<Arc<String>> {
        self.cause.load_full()
    }

    /// Remembers why it was taken out.
    pub(super) fn blame(&self, cause: String) {
        self.cause.store(Some(Arc::new(cause)));
    }

    /// Requests that it has at this moment.
    pub fn active(&self) -> u32 {
        self.active.load(Relaxed)
    }

    /// It gets a request.
    pub fn begin(self: &Arc<Self>) -> Busy {
        self.active.fetch_add(1, Relaxed);
        Busy(Arc::clone(self))
    }

    /// An exchange with it succeeded.
    pub fn succeeded(&self) {
        // A load first: the line stays shared between workers while all is well.
        if self.failures.load(Relaxed) != 0 {
            self.failures.store(0, Relaxed);
        }
    }

    /// An exchange with it failed. True for the one caller whose failure takes it out.
    pub fn failed(&self, max_failure: u32) -> bool {
        let failures = self.failures.fetch_add(1, Relaxed).saturating_add(1);
        failures >= max_failure && self.take_out(Out::Ejected)
    }

    /// Lets it back in after a probe, on trial: the next failure takes it out again.
    pub fn readmit(&self, max_failure: u32) {
        self.failures.store(max_failure.saturating_sub(1), Relaxed);
        self.let_in(Out::Ejected);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Relaxed);
    }
}

/// Since somebody first asked.
pub(super) fn uptime() -> Duration {
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    BEGIN.get_or_init(Instant::now).elapsed()
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The port is left out where it is that of the scheme.
fn own_host(address: &Address, is_secure: bool) -> HeaderValue {
    let default = if is_secure { ":443" } else { ":80" };
    let text = match address {
        Address::Tcp(address) => address.to_string(),
        Address::Unix(_) | Address::Service(_) => "localhost".to_owned(),
    };
    field_value(text.strip_suffix(default).unwrap_or(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint() -> Endpoint {
        Endpoint::new("127.0.0.1:1".into(), "127.0.0.1:1".parse().unwrap(), Arc::default())
    }

    #[test]
    fn consecutive_failures_take_it_out_once() {
        let endpoint = endpoint();
        assert!(!endpoint.failed(3));
        assert!(!endpoint.failed(3));
        endpoint.succeeded();
        assert_eq!([(); 4].map(|()| endpoint.failed(3)), [false, false, true, false]);
        assert!(!endpoint.is_healthy() && endpoint.is_out(Out::Ejected));
    }

    #[test]
    fn one_failure_on_trial_takes_it_out_again() {
        let endpoint = endpoint();
        assert!(endpoint.failed(1));
        endpoint.readmit(3);
        assert!(endpoint.is_healthy());
        assert!(endpoint.failed(3));
        endpoint.readmit(3);
        endpoint.succeeded();
        assert!(!endpoint.failed(3));
        assert_eq!(endpoint.ejections(), 2);
    }
}
