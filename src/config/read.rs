//! From bytes to a JSON value, with repeated fields as errors.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::diagnostic::{Diagnostic, Part, Problem};
use super::path::Path;
use super::report::Report;
use super::{locate, syntax};

/// The text of a document, or where its bytes are no text.
pub fn text(bytes: &[u8]) -> Result<&str, Diagnostic> {
    str::from_utf8(bytes).map_err(|error| {
        let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        let problem =
            Problem::error("", "the document is not UTF-8 text").hint("save it in the encoding UTF-8");
        locate::place(&valid, valid.len(), problem)
    })
}

/// Reads the value of a document. Of fields with the same name the first counts.
///
/// Numbers without a fraction are whole: `1.0` and `1e2` are read as `1` and `100`.
pub(super) fn value(text: &str, report: &mut Report) -> Result<Value, Diagnostic> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let reader = Reader { path: Path::ROOT, report };
    let value = reader.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    value.map_err(|error| syntax::diagnostic(text, &error))
}

/// Reads one value, at a known place.
struct Reader<'a> {
    path: Path<'a>,
    report: &'a mut Report,
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(item) =
            items.next_element_seed(Reader { path: self.path.item(array.len()), report: self.report })?
        {
            array.push(item);
        }
        Ok(array.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            let value =
                fields.next_value_seed(Reader { path: self.path.field(&name), report: self.report })?;
            if object.contains_key(&name) {
                let problem = Problem::error(self.path.pointer(), format!("field `{name}` is repeated"));
                self.report.add(problem.part(Part::RepeatedFieldName(name)));
            } else {
                object.insert(name, value);
            }
        }
        Ok(object.into())
    }
}

/// Whole numbers that a float holds exactly are whole.
fn number(value: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() < EXACT {
        return Value::from(value as i64);
    }
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}
