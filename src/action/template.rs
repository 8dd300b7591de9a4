//! Texts with variables: `/v2${path}`, `${client.address}`.
//!
//! `${NAME}` stands for a fact of the request, `$$` for a `$`, and any other `$` for itself. Which names there are is
//! known when a document is checked; a name that stands for nothing at a request stands for an empty text.

use std::borrow::Cow;
use std::fmt;

use http::HeaderName;

use super::Facts;
use crate::route::cookies;

/// What variables there are, for messages. Those with capitals stand for a name.
const NAMES: [&str; 14] = [
    "client.address",
    "client.port",
    "scheme",
    "method",
    "host",
    "path",
    "query",
    "route",
    "protocol",
    "header.NAME",
    "cookie.NAME",
    "query.NAME",
    "parameter.NAME",
    "attribute.NAME",
];
/// Those that there are with a response only.
const NAMES_OF_RESPONSES: [&str; 2] = ["status", "backend"];

/// A text that was read and found valid.
#[derive(Clone, PartialEq, Eq)]
pub struct Template {
    parts: Box<[Part]>,
    is_secret: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    Value(Variable),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Variable {
    ClientAddress,
    ClientPort,
    Scheme,
    Method,
    Host,
    Path,
    Query,
    Route,
    Protocol,
    Header(HeaderName),
    Cookie(Box<str>),
    QueryParameter(Box<str>),
    Parameter(Box<str>),
    Attribute(Box<str>),
    Status,
    Backend,
}

/// What a template may name.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scope<'a> {
    /// The parameters of the route's pattern.
    pub parameters: &'a [&'a str],
    /// Whether there is a response.
    pub has_response: bool,
}

/// Where a text is to stand, and so what of a variable is written otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// A header field, or a host: control characters are percent-encoded, all else stays as it is.
    Field,
    /// A path: all but unreserved characters are percent-encoded, slashes too, unless it is a part of a path already.
    Path,
    /// A query: as forms are encoded.
    Query,
}

/// Why a template was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each is described by its message")]
pub enum TemplateError {
    #[error("`${{` without a `}}`")]
    Unclosed,
    #[error("unknown variable `${{{0}}}`")]
    Unknown(String, String),
    #[error("`${{{0}}}` is known with the response only")]
    Early(String),
    #[error("the route's pattern has no parameter `{0}`")]
    Parameter(String, String),
    #[error("`${{{0}}}` does not name a header")]
    Header(String),
}

impl TemplateError {
    /// What to do about it.
    pub fn hint(&self) -> &str {
        match self {
            Self::Unclosed => "a `$` itself is `$$`",
            Self::Unknown(_, known) | Self::Parameter(_, known) => known,
            Self::Early(_) => "edits of `response` may have it",
            Self::Header(_) => "for example `${header.user-agent}`",
        }
    }
}

impl Template {
    /// Reads a text of the document.
    pub fn parse(text: &str, scope: &Scope<'_>) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            plain.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(behind) = rest.strip_prefix('{') {
                let (name, behind) = behind.split_once('}').ok_or(TemplateError::Unclosed)?;
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain).into()));
                }
                parts.push(Part::Value(Variable::parse(name, scope)?));
                rest = behind;
            } else {
                plain.push('$');
                rest = rest.strip_prefix('$').unwrap_or(rest);
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain.into()));
        }
        Ok(Self { parts: parts.into(), is_secret: false })
    }

    /// What a reference of the document stood for: it is taken as it is, and shown to nobody.
    pub fn secret(text: &str) -> Self {
        let parts =
            if text.is_empty() { Box::default() } else { Box::new([Part::Text(text.into())]) as Box<[_]> };
        Self { parts, is_secret: true }
    }

    /// Whether it must not be shown.
    pub fn is_secret(&self) -> bool {
        self.is_secret
    }

    /// The text, where it has no variables.
    pub fn as_constant(&self) -> Option<&str> {
        match &*self.parts {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Whether it names a field of the request.
    pub fn looks_at_headers(&self) -> bool {
        let is_field = |part: &Part| matches!(part, Part::Value(Variable::Header(_) | Variable::Cookie(_)));
        self.parts.iter().any(is_field)
    }

    /// What it looks like where every variable is an `x`, so that the rest of it can be judged.
    pub fn sample(&self) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.to_string(),
            Part::Value(Variable::Path) => "/x".to_owned(),
            Part::Value(_) => "x".to_owned(),
        };
        self.parts.iter().map(part).collect()
    }

    /// The text for a request.
    pub fn render(&self, facts: &Facts<'_>, encoding: Encoding) -> Vec<u8> {
        let mut rendered = Vec::new();
        for part in &self.parts {
            match part {
                Part::Text(text) if encoding == Encoding::Query => {
                    encode_query(&mut rendered, text.as_bytes())
                }
                Part::Text(text) => rendered.extend_from_slice(text.as_bytes()),
                Part::Value(variable) => variable.write(facts, encoding, &mut rendered),
            }
        }
        rendered
    }
}

