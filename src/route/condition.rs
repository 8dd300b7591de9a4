//! Conditions on a request beyond its route: which requests a rule is for, and which a plugin sees. Pure, like the rest
//! of this module.

use std::fmt;

use http::{HeaderMap, HeaderName, Method, header};

use super::{HostPattern, Pattern, ValueMatch};

/// Something that holds for a request or does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Every one of these holds.
    All(Vec<Condition>),
    /// At least one of these holds.
    Any(Vec<Condition>),
    /// This does not hold.
    Not(Box<Condition>),
    /// The method is one of these.
    Method(Vec<Method>),
    /// The host is one of these.
    Host(Vec<HostPattern>),
    /// The path, of whatever host, matches one of these.
    Path(Vec<Pattern>),
    /// A field, of which there can be several.
    Header(HeaderName, ValueMatch),
    /// A query parameter, decoded.
    Query(String, ValueMatch),
    /// A cookie, as it was sent.
    Cookie(String, ValueMatch),
    /// An attribute.
    Attribute(String, ValueMatch),
}

/// What conditions look at.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The method.
    pub method: &'a Method,
    /// Without its port.
    pub host: &'a str,
    /// [Normalised](super::path::normalise).
    pub path: &'a str,
    /// Undecoded.
    pub query: Option<&'a str>,
    /// End-to-end fields.
    pub headers: &'a HeaderMap,
    /// Names and values.
    pub attributes: &'a [(String, String)],
}

impl Condition {
    /// Whether it holds.
    pub fn holds(&self, subject: &Subject<'_>) -> bool {
        match self {
            Self::All(conditions) => conditions.iter().all(|condition| condition.holds(subject)),
            Self::Any(conditions) => conditions.iter().any(|condition| condition.holds(subject)),
            Self::Not(condition) => !condition.holds(subject),
            Self::Method(methods) => methods.contains(subject.method),
            Self::Host(patterns) => patterns.iter().any(|pattern| pattern.matches(subject.host)),
            Self::Path(patterns) => patterns.iter().any(|pattern| pattern.matches_path(subject.path)),
            Self::Header(name, value) => value.holds(subject.headers.get_all(name).iter()),
            Self::Query(name, value) => {
                let query = form_urlencoded::parse(subject.query.unwrap_or_default().as_bytes());
                let named = query.filter(|(key, _)| key == name);
                value.holds(named.map(|(_, found)| Decoded(found)))
            }
            Self::Cookie(name, value) => value.holds(cookies(subject.headers, name)),
            Self::Attribute(name, value) => {
                let attributes = subject.attributes.iter().filter(|(key, _)| key == name);
                value.holds(attributes.map(|(_, found)| found))
            }
        }
    }

    /// Whether it asks for a field.
    pub fn looks_at_headers(&self) -> bool {
        match self {
            Self::All(conditions) | Self::Any(conditions) => conditions.iter().any(Self::looks_at_headers),
            Self::Not(condition) => condition.looks_at_headers(),
            Self::Header(..) => true,
            _ => false,
        }
    }
}

/// The values of a cookie (RFC 6265, section 4.2.1). HTTP/2 lets a client send several fields with them (RFC 9113,
/// section 8.2.3).
pub fn cookies<'h>(headers: &'h HeaderMap, name: &str) -> impl Iterator<Item = &'h [u8]> {
    let pairs =
        headers.get_all(header::COOKIE).iter().flat_map(|field| field.as_bytes().split(|b| *b == b';'));
    pairs.filter_map(move |pair| {
        let rest = pair.trim_ascii().strip_prefix(name.as_bytes())?;
        rest.strip_prefix(b"=")
    })
}

/// A text that is read as bytes.
struct Decoded<'a>(std::borrow::Cow<'a, str>);

impl AsRef<[u8]> for Decoded<'_> {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// What it asks for, for people.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(conditions) => list(f, conditions, " and "),
            Self::Any(conditions) => list(f, conditions, " or "),
            Self::Not(condition) => write!(f, "not ({condition})"),
            Self::Method(methods) => {
                f.write_str("method ")?;
                list(f, methods.iter().map(Quoted), " or ")
            }
            Self::Host(patterns) => {
                f.write_str("host ")?;
                list(f, patterns.iter().map(Quoted), " or ")
            }
            Self::Path(patterns) => {
                f.write_str("path ")?;
                list(f, patterns.iter().map(Quoted), " or ")
            }
            Self::Header(name, value) => named(f, "header", name.as_str(), ": ", value),
            Self::Query(name, value) => named(f, "query", name, "=", value),
            Self::Cookie(name, value) => named(f, "cookie", name, "=", value),
            Self::Attribute(name, value) => named(f, "attribute", name, "=", value),
        }
    }
}

