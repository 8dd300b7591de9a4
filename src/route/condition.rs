//! Conditions on a request beyond its route: which requests a plugin sees. Pure, like the rest of this module.

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::Pattern;

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
    /// The path, of whatever host, matches one of these.
    Path(Vec<Pattern>),
    /// A field has this value, or any.
    Header(HeaderName, Option<HeaderValue>),
    /// A query parameter has this value, decoded, or any.
    Query(String, Option<String>),
    /// An attribute has this value, or any.
    Attribute(String, Option<String>),
}

/// What conditions look at.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The method.
    pub method: &'a Method,
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
            Self::Path(patterns) => patterns.iter().any(|pattern| pattern.matches_path(subject.path)),
            Self::Header(name, value) => {
                subject.headers.get_all(name).iter().any(|found| is_wanted(value.as_ref(), found))
            }
            Self::Query(name, value) => {
                let mut query = form_urlencoded::parse(subject.query.unwrap_or_default().as_bytes());
                query.any(|(key, found)| key == *name && is_wanted(value.as_deref(), &*found))
            }
            Self::Attribute(name, value) => {
                let mut attributes = subject.attributes.iter();
                attributes.any(|(key, found)| key == name && is_wanted(value.as_deref(), found.as_str()))
            }
        }
    }
}

fn is_wanted<T: PartialEq + ?Sized>(wanted: Option<&T>, found: &T) -> bool {
    wanted.is_none_or(|wanted| wanted == found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(headers: &HeaderMap) -> Subject<'_> {
        Subject {
            method: &Method::GET,
            path: "/users/7",
            query: Some("a=1&b=x%20y"),
            headers,
            attributes: &[],
        }
    }

    fn check(condition: &Condition, expected: bool) {
        let headers =
            HeaderMap::from_iter([(HeaderName::from_static("x-kind"), HeaderValue::from_static("b"))]);
        assert_eq!(condition.holds(&subject(&headers)), expected, "{condition:?}");
        let not = Condition::Not(Box::new(condition.clone()));
        assert_eq!(not.holds(&subject(&headers)), !expected, "{not:?}");
    }

    fn path(patterns: &[&str]) -> Condition {
        Condition::Path(patterns.iter().map(|text| Pattern::parse(text).unwrap()).collect())
    }

    #[test]
    fn each_kind_holds_for_what_it_names() {
        check(&Condition::Method(vec![Method::POST, Method::GET]), true);
        check(&Condition::Method(vec![Method::HEAD]), false);
        check(&path(&["/other", "/users/{id}"]), true);
        check(&path(&["/users/*"]), true);
        check(&path(&["/users/7/*"]), true);
        check(&path(&["/users", "/users/7/", "/users/7/x"]), false);
        let header = |value| Condition::Header(HeaderName::from_static("x-kind"), value);
        check(&header(None), true);
        check(&header(Some(HeaderValue::from_static("b"))), true);
        check(&header(Some(HeaderValue::from_static("B"))), false);
        let query = |name: &str, value: Option<&str>| Condition::Query(name.into(), value.map(Into::into));
        check(&query("b", Some("x y")), true);
        check(&query("b", None), true);
        check(&query("a", Some("2")), false);
        check(&Condition::Attribute("jwt.sub".into(), None), false);
    }

    #[test]
    fn lists_of_nothing_are_all_and_none() {
        check(&Condition::All(vec![]), true);
        check(&Condition::Any(vec![]), false);
    }
}
