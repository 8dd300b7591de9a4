//! The configuration, checked: nothing of it can be wrong when a request comes.

use std::{fmt::Write, num::NonZeroU32, time::Duration};

use cloud_cup_plugin::{
    DurationText, FieldValue,
    rate_limit::{Decision, Quota},
};

use crate::{
    config::{self, Config, Cost, Headers, Missing, Mode, Part, Unavailable},
    standing::seconds,
};

#[derive(Debug)]
pub struct Plan {
    /// From the shortest window to the longest: what is refused by a short one takes nothing from a long one.
    pub limits: Vec<Limit>,
    pub key: Vec<Part>,
    pub skips_missing: bool,
    pub cost: Cost,
    pub mode: Mode,
    pub headers: Headers,
    pub unavailable: Unavailable,
    pub status: u16,
    pub body: Option<String>,
    pub content_type: Option<FieldValue>,
    /// The value of `RateLimit-Policy`.
    pub policy: String,
}

#[derive(Debug)]
pub struct Limit {
    pub name: String,
    pub quota: Quota,
}

const WINDOWS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(31 * 24 * 60 * 60);

impl Plan {
    /// # Errors
    ///
    /// What does not go together, and where.
    pub fn new(config: Config) -> Result<Self, String> {
        let status = config.status.unwrap_or(429);
        if !(400..=599).contains(&status) {
            return Err(format!("`{status}` is not a status from 400 to 599 at /status"));
        }
        if config.content_type.is_some() && config.body.is_none() {
            return Err("`content_type` is of a `body`, and there is none at /content_type".to_owned());
        }
        let cost = config.cost;
        let mut limits = limits(config.requests, config.window, config.burst, config.limits)?;
        check_cost(&cost, &limits)?;
        limits.sort_by_key(|limit| limit.quota.window);
        Ok(Self {
            policy: policy(&limits),
            limits,
            key: config.key,
            skips_missing: config.missing == Missing::Skip,
            cost,
            mode: config.mode,
            headers: config.headers,
            unavailable: config.unavailable,
            status,
            body: config.body,
            content_type: config.content_type,
        })
    }

    /// Whether responses say where their requests stand. What is not enforced is not announced.
    pub fn tells_clients(&self) -> bool {
        self.headers != Headers::Off && self.mode == Mode::Enforce
    }
}

impl Limit {
    /// The decision on what costs more than there can ever be.
    pub fn never(&self) -> Decision {
        Decision { allowed: false, remaining: 0, reset: self.quota.window, retry_after: Duration::ZERO }
    }
}

fn limits(
    requests: Option<NonZeroU32>,
    window: Option<DurationText>,
    burst: Option<NonZeroU32>,
    list: Option<Vec<config::Limit>>,
) -> Result<Vec<Limit>, String> {
    match (requests, window, list) {
        (Some(requests), Some(window), None) => {
            Ok(vec![limit(config::Limit { name: None, requests, window, burst }, "")?])
        }
        (None, None, Some(list)) if burst.is_none() => {
            let place = |index| format!("/limits/{index}");
            let limits = list.into_iter().enumerate().map(|(index, written)| limit(written, &place(index)));
            check_names(limits.collect::<Result<_, _>>()?)
        }
        (None, None, None) if burst.is_none() => {
            Err("there is no limit: give `requests` and `window`, or a list of `limits`".to_owned())
        }
        (_, _, None) => Err("`requests` and `window` belong together".to_owned()),
        _ => Err("`requests`, `window` and `burst` are for one limit: with `limits` they stand in there"
            .to_owned()),
    }
}

fn limit(written: config::Limit, place: &str) -> Result<Limit, String> {
    let config::Limit { name, requests, window, burst } = written;
    if !WINDOWS.contains(&*window) {
        return Err(format!("a window is from 1ms to 744h, and this one is {window} at {place}/window"));
    }
    let name = name.unwrap_or_else(|| window.to_string());
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if !is_plain || !(1..=64).contains(&name.len()) {
        let name = name.escape_default();
        return Err(format!(
            "`{name}` is not a name of 1 to 64 letters, digits, `-`, `_` and `.` at {place}/name"
        ));
    }
    let burst = burst.unwrap_or(requests).get();
    Ok(Limit { name, quota: Quota { requests: requests.get(), window: *window, burst } })
}

