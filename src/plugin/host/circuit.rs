//! Circuit breakers.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::Resource;

use super::Host;
use crate::capability::circuit::{self as live, Breakers, Permit};
use crate::plugin::bindings::circuit::{self, Settings, State};

/// Type of the guest's handle on breakers of one name.
pub struct Breaker(Arc<Breakers>);

/// A request that was let through, kept with its exchange: when that ends without a report, it counts for nothing.
struct Admission {
    breakers: Arc<Breakers>,
    key: String,
    permit: Permit,
}

/// Admissions that one exchange may hold.
const MOST_ADMISSIONS: usize = 64;

impl circuit::Host for Host {}

impl circuit::HostBreaker for Host {
    fn open(
        &mut self,
        name: String,
        settings: Settings,
    ) -> wasmtime::Result<Result<Resource<Breaker>, String>> {
        self.open(
            (name, live_settings(&settings)),
            |opened| &mut opened.breakers,
            |opened| &opened.breakers,
            |attachment, (name, settings)| attachment.plugin.granted.breakers(name, *settings),
            Breaker,
        )
    }

    fn admit(&mut self, breaker: Resource<Breaker>, key: String) -> wasmtime::Result<Result<(), u64>> {
        let breakers = Arc::clone(&self.table.get(&breaker)?.0);
        let held = &mut self.exchange_mut()?.held;
        Ok(match breakers.admit(&key) {
            Ok(permit) => {
                if held.len() < MOST_ADMISSIONS {
                    held.push(Box::new(Admission { breakers, key, permit }));
                }
                Ok(())
            }
            Err(refused) => Err(refused.retry_after.as_nanos() as u64),
        })
    }

    fn report(
        &mut self,
        breaker: Resource<Breaker>,
        key: String,
        failed: bool,
        duration: u64,
    ) -> wasmtime::Result<()> {
        if let Some(permit) = self.take_admission(&breaker, &key)? {
            permit.report(failed, Duration::from_nanos(duration));
        }
        Ok(())
    }

    fn withdraw(&mut self, breaker: Resource<Breaker>, key: String) -> wasmtime::Result<()> {
        self.take_admission(&breaker, &key).map(drop)
    }

    fn state(&mut self, breaker: Resource<Breaker>, key: String) -> wasmtime::Result<State> {
        let breaker = self.table.get(&breaker)?.0.get(&key);
        Ok(match breaker.map(|breaker| breaker.state()) {
            None | Some(live::State::Closed) => State::Closed,
            Some(live::State::Open) => State::Open,
            Some(live::State::HalfOpen) => State::HalfOpen,
        })
    }

    fn drop(&mut self, breaker: Resource<Breaker>) -> wasmtime::Result<()> {
        self.table.delete(breaker)?;
        Ok(())
    }
}

impl Host {
    fn take_admission(&mut self, breaker: &Resource<Breaker>, key: &str) -> wasmtime::Result<Option<Permit>> {
        let breakers = Arc::clone(&self.table.get(breaker)?.0);
        let held = &mut self.exchange_mut()?.held;
        let is_wanted = |held: &Box<dyn std::any::Any + Send>| {
            held.downcast_ref::<Admission>()
                .is_some_and(|held| Arc::ptr_eq(&held.breakers, &breakers) && held.key == key)
        };
        let Some(position) = held.iter().position(is_wanted) else { return Ok(None) };
        Ok(held.swap_remove(position).downcast::<Admission>().ok().map(|admission| admission.permit))
    }
}

fn live_settings(settings: &Settings) -> live::Settings {
    live::Settings {
        consecutive_failures: settings.consecutive_failures,
        failure_percent: settings.failure_percent,
        slow_percent: settings.slow_percent,
        slow_after: Duration::from_nanos(settings.slow_after),
        minimum_requests: settings.minimum_requests,
        window: Duration::from_nanos(settings.window),
        open_for: Duration::from_nanos(settings.open_for),
        longest_open: Duration::from_nanos(settings.longest_open),
        probes: settings.probes,
    }
}
