//! Other paths and hosts for requests, on their way to a backend or to where a redirect sends them.

use super::{Encoding, Facts, HostTemplate, Template};
use crate::route::Regex;
use crate::route::path::{self, PathError};

/// What a backend is asked for instead of what the client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// None where the path stays.
    pub path: Option<PathRewrite>,
    /// None where the host stays.
    pub host: Option<HostTemplate>,
}

/// How a path becomes another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathRewrite {
    /// This instead of it.
    Whole(Template),
    /// This instead of what the route's pattern matched before its `*`.
    Prefix {
        /// As many segments of the path as that are.
        segments: usize,
        /// What takes their place.
        by: Template,
    },
    /// What a pattern matches becomes something else, as often as it does.
    Regex {
        /// It may match anywhere.
        pattern: Regex,
        /// Of its groups.
        replacement: Replacement,
    },
}

/// What takes the place of a match: a text with `$1` and `${name}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replacement(Box<[Piece]>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    Group(usize),
}

/// Why there is no such path or host for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each is described by its message")]
pub enum RewriteError {
    #[error("the rewritten path is refused: {0}")]
    Path(#[from] PathError),
    #[error("the rewritten path and query are no target")]
    Target,
    #[error("the rewritten host is none")]
    Host,
    #[error("a redirect needs a host to go to")]
    NoHost,
}

impl Rewrite {
    /// Whether it depends on the request's fields.
    pub fn looks_at_headers(&self) -> bool {
        self.host.as_ref().is_some_and(HostTemplate::looks_at_headers)
            || self.path.as_ref().is_some_and(PathRewrite::looks_at_headers)
    }

    /// The host for a request; none where it stays.
    pub fn host(&self, facts: &Facts<'_>) -> Result<Option<String>, RewriteError> {
        self.host.as_ref().map(|host| host.render(facts, true)).transpose()
    }

    /// The path for a request; none where it stays.
    pub fn path(&self, facts: &Facts<'_>) -> Result<Option<String>, RewriteError> {
        self.path.as_ref().map(|path| path.rewrite(facts)).transpose()
    }
}

impl PathRewrite {
    /// A path as safe as clients' paths are. Beyond what is refused of them, dot segments are: they would lead out of
    /// where the document wants a request to stay.
    pub fn rewrite(&self, facts: &Facts<'_>) -> Result<String, RewriteError> {
        let path = match self {
            Self::Whole(template) => text(template.render(facts, Encoding::Path)),
            Self::Prefix { segments, by } => {
                let mut path = text(by.render(facts, Encoding::Path));
                path.truncate(path.trim_end_matches('/').len());
                path.push_str(behind(facts.path, *segments));
                path
            }
            Self::Regex { pattern, replacement } => {
                pattern.replace(facts.path, |group, out| replacement.write(group, out)).into_owned()
            }
        };
        Ok(path::normalise_rewritten(&path)?.into_owned())
    }

    /// Whether it must not be shown.
    pub fn is_secret(&self) -> bool {
        self.template().is_some_and(Template::is_secret)
    }

    fn looks_at_headers(&self) -> bool {
        self.template().is_some_and(Template::looks_at_headers)
    }

