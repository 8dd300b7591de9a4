//! The host of a pattern, and the one spelling in which hosts are compared.
//!
//! Hosts compare without regard to case or to one trailing dot (RFC 9110 section 4.2.3, RFC 1034 section 3.1), IPv6
//! literals by the address that they denote. A port is never part of the comparison.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;

/// The longest name that DNS can carry, in its text form (RFC 1035 section 2.3.4). No pattern is longer, so the table
/// does not look up a longer host, which bounds the work that a hostile `Host` header can cause.
pub(super) const MAX_HOST_LENGTH: usize = 253;
/// The longest part of a name between dots, in the same section.
const MAX_LABEL_LENGTH: usize = 63;

/// Which hosts a pattern matches.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// This host, in its one spelling.
    Exact(Box<str>),
    /// `*.example.com`, kept as `.example.com`: every host below it, one or more labels deep, and not
    /// `example.com` itself, as in the hostnames of the Kubernetes Gateway API.
    Suffix(Box<str>),
    /// Every host; the pattern names none.
    Any,
}

impl HostPattern {
    /// Whether a host without a port matches, in any case.
    pub fn matches(&self, host: &str) -> bool {
        let host = canonical(host);
        match self {
            HostPattern::Exact(wanted) => **wanted == *host,
            HostPattern::Suffix(suffix) => host.len() > suffix.len() && host.ends_with(&**suffix),
            HostPattern::Any => true,
        }
    }

    /// Reads the part of a pattern before its path. Nothing at all is every host.
    pub fn parse(text: &str) -> Result<HostPattern, HostError> {
        if text.is_empty() {
            return Ok(HostPattern::Any);
        }
        if let Some(host) = without_port(text) {
            return Err(HostError::Port(text.into(), host.into()));
        }
        if text.starts_with('[') {
            let address = ipv6_literal(text).ok_or_else(|| HostError::Address(text.into()))?;
            return Ok(HostPattern::Exact(bracketed(address).into()));
        }
        parse_name(&canonical(text))
    }
}

/// As it is written.
impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostPattern::Exact(host) => f.write_str(host),
            HostPattern::Suffix(suffix) => write!(f, "*{suffix}"),
            HostPattern::Any => f.write_str("*"),
        }
    }
}

/// The host before a port; none when there is no port.
fn without_port(text: &str) -> Option<&str> {
    let (host, _port) = text.rsplit_once(':')?;
    let is_inside_brackets = host.starts_with('[') && !host.ends_with(']');
    (!is_inside_brackets).then_some(host)
}

fn parse_name(host: &str) -> Result<HostPattern, HostError> {
    if host.len() > MAX_HOST_LENGTH {
        return Err(HostError::TooLong(host.into()));
    }
    let parent = host.strip_prefix("*.");
    parent.unwrap_or(host).split('.').try_for_each(|label| check_label(host, label))?;
    match parent {
        Some(_) => Ok(HostPattern::Suffix(host[1..].into())),
        None => Ok(HostPattern::Exact(host.into())),
    }
}

fn check_label(host: &str, label: &str) -> Result<(), HostError> {
    if label.is_empty() {
        return Err(HostError::EmptyLabel(host.into()));
    }
    if label.contains('*') {
        return Err(HostError::Wildcard(host.into()));
    }
    if label.len() > MAX_LABEL_LENGTH {
        return Err(HostError::LongLabel(label.into()));
    }
    match label.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_')) {
        Some(character) => Err(HostError::Character { host: host.into(), character }),
        None => Ok(()),
    }
}

/// The one spelling of `host`, which carries no port: lower case, without a trailing dot, an IPv6 literal in the form
/// of RFC 5952. Borrowed when it is spelled so already.
pub(super) fn canonical(host: &str) -> Cow<'_, str> {
    if let Some(address) = ipv6_literal(host) {
        return Cow::Owned(bracketed(address));
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Cow::Owned(host.to_ascii_lowercase());
    }
    Cow::Borrowed(host)
}

fn ipv6_literal(host: &str) -> Option<Ipv6Addr> {
    host.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

fn bracketed(address: Ipv6Addr) -> String {
    format!("[{address}]")
}

/// Why the host of a pattern was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each is described by its message")]
pub enum HostError {
    #[error("host `{0}` has a port: a pattern matches every port, write `{1}`")]
    Port(String, String),
    #[error("host `{0}` has an empty label")]
    EmptyLabel(String),
    #[error(
        "`*` in host `{0}` must be the whole first label, as in `*.example.com`; no host at all matches every host"
    )]
    Wildcard(String),
    #[error("label `{0}` of the host is longer than {max} characters", max = MAX_LABEL_LENGTH)]
    LongLabel(String),
    #[error("host `{0}` is longer than {max} characters", max = MAX_HOST_LENGTH)]
    TooLong(String),
    #[error(
        "`{character}` is not allowed in host `{host}`; an international name is written in its `xn--` form"
    )]
    Character { host: String, character: char },
    #[error("`{0}` is not an IPv6 address in brackets")]
    Address(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(host: &str, expected: &str) {
        assert_eq!(canonical(host), expected, "{host}");
    }

    #[test]
    fn hosts_get_one_spelling() {
        check("", "");
        check("api.example.com", "api.example.com");
        check("API.Example.com", "api.example.com");
        check("example.com.", "example.com");
        check("[::1]", "[::1]");
        check("[2001:DB8:0:0::1]", "[2001:db8::1]");
        check("[::FFFF:127.0.0.1]", "[::ffff:127.0.0.1]");
        check("[nonsense", "[nonsense");
    }

    #[test]
    fn patterns_match_hosts_in_any_spelling() {
        let check = |pattern: &str, host: &str, expected: bool| {
            assert_eq!(HostPattern::parse(pattern).unwrap().matches(host), expected, "{pattern} {host}");
        };
        check("a.example", "A.Example.", true);
        check("a.example", "b.a.example", false);
        check("*.example", "b.a.example", true);
        check("*.example", "example", false);
        check("*.example", ".example", false);
        check("[::1]", "[0:0::1]", true);
        check("", "", true);
    }

    #[test]
    fn canonical_hosts_are_borrowed() {
        for host in ["api.example.com", "example.com.", "127.0.0.1", ""] {
            assert!(matches!(canonical(host), Cow::Borrowed(_)), "{host}");
        }
    }
}