impl Variable {
    fn parse(name: &str, scope: &Scope<'_>) -> Result<Self, TemplateError> {
        let unknown = || {
            let of_responses = scope.has_response.then_some(NAMES_OF_RESPONSES).into_iter().flatten();
            let known: Vec<_> =
                NAMES.into_iter().chain(of_responses).map(|name| format!("`{name}`")).collect();
            TemplateError::Unknown(shorten(name), format!("there are {}", known.join(", ")))
        };
        let early = |variable| match scope.has_response {
            true => Ok(variable),
            false => Err(TemplateError::Early(name.to_owned())),
        };
        Ok(match name.split_once('.') {
            Some((_, "")) => return Err(unknown()),
            Some(("client", "address")) => Self::ClientAddress,
            Some(("client", "port")) => Self::ClientPort,
            Some(("header", field)) => {
                let field = field.parse().map_err(|_| TemplateError::Header(shorten(name)))?;
                Self::Header(field)
            }
            Some(("cookie", cookie)) => Self::Cookie(cookie.into()),
            Some(("query", parameter)) => Self::QueryParameter(parameter.into()),
            Some(("attribute", attribute)) => Self::Attribute(attribute.into()),
            Some(("parameter", parameter)) if scope.parameters.contains(&parameter) => {
                Self::Parameter(parameter.into())
            }
            Some(("parameter", parameter)) => {
                let known: Vec<_> = scope.parameters.iter().map(|name| format!("`{name}`")).collect();
                let hint = match &known[..] {
                    [] => "it has none; one is a whole segment, as in `/users/{id}`".to_owned(),
                    _ => format!("it has {}", known.join(", ")),
                };
                return Err(TemplateError::Parameter(shorten(parameter), hint));
            }
            Some(_) => return Err(unknown()),
            None => match name {
                "scheme" => Self::Scheme,
                "method" => Self::Method,
                "host" => Self::Host,
                "path" => Self::Path,
                "query" => Self::Query,
                "route" => Self::Route,
                "protocol" => Self::Protocol,
                "status" => early(Self::Status)?,
                "backend" => early(Self::Backend)?,
                _ => return Err(unknown()),
            },
        })
    }

    fn write(&self, facts: &Facts<'_>, encoding: Encoding, out: &mut Vec<u8>) {
        let value = self.value(facts);
        match encoding {
            Encoding::Field => encode_field(out, &value),
            // They were a part of a safe path, and are one again.
            Encoding::Path if matches!(self, Self::Path | Self::Parameter(_)) => {
                out.extend_from_slice(&value)
            }
            Encoding::Path => encode_path(out, &value),
            Encoding::Query => encode_query(out, &value),
        }
    }

    fn value<'f>(&self, facts: &Facts<'f>) -> Cow<'f, [u8]> {
        let text = |text: &'f str| Cow::Borrowed(text.as_bytes());
        let made = |text: String| Cow::Owned(text.into_bytes());
        match self {
            Self::ClientAddress => made(facts.client.ip().to_string()),
            Self::ClientPort => made(facts.client.port().to_string()),
            Self::Scheme => text(facts.scheme),
            Self::Method => text(facts.method.as_str()),
            Self::Host => text(facts.host),
            Self::Path => text(facts.path),
            Self::Query => text(facts.query.unwrap_or_default()),
            Self::Route => text(facts.route),
            Self::Protocol => text(facts.protocol),
            Self::Header(name) => join(facts.headers.get_all(name).iter().map(|value| value.as_bytes())),
            Self::Cookie(name) => Cow::Borrowed(cookies(facts.headers, name).next().unwrap_or_default()),
            Self::QueryParameter(name) => {
                let mut query = form_urlencoded::parse(facts.query.unwrap_or_default().as_bytes());
                let found = query.find(|(key, _)| *key == **name);
                found.map_or(Cow::Borrowed(&[]), |(_, value)| Cow::Owned(value.into_owned().into_bytes()))
            }
            Self::Parameter(name) => {
                let found = facts.parameters.iter().find(|(known, _)| **known == **name);
                found.map_or(Cow::Borrowed(&[]), |(_, value)| text(value))
            }
            Self::Attribute(name) => {
                let found = facts.attributes.iter().find(|(known, _)| **known == **name);
                found.map_or(Cow::Borrowed(&[]), |(_, value)| text(value))
            }
            Self::Status => made(facts.status.map(|status| status.as_u16().to_string()).unwrap_or_default()),
            Self::Backend => text(facts.backend.unwrap_or_default()),
        }
    }
}

