//! Field names and values that are known to be good. A config that is made of them is checked when it is read, with a
//! message that names the place, and no change by them fails in a hook for what they are.

use std::ops::Deref;

/// A field name (RFC 9110, section 5.1), in lower case.
///
/// ```
/// # use cloud_cup_plugin::FieldName;
/// let name = FieldName::try_from("X-Api-Key".to_owned())?;
/// assert_eq!(&*name, "x-api-key");
/// assert!(FieldName::try_from("x api key".to_owned()).is_err());
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct FieldName(String);

/// What frames the message or belongs to one connection: the contract's `forbidden`.
const FORBIDDEN: [&str; 9] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
];

impl FieldName {
    /// Whether a filter may change this field. It may read every field.
    #[must_use]
    pub fn may_change(&self) -> bool {
        !FORBIDDEN.contains(&self.0.as_str())
    }
}

impl TryFrom<String> for FieldName {
    type Error = String;

    fn try_from(mut name: String) -> Result<Self, String> {
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(format!("`{}` is not a field name", name.escape_default()));
        }
        name.make_ascii_lowercase();
        Ok(Self(name))
    }
}

impl Deref for FieldName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A field value (RFC 9110, section 5.5), without surrounding white space.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct FieldValue(String);

impl TryFrom<String> for FieldValue {
    type Error = String;

    fn try_from(value: String) -> Result<Self, String> {
        if let Some(control) = value.bytes().find(|byte| byte.is_ascii_control() && *byte != b'\t') {
            let control = char::from(control).escape_default();
            return Err(format!("a field value has no control character, and this one has `{control}`"));
        }
        if value.trim_matches([' ', '\t']).len() != value.len() {
            return Err("a field value neither begins nor ends with white space".to_owned());
        }
        Ok(Self(value))
    }
}

impl Deref for FieldValue {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_is_a_token_in_lower_case() {
        fn check(name: &str, expected: Result<&str, &str>) {
            let checked = FieldName::try_from(name.to_owned());
            assert_eq!(checked.as_deref(), expected.map_err(str::to_owned).as_deref(), "{name:?}");
        }
        check("X-Api-Key", Ok("x-api-key"));
        check("!#$%&'*+-.^_`|~09", Ok("!#$%&'*+-.^_`|~09"));
        check("", Err("`` is not a field name"));
        check("a b", Err("`a b` is not a field name"));
        check("a:", Err("`a:` is not a field name"));
        check("a\r\nb", Err(r"`a\r\nb` is not a field name"));
        check("é", Err(r"`\u{e9}` is not a field name"));
    }

    #[test]
    fn value_has_no_control_character_and_no_white_space_around_it() {
        fn check(value: &str, good: bool) {
            assert_eq!(FieldValue::try_from(value.to_owned()).is_ok(), good, "{value:?}");
        }
        check("", true);
        check("a\tb c", true);
        check("café", true);
        check(" a", false);
        check("a\t", false);
        check("a\r\nx-b: c", false);
        check("a\0", false);
        check("a\u{7f}", false);
    }

    #[test]
    fn what_frames_the_message_may_not_change() {
        for name in FORBIDDEN {
            assert!(!FieldName(name.to_owned()).may_change(), "{name}");
        }
        assert!(FieldName("content-type".to_owned()).may_change());
    }
}
