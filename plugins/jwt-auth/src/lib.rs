//! Lets requests with a good token pass, and tells the backend and later plugins whose it is.
//!
//! The gateway verifies; what happens here is to find the token, to look at what it claims, and to answer those who have
//! none that is good.

mod challenge;
mod config;
mod plan;
mod rule;
mod token;

use cloud_cup_plugin::{
    Error, Filter, RequestHead, Verdict, facts, filter,
    jwt::{Claims, Refusal, Verifier},
};

use challenge::Denied;
use config::{Config, Place};
use plan::Plan;
use rule::Rule;
use token::{Malformed, Token};

struct JwtAuth {
    plan: Plan,
    verifier: Verifier,
}

#[filter(schema = "config.schema.json")]
impl Filter for JwtAuth {
    type Config = Config;

    fn new(config: Config) -> Result<Self, Error> {
        let plan = Plan::new(config)?;
        Ok(Self { verifier: Verifier::open(&plan.key_sets)?, plan })
    }

    fn on_request(&self, request: &RequestHead) -> Verdict {
        match self.check(request) {
            Ok(()) => Verdict::Next,
            Err(denied) => self.plan.challenge.reply(&denied, request.is_grpc()).into(),
        }
    }
}

impl JwtAuth {
    fn check(&self, request: &RequestHead) -> Result<(), Denied> {
        let Some(token) = self.token(request)? else {
            if self.plan.required {
                return Err(Denied::NoToken);
            }
            return self.pass_on(request, None);
        };
        let claims = self.verifier.verify(&token).map_err(|refusal| denied(&refusal, &token))?;
        self.check_scopes(&claims)?;
        self.check_claims(&claims)?;
        if !self.plan.forward_token {
            self.plan.from.iter().try_for_each(|place| strip(request, place))?;
        }
        self.pass_on(request, Some(&claims))
    }

    /// The one token of a request. The same one in two places is one; another one is not for us to choose from.
    fn token(&self, request: &RequestHead) -> Result<Option<Token>, Malformed> {
        let mut found: Option<Token> = None;
        for place in &self.plan.from {
            match (&found, token_at(request, place)?) {
                (_, None) => {}
                (None, token) => found = token,
                (Some(known), Some(token)) if **known == *token => {}
                (Some(_), Some(_)) => return Err(Malformed("there are different tokens in the request")),
            }
        }
        Ok(found)
    }

    fn check_scopes(&self, claims: &Claims) -> Result<(), Denied> {
        if self.plan.scopes.is_empty() {
            return Ok(());
        }
        let granted = match &self.plan.scope_claim {
            Some(claim) => claims.words(claim),
            None => Some(claims.words("scope"))
                .filter(|words| !words.is_empty())
                .unwrap_or_else(|| claims.words("scp")),
        };
        let has_all = self.plan.scopes.iter().all(|scope| granted.contains(scope));
        if has_all { Ok(()) } else { Err(Denied::Scope) }
    }

    fn check_claims(&self, claims: &Claims) -> Result<(), Denied> {
        let broken = self.plan.rules.iter().find(|rule| !holds(rule, claims));
        broken.map_or(Ok(()), |rule| Err(Denied::Claim(rule.claim.clone())))
    }

    /// Whatever stood in the fields that are ours is the client's own invention.
    fn pass_on(&self, request: &RequestHead, claims: Option<&Claims>) -> Result<(), Denied> {
        let text = |claim: &str| claims.and_then(|claims| claims.text(claim));
        for (name, claim) in &self.plan.headers {
            let changed = match text(claim) {
                Some(value) => request.set_header(name, value.as_bytes()),
                None => request.remove_header(name),
            };
            changed.map_err(|_| Denied::Unforwardable(claim.clone()))?;
        }
        for (name, claim) in &self.plan.attributes {
            let Some(value) = text(claim) else { continue };
            facts::set_attribute(name, &value).map_err(|_| Denied::Unforwardable(claim.clone()))?;
        }
        Ok(())
    }
}

fn token_at(request: &RequestHead, place: &Place) -> Result<Option<Token>, Malformed> {
    match place {
        Place::Header { name, scheme } => token::of_fields(request.headers(name), scheme.as_deref()),
        Place::Query(name) => token::of_values(request.query_parameters(name)),
        Place::Cookie(name) => token::of_values(request.cookies(name)),
    }
}

fn strip(request: &RequestHead, place: &Place) -> Result<(), Denied> {
    let stripped = match place {
        Place::Header { name, scheme } => match token::of_fields(request.headers(name), scheme.as_deref()) {
            Ok(Some(_)) => request.remove_header(name),
            // Credentials of another scheme are not ours.
            _ => Ok(()),
        },
        Place::Cookie(name) => {
            let rest = token::without_cookie(&request.headers("cookie"), name);
            if rest.is_empty() {
                request.remove_header("cookie")
            } else {
                request.set_header("cookie", &rest)
            }
        }
        // The plan has none that would have to be stripped.
        Place::Query(_) => Ok(()),
    };
    stripped.map_err(|_| Denied::Unforwardable("token".to_owned()))
}

/// A list has to be told from a string of words: who may choose the words of a string is not in each of the lists.
fn holds(rule: &Rule, claims: &Claims) -> bool {
    let is_list = claims.text(&rule.first_element).is_some();
    if is_list {
        rule.accepts(&claims.words(&rule.claim))
    } else {
        rule.accepts(claims.text(&rule.claim).as_slice())
    }
}

fn denied(refusal: &Refusal, token: &str) -> Denied {
    match refusal {
        Refusal::KeysUnavailable => Denied::KeysUnavailable,
        Refusal::Malformed if token::is_more_than_one(token) => {
            Denied::Malformed(Malformed("the credentials are more than one token"))
        }
        refusal => Denied::Invalid(refusal.reason()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_schema_readme_and_tests_agree() {
        agreement::check("jwt-auth", env!("CARGO_MANIFEST_DIR"), |text| {
            Plan::new(cloud_cup_plugin::parse_config(text)?).map(drop)
        });
    }
}
