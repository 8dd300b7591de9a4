//! Limits on how often something may happen.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::Resource;

use super::Host;
use crate::capability::rate_limit::{self as live, TooCostly};
use crate::plugin::bindings::rate_limit::{self, Decision, LimitError, Quota};

/// Type of the guest's handle on a limit.
pub struct Limiter(Arc<live::Limiter>);

impl rate_limit::Host for Host {}

impl rate_limit::HostLimiter for Host {
    fn open(&mut self, name: String, quota: Quota) -> wasmtime::Result<Result<Resource<Limiter>, String>> {
        let quota = live::Quota {
            requests: quota.requests,
            window: Duration::from_nanos(quota.window),
            burst: quota.burst,
        };
        self.open(
            (name, quota),
            |opened| &mut opened.limiters,
            |opened| &opened.limiters,
            |attachment, (name, quota)| attachment.plugin.granted.limiter(name, *quota),
            Limiter,
        )
    }

    fn check(
        &mut self,
        limiter: Resource<Limiter>,
        key: String,
        cost: u32,
    ) -> wasmtime::Result<Result<Decision, LimitError>> {
        let Limiter(limiter) = self.table.get(&limiter)?;
        let cost = NonZeroU32::new(cost).unwrap_or(NonZeroU32::MIN);
        Ok(limiter.check(&key, cost).map(decision).map_err(|TooCostly { .. }| LimitError::TooCostly))
    }

    fn drop(&mut self, limiter: Resource<Limiter>) -> wasmtime::Result<()> {
        self.table.delete(limiter)?;
        Ok(())
    }
}

fn decision(decision: live::Decision) -> Decision {
    Decision {
        allowed: decision.allowed,
        remaining: decision.remaining,
        reset: decision.reset.as_nanos() as u64,
        retry_after: decision.retry_after.as_nanos() as u64,
    }
}
