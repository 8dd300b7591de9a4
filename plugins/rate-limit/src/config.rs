//! The configuration as it is written.

use std::{fmt, num::NonZeroU32};

use cloud_cup_plugin::{DurationText, FieldName, FieldValue};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub requests: Option<NonZeroU32>,
    pub window: Option<DurationText>,
    pub burst: Option<NonZeroU32>,
    pub limits: Option<Vec<Limit>>,
    #[serde(default = "route_and_client")]
    pub key: Vec<Part>,
    #[serde(default)]
    pub missing: Missing,
    #[serde(default)]
    pub cost: Cost,
    #[serde(default)]
    pub mode: Mode,
    #[serde(default)]
    pub headers: Headers,
    #[serde(default)]
    pub unavailable: Unavailable,
    pub status: Option<u16>,
    pub body: Option<String>,
    pub content_type: Option<FieldValue>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    pub name: Option<String>,
    pub requests: NonZeroU32,
    pub window: DurationText,
    pub burst: Option<NonZeroU32>,
}

/// What a request's account is named by.
#[derive(Debug, PartialEq)]
pub enum Part {
    Route,
    ClientAddress(Prefixes),
    Header(FieldName),
    Cookie(String),
    PathParameter(String),
    /// A claim, too: jwt-auth leaves it as the attribute `jwt.<name>`.
    Attribute(String),
}

/// How many bits of an address count.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, try_from = "WrittenPrefixes")]
pub struct Prefixes {
    pub ipv4: u8,
    pub ipv6: u8,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenPrefixes {
    ipv4: u8,
    ipv6: u8,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Missing {
    #[default]
    Share,
    Skip,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "expected a number of at least 1, or an object with `header`"
)]
pub enum Cost {
    Fixed(NonZeroU32),
    Header { header: FieldName },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    #[default]
    Enforce,
    Shadow,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Headers {
    #[default]
    Draft,
    X,
    Off,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unavailable {
    #[default]
    Allow,
    Refuse,
}

fn route_and_client() -> Vec<Part> {
    vec![Part::Route, Part::ClientAddress(Prefixes::default())]
}

/// A home or a phone has a /64, and all of its addresses.
impl Default for Prefixes {
    fn default() -> Self {
        Self { ipv4: 32, ipv6: 64 }
    }
}

impl Default for WrittenPrefixes {
    fn default() -> Self {
        let Prefixes { ipv4, ipv6 } = Prefixes::default();
        Self { ipv4, ipv6 }
    }
}

impl TryFrom<WrittenPrefixes> for Prefixes {
    type Error = String;

    fn try_from(WrittenPrefixes { ipv4, ipv6 }: WrittenPrefixes) -> Result<Self, String> {
        if ipv4 > 32 || ipv6 > 128 {
            return Err("a prefix of an IPv4 address has at most 32 bits, of an IPv6 address 128".to_owned());
        }
        Ok(Self { ipv4, ipv6 })
    }
}

impl Default for Cost {
    fn default() -> Self {
        Self::Fixed(NonZeroU32::MIN)
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PartVisitor)
    }
}

struct PartVisitor;

impl<'de> Visitor<'de> for PartVisitor {
    type Value = Part;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("`route`, `client-address`, or an object such as {\"header\": \"x-api-key\"}")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Part, E> {
        match word {
            "route" => Ok(Part::Route),
            "client-address" => Ok(Part::ClientAddress(Prefixes::default())),
            other => Err(E::unknown_variant(other, &["route", "client-address"])),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Part, A::Error> {
        const KINDS: &[&str] =
            &["client-address", "header", "cookie", "path-parameter", "claim", "attribute"];
        let Some(kind) = object.next_key::<String>()? else { return Err(A::Error::invalid_length(0, &self)) };
        let part = match kind.as_str() {
            "client-address" => Part::ClientAddress(object.next_value()?),
            "header" => Part::Header(object.next_value()?),
            "cookie" => Part::Cookie(object.next_value()?),
            "path-parameter" => Part::PathParameter(object.next_value()?),
            "claim" => Part::Attribute(format!("jwt.{}", object.next_value::<String>()?)),
            "attribute" => Part::Attribute(object.next_value()?),
            other => return Err(A::Error::unknown_field(other, KINDS)),
        };
        match object.next_key::<String>()? {
            None => Ok(part),
            Some(_) => {
                Err(A::Error::custom("a part of a key is one thing: write another object for the other"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use cloud_cup_plugin::parse_config;

    use super::*;

    #[test]
    fn key_is_of_words_and_objects() {
        let name = |name: &str| FieldName::try_from(name.to_owned()).unwrap();
        let text = r#"["route", "client-address", {"client-address": {"ipv4": 24}}, {"header": "X-Key"},
            {"cookie": "sid"}, {"path-parameter": "id"}, {"claim": "sub"}, {"attribute": "tenant"}]"#;
        assert_eq!(
            parse_config::<Vec<Part>>(text).unwrap(),
            [
                Part::Route,
                Part::ClientAddress(Prefixes { ipv4: 32, ipv6: 64 }),
                Part::ClientAddress(Prefixes { ipv4: 24, ipv6: 64 }),
                Part::Header(name("x-key")),
                Part::Cookie("sid".to_owned()),
                Part::PathParameter("id".to_owned()),
                Part::Attribute("jwt.sub".to_owned()),
                Part::Attribute("tenant".to_owned()),
            ]
        );
    }

    #[test]
    fn refusal_says_what_is_expected() {
        fn check(text: &str, expected: &str) {
            assert_eq!(parse_config::<Config>(text).unwrap_err(), expected, "{text}");
        }
        check(r#"{"requests": 0}"#, "invalid value: integer `0`, expected a nonzero u32 at /requests");
        check(
            r#"{"limits": [{"requests": 1, "window": "1d"}]}"#,
            "`1d` is not a duration such as `250ms`, `10s`, `2m` or `1h` at /limits/0/window",
        );
        check(
            r#"{"key": ["client"]}"#,
            "unknown variant `client`, expected `route` or `client-address` at /key/0",
        );
        check(
            r#"{"key": [{"ip": 1}]}"#,
            "unknown field `ip`, expected one of `client-address`, `header`, `cookie`, `path-parameter`, `claim`, \
             `attribute` at /key/0",
        );
        check(
            r#"{"key": [{"cookie": "a", "header": "b"}]}"#,
            "a part of a key is one thing: write another object for the other at /key/0",
        );
        check(
            r#"{"key": [{"client-address": {"ipv4": 33}}]}"#,
            "a prefix of an IPv4 address has at most 32 bits, of an IPv6 address 128 at /key/0/client-address",
        );
        check(
            r#"{"key": [7]}"#,
            "invalid type: integer `7`, expected `route`, `client-address`, or an object such as \
             {\"header\": \"x-api-key\"} at /key/0",
        );
        check(r#"{"cost": 0}"#, "expected a number of at least 1, or an object with `header` at /cost");
    }
}
