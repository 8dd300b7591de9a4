//! The configuration, checked: nothing of it can be wrong when a request comes.

use cloud_cup_plugin::{FieldName, FieldValue};

use crate::{
    config::{Config, Place},
    hash::{COSTS, KeyHash, PasswordHash},
    htpasswd,
    users::{Keys, Users},
};

pub struct Plan {
    pub users: Users,
    pub keys: Keys,
    /// Where keys may stand; empty where there are none.
    pub from: Vec<Place>,
    pub user_header: Option<FieldName>,
    pub user_attribute: String,
    pub forward_credentials: bool,
    /// The values of `WWW-Authenticate`.
    pub challenges: Vec<String>,
}

impl Plan {
    /// # Errors
    ///
    /// What does not go together, and where; never a hash.
    pub fn new(config: Config) -> Result<Self, String> {
        let users = users(&config)?;
        let keys = keys(&config)?;
        if users.is_empty() && keys.is_empty() {
            return Err("nobody may pass: give `users`, `htpasswd` or `keys`".to_owned());
        }
        let from = from(config.from, &keys, config.forward_credentials)?;
        let is_quotable =
            |character: char| matches!(character, ' '..='~') && !matches!(character, '"' | '\\');
        if !config.realm.chars().all(is_quotable) {
            return Err("`realm` is of printable ASCII without `\"` and `\\` at /realm".to_owned());
        }
        if let Some(name) = config.user_header.as_ref().filter(|name| !name.may_change()) {
            return Err(format!(
                "`{}` belongs to the gateway and cannot be changed at /user_header",
                &**name
            ));
        }
        Ok(Self {
            challenges: challenges(&config.realm, &users, &keys),
            users,
            keys,
            from,
            user_header: config.user_header,
            user_attribute: config.user_attribute,
            forward_credentials: config.forward_credentials,
        })
    }
}

fn users(config: &Config) -> Result<Users, String> {
    let most_cost = config.bcrypt_cost;
    if !COSTS.contains(&most_cost) {
        let (least, most) = (COSTS.start(), COSTS.end());
        return Err(format!("`{most_cost}` is not a cost from {least} to {most} at /bcrypt_cost"));
    }
    let user = |name, hash| user(name, hash, most_cost);
    let mut users = Vec::new();
    for (name, hash) in &config.users {
        let place = || format!("at /users/{}", escaped(name));
        users.push(user(name, hash).map_err(|message| format!("{message} {}", place()))?);
    }
    for (number, line) in htpasswd::lines(config.htpasswd.as_deref().unwrap_or_default()) {
        let user =
            line.ok_or_else(|| "a line is `name:hash`".to_owned()).and_then(|(name, hash)| user(name, hash));
        users.push(user.map_err(|message| format!("line {number}: {message} at /htpasswd"))?);
    }
    Users::new(users)
}

/// RFC 7617, section 2: a name has no colon and no control character.
fn user(name: &str, hash: &str, most_cost: u32) -> Result<(String, PasswordHash), String> {
    check_name(name)?;
    if name.contains(':') {
        return Err(format!("`{name}` is not a name of a user: it has a colon"));
    }
    Ok((name.to_owned(), PasswordHash::parse(hash, most_cost)?))
}

fn keys(config: &Config) -> Result<Keys, String> {
    let mut keys = Vec::new();
    for (name, hash) in &config.keys {
        let place = || format!("at /keys/{}", escaped(name));
        let hash = check_name(name).and_then(|()| KeyHash::parse(hash));
        keys.push((name.clone(), hash.map_err(|message| format!("{message} {}", place()))?));
    }
    Keys::new(keys).map_err(|message| format!("{message} at /keys"))
}

/// It can be a field's value.
fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > 256 || FieldValue::try_from(name.to_owned()).is_err() {
        return Err(format!("`{}` is not a name", name.escape_default()));
    }
    Ok(())
}

