//! Finding the credentials of a request.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use crate::refusal::Denied;

#[derive(Debug, PartialEq)]
pub enum Credentials {
    Password { user: String, password: Vec<u8> },
    Key(Vec<u8>),
}

/// With or without padding, as clients send it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Of the values of `Authorization`. Credentials of another scheme are none of ours.
pub fn password(values: &[Vec<u8>]) -> Result<Option<Credentials>, Denied> {
    let Some(encoded) = only(values)?.and_then(|value| behind("Basic", value)) else { return Ok(None) };
    let decoded = BASE64.decode(encoded).map_err(|_| Denied::Invalid)?;
    let colon = decoded.iter().position(|byte| *byte == b':').ok_or(Denied::Invalid)?;
    let user = std::str::from_utf8(&decoded[..colon]).map_err(|_| Denied::Invalid)?;
    Ok(Some(Credentials::Password { user: user.to_owned(), password: decoded[colon + 1..].to_vec() }))
}

pub fn key_of_fields(values: Vec<Vec<u8>>, scheme: Option<&str>) -> Result<Option<Credentials>, Denied> {
    let value = only(&values)?;
    let key = match scheme {
        None => value,
        Some(scheme) => value.and_then(|value| behind(scheme, value)),
    };
    Ok(key.filter(|key| !key.is_empty()).map(|key| Credentials::Key(key.to_vec())))
}

pub fn key_of_values(values: Vec<String>) -> Result<Option<Credentials>, Denied> {
    let values: Vec<_> = values.into_iter().map(String::into_bytes).collect();
    key_of_fields(values, None)
}

fn only(values: &[Vec<u8>]) -> Result<Option<&[u8]>, Denied> {
    match values {
        [] => Ok(None),
        [value] => Ok(Some(value)),
        _ => Err(Denied::Ambiguous),
    }
}

/// What stands behind a scheme (RFC 9110, section 11.4), if it is this one.
fn behind<'a>(scheme: &str, value: &'a [u8]) -> Option<&'a [u8]> {
    let (word, rest) = value.split_at_checked(scheme.len())?;
    let is_whole = matches!(rest.first(), None | Some(b' '));
    (is_whole && word.eq_ignore_ascii_case(scheme.as_bytes())).then(|| rest.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(values: &[&str]) -> Vec<Vec<u8>> {
        values.iter().map(|value| value.as_bytes().to_vec()).collect()
    }

    #[test]
    fn finds_user_and_password() {
        fn check(values: &[&str], expected: Result<Option<(&str, &str)>, Denied>) {
            let expected = expected.map(|found| {
                found.map(|(user, password)| Credentials::Password {
                    user: user.to_owned(),
                    password: password.as_bytes().to_vec(),
                })
            });
            assert_eq!(password(&fields(values)), expected, "{values:?}");
        }
        check(&[], Ok(None));
        check(&["Bearer abc"], Ok(None));
        // The example of RFC 7617, section 2.
        check(&["Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="], Ok(Some(("Aladdin", "open sesame"))));
        check(&["basic  QWxhZGRpbjpvcGVuIHNlc2FtZQ"], Ok(Some(("Aladdin", "open sesame"))));
        check(&["Basic dGVzdDoxMjPCow=="], Ok(Some(("test", "123£"))));
        check(&["Basic YTpiOmM="], Ok(Some(("a", "b:c"))));
        check(&["Basic Og=="], Ok(Some(("", ""))));
        check(&["Basic"], Err(Denied::Invalid));
        check(&["Basic !"], Err(Denied::Invalid));
        check(&["Basic YQ=="], Err(Denied::Invalid));
        check(&["Basic /zph"], Err(Denied::Invalid));
        check(&["Basic YTpi", "Basic YTpi"], Err(Denied::Ambiguous));
    }

    #[test]
    fn finds_a_key() {
        fn check(values: &[&str], scheme: Option<&str>, expected: Result<Option<&str>, Denied>) {
            let expected = expected.map(|key| key.map(|key| Credentials::Key(key.as_bytes().to_vec())));
            assert_eq!(key_of_fields(fields(values), scheme), expected, "{values:?}");
        }
        check(&[], None, Ok(None));
        check(&[""], None, Ok(None));
        check(&["abc"], None, Ok(Some("abc")));
        check(&["a", "b"], None, Err(Denied::Ambiguous));
        check(&["ApiKey abc"], Some("apikey"), Ok(Some("abc")));
        check(&["Bearer abc"], Some("ApiKey"), Ok(None));
        check(&["ApiKey"], Some("ApiKey"), Ok(None));
    }
}
