//! What of a request hashed strategies go by.

use std::borrow::Cow;
use std::net::IpAddr;

use http::{HeaderMap, HeaderName, header};

use super::hash;
use crate::message::Exchange;

/// Where the key is found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum HashKey {
    /// The client's IP address.
    #[default]
    ClientAddress,
    /// The first value of a field.
    Header(HeaderName),
    /// The value of a cookie.
    Cookie(String),
    /// The value of a query parameter, decoded.
    Query(String),
    /// What a parameter of the route's pattern stands for.
    Parameter(String),
    /// An attribute.
    Attribute(String),
}

impl HashKey {
    /// The hash of the key; none where the request has none.
    pub fn hash(&self, exchange: &Exchange) -> Option<u64> {
        match self {
            Self::ClientAddress => Some(match exchange.client.address.ip().to_canonical() {
                IpAddr::V4(ip) => hash(&ip.octets()),
                IpAddr::V6(ip) => hash(&ip.octets()),
            }),
            Self::Header(name) => field(exchange, name).map(hash),
            Self::Cookie(name) => cookie(&exchange.headers, name).map(|value| hash(value.as_bytes())),
            Self::Query(name) => query(exchange, name).map(|value| hash(value.as_bytes())),
            Self::Parameter(name) => {
                let mut parameters = exchange.parameters.iter();
                parameters.find(|(known, _)| **known == **name).map(|(_, value)| hash(value.as_bytes()))
            }
            Self::Attribute(name) => {
                let mut attributes = exchange.attributes.iter();
                attributes.find(|(known, _)| known == name).map(|(_, value)| hash(value.as_bytes()))
            }
        }
    }
}

/// Those about the client may not stand among the others yet.
fn field<'e>(exchange: &'e Exchange, name: &HeaderName) -> Option<&'e [u8]> {
    let forwarded = exchange.forwarded.as_ref().map_or(&[][..], |forwarded| &forwarded.fields);
    let about_client = forwarded.iter().find(|(known, _)| known == name).map(|(_, value)| value);
    about_client.or_else(|| exchange.headers.get(name)).map(|value| value.as_bytes())
}

fn query<'e>(exchange: &'e Exchange, name: &str) -> Option<Cow<'e, str>> {
    let query = exchange.uri.query()?;
    form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value)
}

/// The value of the first cookie of that name (RFC 6265, section 5.4).
pub(super) fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';'));
    pairs.find_map(|pair| {
        let (key, value) = pair.trim_matches([' ', '\t']).split_once('=')?;
        (key == name).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn finds_cookies_on_any_line() {
        let line = |text| (header::COOKIE, HeaderValue::from_static(text));
        let headers = HeaderMap::from_iter([line("a=1; b=2=3"), line("c=4;d=5; b=6")]);
        let found = ["a", "b", "c", "d", "e"].map(|name| cookie(&headers, name));
        assert_eq!(found, [Some("1"), Some("2=3"), Some("4"), Some("5"), None]);
    }
}
