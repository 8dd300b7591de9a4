//! When a request is asked again, and when not.

use std::ops::RangeInclusive;
use std::time::Duration;

use http::header::{self, HeaderMap, HeaderName};
use http::{Method, StatusCode};

use crate::message::ResponseHead;

/// What the document says of retries.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryPolicy {
    /// After what.
    pub on: Vec<RetryOn>,
    /// Also after these statuses.
    pub statuses: Vec<u16>,
    /// Also after responses with one of these.
    pub headers: Vec<HeaderName>,
    /// Retries beyond the first attempt.
    pub attempts: u32,
    /// How long each attempt may take.
    pub per_try_timeout: Option<Duration>,
    /// The longest first wait, and the longest of all.
    pub backoff: (Duration, Duration),
    /// Bytes of a body that are kept.
    pub body: usize,
    /// Whether it goes for all methods.
    pub non_idempotent: bool,
    /// When a second backend is asked too.
    pub hedge_after: Option<Duration>,
}

/// After what a request is asked again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RetryOn {
    /// No connection.
    ConnectFailure,
    /// The backend has not looked at it.
    RefusedStream,
    /// The backend gave it up.
    Reset,
    /// These statuses. What a 5xx stands for counts as one: all of the above.
    Status(RangeInclusive<u16>),
    /// A status of gRPC, in the head of a response.
    Grpc(u8),
}

/// How an attempt failed without a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Miss {
    /// No connection.
    Connect,
    /// The backend has not looked at it.
    Refused,
    /// The backend gave it up, or took too long for one attempt.
    Reset,
    /// The backend said what is no response.
    Invalid,
    /// The backend said nothing for too long.
    Silent,
    /// What another attempt would not change.
    Final,
}

impl RetryPolicy {
    /// Whether requests of this method may be asked again after a backend may have looked at them.
    pub(super) fn covers(&self, method: &Method) -> bool {
        self.non_idempotent || is_idempotent(method)
    }

    /// Whether an attempt that failed so is worth another.
    pub(super) fn repeats_miss(&self, miss: Miss) -> bool {
        let is_meant = |on: &RetryOn| match (on, miss) {
            (_, Miss::Final) => false,
            // What the client would be told instead.
            (RetryOn::Status(range), Miss::Silent) => range.contains(&504),
            (RetryOn::Status(range), _) => range.contains(&502),
            (RetryOn::ConnectFailure, Miss::Connect)
            | (RetryOn::RefusedStream, Miss::Refused)
            | (RetryOn::Reset, Miss::Reset) => true,
            _ => false,
        };
        self.on.iter().any(is_meant)
    }

    /// Whether a response is worth another attempt.
    pub(super) fn repeats_answer(&self, head: &mut ResponseHead) -> bool {
        let looks_at_fields =
            !self.headers.is_empty() || self.on.iter().any(|on| matches!(on, RetryOn::Grpc(_)));
        if looks_at_fields {
            head.complete_headers();
        }
        let status = head.status.as_u16();
        let is_meant = |on: &RetryOn| match on {
            RetryOn::Status(range) => range.contains(&status),
            RetryOn::Grpc(code) => grpc_status(&head.headers) == Some(*code),
            _ => false,
        };
        self.on.iter().any(is_meant)
            || self.statuses.contains(&status)
            || self.headers.iter().any(|name| head.headers.contains_key(name))
    }

    /// How long to wait before retry `count`, which counts from 1: full jitter, so that those who failed together do not
    /// come back together.
    pub(super) fn delay(&self, count: u32) -> Duration {
        let (base, most) = self.backoff;
        let longest = base.saturating_mul(1 << (count - 1).min(16)).min(most);
        longest.mul_f64(fastrand::f64())
    }

