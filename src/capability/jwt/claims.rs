//! The claims of a token whose signature is good (RFC 7519 section 4.1).

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::json::read_object;
use super::{KeySetSpec, Refusal};

/// A token that a key set has verified.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// The name of the key set.
    pub key_set: Arc<str>,
    /// The claims set; always an object.
    pub claims: Value,
    /// The claims set as it was signed.
    pub json: String,
    /// `exp`, since 1970-01-01T00:00:00Z; none where there is none. The key set's clock skew comes on top.
    pub expires: Option<Duration>,
}

impl Verified {
    /// One claim as text: a string as it is, a number or a boolean as JSON has it, a list of strings joined by spaces,
    /// anything else as JSON text. The name is a claim's, or a JSON pointer (RFC 6901) that begins with `/`.
    pub fn text(&self, name: &str) -> Option<String> {
        match self.claim(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Array(items) => {
                Some(joined(items).unwrap_or_else(|| Value::Array(items.clone()).to_string()))
            }
            other => Some(other.to_string()),
        }
    }

    /// One claim as a list: the strings of an array, or the words of a string, as `scope` has them (RFC 8693). What is
    /// neither has none.
    pub fn words(&self, name: &str) -> Vec<String> {
        match self.claim(name) {
            Some(Value::String(text)) => text.split_ascii_whitespace().map(str::to_owned).collect(),
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    }

    fn claim(&self, name: &str) -> Option<&Value> {
        if name.starts_with('/') { self.claims.pointer(name) } else { self.claims.get(name) }
    }
}

/// Checks the claims of a token whose signature is good, at a time in seconds since 1970.
pub(super) fn read_claims(
    json: Vec<u8>,
    spec: &KeySetSpec,
    key_set: &Arc<str>,
    now: f64,
) -> Result<Verified, Refusal> {
    let claims = read_object(&json).ok_or(Refusal::Malformed)?;
    let expires = check_times(&claims, spec, now)?;
    check_issuer(&claims, &spec.issuers)?;
    check_audience(&claims, &spec.audiences)?;
    for name in &spec.required {
        if claims.get(name).is_none_or(Value::is_null) {
            return Err(Refusal::MissingClaim(name.clone()));
        }
    }
    let json = String::from_utf8(json).map_err(|_| Refusal::Malformed)?;
    Ok(Verified { key_set: key_set.clone(), claims: Value::Object(claims), json, expires })
}

/// Seconds are `f64` throughout: fractions are allowed, and what is huge compares and does not overflow.
fn check_times(
    claims: &Map<String, Value>,
    spec: &KeySetSpec,
    now: f64,
) -> Result<Option<Duration>, Refusal> {
    let skew = spec.clock_skew.as_secs_f64();
    let expires = numeric_date(claims, "exp")?;
    match expires {
        None if spec.require_exp => return Err(Refusal::MissingClaim("exp".to_owned())),
        Some(expires) if now >= expires + skew => return Err(Refusal::Expired),
        _ => {}
    }
    if numeric_date(claims, "nbf")?.is_some_and(|begins| now + skew < begins) {
        return Err(Refusal::NotYetValid);
    }
    Ok(expires.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)))
}

/// A date is a number: text that looks like one is refused, like `null`.
fn numeric_date(claims: &Map<String, Value>, name: &str) -> Result<Option<f64>, Refusal> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => value.as_f64().map(Some).ok_or(Refusal::Malformed),
    }
}

fn check_issuer(claims: &Map<String, Value>, issuers: &[String]) -> Result<(), Refusal> {
    let issuer = claims.get("iss").and_then(Value::as_str);
    let accepted = issuers.is_empty() || issuer.is_some_and(|issuer| issuers.iter().any(|one| one == issuer));
    if accepted { Ok(()) } else { Err(Refusal::Issuer) }
}

/// `aud` is a string or an array of strings, all of them: a nested one is no audience.
fn check_audience(claims: &Map<String, Value>, audiences: &[String]) -> Result<(), Refusal> {
    if audiences.is_empty() {
        return Ok(());
    }
    let accepts = |value: &Value| audiences.iter().any(|one| value == one.as_str());
    let accepted = match claims.get("aud") {
        Some(Value::Array(items)) => items.iter().all(Value::is_string) && items.iter().any(accepts),
        Some(single) => accepts(single),
        None => false,
    };
    if accepted { Ok(()) } else { Err(Refusal::Audience) }
}

/// None where one of the items is no string.
fn joined(items: &[Value]) -> Option<String> {
    let words: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
    words.map(|words| words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_texts_and_words() {
        let json = r#"{"sub":"a b","n":1.5,"t":true,"list":["x","y z"],"mixed":["x",1],"o":{"a/b":{"c":"deep"}},
            "none":null,"empty":[]}"#;
        let claims: Value = serde_json::from_str(json).unwrap();
        let verified = Verified { key_set: "k".into(), claims, json: json.to_owned(), expires: None };
        let check = |name: &str, text: Option<&str>, words: &[&str]| {
            assert_eq!(verified.text(name).as_deref(), text, "{name}");
            assert_eq!(verified.words(name), words, "{name}");
        };
        check("sub", Some("a b"), &["a", "b"]);
        check("n", Some("1.5"), &[]);
        check("t", Some("true"), &[]);
        check("list", Some("x y z"), &["x", "y z"]);
        check("mixed", Some(r#"["x",1]"#), &["x"]);
        check("/o/a~1b/c", Some("deep"), &["deep"]);
        check("/list/1", Some("y z"), &["y", "z"]);
        check("none", Some("null"), &[]);
        check("empty", Some(""), &[]);
        check("absent", None, &[]);
        check("/absent/0", None, &[]);
    }
}
