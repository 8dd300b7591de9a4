//! Why a text is no JSON, in words for the person who wrote it.
//!
//! serde_json gives the place and the reason, in the words of its parser. What it says of a reason is not part of its
//! promise, so a reason that is not known here is passed on as it is.

use super::diagnostic::{Diagnostic, Problem};
use super::locate;
use super::wording::quote;

pub(super) fn diagnostic(text: &str, error: &serde_json::Error) -> Diagnostic {
    let reason = reason(error);
    let offset =
        if reason.starts_with("EOF") { text.len() } else { offset(text, error.line(), error.column()) };
    let (message, hint) = explain(&reason, &text[offset..], text);
    locate::place(text, offset, Problem::error("", message).maybe_hint(hint.map(str::to_owned)))
}

/// The error's words without its position.
fn reason(error: &serde_json::Error) -> String {
    let words = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    words.strip_suffix(&position).unwrap_or(&words).to_owned()
}

/// The byte at a line, from 1, and a column, in bytes from 1. Column 0 is the end of the line before.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let line_start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    text.floor_char_boundary((line_start + column).saturating_sub(1))
}

/// The message and, where it does not say what to do, a hint. `rest` is the text from the place on.
fn explain(reason: &str, rest: &str, text: &str) -> (String, Option<&'static str>) {
    let found = found(rest);
    match reason {
        "EOF while parsing a value" if text.trim().is_empty() => (
            "the document is empty".into(),
            Some("the least that it can be is `{\"root\": \":8080\", \"routes\": {}}`"),
        ),
        "EOF while parsing a value" => ("the document ends where a value is expected".into(), None),
        "EOF while parsing a string" => {
            ("the document ends inside a string".into(), Some("a closing `\"` is missing"))
        }
        "EOF while parsing an object" => {
            ("the document ends inside an object".into(), Some("a closing `}` is missing"))
        }
        "EOF while parsing a list" => {
            ("the document ends inside an array".into(), Some("a closing `]` is missing"))
        }
        "expected value" | "expected ident" => {
            (format!("expected a JSON value, found {found}"), foreign(rest))
        }
        "key must be a string" => {
            (format!("expected a field name in double quotes, found {found}"), foreign(rest))
        }
        "expected `,` or `}`" | "expected `,` or `]`" | "expected `:`" => {
            (format!("{reason}, found {found}"), foreign(rest))
        }
        "trailing characters" => (format!("expected the end of the document, found {found}"), foreign(rest)),
        "trailing comma" => (format!("comma before {found}"), Some("JSON has no comma behind the last item")),
        "invalid escape" => {
            ("unknown escape in a string".into(), Some("a backslash itself is written `\\\\`"))
        }
        "number out of range" => ("number is too large".into(), None),
        "recursion limit exceeded" => ("more than 127 objects and arrays inside one another".into(), None),
        _ if reason.starts_with("control character") => (
            "line break or control character in a string".into(),
            Some("a line break in a string is written `\\n`"),
        ),
        _ => (reason.to_owned(), None),
    }
}

fn found(rest: &str) -> String {
    match rest.chars().next() {
        None => "the end".to_owned(),
        Some('\u{feff}') => "a byte order mark".to_owned(),
        Some(character) => quote(&character.to_string()),
    }
}

/// What other languages have and JSON does not.
fn foreign(rest: &str) -> Option<&'static str> {
    match rest.chars().next()? {
        '\u{feff}' => Some("save the document as UTF-8 without it"),
        '/' | '#' => Some("JSON has no comments"),
        '\'' => Some("strings stand in double quotes"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::super::report::Report;

    fn check(text: &str, expected: &str) {
        let error = read::value(text, &mut Report::default()).unwrap_err();
        assert_eq!(error.to_string(), expected, "{text:?}");
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        check(
            "{\n  \"a\": 1,\n}",
            "error at line 3, column 1: comma before `}`\n  hint: JSON has no comma behind the last item",
        );
        check(
            "{\"a\": 1 // one\n}",
            "error at line 1, column 9: expected `,` or `}`, found `/`\n  hint: JSON has no comments",
        );
        check(
            "# one\n{}",
            "error at line 1, column 1: expected a JSON value, found `#`\n  hint: JSON has no comments",
        );
        check(
            "{'a': 1}",
            "error at line 1, column 2: expected a field name in double quotes, found `'`\n  hint: strings stand in double quotes",
        );
        check("{a: 1}", "error at line 1, column 2: expected a field name in double quotes, found `a`");
        check("{\"a\" 1}", "error at line 1, column 6: expected `:`, found `1`");
        check("{\"ä\": True}", "error at line 1, column 7: expected a JSON value, found `T`");
        check("{\"a\": NaN}", "error at line 1, column 7: expected a JSON value, found `N`");
        check(
            "\u{feff}{}",
            "error at line 1, column 1: expected a JSON value, found a byte order mark\n  hint: save the document as UTF-8 without it",
        );
        check("{} {}", "error at line 1, column 4: expected the end of the document, found `{`");
        check("{\"a\": 1e999}", "error at line 1, column 11: number is too large");
        check("{\"a\": 01}", "error at line 1, column 8: invalid number");
        check(
            "{\"a\": \"x\ny\"}",
            "error at line 1, column 9: line break or control character in a string\n  hint: a line break in a string is written `\\n`",
        );
        check(
            "{\"a\": \"C:\\Users\"}",
            "error at line 1, column 11: unknown escape in a string\n  hint: a backslash itself is written `\\\\`",
        );
        check(
            &"[".repeat(1000),
            "error at line 1, column 128: more than 127 objects and arrays inside one another",
        );
    }

    #[test]
    fn says_where_the_text_ends_too_early() {
        check(
            "",
            "error at line 1, column 1: the document is empty\n  hint: the least that it can be is `{\"root\": \":8080\", \"routes\": {}}`",
        );
        check("{\"a\":\n", "error at line 2, column 1: the document ends where a value is expected");
        check(
            "{\"a",
            "error at line 1, column 4: the document ends inside a string\n  hint: a closing `\"` is missing",
        );
        check(
            "{\"a\": 1",
            "error at line 1, column 8: the document ends inside an object\n  hint: a closing `}` is missing",
        );
        check(
            "[1",
            "error at line 1, column 3: the document ends inside an array\n  hint: a closing `]` is missing",
        );
    }
}
