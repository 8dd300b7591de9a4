//! Origins (RFC 6454), and patterns of them.

use serde::Deserialize;

/// Which origins are meant.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub enum Pattern {
    /// `*`
    Any,
    /// `https://example.com:8443`, or `null`
    Exact(String),
    /// `https://*.example.com`: `https://` and `.example.com`
    Below { scheme: String, suffix: String },
}

impl Pattern {
    /// An origin as a browser sends it: in lower case, without a default port.
    pub fn matches(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => exact == origin,
            Self::Below { scheme, suffix } => {
                let labels =
                    origin.strip_prefix(scheme.as_str()).and_then(|rest| rest.strip_suffix(suffix.as_str()));
                labels.is_some_and(is_host)
            }
        }
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        let lower = written.to_ascii_lowercase();
        if lower == "*" {
            return Ok(Self::Any);
        }
        if lower == "null" {
            return Ok(Self::Exact(lower));
        }
        parse(&lower).ok_or_else(|| {
            let written = written.escape_default();
            format!(
                "`{written}` is not an origin such as `https://example.com`, `https://*.example.com`, `http://localhost:3000` or `*`"
            )
        })
    }
}

fn parse(origin: &str) -> Option<Pattern> {
    let (scheme, authority) = origin.split_once("://")?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let (host, port) = split_port(authority);
    let is_port = port.is_none_or(|port| (1..=5).contains(&port.len()) && port.parse::<u16>().is_ok());
    if !is_scheme || !is_port {
        return None;
    }
    // A browser leaves these out.
    let is_default = matches!((scheme, port), ("http", Some("80")) | ("https", Some("443")));
    let authority = if is_default { host } else { authority };
    match host.strip_prefix("*.") {
        Some(parent) if is_host(parent) => {
            Some(Pattern::Below { scheme: format!("{scheme}://"), suffix: authority[1..].to_owned() })
        }
        None if is_host(host) || is_ipv6(host) => Some(Pattern::Exact(format!("{scheme}://{authority}"))),
        _ => None,
    }
}

/// The last colon, unless it is within an IPv6 address.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

/// One or more labels: nothing of a path, a port or a user's name.
fn is_host(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    text.split('.').all(is_label)
}

fn is_ipv6(text: &str) -> bool {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    inner.is_some_and(|inner| {
        inner.contains(':') && inner.bytes().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(&byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(written: &str) -> Result<Pattern, String> {
        Pattern::try_from(written.to_owned())
    }

    #[test]
    fn origin_matches_as_a_whole() {
        fn check(written: &str, origin: &str, expected: bool) {
            assert_eq!(pattern(written).unwrap().matches(origin), expected, "{written} {origin}");
        }
        check("*", "https://example.com", true);
        check("null", "null", true);
        check("https://example.com", "null", false);
        check("https://Example.com", "https://example.com", true);
        check("https://example.com:443", "https://example.com", true);
        check("https://example.com", "http://example.com", false);
        check("https://example.com", "https://example.com:8443", false);
        check("https://example.com", "https://example.com.evil.test", false);
        check("http://localhost:3000", "http://localhost:3000", true);
        check("http://[::1]:3000", "http://[::1]:3000", true);
        check("https://*.example.com", "https://a.example.com", true);
        check("https://*.example.com", "https://a.b.example.com", true);
        check("https://*.example.com", "https://example.com", false);
        check("https://*.example.com", "https://.example.com", false);
        check("https://*.example.com", "https://evilexample.com", false);
        check("https://*.example.com", "https://evil.test/.example.com", false);
        check("https://*.example.com", "https://evil.test:1.example.com", false);
        check("https://*.example.com", "https://evil@a.example.com", false);
        check("https://*.example.com", "http://a.example.com", false);
        check("https://*.example.com", "https://a.example.com:8443", false);
        check("https://*.example.com:8443", "https://a.example.com:8443", true);
        check("https://*.example.com:443", "https://a.example.com", true);
    }

    #[test]
    fn refuses_what_is_no_origin() {
        for written in [
            "",
            "example.com",
            "https://",
            "https://example.com/",
            "https://example.com/path",
            "https://user@example.com",
            "https://exa mple.com",
            "https://*example.com",
            "https://a.*.com",
            "https://*",
            "https://*.",
            "https://example.com:",
            "https://example.com:99999",
            "https://example.com:*",
            "://example.com",
            "*.example.com",
        ] {
            assert!(pattern(written).is_err(), "{written}");
        }
    }
}