    fn template(&self) -> Option<&Template> {
        match self {
            Self::Whole(template) | Self::Prefix { by: template, .. } => Some(template),
            Self::Regex { .. } => None,
        }
    }
}

/// All of a document's text and all encoded values are text.
fn text(rendered: Vec<u8>) -> String {
    String::from_utf8(rendered).unwrap_or_default()
}

/// What is left of a path behind so many segments: nothing, or a text that begins with a slash.
fn behind(path: &str, segments: usize) -> &str {
    path.match_indices('/').nth(segments).map_or("", |(slash, _)| &path[slash..])
}

impl Replacement {
    /// Reads what takes the place of matches of a pattern. `$1` and `${1}` are groups by number, `$name` and `${name}`
    /// by name, `$$` is a `$`.
    pub fn parse(text: &str, pattern: &Regex) -> Result<Self, ReplacementError> {
        let (mut pieces, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find('$') {
            plain.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            let name = if let Some(behind) = rest.strip_prefix('{') {
                let (name, behind) = behind.split_once('}').ok_or(ReplacementError::Unclosed)?;
                rest = behind;
                name
            } else if let Some(behind) = rest.strip_prefix('$') {
                plain.push('$');
                rest = behind;
                continue;
            } else {
                let end = rest.bytes().position(|byte| !is_name(byte)).unwrap_or(rest.len());
                let (name, behind) = rest.split_at(end);
                rest = behind;
                name
            };
            let group = pattern.group(name).ok_or_else(|| ReplacementError::Group(name.to_owned()))?;
            pieces.push(Piece::Text(std::mem::take(&mut plain).into()));
            pieces.push(Piece::Group(group));
        }
        plain.push_str(rest);
        pieces.push(Piece::Text(plain.into()));
        Ok(Self(pieces.into()))
    }

    fn write<'t>(&self, group: &dyn Fn(usize) -> &'t str, out: &mut String) {
        for piece in &self.0 {
            out.push_str(match piece {
                Piece::Text(text) => text,
                Piece::Group(number) => group(*number),
            });
        }
    }
}

/// Why a replacement was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each is described by its message")]
pub enum ReplacementError {
    #[error("`${{` without a `}}`")]
    Unclosed,
    #[error("there is no group `{0}`")]
    Group(String),
}

impl ReplacementError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unclosed => "a `$` itself is `$$`",
            Self::Group(name) if name.is_empty() => "a `$` itself is `$$`",
            Self::Group(_) => "where letters or digits follow a group, it is written `${1}`",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::action::tests::{SCOPE, with_facts};

    fn rewritten(rewrite: &PathRewrite, path: &str, text: &str) -> Result<String, RewriteError> {
        with_facts(text, "q=a%2Fb", |facts| rewrite.rewrite(&Facts { path, ..*facts }))
    }

    fn whole(template: &str) -> PathRewrite {
        PathRewrite::Whole(Template::parse(template, &SCOPE).unwrap())
    }

    fn prefix(segments: usize, by: &str) -> PathRewrite {
        PathRewrite::Prefix { segments, by: Template::parse(by, &SCOPE).unwrap() }
    }

    fn regex(pattern: &str, replacement: &str) -> PathRewrite {
        let pattern = Regex::anywhere(pattern).unwrap();
        let replacement = Replacement::parse(replacement, &pattern).unwrap();
        PathRewrite::Regex { pattern, replacement }
    }

