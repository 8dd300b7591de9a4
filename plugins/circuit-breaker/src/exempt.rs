//! Paths that no breaker keeps from passing.

use serde::Deserialize;

/// `/health` is that path; `/health/*` is that path and all below it.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub enum Pattern {
    Exact(String),
    Below(String),
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        let (path, is_below) =
            written.strip_suffix("/*").map_or((written.as_str(), false), |path| (path, true));
        let is_path = written.starts_with('/') && !path.contains(['*', '?', '#']);
        if !is_path {
            let written = written.escape_default();
            return Err(format!("`{written}` is not a path such as `/health` or `/health/*`"));
        }
        Ok(if is_below { Self::Below(path.to_owned()) } else { Self::Exact(written) })
    }
}

pub fn matches(patterns: &[Pattern], path: &str) -> bool {
    patterns.iter().any(|pattern| match pattern {
        Pattern::Exact(exact) => exact == path,
        Pattern::Below(parent) => {
            path.strip_prefix(parent.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(written: &str) -> Result<Pattern, String> {
        Pattern::try_from(written.to_owned())
    }

    #[test]
    fn a_path_matches_as_a_whole_and_below() {
        fn check(written: &str, path: &str, expected: bool) {
            assert_eq!(matches(&[pattern(written).unwrap()], path), expected, "{written} {path}");
        }
        check("/health", "/health", true);
        check("/health", "/health/", false);
        check("/health", "/healthy", false);
        check("/health/*", "/health", true);
        check("/health/*", "/health/db", true);
        check("/health/*", "/healthy", false);
        check("/*", "/anything", true);
        assert!(!matches(&[], "/"));
    }

    #[test]
    fn refuses_what_is_no_path() {
        for written in ["", "health", "*", "/a*", "/a/*/b", "/a?b=c"] {
            let message = format!("`{written}` is not a path such as `/health` or `/health/*`");
            assert_eq!(pattern(written), Err(message));
        }
    }
}
