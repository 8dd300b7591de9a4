//! Regular expressions of the document over texts of clients: linear in time, bounded in memory, compiled once.

use std::borrow::Cow;
use std::fmt;

use regex::bytes;

/// Bytes of a compiled pattern, and of what a search with it may keep.
const LARGEST: usize = 1 << 20;

/// A pattern that was read and found valid. Two are equal when their texts are.
#[derive(Clone)]
pub struct Regex {
    text: Box<str>,
    compiled: bytes::Regex,
}

/// Why a pattern was refused, in a few words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RegexError(String);

impl Regex {
    /// A pattern that has to match all of a text, as in Envoy and in the Gateway API.
    pub fn whole(text: &str) -> Result<Self, RegexError> {
        // Alone it has to be a pattern too: `a)|(b` would be none of what is put around it.
        compile(text)?;
        Ok(Self { text: text.into(), compiled: compile(&format!(r"\A(?:{text})\z"))? })
    }

    /// A pattern that may match anywhere in a text.
    pub fn anywhere(text: &str) -> Result<Self, RegexError> {
        Ok(Self { text: text.into(), compiled: compile(text)? })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it matches.
    pub fn is_match(&self, text: &[u8]) -> bool {
        self.compiled.is_match(text)
    }

    /// The number of a group by its number or its name, as a replacement may name it.
    pub fn group(&self, name: &str) -> Option<usize> {
        match name.parse() {
            Ok(number) => (number < self.compiled.captures_len()).then_some(number),
            Err(_) => self.compiled.capture_names().position(|known| known == Some(name)),
        }
    }

    /// Replaces what it matches, as often as it does, by what `write` makes of the groups.
    pub fn replace<'t>(
        &self,
        text: &'t str,
        mut write: impl FnMut(&dyn Fn(usize) -> &'t str, &mut String),
    ) -> Cow<'t, str> {
        let (mut replaced, mut end, mut is_matched) = (String::new(), 0, false);
        for groups in self.compiled.captures_iter(text.as_bytes()) {
            let Some(whole) = groups.get(0) else { continue };
            // A pattern over bytes can split a character, but no path has one of several bytes.
            let part = |start, end| text.get(start..end).unwrap_or_default();
            replaced.push_str(part(end, whole.start()));
            write(
                &|group| groups.get(group).map_or("", |found| part(found.start(), found.end())),
                &mut replaced,
            );
            (end, is_matched) = (whole.end(), true);
        }
        if !is_matched {
            return Cow::Borrowed(text);
        }
        replaced.push_str(text.get(end..).unwrap_or_default());
        Cow::Owned(replaced)
    }
}

fn compile(text: &str) -> Result<bytes::Regex, RegexError> {
    let built = bytes::RegexBuilder::new(text).size_limit(LARGEST).dfa_size_limit(LARGEST).build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => RegexError("it is too large when it is compiled".to_owned()),
        // The parser draws the place on several lines, and says on the last what is wrong there.
        error => {
            let words = error.to_string();
            let last = words.lines().last().unwrap_or_default();
            RegexError(last.strip_prefix("error: ").unwrap_or(last).to_owned())
        }
    })
}

impl PartialEq for Regex {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Regex {}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Regex").field(&self.text).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_all_of_a_text() {
        let check = |pattern: &str, text: &str, expected: bool| {
            assert_eq!(
                Regex::whole(pattern).unwrap().is_match(text.as_bytes()),
                expected,
                "{pattern} {text}"
            );
        };
        check("a|ab", "ab", true);
        check("a|ab", "abc", false);
        check("b", "abc", false);
        check("(?m)^a$", "a\nb", false);
        check("[0-9]+", "17", true);
        check("", "", true);
        check("(?i)yes", "YES", true);
    }

    #[test]
    fn says_what_is_wrong_in_a_line() {
        let check = |pattern: &str, expected: &str| {
            assert_eq!(Regex::whole(pattern).unwrap_err().to_string(), expected, "{pattern}");
        };
        check("a(", "unclosed group");
        check("a)|(b", "unopened group");
        check(r"(a)\1", "backreferences are not supported");
        check("(?=a)", "look-around, including look-ahead and look-behind, is not supported");
        check(r"\w{1000}{1000}", "it is too large when it is compiled");
    }

    #[test]
    fn replaces_every_match() {
        let check = |pattern: &str, text: &str, expected: &str| {
            let regex = Regex::anywhere(pattern).unwrap();
            let replaced = regex.replace(text, |group, out| {
                out.push('<');
                out.push_str(group(regex.group("1").unwrap_or(0)));
                out.push('>');
            });
            assert_eq!(replaced, expected, "{pattern} {text}");
        };
        check("b", "abab", "a<b>a<b>");
        check("(.)b", "abab", "<a><a>");
        check("^/old(/|$)", "/old/x", "</>x");
        check("c", "ab", "ab");
        check("", "ab", "<>a<>b<>");
        check("^", "", "<>");
    }
}
