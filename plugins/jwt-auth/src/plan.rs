//! The configuration, checked: nothing of it can be wrong when a request comes.

use std::collections::BTreeMap;

use cloud_cup_plugin::FieldName;

use crate::{
    challenge::{Challenge, is_quotable},
    config::{Accepted, Config, Place},
    rule::Rule,
};

#[derive(Debug)]
pub struct Plan {
    pub key_sets: Vec<String>,
    pub from: Vec<Place>,
    pub required: bool,
    pub forward_token: bool,
    pub scopes: Vec<String>,
    pub scope_claim: Option<String>,
    pub rules: Vec<Rule>,
    /// Field names and claims.
    pub headers: Vec<(FieldName, String)>,
    /// Attribute names and claims.
    pub attributes: Vec<(String, String)>,
    pub challenge: Challenge,
}

impl Plan {
    /// # Errors
    ///
    /// What does not go together, and where.
    pub fn new(config: Config) -> Result<Self, String> {
        if config.key_sets.is_empty() {
            return Err("no token is good without a key set at /key_sets".to_owned());
        }
        check_from(&config.from, config.forward_token)?;
        check_scopes(&config.scopes)?;
        if !config.realm.chars().all(|character| is_quotable(character) || character == ' ') {
            return Err("`realm` is of printable ASCII without `\"` and `\\` at /realm".to_owned());
        }
        Ok(Self {
            challenge: Challenge::new(&config.realm, &config.scopes),
            key_sets: config.key_sets,
            from: config.from,
            required: config.required,
            forward_token: config.forward_token,
            scopes: config.scopes,
            scope_claim: config.scope_claim,
            rules: rules(config.claims)?,
            headers: headers(config.claims_to_headers)?,
            attributes: config.claims_to_attributes.into_iter().collect(),
        })
    }
}

fn check_from(from: &[Place], forward_token: bool) -> Result<(), String> {
    if from.is_empty() {
        return Err("there is no place to look for a token at /from".to_owned());
    }
    for (index, place) in from.iter().enumerate() {
        if from[..index].contains(place) {
            return Err(format!("this place was named before at /from/{index}"));
        }
        if matches!(place, Place::Query(_)) && !forward_token {
            return Err(format!(
                "a token cannot be taken out of a query: either no `query` here, or no `\"forward_token\": false` at /from/{index}"
            ));
        }
    }
    Ok(())
}

/// RFC 6749, section 3.3.
fn check_scopes(scopes: &[String]) -> Result<(), String> {
    let is_token = |scope: &String| !scope.is_empty() && scope.chars().all(is_quotable);
    match scopes.iter().position(|scope| !is_token(scope)) {
        None => Ok(()),
        Some(index) => {
            Err(format!("`{}` is not one scope at /scopes/{index}", scopes[index].escape_default()))
        }
    }
}

fn rules(written: BTreeMap<String, Accepted>) -> Result<Vec<Rule>, String> {
    let rule = |(claim, accepted): (String, Accepted)| {
        let accepted = accepted.texts();
        if accepted.is_empty() {
            return Err(format!("no value is good at /claims/{}", escaped(&claim)));
        }
        Ok(Rule::new(claim, accepted))
    };
    written.into_iter().map(rule).collect()
}

fn headers(written: BTreeMap<String, String>) -> Result<Vec<(FieldName, String)>, String> {
    let mut headers: Vec<(FieldName, String)> = Vec::with_capacity(written.len());
    for (written_name, claim) in written {
        let place = format!("at /claims_to_headers/{}", escaped(&written_name));
        let name = FieldName::try_from(written_name).map_err(|message| format!("{message} {place}"))?;
        if !name.may_change() {
            return Err(format!("`{}` belongs to the gateway and cannot be changed {place}", &*name));
        }
        if headers.iter().any(|(other, _)| *other == name) {
            return Err(format!("`{}` stands there twice {place}", &*name));
        }
        headers.push((name, claim));
    }
    Ok(headers)
}

/// As a part of a JSON pointer (RFC 6901).
pub fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use cloud_cup_plugin::parse_config;

    use super::*;

    #[test]
    fn refusal_names_the_place() {
        fn check(rest: &str, expected: &str) {
            let text = format!(r#"{{"key_sets": ["a"], {rest}}}"#);
            assert_eq!(Plan::new(parse_config(&text).unwrap()).unwrap_err(), expected, "{text}");
        }
        let none = Plan::new(parse_config(r#"{"key_sets": []}"#).unwrap());
        assert_eq!(none.unwrap_err(), "no token is good without a key set at /key_sets");
        check(r#""from": []"#, "there is no place to look for a token at /from");
        check(r#""from": [{"header": "X-A"}, {"header": "x-a"}]"#, "this place was named before at /from/1");
        check(
            r#""from": [{"query": "t"}], "forward_token": false"#,
            "a token cannot be taken out of a query: either no `query` here, or no `\"forward_token\": false` at /from/0",
        );
        check(r#""scopes": ["a", "b c"]"#, "`b c` is not one scope at /scopes/1");
        check(r#""scopes": [""]"#, "`` is not one scope at /scopes/0");
        check(r#""realm": "a\"b""#, "`realm` is of printable ASCII without `\"` and `\\` at /realm");
        check(r#""claims": {"/a/b": []}"#, "no value is good at /claims/~1a~1b");
        check(
            r#""claims_to_headers": {"x y": "sub"}"#,
            "`x y` is not a field name at /claims_to_headers/x y",
        );
        check(
            r#""claims_to_headers": {"Host": "sub"}"#,
            "`host` belongs to the gateway and cannot be changed at /claims_to_headers/Host",
        );
        check(
            r#""claims_to_headers": {"X-A": "sub", "x-a": "iss"}"#,
            "`x-a` stands there twice at /claims_to_headers/x-a",
        );
    }
}
