//! The configuration as it is written.

use std::collections::BTreeMap;

use cloud_cup_plugin::FieldName;
use serde::Deserialize;

use crate::hash::USUAL_COST;

/// It has no `Debug`: hashes are not for logs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    #[serde(default)]
    pub users: BTreeMap<String, String>,
    pub htpasswd: Option<String>,
    #[serde(default = "usual_cost")]
    pub bcrypt_cost: u32,
    #[serde(default)]
    pub keys: BTreeMap<String, String>,
    pub from: Option<Vec<Place>>,
    #[serde(default = "restricted")]
    pub realm: String,
    pub user_header: Option<FieldName>,
    #[serde(default = "auth_user")]
    pub user_attribute: String,
    #[serde(default = "yes")]
    pub forward_credentials: bool,
}

/// Where a key may stand.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(try_from = "WrittenPlace")]
pub enum Place {
    /// Behind the scheme, or the whole value where there is none.
    Header {
        name: FieldName,
        scheme: Option<String>,
    },
    Query(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPlace {
    header: Option<FieldName>,
    scheme: Option<String>,
    query: Option<String>,
}

impl TryFrom<WrittenPlace> for Place {
    type Error = String;

    fn try_from(written: WrittenPlace) -> Result<Self, String> {
        match written {
            WrittenPlace { header: Some(name), scheme, query: None } => Self::header(name, scheme),
            WrittenPlace { header: None, scheme: None, query: Some(name) } => Ok(Self::Query(name)),
            _ => Err("a place is `header` (with or without `scheme`) or `query`".to_owned()),
        }
    }
}

impl Place {
    fn header(name: FieldName, scheme: Option<String>) -> Result<Self, String> {
        if !name.may_change() {
            return Err(format!("`{}` belongs to the gateway and holds no key", &*name));
        }
        if scheme.as_ref().is_some_and(|scheme| FieldName::try_from(scheme.clone()).is_err()) {
            return Err("`scheme` is a word such as `ApiKey`".to_owned());
        }
        if *name == *"authorization"
            && scheme.as_ref().is_none_or(|scheme| scheme.eq_ignore_ascii_case("basic"))
        {
            return Err("`authorization` holds a key behind a `scheme` of its own".to_owned());
        }
        Ok(Self::Header { name, scheme })
    }
}

fn usual_cost() -> u32 {
    USUAL_COST
}

fn restricted() -> String {
    "restricted".to_owned()
}

fn auth_user() -> String {
    "auth.user".to_owned()
}

fn yes() -> bool {
    true
}