/// Several values of a field are one list (RFC 9110, section 5.3).
fn join<'v>(mut values: impl Iterator<Item = &'v [u8]>) -> Cow<'v, [u8]> {
    let first = Cow::Borrowed(values.next().unwrap_or_default());
    values.fold(first, |list, value| Cow::Owned([&*list, b", ", value].concat()))
}

fn encode_field(out: &mut Vec<u8>, value: &[u8]) {
    value.iter().for_each(|&byte| if byte.is_ascii_control() { escape(out, byte) } else { out.push(byte) });
}

fn encode_path(out: &mut Vec<u8>, value: &[u8]) {
    let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    value.iter().for_each(|&byte| if is_unreserved(byte) { out.push(byte) } else { escape(out, byte) });
}

fn encode_query(out: &mut Vec<u8>, value: &[u8]) {
    form_urlencoded::byte_serialize(value).for_each(|piece| out.extend_from_slice(piece.as_bytes()));
}

fn escape(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.extend([b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 0xF)]]);
}

/// A name as messages can show it.
fn shorten(name: &str) -> String {
    name.chars().take(80).map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Without what must not be shown.
impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_secret {
            true => f.write_str("Template(secret)"),
            false => f.debug_tuple("Template").field(&self.parts).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::action::tests::{EVERY, SCOPE, with_facts};

    fn rendered(template: &str, encoding: Encoding) -> String {
        let template = Template::parse(template, &SCOPE).unwrap();
        with_facts("v/1", "q=%0Ax&r=2", |facts| String::from_utf8(template.render(facts, encoding)).unwrap())
    }

    #[test]
    fn variables_stand_for_facts() {
        assert_eq!(
            rendered(EVERY, Encoding::Field),
            "192.0.2.1 5000 http GET a.example /users/a%20b/x q=%0Ax&r=2 /users/{id}/* HTTP/1.1 v/1, 2 v/1 %0Ax \
             a%20b v/1 404 127.0.0.1:81"
        );
        assert_eq!(
            rendered("/n/${parameter.id}/${header.x-a}${path}", Encoding::Path),
            "/n/a%20b/v%2F1%2C%202/users/a%20b/x"
        );
        assert_eq!(rendered("a b&${attribute.jwt.sub}", Encoding::Query), "a+b%26v%2F1");
        assert_eq!(
            rendered("${header.none}${cookie.none}${query.none}${attribute.none}", Encoding::Field),
            ""
        );
    }

    #[test]
    fn dollars_are_themselves_unless_a_variable_begins() {
        let check =
            |text: &str, expected: &str| assert_eq!(rendered(text, Encoding::Field), expected, "{text}");
        check("", "");
        check("$", "$");
        check("a$b", "a$b");
        check("$$", "$");
        check("$${host}", "${host}");
        check("$$${host}", "$a.example");
        check("$env:X", "$env:X");
        assert_eq!(Template::secret("${host} $$").as_constant(), Some("${host} $$"));
        assert_eq!(format!("{:?}", Template::secret("s3cr3t")), "Template(secret)");
    }

    #[test]
    fn says_what_there_is() {
        let check = |text: &str, message: &str, hint: &str| {
            let error =
                Template::parse(text, &Scope { parameters: &["id"], has_response: false }).unwrap_err();
            assert_eq!(error.to_string(), message);
            assert!(error.hint().contains(hint), "{}", error.hint());
        };
        check("${", "`${` without a `}`", "`$$`");
        check("${hots}", "unknown variable `${hots}`", "`client.address`");
        check("${}", "unknown variable `${}`", "`attribute.NAME`");
        check("${header.}", "unknown variable `${header.}`", "`header.NAME`");
        check("${header.a b}", "`${header.a b}` does not name a header", "${header.user-agent}");
        check("${parameter.name}", "the route's pattern has no parameter `name`", "it has `id`");
        check("${status}", "`${status}` is known with the response only", "`response`");
    }

    proptest! {
        #[test]
        fn no_control_character_gets_into_a_field(text in any::<String>(), query in "[ -~]{0,16}") {
            let template = Template::parse(EVERY, &SCOPE).unwrap();
            let field = with_facts(&text, &query, |facts| template.render(facts, Encoding::Field));
            prop_assert!(!field.iter().any(u8::is_ascii_control), "{field:?}");
        }

        #[test]
        fn any_text_is_read_or_refused(text in any::<String>()) {
            let _ = Template::parse(&text, &SCOPE);
        }
    }
}
