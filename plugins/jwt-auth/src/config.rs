//! The configuration as it is written.

use std::collections::BTreeMap;

use cloud_cup_plugin::FieldName;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub key_sets: Vec<String>,
    #[serde(default = "bearer")]
    pub from: Vec<Place>,
    #[serde(default = "yes")]
    pub required: bool,
    #[serde(default)]
    pub scopes: Vec<String>,
    pub scope_claim: Option<String>,
    #[serde(default)]
    pub claims: BTreeMap<String, Accepted>,
    #[serde(default)]
    pub claims_to_headers: BTreeMap<String, String>,
    #[serde(default = "subject_and_issuer")]
    pub claims_to_attributes: BTreeMap<String, String>,
    #[serde(default = "yes")]
    pub forward_token: bool,
    #[serde(default = "api")]
    pub realm: String,
}

/// Where a token may stand.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(try_from = "WrittenPlace")]
pub enum Place {
    /// Behind the scheme, or the whole value where there is none.
    Header {
        name: FieldName,
        scheme: Option<String>,
    },
    Query(String),
    Cookie(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPlace {
    header: Option<FieldName>,
    scheme: Option<String>,
    query: Option<String>,
    cookie: Option<String>,
}

/// The values that a rule accepts.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a string, a whole number, a boolean, or a list of these")]
pub enum Accepted {
    One(Scalar),
    Any(Vec<Scalar>),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    Text(String),
    Number(i64),
    Boolean(bool),
}

fn yes() -> bool {
    true
}

fn api() -> String {
    "api".to_owned()
}

fn bearer() -> Vec<Place> {
    let name = FieldName::try_from("authorization".to_owned()).expect("it is a name");
    vec![Place::Header { name, scheme: Some("Bearer".to_owned()) }]
}

fn subject_and_issuer() -> BTreeMap<String, String> {
    ["sub", "iss"].map(|claim| (format!("jwt.{claim}"), claim.to_owned())).into()
}

impl TryFrom<WrittenPlace> for Place {
    type Error = String;

    fn try_from(written: WrittenPlace) -> Result<Self, String> {
        match written {
            WrittenPlace { header: Some(name), scheme, query: None, cookie: None } => {
                Self::header(name, scheme)
            }
            WrittenPlace { header: None, scheme: None, query: Some(name), cookie: None } => {
                Ok(Self::Query(name))
            }
            WrittenPlace { header: None, scheme: None, query: None, cookie: Some(name) } => {
                Ok(Self::Cookie(name))
            }
            _ => {
                Err("a place is one of `header` (with or without `scheme`), `query` and `cookie`".to_owned())
            }
        }
    }
}

impl Place {
    fn header(name: FieldName, scheme: Option<String>) -> Result<Self, String> {
        if !name.may_change() {
            return Err(format!("`{}` belongs to the gateway and holds no token", &*name));
        }
        if scheme.as_ref().is_some_and(|scheme| FieldName::try_from(scheme.clone()).is_err()) {
            return Err("`scheme` is a word such as `Bearer`".to_owned());
        }
        let is_authorization = *name == *"authorization";
        let scheme = scheme.or_else(|| is_authorization.then(|| "Bearer".to_owned()));
        Ok(Self::Header { name, scheme })
    }
}

impl Accepted {
    /// As the gateway has claims as text.
    pub fn texts(self) -> Vec<String> {
        match self {
            Self::One(value) => vec![value.text()],
            Self::Any(values) => values.into_iter().map(Scalar::text).collect(),
        }
    }
}

impl Scalar {
    fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
            Self::Boolean(boolean) => boolean.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use cloud_cup_plugin::parse_config;

    use super::*;

    #[test]
    fn places_are_headers_query_parameters_and_cookies() {
        let header = |name: &str, scheme: Option<&str>| Place::Header {
            name: FieldName::try_from(name.to_owned()).unwrap(),
            scheme: scheme.map(str::to_owned),
        };
        let text = r#"[{"header": "Authorization"}, {"header": "authorization", "scheme": "Token"}, {"header": "X-Token"},
            {"query": "access_token"}, {"cookie": "session"}]"#;
        assert_eq!(
            parse_config::<Vec<Place>>(text).unwrap(),
            [
                header("authorization", Some("Bearer")),
                header("authorization", Some("Token")),
                header("x-token", None),
                Place::Query("access_token".to_owned()),
                Place::Cookie("session".to_owned()),
            ]
        );
        assert_eq!(parse_config::<Config>(r#"{"key_sets": ["a"]}"#).unwrap().from, bearer());
    }

    #[test]
    fn refusal_says_what_is_expected() {
        fn check(text: &str, expected: &str) {
            assert_eq!(parse_config::<Config>(text).unwrap_err(), expected, "{text}");
        }
        let one = "a place is one of `header` (with or without `scheme`), `query` and `cookie` at /from/0";
        check("{}", "missing field `key_sets`");
        check(r#"{"key_sets": "a"}"#, r#"invalid type: string "a", expected a sequence at /key_sets"#);
        check(r#"{"key_sets": ["a"], "from": [{}]}"#, one);
        check(r#"{"key_sets": ["a"], "from": [{"query": "a", "cookie": "b"}]}"#, one);
        check(r#"{"key_sets": ["a"], "from": [{"query": "a", "scheme": "Bearer"}]}"#, one);
        check(
            r#"{"key_sets": ["a"], "from": [{"header": "host"}]}"#,
            "`host` belongs to the gateway and holds no token at /from/0",
        );
        check(
            r#"{"key_sets": ["a"], "from": [{"header": "x", "scheme": "my token"}]}"#,
            "`scheme` is a word such as `Bearer` at /from/0",
        );
        check(
            r#"{"key_sets": ["a"], "claims": {"role": {}}}"#,
            "expected a string, a whole number, a boolean, or a list of these at /claims/role",
        );
    }
}
