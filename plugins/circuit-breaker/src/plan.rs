//! The configuration, checked: nothing of it can be wrong when a request comes.

use std::{num::NonZeroU32, time::Duration};

use cloud_cup_plugin::{DurationText, circuit::Settings};

use crate::{
    config::{Config, Failures, Percent, Response, Scope},
    exempt::Pattern,
};

#[derive(Debug)]
pub struct Plan {
    pub name: String,
    pub scope: Scope,
    pub settings: Settings,
    pub failures: Failures,
    pub response: Response,
    pub exempt: Vec<Pattern>,
}

/// Where the document says nothing of what opens a breaker.
const FAILURE_PERCENT: u8 = 50;

impl Plan {
    /// # Errors
    ///
    /// What does not go together, and where.
    pub fn new(config: Config) -> Result<Self, String> {
        let settings = settings(&config)?;
        let Config { name, scope, failures, response, exempt, .. } = config;
        if !(400..=599).contains(&response.status) {
            return Err(format!("`{}` is not a status from 400 to 599 at /response/status", response.status));
        }
        Ok(Self {
            name: name.map_or_else(|| scope.name(), named)?,
            scope,
            settings,
            failures,
            response,
            exempt,
        })
    }
}

impl Scope {
    fn name(self) -> Result<String, String> {
        Ok(match self {
            Self::Route => "route",
            Self::Backend => "backend",
        }
        .to_owned())
    }
}

fn named(name: String) -> Result<String, String> {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if !is_plain || !(1..=64).contains(&name.len()) {
        let name = name.escape_default();
        return Err(format!("`{name}` is not a name of 1 to 64 letters, digits, `-`, `_` and `.` at /name"));
    }
    Ok(name)
}

fn settings(config: &Config) -> Result<Settings, String> {
    let usual = Settings::default();
    let is_silent = config.consecutive_failures.is_none()
        && config.failure_percent.is_none()
        && config.slow_percent.is_none();
    match (config.slow_percent, config.slow_after) {
        (Some(_), None) => return Err("`slow_percent` needs `slow_after`, to tell what is slow".to_owned()),
        (None, Some(_)) => {
            return Err("`slow_after` needs `slow_percent`, to tell how many are too many".to_owned());
        }
        _ => {}
    }
    let settings = Settings {
        consecutive_failures: config.consecutive_failures.map(NonZeroU32::get),
        failure_percent: config
            .failure_percent
            .or(is_silent.then_some(Percent(FAILURE_PERCENT)))
            .map(percent),
        slow_percent: config.slow_percent.map(percent),
        slow_after: positive(config.slow_after, "slow_after", usual.slow_after)?,
        minimum_requests: config.minimum_requests.map_or(usual.minimum_requests, NonZeroU32::get),
        window: positive(config.window, "window", usual.window)?,
        open_for: positive(config.open_for, "open_for", usual.open_for)?,
        longest_open: positive(config.longest_open, "longest_open", usual.longest_open)?,
        probes: config.probes.map_or(usual.probes, NonZeroU32::get),
    };
    check_open(config, settings)
}

/// A first time that is longer than the usual longest one moves that along, unless the document has both.
fn check_open(config: &Config, settings: Settings) -> Result<Settings, String> {
    let Settings { open_for, longest_open, .. } = settings;
    if open_for <= longest_open {
        return Ok(settings);
    }
    if config.longest_open.is_some() {
        let (open_for, longest_open) = (DurationText(open_for), DurationText(longest_open));
        return Err(format!(
            "it is open for {open_for} at first, which is longer than {longest_open} at /longest_open"
        ));
    }
    Ok(Settings { longest_open: open_for, ..settings })
}

fn positive(written: Option<DurationText>, name: &str, usual: Duration) -> Result<Duration, String> {
    match written {
        Some(DurationText(Duration::ZERO)) => Err(format!("it is longer than nothing at /{name}")),
        Some(DurationText(duration)) => Ok(duration),
        None => Ok(usual),
    }
}

fn percent(Percent(percent): Percent) -> u8 {
    percent
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

    fn plan(text: &str) -> Result<Plan, String> {
        Plan::new(parse_config(text)?)
    }

    #[test]
    fn what_is_not_written_is_usual() {
        let plan = plan("{}").unwrap();
        assert_eq!(plan.name, "route");
        assert_eq!(plan.settings, Settings { failure_percent: Some(50), ..Settings::default() });
        assert_eq!(plan.response.status, 503);
    }

    #[test]
    fn what_is_written_alone_opens_it() {
        let plan = plan(r#"{"consecutive_failures": 3, "open_for": "2m", "scope": "backend"}"#).unwrap();
        assert_eq!(plan.name, "backend");
        assert_eq!((plan.settings.consecutive_failures, plan.settings.failure_percent), (Some(3), None));
        assert_eq!(plan.settings.longest_open, Duration::from_secs(120));
    }

    #[test]
    fn refusal_names_the_place() {
        fn check(text: &str, expected: &str) {
            assert_eq!(plan(text).unwrap_err(), expected, "{text}");
        }
        check(r#"{"slow_percent": 5}"#, "`slow_percent` needs `slow_after`, to tell what is slow");
        check(r#"{"slow_after": "5s"}"#, "`slow_after` needs `slow_percent`, to tell how many are too many");
        check(r#"{"window": "0s"}"#, "it is longer than nothing at /window");
        check(
            r#"{"open_for": "10s", "longest_open": "5s"}"#,
            "it is open for 10s at first, which is longer than 5s at /longest_open",
        );
        check(
            r#"{"response": {"status": 200}}"#,
            "`200` is not a status from 400 to 599 at /response/status",
        );
        check(
            r#"{"name": "a b"}"#,
            "`a b` is not a name of 1 to 64 letters, digits, `-`, `_` and `.` at /name",
        );
    }

    #[test]
    fn seconds_are_rounded_up() {
        fn check(milliseconds: u64, expected: u64) {
            assert_eq!(seconds(Duration::from_millis(milliseconds)), expected);
        }
        check(0, 1);
        check(1_000, 1);
        check(1_001, 2);
    }
}
