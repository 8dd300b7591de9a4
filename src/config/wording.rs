//! How messages speak of what stands in a document.

use serde_json::Value;

/// Characters of a text that are enough to recognise it.
const MOST_QUOTED: usize = 80;

/// Longer texts are not mistyped names.
const LONGEST_NAME: usize = 64;

/// A text of the document between backticks, on one line and not too long.
pub(super) fn quote(text: &str) -> String {
    if text.is_empty() {
        return "an empty string".to_owned();
    }
    let mut shown = String::from("`");
    for character in text.chars().take(MOST_QUOTED) {
        if character.is_control() {
            shown.extend(character.escape_debug());
        } else {
            shown.push(character);
        }
    }
    if text.chars().nth(MOST_QUOTED).is_some() {
        shown.push('…');
    }
    shown.push('`');
    shown
}

/// A value of the document, with its type where that is not plain.
pub(super) fn describe(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() => quote(text),
        Value::String(text) => format!("the string {}", quote(text)),
        Value::Object(_) => "an object".to_owned(),
        Value::Array(items) if items.is_empty() => "an empty array".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        scalar => format!("`{scalar}`"),
    }
}

/// `a`, `b` or `c`.
pub(super) fn one_of(alternatives: &[String]) -> String {
    match alternatives {
        [] => "nothing".to_owned(),
        [only] => only.clone(),
        [others @ .., last] => format!("{} or {last}", others.join(", ")),
    }
}

/// The candidate that a mistyped name most likely stands for, if one is near: no more than a third of it differs.
pub(super) fn nearest<'c>(name: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    if name.len() > LONGEST_NAME {
        return None;
    }
    let tolerance = (name.len() / 3).max(1);
    candidates
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= tolerance)
        .map(|candidate| (strsim::osa_distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= tolerance)
        .min()
        .map(|(_, candidate)| candidate)
}

/// The hint for a mistyped name.
pub(super) fn did_you_mean<'c>(name: &str, candidates: impl Iterator<Item = &'c str>) -> Option<String> {
    nearest(name, candidates).map(|candidate| format!("did you mean {}?", quote(candidate)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_on_one_line() {
        assert_eq!(quote("größe"), "`größe`");
        assert_eq!(quote("a\nb\u{1b}[31m"), "`a\\nb\\u{1b}[31m`");
        assert_eq!(quote(&"ä".repeat(81)), format!("`{}…`", "ä".repeat(80)));
    }

    #[test]
    fn finds_the_nearest_name() {
        let check = |name: &str, expected: Option<&str>| {
            let candidates = ["backends", "upstream", "strategy", "match", "plugins"];
            assert_eq!(nearest(name, candidates.into_iter()), expected, "{name}");
        };
        check("backend", Some("backends"));
        check("bakcends", Some("backends"));
        check("upstreams", Some("upstream"));
        check("plugin", Some("plugins"));
        check("mtach", Some("match"));
        check("servers", None);
        check("x", None);
        check(&"backends".repeat(20), None);
    }
}
