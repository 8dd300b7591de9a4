//! What a header field, a query parameter, a cookie or an attribute has to be.

use std::fmt;

use super::Regex;

/// Something that holds for the values of one name, of which there can be none and several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueMatch {
    /// There is one, whatever it is.
    Present,
    /// There is none.
    Absent,
    /// One of them is this.
    Exact(Box<[u8]>),
    /// One of them begins like this.
    Prefix(Box<[u8]>),
    /// One of them is matched as a whole.
    Regex(Regex),
    /// This does not hold, be it that there is no value.
    Not(Box<ValueMatch>),
}

impl ValueMatch {
    /// Exactly this value.
    pub fn exact(value: impl AsRef<[u8]>) -> Self {
        Self::Exact(value.as_ref().into())
    }

    /// Whether it holds for these values.
    pub fn holds<V: AsRef<[u8]>>(&self, mut values: impl Iterator<Item = V>) -> bool {
        match self {
            Self::Present => values.next().is_some(),
            Self::Absent => values.next().is_none(),
            Self::Exact(wanted) => values.any(|value| *value.as_ref() == **wanted),
            Self::Prefix(wanted) => values.any(|value| value.as_ref().starts_with(wanted)),
            Self::Regex(regex) => values.any(|value| regex.is_match(value.as_ref())),
            Self::Not(inner) => !inner.holds(values),
        }
    }

    /// What it asks of a name, for people: `x-beta: yes`, `x-beta` that is absent.
    pub(super) fn describe(&self, f: &mut fmt::Formatter<'_>, name: &str, separator: &str) -> fmt::Result {
        match self {
            Self::Present => write!(f, "`{name}`"),
            Self::Absent => write!(f, "`{name}` that is absent"),
            Self::Exact(value) => write!(f, "`{name}{separator}{}`", Text(value)),
            Self::Prefix(value) => write!(f, "`{name}{separator}{}…`", Text(value)),
            Self::Regex(regex) => write!(f, "`{name}` that matches `{}`", regex.as_str()),
            Self::Not(inner) => {
                f.write_str("not ")?;
                inner.describe(f, name, separator)
            }
        }
    }
}

/// A value as far as people can read it.
struct Text<'a>(&'a [u8]);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(self.0).unwrap_or("..."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_for_one_of_several_values() {
        let not = |inner| ValueMatch::Not(Box::new(inner));
        let exact = || ValueMatch::exact("a1");
        let prefix = || ValueMatch::Prefix(b"a".as_slice().into());
        let regex = || ValueMatch::Regex(Regex::whole("[a-z][0-9]").unwrap());
        let check = |wanted: &ValueMatch, expected: [bool; 5]| {
            let values: [&[&str]; 5] = [&[], &["a1"], &["b1"], &["", "b2", "a1"], &["A1"]];
            for (values, expected) in values.iter().zip(expected) {
                assert_eq!(wanted.holds(values.iter()), expected, "{wanted:?} {values:?}");
            }
        };
        check(&ValueMatch::Present, [false, true, true, true, true]);
        check(&ValueMatch::Absent, [true, false, false, false, false]);
        check(&exact(), [false, true, false, true, false]);
        check(&prefix(), [false, true, false, true, false]);
        check(&regex(), [false, true, true, true, false]);
        for inner in [exact(), prefix(), regex(), ValueMatch::Present, not(exact())] {
            for values in [&[][..], &["a1"], &["b1", "x"]] {
                assert_eq!(
                    not(inner.clone()).holds(values.iter()),
                    !inner.holds(values.iter()),
                    "{inner:?} {values:?}"
                );
            }
        }
    }
}
