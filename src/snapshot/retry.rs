//! Retries and timeouts of a rule, from checked to live.

use crate::config;
use crate::proxy::{RetryOn, RetryPolicy, RuleTimeouts};
use crate::upstream::connect::Patience;

pub(super) fn policy(retry: &config::Retry) -> RetryPolicy {
    RetryPolicy {
        on: retry.on.iter().map(|on| live(*on)).collect(),
        statuses: retry.statuses.clone(),
        headers: retry.headers.clone(),
        attempts: retry.attempts,
        per_try_timeout: retry.per_try_timeout,
        backoff: retry.backoff,
        body: retry.body,
        non_idempotent: retry.non_idempotent,
        hedge_after: retry.hedge_after,
    }
}

fn live(on: config::RetryOn) -> RetryOn {
    match on {
        config::RetryOn::ConnectFailure => RetryOn::ConnectFailure,
        config::RetryOn::RefusedStream => RetryOn::RefusedStream,
        config::RetryOn::Reset => RetryOn::Reset,
        config::RetryOn::ServerError => RetryOn::Status(500..=599),
        config::RetryOn::GatewayError => RetryOn::Status(502..=504),
        config::RetryOn::Retriable4xx => RetryOn::Status(409..=409),
        config::RetryOn::Cancelled => RetryOn::Grpc(1),
        config::RetryOn::DeadlineExceeded => RetryOn::Grpc(4),
        config::RetryOn::ResourceExhausted => RetryOn::Grpc(8),
        config::RetryOn::Internal => RetryOn::Grpc(13),
        config::RetryOn::Unavailable => RetryOn::Grpc(14),
    }
}

/// What a rule does not say is as the document says.
pub(super) fn timeouts(rule: &config::RuleTimeouts, all: &config::Timeouts) -> RuleTimeouts {
    RuleTimeouts {
        request: rule.request.or(all.request),
        patience: Patience { connect: rule.connect.unwrap_or(all.connect), tls: rule.tls.unwrap_or(all.tls) },
        queue: rule.queue.unwrap_or(all.queue),
        backend_idle: rule.backend_idle.unwrap_or(all.backend_idle),
        tunnel: rule.tunnel.or(all.tunnel),
    }
}