    /// The wait that a backend asks for. None where it asks for none; an error where that is too long.
    pub(super) fn asked_delay(&self, head: &mut ResponseHead) -> Result<Option<Duration>, Duration> {
        if !matches!(head.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            return Ok(None);
        }
        head.complete_headers();
        let asked = head.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        // A date (RFC 9110, section 10.2.3) is further away than anybody is made to wait here.
        let Some(asked) = asked else { return Ok(None) };
        let asked = asked.trim().parse().map_or(Duration::MAX, Duration::from_secs);
        if asked <= self.backoff.1 { Ok(Some(asked)) } else { Err(asked) }
    }
}

fn grpc_status(headers: &HeaderMap) -> Option<u8> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

/// RFC 9110, section 9.2.2.
pub(super) fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    )
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn policy(on: Vec<RetryOn>) -> RetryPolicy {
        RetryPolicy {
            on,
            statuses: vec![418],
            headers: vec![HeaderName::from_static("x-again")],
            attempts: 2,
            per_try_timeout: None,
            backoff: (Duration::from_millis(10), Duration::from_secs(2)),
            body: 0,
            non_idempotent: false,
            hedge_after: None,
        }
    }

    fn answer(status: u16, fields: &[(&'static str, &'static str)]) -> ResponseHead {
        let mut head =
            ResponseHead { status: StatusCode::from_u16(status).unwrap(), ..ResponseHead::default() };
        for (name, value) in fields {
            head.headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        head
    }

    #[test]
    fn failures_are_repeated_as_far_as_they_are_meant() {
        let none = [Miss::Connect, Miss::Refused, Miss::Reset, Miss::Invalid, Miss::Silent, Miss::Final];
        let repeated = |on| {
            let policy = policy(vec![on]);
            none.map(|miss| policy.repeats_miss(miss))
        };
        assert_eq!(repeated(RetryOn::ConnectFailure), [true, false, false, false, false, false]);
        assert_eq!(repeated(RetryOn::RefusedStream), [false, true, false, false, false, false]);
        assert_eq!(repeated(RetryOn::Reset), [false, false, true, false, false, false]);
        assert_eq!(repeated(RetryOn::Status(500..=599)), [true, true, true, true, true, false]);
        assert_eq!(repeated(RetryOn::Status(409..=409)), [false; 6]);
    }

    #[test]
    fn answers_are_repeated_by_status_field_and_status_of_grpc() {
        let gateway = policy(vec![RetryOn::Status(502..=504), RetryOn::Grpc(14)]);
        let repeated = |head: &mut ResponseHead| gateway.repeats_answer(head);
        assert!([502, 503, 504, 418].iter().all(|status| repeated(&mut answer(*status, &[]))));
        assert!(![200, 404, 500, 505].iter().any(|status| repeated(&mut answer(*status, &[]))));
        assert!(repeated(&mut answer(200, &[("x-again", "")])));
        assert!(repeated(&mut answer(200, &[("grpc-status", "14")])));
        assert!(!repeated(&mut answer(200, &[("grpc-status", "0")])));
    }

    #[test]
    fn waits_grow_up_to_the_longest_and_backends_may_ask_for_no_longer_ones() {
        let policy = policy(vec![]);
        assert!((1..100).all(|_| policy.delay(1) <= Duration::from_millis(10)));
        assert!((1..100).map(|_| policy.delay(9)).all(|delay| delay <= Duration::from_secs(2)));
        assert!((1..100).any(|_| policy.delay(9) > Duration::from_millis(100)));
        let asked = |status, value| policy.asked_delay(&mut answer(status, &[("retry-after", value)]));
        assert_eq!(asked(503, "1"), Ok(Some(Duration::from_secs(1))));
        assert_eq!(asked(429, "2"), Ok(Some(Duration::from_secs(2))));
        assert_eq!(asked(503, "3"), Err(Duration::from_secs(3)));
        assert!(asked(503, "Fri, 31 Dec 1999 23:59:59 GMT").is_err());
        assert_eq!(asked(500, "1"), Ok(None));
    }
}
