//! One live backend of one cluster, and its health as all workers see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};

use arc_swap::ArcSwapOption;
use http::HeaderValue;

use super::Dial;
use crate::base::address::Address;
use crate::message::exchange::field_value;

/// Names an endpoint for the life of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EndpointId(u64);

/// A backend that requests can be sent to.
#[derive(Debug)]
pub struct Endpoint {
    /// Key of the connection pools.
    pub id: EndpointId,
    /// As the document has it.
    pub host: String,
    /// Where it listens.
    pub address: Address,
    /// How it is spoken to.
    pub dial: Arc<Dial>,
    /// What it would be asked for by somebody who knows no other name of it.
    pub own_host: HeaderValue,
    state: AtomicU8,
    /// Whether the operator has taken it out.
    is_drained: AtomicBool,
    failures: AtomicU32,
    ejections: AtomicU64,
    cause: ArcSwapOption<String>,
}

/// Whether an endpoint is fit to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum EndpointState {
    /// It is asked in its turn.
    Healthy = 0,
    /// It failed too often in a row and waits for its probe.
    Ejected = 1,
}

impl Endpoint {
    /// A healthy endpoint.
    pub fn new(host: String, address: Address, dial: Arc<Dial>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            id: EndpointId(NEXT.fetch_add(1, Relaxed)),
            host,
            own_host: own_host(&address, dial.tls.is_some()),
            address,
            dial,
            state: AtomicU8::new(EndpointState::Healthy as u8),
            is_drained: AtomicBool::new(false),
            failures: AtomicU32::new(0),
            ejections: AtomicU64::new(0),
            cause: ArcSwapOption::empty(),
        }
    }

    /// Its state at this moment.
    pub fn state(&self) -> EndpointState {
        match self.state.load(Relaxed) {
            0 => EndpointState::Healthy,
            _ => EndpointState::Ejected,
        }
    }

    /// Whether it answers as it should.
    pub fn is_healthy(&self) -> bool {
        self.state() == EndpointState::Healthy
    }

    /// Whether the operator has taken it out.
    pub fn is_drained(&self) -> bool {
        self.is_drained.load(Relaxed)
    }

    /// Takes it out, or lets it back in, by the operator's word. Requests that it has are finished.
    pub fn drain(&self, is_drained: bool) {
        self.is_drained.store(is_drained, Relaxed);
    }

    /// Whether it takes its turns.
    pub fn takes_turns(&self) -> bool {
        self.is_healthy() && !self.is_drained()
    }

    /// How often it was taken out since the process began.
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
        if failures < max_failure {
            return false;
        }
        let ejected = self.state.swap(EndpointState::Ejected as u8, Relaxed) == EndpointState::Healthy as u8;
        if ejected {
            self.ejections.fetch_add(1, Relaxed);
        }
        ejected
    }

    /// Lets it back in after a probe, on trial: the next failure takes it out again.
    pub fn readmit(&self, max_failure: u32) {
        self.failures.store(max_failure.saturating_sub(1), Relaxed);
        self.state.store(EndpointState::Healthy as u8, Relaxed);
    }
}

/// The port is left out where it is that of the scheme.
fn own_host(address: &Address, is_secure: bool) -> HeaderValue {
    let default = if is_secure { ":443" } else { ":80" };
    let text = match address {
        Address::Tcp(address) => address.to_string(),
        Address::Unix(_) => "localhost".to_owned(),
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
        assert_eq!(endpoint.state(), EndpointState::Ejected);
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
