//! Where in the document a check is, as a chain on the stack. It becomes a JSON pointer (RFC 6901) only where something
//! is to be said about the place.

use std::fmt;

/// The way from the root of the document to one value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path<'p> {
    last: Option<(&'p Path<'p>, Step<'p>)>,
}

#[derive(Clone, Copy, Debug)]
enum Step<'p> {
    Field(&'p str),
    Item(usize),
}

impl<'p> Path<'p> {
    pub(super) const ROOT: Path<'static> = Path { last: None };

    /// The value of a field of the object here.
    pub(super) fn field<'c>(&'c self, name: &'c str) -> Path<'c> {
        Path { last: Some((self, Step::Field(name))) }
    }

    /// An item of the array here.
    pub(super) fn item(&self, index: usize) -> Path<'_> {
        Path { last: Some((self, Step::Item(index))) }
    }

    pub(super) fn pointer(&self) -> String {
        self.to_string()
    }
}

/// As a JSON pointer.
impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((parent, step)) = self.last else { return Ok(()) };
        parent.fmt(f)?;
        match step {
            Step::Field(name) => write!(f, "/{}", escape(name)),
            Step::Item(index) => write!(f, "/{index}"),
        }
    }
}

/// A field's name as a token of a JSON pointer.
fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The JSON pointer of a field of the object at a JSON pointer.
pub(super) fn join(pointer: &str, field: &str) -> String {
    format!("{pointer}/{}", escape(field))
}

/// The tokens of a JSON pointer, as names of fields.
pub(super) fn tokens(pointer: &str) -> impl Iterator<Item = String> {
    pointer.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_displayed_as_a_json_pointer() {
        assert_eq!(Path::ROOT.pointer(), "");
        let routes = Path::ROOT.field("routes");
        let route = routes.field("/game/~*");
        assert_eq!(route.item(2).pointer(), "/routes/~1game~1~0*/2");
        assert_eq!(join("/routes", "/game/~*"), "/routes/~1game~1~0*");
        assert_eq!(tokens("/routes/~1game~1~0*/2").collect::<Vec<_>>(), ["routes", "/game/~*", "2"]);
    }
}
