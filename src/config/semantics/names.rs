//! Names of listeners, upstreams and plugins.

use crate::config::diagnostic::{Part, Problem};
use crate::config::path::Path;
use crate::config::report::Report;
use crate::config::wording::quote;

/// Reports a name that cannot stand in logs, metrics and commands. `at` is the value that has the name.
pub(super) fn check(at: &Path<'_>, name: &str, report: &mut Report) {
    if is_name(name) {
        return;
    }
    let message =
        format!("expected a name of 1 to 64 letters, digits, `_`, `-` and `.`, found {}", quote(name));
    report.add(Problem::error(at.pointer(), message).part(Part::Name));
}

fn is_name(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    (1..=64).contains(&text.len()) && text.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::document::NAME_PATTERN;

    #[test]
    fn names_are_what_the_schema_says() {
        let schema = serde_json::json!({ "pattern": NAME_PATTERN });
        let check = |name: &str, expected: bool| {
            assert_eq!(is_name(name), expected, "{name}");
            assert_eq!(jsonschema::is_valid(&schema, &name.into()), expected, "{name}");
        };
        check("games", true);
        check("Games_2.eu-west", true);
        check(&"g".repeat(64), true);
        check(&"g".repeat(65), false);
        for refused in ["", "a b", "a/b", "a:b", "größe", "a\n"] {
            check(refused, false);
        }
    }
}
