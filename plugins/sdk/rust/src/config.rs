//! From the text of a `config` to the filter's own type.

use serde::de::DeserializeOwned;

/// # Errors
///
/// What does not fit, and where: serde's message and, below the top, a JSON pointer.
pub fn parse<C: DeserializeOwned>(text: &str) -> Result<C, String> {
    if text != "null" {
        return read(text);
    }
    read(text).or_else(|_| read("{}"))
}

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
        check("[]{}", "trailing characters");
        check("7", "invalid type: integer `7`, expected struct Limits");
    }

    #[test]
    fn unit_takes_no_config() {
        assert_eq!(parse::<()>(r#"{"a":1}"#), Err("invalid type: map, expected unit".to_owned()));
    }
}