fn check_names(limits: Vec<Limit>) -> Result<Vec<Limit>, String> {
    if limits.is_empty() {
        return Err("there is no limit in the list at /limits".to_owned());
    }
    for (index, Limit { name, .. }) in limits.iter().enumerate() {
        if limits[..index].iter().any(|other| other.name == *name) {
            return Err(format!(
                "two limits are called `{name}`: give one a `name` of its own at /limits/{index}"
            ));
        }
    }
    Ok(limits)
}

fn check_cost(cost: &Cost, limits: &[Limit]) -> Result<(), String> {
    let Cost::Fixed(cost) = cost else { return Ok(()) };
    match limits.iter().find(|limit| limit.quota.burst < cost.get()) {
        None => Ok(()),
        Some(Limit { name, quota: Quota { burst, .. } }) => Err(format!(
            "a cost of {cost} is more than the burst of {burst} of the limit `{name}`: nothing would pass at /cost"
        )),
    }
}

fn policy(limits: &[Limit]) -> String {
    let mut policy = String::new();
    for Limit { name, quota } in limits {
        let separator = if policy.is_empty() { "" } else { ", " };
        let window = seconds(quota.window);
        write!(policy, "{separator}\"{name}\";q={};w={window}", quota.requests)
            .expect("a string takes everything");
    }
    policy
}

#[cfg(test)]
mod tests {
    use cloud_cup_plugin::parse_config;

    use super::*;

    fn plan(text: &str) -> Result<Plan, String> {
        Plan::new(parse_config(text)?)
    }

    #[test]
    fn limits_stand_from_the_shortest_window_to_the_longest() {
        let text = r#"{"limits": [{"requests": 1000, "window": "1h"}, {"requests": 5, "window": "100ms", "burst": 9},
            {"name": "minute", "requests": 60, "window": "1m"}]}"#;
        let plan = plan(text).unwrap();
        assert_eq!(plan.policy, r#""100ms";q=5;w=1, "minute";q=60;w=60, "1h";q=1000;w=3600"#);
        let bursts: Vec<u32> = plan.limits.iter().map(|limit| limit.quota.burst).collect();
        assert_eq!(bursts, [9, 60, 1000]);
    }

    #[test]
    fn refusal_names_the_place() {
        fn check(text: &str, expected: &str) {
            assert_eq!(plan(text).unwrap_err(), expected, "{text}");
        }
        check("{}", "there is no limit: give `requests` and `window`, or a list of `limits`");
        check(r#"{"limits": []}"#, "there is no limit in the list at /limits");
        check(r#"{"requests": 5}"#, "`requests` and `window` belong together");
        check(r#"{"burst": 5}"#, "`requests` and `window` belong together");
        check(
            r#"{"requests": 5, "limits": []}"#,
            "`requests`, `window` and `burst` are for one limit: with `limits` they stand in there",
        );
        check(
            r#"{"requests": 5, "window": "0s"}"#,
            "a window is from 1ms to 744h, and this one is 0s at /window",
        );
        check(
            r#"{"limits": [{"requests": 5, "window": "1000h"}]}"#,
            "a window is from 1ms to 744h, and this one is 1000h at /limits/0/window",
        );
        check(
            r#"{"limits": [{"requests": 5, "window": "60s"}, {"requests": 9, "window": "1m"}]}"#,
            "two limits are called `1m`: give one a `name` of its own at /limits/1",
        );
        check(
            r#"{"limits": [{"name": "a\"b", "requests": 5, "window": "60s"}]}"#,
            r#"`a\"b` is not a name of 1 to 64 letters, digits, `-`, `_` and `.` at /limits/0/name"#,
        );
        check(
            r#"{"requests": 5, "window": "1s", "cost": 6}"#,
            "a cost of 6 is more than the burst of 5 of the limit `1s`: nothing would pass at /cost",
        );
        check(
            r#"{"requests": 5, "window": "1s", "status": 200}"#,
            "`200` is not a status from 400 to 599 at /status",
        );
        check(
            r#"{"requests": 5, "window": "1s", "content_type": "text/html"}"#,
            "`content_type` is of a `body`, and there is none at /content_type",
        );
    }
}
