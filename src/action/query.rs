//! Edits of queries.

use super::{Encoding, Facts, Template};

/// What is done to the parameters of a query, in this order: some go, some get one value, some get one more. The others
/// stay as they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryEdits {
    /// Parameters that go, decoded.
    pub remove: Box<[String]>,
    /// Parameters that get this value and no other. One whose value is empty for a request goes.
    pub set: Box<[(String, Template)]>,
    /// Parameters that get this value beside what they have. An empty one is not added.
    pub add: Box<[(String, Template)]>,
}

impl QueryEdits {
    /// The query for a request; none where nothing is left.
    pub fn apply(&self, facts: &Facts<'_>) -> Option<String> {
        let is_gone = |pair: &&str| {
            let name =
                form_urlencoded::parse(pair.as_bytes()).next().map(|(name, _)| name).unwrap_or_default();
            self.remove.iter().chain(self.set.iter().map(|(name, _)| name)).any(|gone| *gone == name)
        };
        let pairs = facts.query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let mut query = pairs.filter(|pair| !is_gone(pair)).collect::<Vec<_>>().join("&");
        for (name, template) in self.set.iter().chain(&self.add) {
            let value = String::from_utf8(template.render(facts, Encoding::Query)).unwrap_or_default();
            if value.is_empty() && template.as_constant().is_none() {
                continue;
            }
            if !query.is_empty() {
                query.push('&');
            }
            query.extend(form_urlencoded::byte_serialize(name.as_bytes()));
            query.push('=');
            query.push_str(&value);
        }
        Some(query).filter(|query| !query.is_empty())
    }

    /// Whether a value depends on the request's fields.
    pub fn looks_at_headers(&self) -> bool {
        self.set.iter().chain(&self.add).any(|(_, template)| template.looks_at_headers())
    }

    /// The parameters that it is about.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let given = self.set.iter().chain(&self.add).map(|(name, _)| name);
        self.remove.iter().chain(given).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::action::tests::{EVERY, SCOPE, with_facts};

    fn pairs(pairs: &[(&str, &str)]) -> Box<[(String, Template)]> {
        pairs
            .iter()
            .map(|(name, text)| ((*name).to_owned(), Template::parse(text, &SCOPE).unwrap()))
            .collect()
    }

    fn check(edits: &QueryEdits, query: &'static str, expected: Option<&str>) {
        let edited = with_facts("x y", "", |facts| {
            edits.apply(&Facts { query: Some(query).filter(|query| !query.is_empty()), ..*facts })
        });
        assert_eq!(edited.as_deref(), expected, "{edits:?} {query}");
    }

    #[test]
    fn others_stay_as_they_were_written() {
        let remove = Box::new(["a b".to_owned()]) as Box<[_]>;
        let edits = QueryEdits { remove, ..QueryEdits::default() };
        check(&edits, "a+b=1&c=%7e+&a%20b&d", Some("c=%7e+&d"));
        check(&edits, "a+b=1", None);
        check(&edits, "", None);
        let edits =
            QueryEdits { set: pairs(&[("v", "${attribute.jwt.sub}"), ("k", "")]), ..QueryEdits::default() };
        check(&edits, "v=1&x=2&v=3", Some("x=2&v=x+y&k="));
        let edits =
            QueryEdits { add: pairs(&[("v", "a&b"), ("w", "${attribute.none}")]), ..QueryEdits::default() };
        check(&edits, "v=1&w=2", Some("v=1&w=2&v=a%26b"));
        let edits =
            QueryEdits { set: pairs(&[("v", "${query.v}${attribute.none}")]), ..QueryEdits::default() };
        check(&edits, "v=1%262&v=2", Some("v=1%262"));
        check(&edits, "x", Some("x"));
    }

    proptest! {
        #[test]
        fn no_edit_breaks_a_target(text in any::<String>(), query in "[ -~]{0,16}") {
            let edits = QueryEdits { set: pairs(&[("x\r\n", EVERY)]), ..QueryEdits::default() };
            let edited = with_facts(&text, "", |facts| edits.apply(&Facts { query: Some(&query.replace(' ', "")), ..*facts }));
            prop_assert!(edited.unwrap().bytes().all(|byte| byte.is_ascii_graphic()));
        }
    }
}
