//! From the text of a `config` to the filter's own type.

use std::fmt;

use serde::{
    Deserializer,
    de::{self, DeserializeOwned, Visitor},
    forward_to_deserialize_any,
};

/// Reads the text of a `config`, as the gateway has it read before [`Filter::new`](crate::Filter::new). Public for tests of
/// a plugin's configuration.
///
/// ```
/// # use cloud_cup_plugin::parse_config;
/// #[derive(Debug, PartialEq, serde::Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct Config {
///     retries: u8,
/// }
///
/// assert_eq!(parse_config(r#"{"retries": 2}"#), Ok(Config { retries: 2 }));
/// let message = parse_config::<Config>(r#"{"retries": 256}"#).unwrap_err();
/// assert_eq!(message, "invalid value: integer `256`, expected u8 at /retries");
/// ```
///
/// # Errors
///
/// What does not fit, and where: serde's message and, below the top, a JSON pointer.
pub fn parse<C: DeserializeOwned>(text: &str) -> Result<C, String> {
    if text == "null" {
        return read(text).or_else(|_| read("{}"));
    }
    if text.trim_start().starts_with('[') && is_struct::<C>() {
        return Err("the config is a list, and an object is expected".to_owned());
    }
    read(text)
}

/// Serde reads a struct from a list as well, field by field, and so would take `[]` for a config of defaults.
fn is_struct<C: DeserializeOwned>() -> bool {
    matches!(C::deserialize(Probe), Err(Asked { for_struct: true }))
}

/// Holds nothing, and tells what was asked for.
struct Probe;

#[derive(Debug)]
struct Asked {
    for_struct: bool,
}

impl<'de> Deserializer<'de> for Probe {
    type Error = Asked;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Asked> {
        Err(Asked { for_struct: false })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Asked> {
        Err(Asked { for_struct: true })
    }

    /// What is inside decides.
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Asked> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Asked> {
        visitor.visit_some(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map enum identifier ignored_any
    }
}

impl de::Error for Asked {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self { for_struct: false }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("there is nothing to read")
    }
}

impl std::error::Error for Asked {}

fn read<C: DeserializeOwned>(text: &str) -> Result<C, String> {
    let mut json = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let pointer = pointer(error.path());
        let message = message(error.inner());
        if pointer.is_empty() { message } else { format!("{message} at {pointer}") }
    })?;
    json.end().map_err(|error| message(&error))?;
    Ok(value)
}

/// RFC 6901.
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;

    let mut pointer = String::new();
    for segment in path {
        pointer.push('/');
        match segment {
            Segment::Seq { index } => pointer.push_str(&index.to_string()),
            Segment::Map { key } => pointer.push_str(&key.replace('~', "~0").replace('/', "~1")),
            Segment::Enum { variant } => pointer.push_str(variant),
            Segment::Unknown => pointer.push('?'),
        }
    }
    pointer
}

/// Without line and column, which would be those of a text that nobody wrote.
fn message(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    message.strip_suffix(&place).unwrap_or(&message).to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Limits {
        rate: u32,
        names: BTreeMap<String, String>,
        ports: Vec<u16>,
        mode: Mode,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Mode {
        #[default]
        Plain,
        Strict(u8),
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Named {
        name: String,
    }

    #[test]
    fn absent_config_is_unit_none_or_an_empty_object() {
        assert_eq!(parse::<()>("null"), Ok(()));
        assert_eq!(parse::<Option<Named>>("null"), Ok(None));
        assert_eq!(parse::<Limits>("null"), Ok(Limits::default()));
        assert_eq!(parse::<Named>("null"), Err("missing field `name`".to_owned()));
    }

    #[test]
    fn refusal_names_the_field() {
        fn check(text: &str, expected: &str) {
            assert_eq!(parse::<Limits>(text).unwrap_err(), expected);
        }
        check(
            r#"{"rat":1}"#,
            "unknown field `rat`, expected one of `rate`, `names`, `ports`, `mode` at /rat",
        );
        check(r#"{"rate":"1"}"#, r#"invalid type: string "1", expected u32 at /rate"#);
        check(r#"{"rate":-1}"#, "invalid value: integer `-1`, expected u32 at /rate");
        check(r#"{"names":{"a/b~":1}}"#, "invalid type: integer `1`, expected a string at /names/a~1b~0");
        check(r#"{"ports":[1,70000]}"#, "invalid value: integer `70000`, expected u16 at /ports/1");
        check(r#"{"mode":{"strict":true}}"#, "invalid type: boolean `true`, expected u8 at /mode/strict");
        check("{}[]", "trailing characters");
        check("7", "invalid type: integer `7`, expected struct Limits");
    }

    #[test]
    fn a_list_is_no_struct() {
        #[derive(Debug, PartialEq, Deserialize)]
        struct Wrapped(Limits);

        #[derive(Debug, PartialEq, Deserialize)]
        #[serde(try_from = "Limits")]
        struct Checked(u32);

        impl From<Limits> for Checked {
            fn from(limits: Limits) -> Self {
                Self(limits.rate)
            }
        }

        let refused = "the config is a list, and an object is expected".to_owned();
        assert_eq!(parse::<Limits>("[]"), Err(refused.clone()));
        assert_eq!(parse::<Limits>(" [7]"), Err(refused.clone()));
        assert_eq!(parse::<Option<Limits>>("[]"), Err(refused.clone()));
        assert_eq!(parse::<Wrapped>("[]"), Err(refused.clone()));
        assert_eq!(parse::<Checked>("[]"), Err(refused));
        assert_eq!(parse::<Vec<u8>>("[7]"), Ok(vec![7]));
        assert_eq!(parse::<(u8, bool)>("[7, true]"), Ok((7, true)));
        let map = parse::<BTreeMap<String, u8>>("[]");
        assert_eq!(map, Err("invalid type: sequence, expected a map".to_owned()));
    }

    #[test]
    fn unit_takes_no_config() {
        assert_eq!(parse::<()>(r#"{"a":1}"#), Err("invalid type: map, expected unit".to_owned()));
    }
}
