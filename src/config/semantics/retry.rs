//! Retries and timeouts of a rule.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::written::{self, DurationText};
use super::{amounts, settings};
use crate::base::units::ByteSize;
use crate::config::checked::{Retry, RetryOn, RuleTimeouts};
use crate::config::path::Path;
use crate::config::report::Report;

const BASE: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(60);
const MAX: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(300);
const BODY: RangeInclusive<ByteSize> = ByteSize::bytes(0)..=ByteSize::bytes(16 << 20);
const KEPT_BODY: usize = 64 << 10;

/// `at` is the object itself.
pub(super) fn retry(at: &Path<'_>, written: &written::Retry, report: &mut Report) -> Retry {
    let mut timeout = |field, written: &Option<DurationText>| {
        amounts::duration(&at.field(field), written.as_ref(), settings::TIMEOUT, report)
    };
    let (per_try_timeout, hedge_after) =
        (timeout("per_try_timeout", &written.per_try_timeout), timeout("hedge_after", &written.hedge_after));
    let body = amounts::size(&at.field("body"), written.body.as_ref(), BODY, report);
    let on: Vec<_> = written.on.iter().flatten().flatten().copied().collect();
    Retry {
        on: match &written.on {
            Some(_) => on,
            None => vec![RetryOn::ConnectFailure, RetryOn::RefusedStream, RetryOn::Reset],
        },
        statuses: written.statuses.iter().flatten().flatten().map(|status| status.0).collect(),
        headers: headers(&at.field("headers"), written, report),
        attempts: written.attempts.unwrap_or(2),
        per_try_timeout,
        backoff: backoff(&at.field("backoff"), written, report),
        body: body.map_or(KEPT_BODY, ByteSize::as_usize),
        non_idempotent: written.non_idempotent.unwrap_or_default(),
        hedge_after,
    }
}

fn headers(at: &Path<'_>, written: &written::Retry, report: &mut Report) -> Vec<http::HeaderName> {
    let mut headers = Vec::new();
    for (index, text) in written.headers.iter().flatten().enumerate() {
        let Some(text) = text else { continue };
        match text.parse() {
            Ok(name) => headers.push(name),
            Err(_) => report.unexpected(at.item(index), "expected the name of a header", text),
        }
    }
    headers
}

fn backoff(at: &Path<'_>, written: &written::Retry, report: &mut Report) -> (Duration, Duration) {
    let backoff = written.backoff.as_ref();
    let mut read = |field, written: Option<&DurationText>, bounds, default| {
        amounts::duration(&at.field(field), written, bounds, report).unwrap_or(default)
    };
    let base = backoff.and_then(|backoff| backoff.base.as_ref());
    let base = read("base", base, BASE, Duration::from_millis(25));
    let max = backoff.and_then(|backoff| backoff.max.as_ref());
    let max = read("max", max, MAX, Duration::from_millis(250).max(base));
    if max < base {
        report.error(at.field("max"), "the longest wait is shorter than `base`");
    }
    (base, max)
}

/// `at` is the object itself.
pub(super) fn timeouts(
    at: &Path<'_>,
    written: Option<&written::RuleTimeouts>,
    report: &mut Report,
) -> RuleTimeouts {
    let Some(written) = written else { return RuleTimeouts::default() };
    let mut read = |field, written: &Option<DurationText>| {
        amounts::duration(&at.field(field), written.as_ref(), settings::TIMEOUT, report)
    };
    RuleTimeouts {
        request: read("request", &written.request),
        connect: read("connect", &written.connect),
        tls: read("tls", &written.tls),
        queue: read("queue", &written.queue),
        backend_idle: read("backend_idle", &written.backend_idle),
        tunnel: read("tunnel", &written.tunnel),
    }
}
