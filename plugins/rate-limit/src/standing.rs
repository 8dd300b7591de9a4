//! Where a request stands with its limits, as its client is told.
//!
//! `RateLimit` and `RateLimit-Policy` are those of draft-ietf-httpapi-ratelimit-headers-10; the `X-RateLimit` fields are what
//! was usual before it.

use std::{borrow::Cow, fmt::Write, time::Duration};

use cloud_cup_plugin::rate_limit::Decision;

use crate::{
    config::Headers,
    plan::{Limit, Plan},
};

#[derive(Debug, Default)]
pub struct Standing {
    /// The value of `RateLimit`.
    field: String,
    tightest: Option<Tightest>,
}

/// The limit that has least left.
#[derive(Clone, Copy, Debug)]
struct Tightest {
    burst: u32,
    remaining: u32,
    reset: u64,
}

impl Standing {
    pub fn push(&mut self, limit: &Limit, decision: &Decision) {
        let separator = if self.field.is_empty() { "" } else { ", " };
        let Decision { remaining, reset, .. } = *decision;
        let reset = seconds(reset);
        write!(self.field, "{separator}\"{}\";r={remaining};t={reset}", limit.name)
            .expect("a string takes all");
        if self.tightest.is_none_or(|tightest| remaining < tightest.remaining) {
            self.tightest = Some(Tightest { burst: limit.quota.burst, remaining, reset });
        }
    }

    /// The fields of a response.
    pub fn fields<'a>(&'a self, plan: &'a Plan) -> Vec<(&'static str, Cow<'a, str>)> {
        let mut fields = Vec::with_capacity(5);
        if !self.field.is_empty() {
            fields.push(("ratelimit-policy", Cow::from(&plan.policy)));
            fields.push(("ratelimit", Cow::from(&self.field)));
        }
        if let (Headers::X, Some(Tightest { burst, remaining, reset })) = (plan.headers, self.tightest) {
            fields.push(("x-ratelimit-limit", burst.to_string().into()));
            fields.push(("x-ratelimit-remaining", remaining.to_string().into()));
            fields.push(("x-ratelimit-reset", reset.to_string().into()));
        }
        fields
    }
}

/// Whole seconds, rounded up, at least 1: who comes back then is not too early.
pub fn seconds(duration: Duration) -> u64 {
    let has_rest = duration.subsec_nanos() > 0;
    (duration.as_secs() + u64::from(has_rest)).max(1)
}

#[cfg(test)]
mod tests {
    use cloud_cup_plugin::parse_config;

    use super::*;

    #[test]
    fn standing_becomes_fields() {
        let check = |headers: &str, decisions: &[(u32, u64)], expected: &[(&str, &str)]| {
            let limits =
                r#"[{"requests": 10, "window": "1s", "burst": 20}, {"requests": 60, "window": "1m"}]"#;
            let text = format!(r#"{{"limits": {limits}, "headers": "{headers}"}}"#);
            let plan = Plan::new(parse_config(&text).unwrap()).unwrap();
            let mut standing = Standing::default();
            for (limit, (remaining, reset)) in plan.limits.iter().zip(decisions) {
                let (remaining, reset) = (*remaining, Duration::from_millis(*reset));
                standing
                    .push(limit, &Decision { allowed: true, remaining, reset, retry_after: Duration::ZERO });
            }
            let fields = standing.fields(&plan);
            let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, &**value)).collect();
            assert_eq!(fields, expected, "{headers}");
        };
        let draft = [
            ("ratelimit-policy", r#""1s";q=10;w=1, "1m";q=60;w=60"#),
            ("ratelimit", r#""1s";r=19;t=1, "1m";r=7;t=54"#),
        ];
        let x = [("x-ratelimit-limit", "60"), ("x-ratelimit-remaining", "7"), ("x-ratelimit-reset", "54")];
        let decisions = [(19, 100), (7, 53_001)];
        check("draft", &decisions, &draft);
        check("x", &decisions, &[&draft[..], &x].concat());
        check("draft", &[], &[]);
    }

    #[test]
    fn seconds_are_rounded_up() {
        fn check(milliseconds: u64, expected: u64) {
            assert_eq!(seconds(Duration::from_millis(milliseconds)), expected);
        }
        check(0, 1);
        check(1, 1);
        check(1_000, 1);
        check(1_001, 2);
        check(60_000, 60);
    }
}
