//! What those are told who may not pass: RFC 6750, section 3.

use std::borrow::Cow;

use cloud_cup_plugin::{Refusal, Reply, grpc};

use crate::token::Malformed;

/// Why a request may not pass.
#[derive(Debug)]
pub enum Denied {
    NoToken,
    /// The credentials cannot be read in one way only.
    Malformed(Malformed),
    /// The token is not good.
    Invalid(Cow<'static, str>),
    /// The token is good, and lacks a scope.
    Scope,
    /// The token is good, and a claim is not one of the values.
    Claim(String),
    /// The token is good, and a claim of it cannot be a field's or an attribute's value.
    Unforwardable(String),
    /// The token may be good.
    KeysUnavailable,
}

impl From<Malformed> for Denied {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

#[derive(Debug)]
pub struct Challenge {
    /// `Bearer realm="..."`.
    plain: String,
    /// `scope="a b"`, as a further part.
    scope: String,
}

impl Challenge {
    /// Both are quotable.
    pub fn new(realm: &str, scopes: &[String]) -> Self {
        Self {
            plain: format!("Bearer realm=\"{realm}\""),
            scope: format!(", scope=\"{}\"", scopes.join(" ")),
        }
    }

    pub fn reply(&self, denied: &Denied, grpc: bool) -> Reply {
        let message = denied.message();
        let (status, grpc_status, code) = denied.codes();
        let reply = Refusal { status, grpc_status, code, message: &message }.reply(grpc);
        match denied {
            Denied::KeysUnavailable => reply.header("retry-after", "1"),
            denied => reply.header("www-authenticate", self.value(denied, &message)),
        }
    }

    /// A request without a token is told how to come with one, and no more.
    fn value(&self, denied: &Denied, message: &str) -> String {
        let (error, scope) = match denied {
            Denied::NoToken | Denied::KeysUnavailable => return self.plain.clone(),
            Denied::Malformed(_) => ("invalid_request", ""),
            Denied::Invalid(_) => ("invalid_token", ""),
            Denied::Scope => ("insufficient_scope", self.scope.as_str()),
            Denied::Claim(_) | Denied::Unforwardable(_) => ("insufficient_scope", ""),
        };
        let description = quotable(message);
        format!("{}, error=\"{error}\", error_description=\"{description}\"{scope}", self.plain)
    }
}

impl Denied {
    fn codes(&self) -> (u16, u8, &'static str) {
        match self {
            Self::NoToken => (401, grpc::UNAUTHENTICATED, "token-missing"),
            Self::Malformed(_) => (400, grpc::UNAUTHENTICATED, "token-ambiguous"),
            Self::Invalid(_) => (401, grpc::UNAUTHENTICATED, "token-invalid"),
            Self::Scope => (403, grpc::PERMISSION_DENIED, "scope-missing"),
            Self::Claim(_) | Self::Unforwardable(_) => (403, grpc::PERMISSION_DENIED, "claim-refused"),
            Self::KeysUnavailable => (503, grpc::UNAVAILABLE, "keys-unavailable"),
        }
    }

    fn message(&self) -> Cow<'_, str> {
        match self {
            Self::NoToken => "there is no token".into(),
            Self::Malformed(Malformed(why)) => (*why).into(),
            Self::Invalid(why) => why.as_ref().into(),
            Self::Scope => "the token lacks a scope".into(),
            Self::Claim(claim) => format!("the token's claim `{claim}` is not one that may pass").into(),
            Self::Unforwardable(claim) => format!("the token's claim `{claim}` cannot be passed on").into(),
            Self::KeysUnavailable => "the keys to verify the token are not available".into(),
        }
    }
}

/// What may stand between quotes without a change, and in a scope: RFC 6749, section 3.3.
pub fn is_quotable(character: char) -> bool {
    matches!(character, '!' | '#'..='[' | ']'..='~')
}

/// RFC 6750, section 3, allows a space more, and nothing else.
fn quotable(text: &str) -> String {
    const LONGEST: usize = 200;
    let replaced =
        |character: char| if character == ' ' || is_quotable(character) { character } else { '\'' };
    text.chars().take(LONGEST).map(replaced).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_denial_has_its_answer() {
        let challenge = Challenge::new("my api", &["read".to_owned(), "write".to_owned()]);
        let check = |denied: Denied, status: u16, field: (&str, &str), code: &str| {
            let reply = challenge.reply(&denied, false);
            assert_eq!(reply.status, status, "{denied:?}");
            let (name, value) = reply.headers.last().unwrap();
            assert_eq!((name.as_str(), std::str::from_utf8(value).unwrap()), field, "{denied:?}");
            let body = String::from_utf8(reply.body).unwrap();
            assert!(body.starts_with(&format!(r#"{{"code":"{code}","message":""#)), "{body}");
        };
        check(Denied::NoToken, 401, ("www-authenticate", r#"Bearer realm="my api""#), "token-missing");
        check(
            Denied::Malformed(Malformed("two")),
            400,
            (
                "www-authenticate",
                r#"Bearer realm="my api", error="invalid_request", error_description="two""#,
            ),
            "token-ambiguous",
        );
        check(
            Denied::Invalid("a `\"é\\` b".into()),
            401,
            (
                "www-authenticate",
                r#"Bearer realm="my api", error="invalid_token", error_description="a `'''` b""#,
            ),
            "token-invalid",
        );
        check(
            Denied::Scope,
            403,
            (
                "www-authenticate",
                r#"Bearer realm="my api", error="insufficient_scope", error_description="the token lacks a scope", scope="read write""#,
            ),
            "scope-missing",
        );
        check(
            Denied::Claim("role".to_owned()),
            403,
            (
                "www-authenticate",
                r#"Bearer realm="my api", error="insufficient_scope", error_description="the token's claim `role` is not one that may pass""#,
            ),
            "claim-refused",
        );
        check(Denied::KeysUnavailable, 503, ("retry-after", "1"), "keys-unavailable");
    }

    #[test]
    fn grpc_callers_get_a_status() {
        let challenge = Challenge::new("api", &[]);
        let check = |denied: Denied, expected: &str| {
            let reply = challenge.reply(&denied, true);
            assert_eq!(reply.status, 200);
            assert!(reply.headers.contains(&("grpc-status".to_owned(), expected.into())), "{denied:?}");
        };
        check(Denied::NoToken, "16");
        check(Denied::Invalid("it is expired".into()), "16");
        check(Denied::Scope, "7");
        check(Denied::KeysUnavailable, "14");
    }

    #[test]
    fn description_is_short() {
        assert_eq!(quotable(&"a".repeat(1000)).len(), 200);
    }
}