fn from(written: Option<Vec<Place>>, keys: &Keys, forward_credentials: bool) -> Result<Vec<Place>, String> {
    if keys.is_empty() {
        return match written {
            None => Ok(Vec::new()),
            Some(_) => Err("`from` says where keys stand, and there are no `keys` at /from".to_owned()),
        };
    }
    let Some(places) = written else { return Ok(vec![x_api_key()]) };
    if places.is_empty() {
        return Err("there is no place to look for a key at /from".to_owned());
    }
    for (index, place) in places.iter().enumerate() {
        if places[..index].contains(place) {
            return Err(format!("this place was named before at /from/{index}"));
        }
        if matches!(place, Place::Query(_)) && !forward_credentials {
            return Err(format!(
                "a key cannot be taken out of a query: either no `query` here, or no `\"forward_credentials\": false` at /from/{index}"
            ));
        }
    }
    Ok(places)
}

fn x_api_key() -> Place {
    let name = FieldName::try_from("x-api-key".to_owned()).expect("it is a name");
    Place::Header { name, scheme: None }
}

/// `ApiKey` is registered nowhere, but a 401 has to name a scheme.
fn challenges(realm: &str, users: &Users, keys: &Keys) -> Vec<String> {
    let basic = (!users.is_empty()).then(|| format!("Basic realm=\"{realm}\", charset=\"UTF-8\""));
    let key = (!keys.is_empty()).then(|| format!("ApiKey realm=\"{realm}\""));
    basic.into_iter().chain(key).collect()
}

/// As a part of a JSON pointer (RFC 6901).
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use cloud_cup_plugin::parse_config;

    use super::*;

    #[test]
    fn refusal_names_the_place_and_shows_no_hash() {
        fn check(text: &str, expected: &str) {
            let refused = parse_config(text).and_then(Plan::new).map(|_| ()).unwrap_err();
            assert_eq!(refused, expected, "{text}");
        }
        let unknown = "it is not a hash that is known: bcrypt (`htpasswd -B`) and `{SSHA256}` are known";
        let key = "a key is kept as `sha256:` and the 64 hexadecimal digits of its SHA-256";
        check("{}", "nobody may pass: give `users`, `htpasswd` or `keys`");
        check(r##"{"htpasswd": "# nobody\n"}"##, "nobody may pass: give `users`, `htpasswd` or `keys`");
        check(r#"{"users": {"a/b": "secret"}}"#, &format!("{unknown} at /users/a~1b"));
        check(
            r#"{"users": {"a:b": "secret"}}"#,
            "`a:b` is not a name of a user: it has a colon at /users/a:b",
        );
        check(r#"{"users": {"": "secret"}}"#, "`` is not a name at /users/");
        check(r#"{"htpasswd": "\na:secret"}"#, &format!("line 2: {unknown} at /htpasswd"));
        check(r#"{"htpasswd": "secret"}"#, "line 1: a line is `name:hash` at /htpasswd");
        check(r#"{"bcrypt_cost": 15}"#, "`15` is not a cost from 4 to 14 at /bcrypt_cost");
        check(r#"{"keys": {"a": "secret"}}"#, &format!("{key} at /keys/a"));
        let one =
            r#""keys": {"a": "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}"#;
        let check = |rest: &str, expected: &str| check(&format!("{{{one}, {rest}}}"), expected);
        check(r#""from": []"#, "there is no place to look for a key at /from");
        check(r#""from": [{"query": "k"}, {"query": "k"}]"#, "this place was named before at /from/1");
        check(
            r#""from": [{"cookie": "k"}]"#,
            "unknown field `cookie`, expected one of `header`, `scheme`, `query` at /from/0/cookie",
        );
        check(r#""from": [{}]"#, "a place is `header` (with or without `scheme`) or `query` at /from/0");
        check(
            r#""from": [{"header": "authorization"}]"#,
            "`authorization` holds a key behind a `scheme` of its own at /from/0",
        );
        check(
            r#""from": [{"query": "k"}], "forward_credentials": false"#,
            "a key cannot be taken out of a query: either no `query` here, or no `\"forward_credentials\": false` at /from/0",
        );
        check(r#""realm": "\"""#, "`realm` is of printable ASCII without `\"` and `\\` at /realm");
        check(
            r#""user_header": "Host""#,
            "`host` belongs to the gateway and cannot be changed at /user_header",
        );
    }
}
