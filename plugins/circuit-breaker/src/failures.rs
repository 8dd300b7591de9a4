//! Whether an exchange says something about the backend, and what.

use std::time::Duration;

use cloud_cup_plugin::{Origin, Outcome};

use crate::config::Failures;

impl Failures {
    /// Whether it failed. None where it says nothing: a plugin answered, the client left, or the gateway refused by itself.
    pub fn judge(&self, outcome: &Outcome) -> Option<bool> {
        if let Some(reason) = &outcome.reason {
            return self.reasons.iter().any(|known| known.covers(reason)).then_some(true);
        }
        let failed = self.statuses.iter().any(|statuses| statuses.0.contains(&outcome.status));
        let is_told = outcome.origin == Origin::Backend && (failed || outcome.complete);
        is_told.then_some(failed)
    }
}

/// What may count as slow. A connection that was upgraded lasts as long as its users like.
pub fn duration(outcome: &Outcome) -> Duration {
    if outcome.status == 101 { Duration::ZERO } else { outcome.duration() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Reason, Statuses};

    fn outcome(origin: Origin, status: u16, reason: Option<&str>, complete: bool) -> Outcome {
        Outcome {
            status,
            origin,
            reason: reason.map(str::to_owned),
            backend: Some("127.0.0.1:81".to_owned()),
            complete,
            request_bytes: 0,
            response_bytes: 0,
            duration: 7_000_000,
        }
    }

    #[test]
    fn backends_are_judged_and_nobody_else() {
        fn check(origin: Origin, status: u16, reason: Option<&str>, complete: bool, expected: Option<bool>) {
            let judged = Failures::default().judge(&outcome(origin, status, reason, complete));
            assert_eq!(judged, expected, "{origin:?} {status} {reason:?} {complete}");
        }
        check(Origin::Backend, 200, None, true, Some(false));
        check(Origin::Backend, 404, None, true, Some(false));
        check(Origin::Backend, 500, None, true, Some(true));
        check(Origin::Backend, 503, None, false, Some(true));
        check(Origin::Backend, 200, None, false, None);
        check(Origin::Backend, 200, Some("client-closed"), false, None);
        check(Origin::Backend, 200, Some("backend-closed"), false, Some(true));
        check(Origin::Gateway, 504, Some("backend-timeout"), true, Some(true));
        check(Origin::Gateway, 502, Some("backend-connect-failed"), true, Some(true));
        check(Origin::Gateway, 503, Some("no-healthy-backend"), true, None);
        check(Origin::Gateway, 413, Some("body-too-large"), true, None);
        check(Origin::Gateway, 500, Some("plugin-trap"), true, None);
        check(Origin::Plugin, 500, None, true, None);
        check(Origin::Plugin, 200, None, true, None);
    }

    #[test]
    fn the_document_says_what_a_failure_is() {
        let failures = Failures {
            statuses: vec![Statuses(429..=429)],
            reasons: vec![Reason::Code("backend-timeout".to_owned())],
        };
        let check = |status, reason, expected| {
            assert_eq!(failures.judge(&outcome(Origin::Backend, status, reason, true)), expected);
        };
        check(429, None, Some(true));
        check(500, None, Some(false));
        check(504, Some("backend-timeout"), Some(true));
        check(502, Some("backend-closed"), None);
    }

    #[test]
    fn an_upgraded_connection_is_not_slow() {
        assert_eq!(duration(&outcome(Origin::Backend, 101, None, true)), Duration::ZERO);
        assert_eq!(duration(&outcome(Origin::Backend, 200, None, true)), Duration::from_millis(7));
    }
}
