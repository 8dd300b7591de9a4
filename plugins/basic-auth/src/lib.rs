//! Lets requests with a known password or API key pass, and tells the backend and later plugins whose it is.
//!
//! Passwords come by HTTP's Basic scheme (RFC 7617), keys in a field or a query parameter. The configuration has no
//! password and no key: it has hashes.

mod config;
mod credentials;
mod hash;
mod htpasswd;
mod plan;
mod recent;
mod refusal;
mod users;

use cloud_cup_plugin::{Error, FieldName, Filter, HeadError, RequestHead, Verdict, facts, filter, random};

use config::{Config, Place};
use credentials::Credentials;
use plan::Plan;
use recent::Recent;
use refusal::Denied;

struct BasicAuth {
    plan: Plan,
    recent: Recent,
}

#[filter(schema = "config.schema.json")]
impl Filter for BasicAuth {
    type Config = Config;

    fn new(config: Config) -> Result<Self, Error> {
        Ok(Self { plan: Plan::new(config)?, recent: Recent::new(&random::bytes(32)) })
    }

    fn on_request(&self, request: &RequestHead) -> Verdict {
        match self.check(request) {
            Ok(()) => Verdict::Next,
            Err(denied) => refusal::reply(denied, &self.plan.challenges, request.is_grpc()).into(),
        }
    }
}

impl BasicAuth {
    fn check(&self, request: &RequestHead) -> Result<(), Denied> {
        let name = match self.credentials(request)? {
            Credentials::Password { user, password } => {
                self.plan.users.verify(&user, &password, &self.recent)
            }
            Credentials::Key(key) => self.plan.keys.name(&key),
        };
        let name = name.ok_or(Denied::Invalid)?;
        self.pass_on(request, name).map_err(|_| Denied::NoRoom)
    }

    /// The one set of credentials that a request has.
    fn credentials(&self, request: &RequestHead) -> Result<Credentials, Denied> {
        let mut found = Vec::new();
        if !self.plan.users.is_empty() {
            found.extend(credentials::password(&request.headers("authorization"))?);
        }
        for place in &self.plan.from {
            found.extend(key(request, place)?);
        }
        let last = found.pop().ok_or(Denied::Missing)?;
        if found.is_empty() { Ok(last) } else { Err(Denied::Ambiguous) }
    }

    /// Whatever stood in the field that is ours is the client's own invention.
    fn pass_on(&self, request: &RequestHead, name: &str) -> Result<(), HeadError> {
        if !self.plan.forward_credentials {
            self.strip(request)?;
        }
        if let Some(field) = &self.plan.user_header {
            request.set_header(field, name.as_bytes())?;
        }
        // The bounds of an attribute are far from what a name may have.
        facts::set_attribute(&self.plan.user_attribute, name).map_err(|_| HeadError::TooLarge)
    }

    /// Takes out what was looked at. Nothing else is in these fields: there was one set of credentials.
    fn strip(&self, request: &RequestHead) -> Result<(), HeadError> {
        if matches!(credentials::password(&request.headers("authorization")), Ok(Some(_))) {
            request.remove_header("authorization")?;
        }
        for place in &self.plan.from {
            if let (Place::Header { name, .. }, Ok(Some(_))) = (place, key(request, place)) {
                request.remove_header(name)?;
            }
        }
        Ok(())
    }
}

fn key(request: &RequestHead, place: &Place) -> Result<Option<Credentials>, Denied> {
    let field = |name: &FieldName| request.headers(name);
    match place {
        Place::Header { name, scheme } => credentials::key_of_fields(field(name), scheme.as_deref()),
        Place::Query(name) => credentials::key_of_values(request.query_parameters(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_schema_readme_and_tests_agree() {
        agreement::check("basic-auth", env!("CARGO_MANIFEST_DIR"), |text| {
            Plan::new(cloud_cup_plugin::parse_config(text)?).map(drop)
        });
    }
}
