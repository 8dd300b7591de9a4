//! From JSON pointers to lines and columns.
//!
//! The parser keeps no positions, since a document without problems needs none. They are found afterwards by going down
//! the text again: [`RawValue`] gives each value as a slice of the text, and where the slice begins is the place. All
//! problems are located in one descent, so that many of them cost little more than one.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::diagnostic::{Diagnostic, Part, Problem};
use super::path;

/// Finds the places of problems in the text of their document, and puts them in the order of the text. A pointer to
/// what the text does not have is located at the nearest value around it.
pub fn locate(text: &str, problems: Vec<Problem>) -> Vec<Diagnostic> {
    let targets: Vec<Target> = problems.iter().map(Target::of).collect();
    let mut finder = Finder { text, offsets: vec![0; problems.len()] };
    if let Ok(root) = serde_json::from_str(text) {
        finder.descend(root, 0, &targets.iter().enumerate().collect::<Vec<_>>());
    }
    let mut located: Vec<(usize, Problem)> = finder.offsets.into_iter().zip(problems).collect();
    located.sort_by_key(|(offset, problem)| (*offset, problem.severity));
    let mut cursor = Cursor { rest: text, offset: 0, line: 1, column: 1 };
    located.into_iter().map(|(offset, problem)| cursor.place(offset, problem)).collect()
}

/// The problem at a byte of the text.
pub(super) fn place(text: &str, offset: usize, problem: Problem) -> Diagnostic {
    Cursor { rest: text, offset: 0, line: 1, column: 1 }.place(offset, problem)
}

/// What is looked for, with its index among all.
type Wanted<'w> = [(usize, &'w Target)];

struct Target {
    tokens: Vec<String>,
    spot: Spot,
}

#[derive(Clone, Copy, PartialEq)]
enum Spot {
    Value,
    Name,
    RepeatedName,
}

impl Target {
    fn of(problem: &Problem) -> Self {
        let (field, spot) = match &problem.part {
            Part::Value => (None, Spot::Value),
            Part::Name => (None, Spot::Name),
            Part::FieldName(field) => (Some(field), Spot::Name),
            Part::RepeatedFieldName(field) => (Some(field), Spot::RepeatedName),
        };
        Self { tokens: path::tokens(&problem.pointer).chain(field.cloned()).collect(), spot }
    }

    fn is(&self, spot: Spot, depth: usize) -> bool {
        self.spot == spot && self.tokens.len() == depth
    }
}

struct Finder<'t> {
    text: &'t str,
    /// For each target the nearest place so far.
    offsets: Vec<usize>,
}

impl<'t> Finder<'t> {
    /// Looks through a value, `depth` steps below the root, for targets that are this value or lie in it.
    fn descend(&mut self, value: &'t RawValue, depth: usize, wanted: &Wanted<'_>) {
        let mut below: HashMap<&str, Vec<(usize, &Target)>> = HashMap::new();
        for &(index, target) in wanted {
            self.offsets[index] = self.offset(value);
            if let Some(token) = target.tokens.get(depth) {
                below.entry(token).or_default().push((index, target));
            }
        }
        if below.is_empty() {
            return;
        }
        let mut repeated = HashMap::new();
        for child in children(value) {
            if let Some((token, wanted)) = below.remove_entry(&*child.token) {
                self.visit(&child, depth + 1, &wanted);
                repeated.insert(token, wanted);
            } else if let Some(wanted) = repeated.remove(&*child.token) {
                self.mark(&child, Spot::RepeatedName, depth + 1, &wanted);
            }
        }
    }

    fn visit(&mut self, child: &Child<'t>, depth: usize, wanted: &Wanted<'_>) {
        self.descend(child.value, depth, wanted);
        self.mark(child, Spot::Name, depth, wanted);
    }

    /// Places those targets that are this child's name.
    fn mark(&mut self, child: &Child<'t>, spot: Spot, depth: usize, wanted: &Wanted<'_>) {
        for (index, _) in wanted.iter().filter(|(_, target)| target.is(spot, depth)) {
            self.offsets[*index] = self.offset(child.name.unwrap_or(child.value));
        }
    }

