//! Finding the one token of a place.

use std::ops::Deref;

/// A token, where it was found: nothing is copied.
#[derive(Debug)]
pub struct Token {
    field: String,
    start: usize,
}

/// Credentials that cannot be read in one way only.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Malformed(pub &'static str);

impl Deref for Token {
    type Target = str;

    fn deref(&self) -> &str {
        &self.field[self.start..]
    }
}

/// Of the values of one field. Credentials of another scheme are none of ours.
pub fn of_fields(mut values: Vec<Vec<u8>>, scheme: Option<&str>) -> Result<Option<Token>, Malformed> {
    let Some(value) = values.pop() else { return Ok(None) };
    if !values.is_empty() {
        return Err(Malformed("the field of the token stands there more than once"));
    }
    let start = match scheme {
        None => 0,
        Some(scheme) => match behind(scheme, &value) {
            Some(start) => start,
            None => return Ok(None),
        },
    };
    if start == value.len() {
        return if scheme.is_some() { Err(Malformed("there is a scheme and no token")) } else { Ok(None) };
    }
    let field = String::from_utf8(value).map_err(|_| Malformed("the token is not of ASCII characters"))?;
    Ok(Some(Token { field, start }))
}

/// Of the values of a query parameter or a cookie.
pub fn of_values(mut values: Vec<String>) -> Result<Option<Token>, Malformed> {
    let Some(field) = values.pop() else { return Ok(None) };
    if !values.is_empty() {
        return Err(Malformed("there is more than one token"));
    }
    Ok((!field.is_empty()).then_some(Token { field, start: 0 }))
}

/// Where the token begins, if this is the scheme (RFC 9110, section 11.4).
fn behind(scheme: &str, value: &[u8]) -> Option<usize> {
    let (word, rest) = value.split_at_checked(scheme.len())?;
    let is_whole = matches!(rest.first(), None | Some(b' '));
    let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
    (is_whole && word.eq_ignore_ascii_case(scheme.as_bytes())).then_some(scheme.len() + spaces)
}

/// Whether a token that is none was rather several, as `a, Bearer b` is.
pub fn is_more_than_one(token: &str) -> bool {
    token.contains([' ', ',', '\t'])
}

/// The `Cookie` fields without one cookie, as one field; empty where nothing is left.
pub fn without_cookie(fields: &[Vec<u8>], name: &str) -> Vec<u8> {
    let pairs = fields.iter().flat_map(|field| field.split(|byte| *byte == b';')).map(<[u8]>::trim_ascii);
    let is_other = |pair: &&[u8]| {
        let key = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
        !pair.is_empty() && key.trim_ascii() != name.as_bytes()
    };
    pairs.filter(is_other).collect::<Vec<_>>().join(&b"; "[..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_token_of_a_field() {
        fn check(values: &[&str], scheme: Option<&str>, expected: Result<Option<&str>, Malformed>) {
            let fields = values.iter().map(|value| value.as_bytes().to_vec()).collect();
            let found = of_fields(fields, scheme);
            assert_eq!(found.as_ref().map(Option::as_deref).map_err(|error| *error), expected, "{values:?}");
        }
        let bearer = Some("Bearer");
        check(&[], bearer, Ok(None));
        check(&["Bearer abc"], bearer, Ok(Some("abc")));
        check(&["bEARER   abc"], bearer, Ok(Some("abc")));
        check(&["Basic abc"], bearer, Ok(None));
        check(&["Bearerabc"], bearer, Ok(None));
        check(&["Bear"], bearer, Ok(None));
        check(&["Bearer"], bearer, Err(Malformed("there is a scheme and no token")));
        check(&["Bearer "], bearer, Err(Malformed("there is a scheme and no token")));
        check(&["Bearer a b"], bearer, Ok(Some("a b")));
        check(
            &["Bearer a", "Bearer a"],
            bearer,
            Err(Malformed("the field of the token stands there more than once")),
        );
        check(&["abc"], None, Ok(Some("abc")));
        check(&["Bearer abc"], None, Ok(Some("Bearer abc")));
        check(&[""], None, Ok(None));
        assert!(of_fields(vec![vec![0xff]], None).is_err());
    }

    #[test]
    fn finds_the_token_of_a_parameter() {
        fn check(values: &[&str], expected: Result<Option<&str>, Malformed>) {
            let found = of_values(values.iter().map(|&value| value.to_owned()).collect());
            assert_eq!(found.as_ref().map(Option::as_deref).map_err(|error| *error), expected, "{values:?}");
        }
        check(&[], Ok(None));
        check(&[""], Ok(None));
        check(&["abc"], Ok(Some("abc")));
        check(&["abc", "abc"], Err(Malformed("there is more than one token")));
    }

    #[test]
    fn takes_one_cookie_out() {
        fn check(fields: &[&str], expected: &str) {
            let fields: Vec<_> = fields.iter().map(|field| field.as_bytes().to_vec()).collect();
            assert_eq!(String::from_utf8(without_cookie(&fields, "sid")).unwrap(), expected, "{fields:?}");
        }
        check(&["sid=1"], "");
        check(&["a=1; sid=1;b=2"], "a=1; b=2");
        check(&["a=1;", "sid=2; sid = 3", "sids=4; b=sid"], "a=1; sids=4; b=sid");
        check(&[], "");
    }
}
