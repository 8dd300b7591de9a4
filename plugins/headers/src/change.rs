//! What is done to one head. It is checked as it is read, so that no part of it can be wrong when a request comes.

use std::{fmt, ops::Deref};

use cloud_cup_plugin::{FieldName, FieldValue};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};

/// Applied in this order.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Change {
    pub remove: Vec<Name>,
    pub set: Fields,
    pub append: Fields,
}

/// The name of a field that a filter may change.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(try_from = "FieldName")]
pub struct Name(FieldName);

impl TryFrom<FieldName> for Name {
    type Error = String;

    fn try_from(name: FieldName) -> Result<Self, String> {
        if name.may_change() {
            return Ok(Self(name));
        }
        Err(format!("`{}` belongs to the gateway and cannot be changed", &*name))
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// An object from names to values; a name stands there once, in whatever case.
#[derive(Debug, Default, PartialEq)]
pub struct Fields(pub Vec<(Name, FieldValue)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("an object from field names to values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Fields, A::Error> {
        let mut fields = Vec::<(Name, FieldValue)>::new();
        while let Some(name) = object.next_key::<Name>()? {
            if fields.iter().any(|(other, _)| *other == name) {
                return Err(A::Error::custom(format_args!("`{}` stands there twice", &*name)));
            }
            fields.push((name, object.next_value()?));
        }
        Ok(Fields(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_lower_case_and_fields_in_their_order() {
        let text =
            r#"{"remove": ["SERVER"], "set": {"X-Two": "2", "x-one": ""}, "append": {"Via": "1.1 é"}}"#;
        let change: Change = serde_json::from_str(text).unwrap();
        let fields = |fields: &[(&str, &str)]| {
            Fields(fields.iter().map(|&(name, value)| (self::name(name), self::value(value))).collect())
        };
        assert_eq!(
            change,
            Change {
                remove: vec![name("server")],
                set: fields(&[("x-two", "2"), ("x-one", "")]),
                append: fields(&[("via", "1.1 é")]),
            }
        );
    }

    #[test]
    fn refuses_what_could_fail_at_request_time() {
        fn check(text: &str, expected: &str) {
            let message = serde_json::from_str::<Change>(text).unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
        }
        check(r#"{"sett": {}}"#, "unknown field `sett`, expected one of `remove`, `set`, `append`");
        check(r#"{"set": []}"#, "invalid type: sequence, expected an object from field names to values");
        check(r#"{"set": {"x y": "1"}}"#, "`x y` is not a field name");
        check(r#"{"append": {"": "1"}}"#, "`` is not a field name");
        check(r#"{"remove": ["Content-Length"]}"#, "`content-length` belongs to the gateway");
        check(r#"{"set": {"Host": "1"}}"#, "`host` belongs to the gateway");
        check(
            r#"{"set": {"x-a": "1\r\nx-b: 2"}}"#,
            r"a field value has no control character, and this one has `\r`",
        );
        check(r#"{"append": {"x-a": " 1"}}"#, "a field value neither begins nor ends with white space");
        check(r#"{"set": {"X-A": "1", "x-a": "2"}}"#, "`x-a` stands there twice");
    }

    fn name(text: &str) -> Name {
        Name(FieldName::try_from(text.to_owned()).unwrap())
    }

    fn value(text: &str) -> FieldValue {
        FieldValue::try_from(text.to_owned()).unwrap()
    }
}