    fn offset(&self, slice: &RawValue) -> usize {
        slice.get().as_ptr().addr() - self.text.as_ptr().addr()
    }
}

/// A field of an object or an item of an array.
struct Child<'t> {
    token: String,
    name: Option<&'t RawValue>,
    value: &'t RawValue,
}

/// All fields, those that are repeated too.
fn children(value: &RawValue) -> Vec<Child<'_>> {
    let text = value.get();
    if text.starts_with('{') {
        return serde_json::from_str::<Fields<'_>>(text).map(|fields| fields.0).unwrap_or_default();
    }
    let items: Vec<&RawValue> = serde_json::from_str(text).unwrap_or_default();
    let item = |(index, value): (usize, _)| Child { token: index.to_string(), name: None, value };
    items.into_iter().enumerate().map(item).collect()
}

struct Fields<'t>(Vec<Child<'t>>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Vec::new();
        while let Some((name, value)) = map.next_entry::<&RawValue, &RawValue>()? {
            let token = serde_json::from_str(name.get()).map_err(serde::de::Error::custom)?;
            fields.push(Child { token, name: Some(name), value });
        }
        Ok(Fields(fields))
    }
}

/// Walks through the text once and counts.
struct Cursor<'t> {
    rest: &'t str,
    offset: usize,
    line: usize,
    column: usize,
}

impl Cursor<'_> {
    /// The offset is not before that of the last call.
    fn place(&mut self, offset: usize, problem: Problem) -> Diagnostic {
        self.advance(offset);
        let Problem { severity, pointer, message, hint, .. } = problem;
        Diagnostic { severity, pointer, line: self.line, column: self.column, message, hint }
    }

    fn advance(&mut self, offset: usize) {
        let (passed, rest) = self.rest.split_at(self.rest.floor_char_boundary(offset - self.offset));
        (self.rest, self.offset) = (rest, self.offset + passed.len());
        match passed.rsplit_once('\n') {
            Some((lines, last)) => {
                self.line += lines.matches('\n').count() + 1;
                self.column = last.chars().count() + 1;
            }
            None => self.column += passed.chars().count(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{
  "größe": [1, {"a/b": 2}],
  "x": 1, "x": 2, "x": {"x": 3}
}"#;

    #[test]
    fn finds_values_and_names() {
        let check = |pointer: &str, part: Part, expected: (usize, usize)| {
            let located = locate(TEXT, vec![Problem::error(pointer, "wrong").part(part.clone())]);
            assert_eq!((located[0].line, located[0].column), expected, "{pointer} {part:?}");
        };
        check("", Part::Value, (1, 1));
        check("/größe", Part::Value, (2, 12));
        check("/größe", Part::Name, (2, 3));
        check("/größe/1", Part::Value, (2, 16));
        check("/größe/1/a~1b", Part::Value, (2, 24));
        check("/größe/1", Part::FieldName("a/b".into()), (2, 17));
        check("/x", Part::Value, (3, 8));
        check("/x", Part::Name, (3, 3));
        check("", Part::RepeatedFieldName("x".into()), (3, 11));
        check("/größe/7/deeper", Part::Value, (2, 12));
        check("/absent", Part::Name, (1, 1));
        check("/x/absent", Part::Value, (3, 8));
    }

    #[test]
    fn puts_problems_in_the_order_of_the_text() {
        let pointers = ["/x", "/größe/0", "", "/größe/1"];
        let problems = pointers.map(|pointer| Problem::error(pointer, "wrong")).to_vec();
        let order: Vec<String> =
            locate(TEXT, problems).into_iter().map(|diagnostic| diagnostic.pointer).collect();
        assert_eq!(order, ["", "/größe/0", "/größe/1", "/x"]);
    }

    #[test]
    fn survives_text_that_is_no_json() {
        assert_eq!(locate("{", vec![Problem::error("/x", "wrong")])[0].line, 1);
    }
}