fn named(
    f: &mut fmt::Formatter<'_>,
    kind: &str,
    name: &str,
    separator: &str,
    value: &ValueMatch,
) -> fmt::Result {
    write!(f, "{kind} ")?;
    value.describe(f, name, separator)
}

fn list<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    items: impl IntoIterator<Item = T>,
    separator: &str,
) -> fmt::Result {
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            f.write_str(separator)?;
        }
        item.fmt(f)?;
    }
    Ok(())
}

struct Quoted<T>(T);

impl<T: fmt::Display> fmt::Display for Quoted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::route::Regex;

    fn headers() -> HeaderMap {
        let field = |name, value| (HeaderName::from_static(name), HeaderValue::from_static(value));
        HeaderMap::from_iter([
            field("x-kind", "b"),
            field("cookie", "a=1; theme=dark"),
            field("cookie", "b=x=y;c="),
        ])
    }

    fn check(condition: &Condition, expected: bool) {
        let headers = headers();
        let subject = Subject {
            method: &Method::GET,
            host: "API.example.com",
            path: "/users/7",
            query: Some("a=1&b=x%20y"),
            headers: &headers,
            attributes: &[],
        };
        assert_eq!(condition.holds(&subject), expected, "{condition:?}");
        let not = Condition::Not(Box::new(condition.clone()));
        assert_eq!(not.holds(&subject), !expected, "{not:?}");
    }

    fn path(patterns: &[&str]) -> Condition {
        Condition::Path(patterns.iter().map(|text| Pattern::parse(text).unwrap()).collect())
    }

    fn host(patterns: &[&str]) -> Condition {
        Condition::Host(patterns.iter().map(|text| HostPattern::parse(text).unwrap()).collect())
    }

    #[test]
    fn each_kind_holds_for_what_it_names() {
        check(&Condition::Method(vec![Method::POST, Method::GET]), true);
        check(&Condition::Method(vec![Method::HEAD]), false);
        check(&host(&["other.example", "api.example.com"]), true);
        check(&host(&["*.example.com"]), true);
        check(&host(&["example.com"]), false);
        check(&path(&["/other", "/users/{id}"]), true);
        check(&path(&["/users/*"]), true);
        check(&path(&["/users/7/*"]), true);
        check(&path(&["/users", "/users/7/", "/users/7/x"]), false);
        let header = |value| Condition::Header(HeaderName::from_static("x-kind"), value);
        check(&header(ValueMatch::Present), true);
        check(&header(ValueMatch::exact("b")), true);
        check(&header(ValueMatch::exact("B")), false);
        let query = |name: &str, value| Condition::Query(name.into(), value);
        check(&query("b", ValueMatch::exact("x y")), true);
        check(&query("b", ValueMatch::Present), true);
        check(&query("a", ValueMatch::exact("2")), false);
        let cookie = |name: &str, value| Condition::Cookie(name.into(), value);
        check(&cookie("theme", ValueMatch::exact("dark")), true);
        check(&cookie("b", ValueMatch::exact("x=y")), true);
        check(&cookie("c", ValueMatch::exact("")), true);
        check(&cookie("them", ValueMatch::Present), false);
        check(&Condition::Attribute("jwt.sub".into(), ValueMatch::Present), false);
    }

    #[test]
    fn lists_of_nothing_are_all_and_none() {
        check(&Condition::All(vec![]), true);
        check(&Condition::Any(vec![]), false);
    }

    #[test]
    fn says_what_it_asks_for() {
        let check = |condition: Condition, expected: &str| assert_eq!(condition.to_string(), expected);
        let not = |inner| ValueMatch::Not(Box::new(inner));
        check(Condition::Method(vec![Method::GET, Method::HEAD]), "method `GET` or `HEAD`");
        check(host(&["*.example.com"]), "host `*.example.com`");
        check(Condition::Header(header::ACCEPT, ValueMatch::exact("a")), "header `accept: a`");
        check(Condition::Header(header::ACCEPT, ValueMatch::Present), "header `accept`");
        check(Condition::Header(header::ACCEPT, ValueMatch::Absent), "header `accept` that is absent");
        check(Condition::Query("v".into(), not(ValueMatch::exact("2"))), "query not `v=2`");
        check(Condition::Query("v".into(), ValueMatch::Prefix(b"2".as_slice().into())), "query `v=2…`");
        let regex = ValueMatch::Regex(Regex::whole("[a-z]+").unwrap());
        check(Condition::Cookie("c".into(), regex), "cookie `c` that matches `[a-z]+`");
    }
}