    /// The table of ReplacePrefixMatch in the Gateway API's `HTTPPathModifier`.
    #[test]
    fn prefixes_are_replaced_as_the_gateway_api_says() {
        for (path, by, expected) in [
            ("/foo/bar", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/xyz/", "/xyz/bar"),
            ("/foo", "/xyz", "/xyz"),
            ("/foo/", "/xyz", "/xyz/"),
            ("/foo/bar", "", "/bar"),
            ("/foo/", "", "/"),
            ("/foo", "", "/"),
            ("/foo/", "/", "/"),
            ("/foo", "/", "/"),
        ] {
            assert_eq!(rewritten(&prefix(1, by), path, "").as_deref(), Ok(expected), "{path} {by}");
        }
        assert_eq!(rewritten(&prefix(0, "/v1"), "/foo/", "").as_deref(), Ok("/v1/foo/"));
        assert_eq!(rewritten(&prefix(0, "/v1"), "/", "").as_deref(), Ok("/v1/"));
        assert_eq!(rewritten(&prefix(2, "/n"), "/a/b;x/c", "").as_deref(), Ok("/n/c"));
        assert_eq!(rewritten(&prefix(1, "/${header.x-a}"), "/foo/bar", "t").as_deref(), Ok("/t%2C%202/bar"));
    }

    #[test]
    fn patterns_replace_what_they_match() {
        let check = |pattern: &str, replacement: &str, path: &str, expected: &str| {
            assert_eq!(
                rewritten(&regex(pattern, replacement), path, "").as_deref(),
                Ok(expected),
                "{pattern}"
            );
        };
        check("^/service/([^/]+)(/.*)$", "${2}/instance/$1", "/service/foo/v1/api", "/v1/api/instance/foo");
        check("one", "two", "/xxx/one/yyy/one/zzz", "/xxx/two/yyy/two/zzz");
        check("^(.*?)one(.*)$", "${1}two$2", "/xxx/one/yyy/one/zzz", "/xxx/two/yyy/one/zzz");
        check("(?i)/xxx/", "/yyy/", "/aaa/XxX/bbb", "/aaa/yyy/bbb");
        check("^/(?<year>[0-9]+)", "/archive/$year", "/2026/x", "/archive/2026/x");
        check("none", "x", "/a", "/a");
        check("^/old(.*)$", "/new/$1", "/old/x", "/new/x");
        check("a", "$$", "/a", "/$");
    }

    #[test]
    fn what_is_no_safe_path_is_refused() {
        let refuse = |rewrite: &PathRewrite, path: &str, text: &str| {
            assert!(rewritten(rewrite, path, text).is_err(), "{rewrite:?} {path} {text}");
        };
        refuse(&regex("^/files", ""), "/files../x", "");
        refuse(&regex("^/files(.*)", "/data/$1"), "/files../secret", "");
        refuse(&regex("^/", ""), "/a", "");
        refuse(&regex("a", "%"), "/a", "");
        refuse(&regex("-", "%2e"), "/a/--/b", "");
        refuse(&whole("/a/${query.q}"), "/", "");
        refuse(&whole("/a/${attribute.jwt.sub}/b"), "/", "..");
        refuse(&whole("/a/${attribute.jwt.sub}/b"), "/", "../..");
        refuse(&whole("/a/${attribute.jwt.sub}"), "/", "\r\n");
        refuse(&whole("/a/${attribute.jwt.sub};x/b"), "/", "");
    }

    #[test]
    fn replacements_name_groups_of_their_pattern() {
        let pattern = Regex::anywhere("(?<a>x)").unwrap();
        let check = |text: &str, expected: &str| {
            let error = Replacement::parse(text, &pattern).unwrap_err();
            assert_eq!(error.to_string(), expected, "{text}");
            assert!(!error.hint().is_empty());
        };
        check("$2", "there is no group `2`");
        check("$1a", "there is no group `1a`");
        check("${b}", "there is no group `b`");
        check("a$", "there is no group ``");
        check("${a", "`${` without a `}`");
        assert!(Replacement::parse("$0${1}$a$$", &pattern).is_ok());
    }

    proptest! {
        #[test]
        fn no_rewrite_makes_an_unsafe_path(
            text in any::<String>(),
            raw in "(/[a-z.%;=~-]{0,6}){1,5}",
            template in prop::sample::select(vec!["/a/${header.x-a}", "${path}${path}", "/x${attribute.jwt.sub}", "/${query.q}/b"]),
        ) {
            let Ok(path) = path::normalise(&raw) else { return Ok(()) };
            let replacing = regex("^/[a-z]*(.*)$", "/base/$1");
            for rewrite in [whole(template), prefix(1, template), replacing, regex("[a-z]", "")] {
                if let Ok(rewritten) = rewritten(&rewrite, &path, &text) {
                    prop_assert_eq!(path::normalise(&rewritten), Ok(rewritten.as_str().into()));
                    prop_assert!(rewritten.starts_with('/') && rewritten.bytes().all(|byte| byte.is_ascii_graphic()));
                }
            }
        }
    }
}
