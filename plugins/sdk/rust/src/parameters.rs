//! Cookies and query parameters.

use std::borrow::Cow;

use crate::RequestHead;

impl RequestHead {
    /// The values of every cookie of a name (RFC 6265, section 4.2.1), in order. What is not UTF-8 in them is replaced.
    #[must_use]
    pub fn cookies(&self, name: &str) -> Vec<String> {
        let fields = self.headers("cookie");
        let found =
            fields.iter().flat_map(|field| cookies(field)).filter(|(known, _)| *known == name.as_bytes());
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }

    /// The values of every query parameter of a name, in order, decoded as those of a form
    /// (`application/x-www-form-urlencoded`). What is not UTF-8 in them is replaced.
    #[must_use]
    pub fn query_parameters(&self, name: &str) -> Vec<String> {
        let Some(query) = self.query() else { return Vec::new() };
        query_values(&query, name).collect()
    }
}

/// Names and values of one `Cookie` field, without quotes around a value.
fn cookies(field: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    field.split(|byte| *byte == b';').filter_map(|pair| {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let value = pair[equals + 1..].trim_ascii();
        let unquoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
        Some((pair[..equals].trim_ascii(), unquoted.unwrap_or(value)))
    })
}

fn query_values<'a>(query: &'a str, name: &'a str) -> impl Iterator<Item = String> + 'a {
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.filter(move |(known, _)| decoded(known) == name).map(|(_, value)| decoded(value).into_owned())
}

fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        match (byte, after) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                bytes.push(digit(*high) << 4 | digit(*low));
                rest = after;
            }
            _ => bytes.push(*byte),
        }
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

/// Of a hexadecimal digit.
fn digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        _ => (byte | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_cookies() {
        fn check(field: &str, expected: &[(&str, &str)]) {
            let found: Vec<_> = cookies(field.as_bytes())
                .map(|(name, value)| {
                    (std::str::from_utf8(name).unwrap(), std::str::from_utf8(value).unwrap())
                })
                .collect();
            assert_eq!(found, expected, "{field:?}");
        }
        check("a=1", &[("a", "1")]);
        check("a=1; b=x=y;c=", &[("a", "1"), ("b", "x=y"), ("c", "")]);
        check(r#"a="1"; b="; c=""#, &[("a", "1"), ("b", "\""), ("c", "\"")]);
        check("a; =1; ;", &[("", "1")]);
        check("", &[]);
    }

    #[test]
    fn decodes_query_parameters() {
        fn check(query: &str, expected: &[&str]) {
            assert_eq!(query_values(query, "a b").collect::<Vec<_>>(), expected, "{query:?}");
        }
        check("a%20b=1&a+b=2%2f+%C3%A9&ab=3", &["1", "2/ é"]);
        check("a%20b", &[""]);
        check("a%20b=%zz%2&x=1", &["%zz%2"]);
        check("a%20b=%ff", &["\u{fffd}"]);
        check("", &[]);
    }
}
