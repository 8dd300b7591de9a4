//! The configuration as it is written.

use std::{
    num::{NonZeroU8, NonZeroU32},
    ops::RangeInclusive,
};

use cloud_cup_plugin::{DurationText, FieldValue};
use serde::Deserialize;

use crate::exempt::Pattern;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub name: Option<String>,
    #[serde(default)]
    pub scope: Scope,
    pub consecutive_failures: Option<NonZeroU32>,
    pub failure_percent: Option<Percent>,
    pub slow_percent: Option<Percent>,
    pub slow_after: Option<DurationText>,
    pub minimum_requests: Option<NonZeroU32>,
    pub window: Option<DurationText>,
    pub open_for: Option<DurationText>,
    pub longest_open: Option<DurationText>,
    pub probes: Option<NonZeroU32>,
    #[serde(default)]
    pub failures: Failures,
    #[serde(default)]
    pub response: Response,
    #[serde(default)]
    pub exempt: Vec<Pattern>,
}

/// What has a breaker of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    #[default]
    Route,
    Backend,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "NonZeroU8")]
pub struct Percent(pub u8);

/// What counts as a failure.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Failures {
    pub statuses: Vec<Statuses>,
    pub reasons: Vec<Reason>,
}

/// One status, or a class of them.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "WrittenStatus")]
pub struct Statuses(pub RangeInclusive<u16>);

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a status such as 503, or a class such as `5xx`")]
enum WrittenStatus {
    One(u16),
    Class(String),
}

/// A reason code of the gateway, or what several begin with.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub enum Reason {
    Code(String),
    Prefix(String),
}

/// What a request is answered with that may not pass.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Response {
    pub status: u16,
    pub body: Option<String>,
    pub content_type: FieldValue,
}

impl TryFrom<NonZeroU8> for Percent {
    type Error = String;

    fn try_from(percent: NonZeroU8) -> Result<Self, String> {
        if percent.get() > 100 {
            return Err(format!("`{percent}` is not a percentage from 1 to 100"));
        }
        Ok(Self(percent.get()))
    }
}

/// What a backend answers with 5xx, and whatever keeps it from answering.
impl Default for Failures {
    fn default() -> Self {
        Self { statuses: vec![Statuses(500..=599)], reasons: vec![Reason::Prefix("backend-".to_owned())] }
    }
}

impl TryFrom<WrittenStatus> for Statuses {
    type Error = String;

    fn try_from(written: WrittenStatus) -> Result<Self, String> {
        match written {
            WrittenStatus::One(status @ 100..=599) => Ok(Self(status..=status)),
            WrittenStatus::One(status) => Err(format!("`{status}` is not a status from 100 to 599")),
            WrittenStatus::Class(class) => match class.as_bytes() {
                [digit @ b'1'..=b'5', b'x', b'x'] => {
                    let first = u16::from(digit - b'0') * 100;
                    Ok(Self(first..=first + 99))
                }
                _ => Err(format!("`{class}` is not a class of statuses such as `5xx`")),
            },
        }
    }
}

impl TryFrom<String> for Reason {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        let (code, is_prefix) =
            written.strip_suffix('*').map_or((written.as_str(), false), |code| (code, true));
        if code.is_empty() || !code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') {
            let written = written.escape_default();
            return Err(format!("`{written}` is not a reason code such as `backend-timeout` or `backend-*`"));
        }
        Ok(if is_prefix { Self::Prefix(code.to_owned()) } else { Self::Code(written) })
    }
}

impl Reason {
    pub fn covers(&self, reason: &str) -> bool {
        match self {
            Self::Code(code) => code == reason,
            Self::Prefix(prefix) => reason.starts_with(prefix.as_str()),
        }
    }
}

impl Default for Response {
    fn default() -> Self {
        let content_type = "text/plain; charset=utf-8".to_owned();
        Self {
            status: 503,
            body: None,
            content_type: FieldValue::try_from(content_type).expect("it is a value"),
        }
    }
}

#[cfg(test)]
mod tests {
    use cloud_cup_plugin::parse_config;

    use super::*;

    #[test]
    fn failures_are_statuses_classes_and_reasons() {
        let text = r#"{"statuses": [429, "5xx"], "reasons": ["backend-timeout", "backend-connect-*"]}"#;
        assert_eq!(
            parse_config::<Failures>(text).unwrap(),
            Failures {
                statuses: vec![Statuses(429..=429), Statuses(500..=599)],
                reasons: vec![
                    Reason::Code("backend-timeout".to_owned()),
                    Reason::Prefix("backend-connect-".to_owned()),
                ],
            }
        );
    }

    #[test]
    fn refusal_says_what_is_expected() {
        fn check(text: &str, expected: &str) {
            assert_eq!(parse_config::<Config>(text).unwrap_err(), expected, "{text}");
        }
        check(
            r#"{"failure_percent": 0}"#,
            "invalid value: integer `0`, expected a nonzero u8 at /failure_percent",
        );
        check(r#"{"slow_percent": 101}"#, "`101` is not a percentage from 1 to 100 at /slow_percent");
        check(r#"{"scope": "host"}"#, "unknown variant `host`, expected `route` or `backend` at /scope");
        check(
            r#"{"failures": {"statuses": [600]}}"#,
            "`600` is not a status from 100 to 599 at /failures/statuses/0",
        );
        check(
            r#"{"failures": {"statuses": ["6xx"]}}"#,
            "`6xx` is not a class of statuses such as `5xx` at /failures/statuses/0",
        );
        check(
            r#"{"failures": {"statuses": [true]}}"#,
            "expected a status such as 503, or a class such as `5xx` at /failures/statuses/0",
        );
        check(
            r#"{"failures": {"reasons": ["*"]}}"#,
            "`*` is not a reason code such as `backend-timeout` or `backend-*` at /failures/reasons/0",
        );
    }
}
