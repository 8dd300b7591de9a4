//! The configuration as it is written.

use cloud_cup_plugin::{DurationText, FieldName};
use serde::Deserialize;

use crate::origin::Pattern;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub origins: Vec<Pattern>,
    #[serde(default = "safe_methods")]
    pub methods: Vec<Method>,
    #[serde(default)]
    pub headers: Vec<FieldName>,
    #[serde(default)]
    pub expose: Vec<FieldName>,
    #[serde(default)]
    pub credentials: bool,
    pub max_age: Option<DurationText>,
    #[serde(default)]
    pub private_network: bool,
}

/// RFC 9110, section 9.1: a token, and its case matters.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub struct Method(pub String);

/// Those that a page could send without asking.
fn safe_methods() -> Vec<Method> {
    ["GET", "HEAD", "POST"].map(|method| Method(method.to_owned())).into()
}

impl TryFrom<String> for Method {
    type Error = String;

    fn try_from(method: String) -> Result<Self, String> {
        match FieldName::try_from(method.clone()) {
            Ok(_) => Ok(Self(method)),
            Err(_) => Err(format!("`{}` is not a method", method.escape_default())),
        }
    }
}
