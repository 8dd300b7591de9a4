//! Edits of header fields.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::{Encoding, Facts, Template};

/// A value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldValue {
    /// The same for every request.
    Constant(HeaderValue),
    /// Made for each.
    Template(Template),
}

/// What is done to the fields of a head, in this order: some go, some get one value, some get one more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    /// Fields that go.
    pub remove: Box<[HeaderName]>,
    /// Fields that get this value and no other. One whose value is empty for a request goes, so that nobody else's
    /// value can stand for it.
    pub set: Box<[(HeaderName, FieldValue)]>,
    /// Fields that get this value beside what they have. An empty one is not added.
    pub add: Box<[(HeaderName, FieldValue)]>,
}

/// Fields that belong to a connection or say where a message ends (RFC 9110, sections 7.6.1 and 8.6), which the gateway
/// writes itself.
pub fn is_reserved(name: &HeaderName) -> bool {
    match *name {
        header::CONTENT_LENGTH
        | header::TRANSFER_ENCODING
        | header::CONNECTION
        | header::TE
        | header::TRAILER
        | header::UPGRADE => true,
        _ => matches!(name.as_str(), "keep-alive" | "proxy-connection"),
    }
}

impl FieldValue {
    /// Of a template.
    pub fn new(template: Template) -> Self {
        match template.as_constant().map(|text| HeaderValue::from_bytes(text.as_bytes())) {
            Some(Ok(mut value)) => {
                value.set_sensitive(template.is_secret());
                Self::Constant(value)
            }
            _ => Self::Template(template),
        }
    }

    /// The value for a request; none where it is empty and could have been otherwise.
    pub fn render(&self, facts: &Facts<'_>) -> Option<HeaderValue> {
        match self {
            Self::Constant(value) => Some(value.clone()),
            Self::Template(template) => rendered(template, facts),
        }
    }

    fn looks_at_headers(&self) -> bool {
        matches!(self, Self::Template(template) if template.looks_at_headers())
    }
}

/// White space around a value is not part of it, and HTTP/2 refuses it (RFC 9113, section 8.2.1).
fn rendered(template: &Template, facts: &Facts<'_>) -> Option<HeaderValue> {
    let value = template.render(facts, Encoding::Field);
    let value = value.trim_ascii();
    HeaderValue::from_bytes(value).ok().filter(|value| !value.is_empty())
}

impl HeaderEdits {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    /// The fields that it is about.
    pub fn names(&self) -> impl Iterator<Item = &HeaderName> {
        let given = self.set.iter().chain(&self.add).map(|(name, _)| name);
        self.remove.iter().chain(given)
    }

    /// Whether a value depends on the request's fields.
    pub fn looks_at_headers(&self) -> bool {
        self.set.iter().chain(&self.add).any(|(_, value)| value.looks_at_headers())
    }

    /// The values that are made for a request, before anything of it is changed. To be passed to [`Self::apply`].
    pub fn render(&self, facts: &Facts<'_>) -> Vec<Option<HeaderValue>> {
        let values = self.set.iter().chain(&self.add).filter_map(|(_, value)| match value {
            FieldValue::Constant(_) => None,
            FieldValue::Template(template) => Some(rendered(template, facts)),
        });
        values.collect()
    }

    /// Changes fields.
    pub fn apply(&self, headers: &mut HeaderMap, rendered: Vec<Option<HeaderValue>>) {
        let mut rendered = rendered.into_iter();
        let mut value = |value: &FieldValue| match value {
            FieldValue::Constant(value) => Some(value.clone()),
            FieldValue::Template(_) => rendered.next().flatten(),
        };
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, wanted) in &self.set {
            match value(wanted) {
                Some(value) => _ = headers.insert(name.clone(), value),
                None => _ = headers.remove(name),
            }
        }
        for (name, wanted) in &self.add {
            if let Some(value) = value(wanted) {
                headers.append(name.clone(), value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::action::tests::{EVERY, SCOPE, with_facts};

    fn fields(fields: &[(&str, &str)]) -> Box<[(HeaderName, FieldValue)]> {
        let field = |(name, value): &(&str, &str)| {
            (name.parse().unwrap(), FieldValue::new(Template::parse(value, &SCOPE).unwrap()))
        };
        fields.iter().map(field).collect()
    }

    fn check(edits: &HeaderEdits, expected: &[(&str, &str)]) {
        let edited = with_facts("1", "", |facts| {
            let mut headers = facts.headers.clone();
            headers.remove("cookie");
            edits.apply(&mut headers, edits.render(facts));
            headers
        });
        let edited: Vec<_> =
            edited.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(edited, expected, "{edits:?}");
    }

    #[test]
    fn fields_are_removed_then_set_then_added() {
        let remove = Box::new([HeaderName::from_static("x-a")]) as Box<[_]>;
        let edits = HeaderEdits { remove: remove.clone(), ..HeaderEdits::default() };
        check(&edits, &[]);
        let edits = HeaderEdits { set: fields(&[("x-a", "3")]), ..HeaderEdits::default() };
        check(&edits, &[("x-a", "3")]);
        let edits = HeaderEdits { add: fields(&[("x-a", "3")]), ..HeaderEdits::default() };
        check(&edits, &[("x-a", "1"), ("x-a", "2"), ("x-a", "3")]);
        // What a variable stands for is what was there before.
        let edits = HeaderEdits { remove, set: fields(&[("x-b", "was ${header.x-a}")]), add: Box::default() };
        check(&edits, &[("x-b", "was 1, 2")]);
    }

    #[test]
    fn a_value_that_is_empty_for_a_request_leaves_no_field() {
        let edits = HeaderEdits {
            set: fields(&[("x-a", "${attribute.none}"), ("x-b", "")]),
            add: fields(&[("x-c", " ${attribute.none} ")]),
            ..HeaderEdits::default()
        };
        check(&edits, &[("x-b", "")]);
    }

    proptest! {
        #[test]
        fn no_edit_breaks_a_head(text in any::<String>(), query in "[ -~]{0,16}") {
            let edits = HeaderEdits { set: fields(&[("x-b", EVERY)]), add: fields(&[("x-c", "${header.x-a}")]), ..HeaderEdits::default() };
            with_facts(&text, &query, |facts| {
                let mut headers = HeaderMap::new();
                edits.apply(&mut headers, edits.render(facts));
                for (_, value) in &headers {
                    let value = value.as_bytes();
                    prop_assert!(!value.iter().any(u8::is_ascii_control) && value.trim_ascii() == value);
                }
                Ok(())
            })?;
        }
    }
}
