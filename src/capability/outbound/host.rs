//! The hosts of a grant, and the host of a URL.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use reqwest::Url;

use super::HttpError;

/// A host that may be named in a URL: `api.example.com`, `*.example.com` (any name below it, not itself) or an address.
/// Without a port it means the scheme's own, 80 or 443; `api.example.com:8443` means that port only.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPattern {
    host: PatternHost,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum PatternHost {
    Exact(Host),
    /// The name with its dot in front.
    Below(String),
}

/// A host as a URL has it after parsing: lower case, Punycode, and every spelling of an IPv4 address in one form.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Host {
    Name(String),
    Address(IpAddr),
}

/// Where a request goes.
pub(super) struct Target {
    pub(super) host: Host,
    port: u16,
    /// Whether the port is the scheme's own.
    plain: bool,
}

/// Text is no [`HostPattern`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a host such as `api.example.com`, `api.example.com:8443`, `*.example.com` or an IP address"
)]
pub struct HostPatternError;

impl HostPattern {
    pub(super) fn matches(&self, target: &Target) -> bool {
        let port = self.port.map_or(target.plain, |port| port == target.port);
        let host = match (&self.host, &target.host) {
            (PatternHost::Exact(host), found) => host == found,
            (PatternHost::Below(suffix), Host::Name(name)) => {
                name.len() > suffix.len() && name.ends_with(suffix.as_str())
            }
            (PatternHost::Below(_), Host::Address(_)) => false,
        };
        port && host
    }
}

impl Target {
    /// Takes a URL apart. Refuses what a reader could take for another host: a user name before it.
    pub(super) fn of(url: &Url) -> Result<Self, HttpError> {
        let invalid = |text: &str| HttpError::Invalid(text.to_owned());
        if !matches!(url.scheme(), "http" | "https") {
            return Err(invalid("expected a URL of scheme `http` or `https`"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("expected a URL without user name and password"));
        }
        let host =
            url.host_str().and_then(Host::read).ok_or_else(|| invalid("expected a URL with a host"))?;
        let port = url.port_or_known_default().ok_or_else(|| invalid("expected a URL with a port"))?;
        Ok(Self { host, port, plain: url.port().is_none() })
    }
}

impl Host {
    fn read(text: &str) -> Option<Self> {
        if let Some(address) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
            return Some(Self::Address(address.parse::<Ipv6Addr>().ok()?.into()));
        }
        if let Ok(address) = text.parse() {
            return Some(Self::Address(address));
        }
        (!text.is_empty()).then(|| Self::Name(text.to_owned()))
    }
}

impl FromStr for HostPattern {
    type Err = HostPatternError;

    /// Reads the host the way that URLs are read, so that both sides of a comparison have one form.
    fn from_str(text: &str) -> Result<Self, HostPatternError> {
        let (wildcard, rest) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let address = rest.parse::<Ipv6Addr>().map(|address| format!("[{address}]"));
        let rest = address.as_deref().unwrap_or(rest);
        // A scheme without a port of its own would not be read as these are: 443 stands where none was written.
        let url = Url::parse(&format!("https://{rest}/")).map_err(|_| HostPatternError)?;
        let target = Target::of(&url).map_err(|_| HostPatternError)?;
        let written_port = rest.ends_with(":443").then_some(443).or(url.port());
        if rest.contains(['/', '\\', '?', '#', '@', '*', '%']) || rest.trim() != rest || rest.ends_with(':') {
            return Err(HostPatternError);
        }
        let host = match target.host {
            Host::Name(name) if name.ends_with('.') || name.starts_with('.') => return Err(HostPatternError),
            Host::Name(name) if wildcard => PatternHost::Below(format!(".{name}")),
            Host::Address(_) if wildcard => return Err(HostPatternError),
            host => PatternHost::Exact(host),
        };
        Ok(Self { host, port: written_port })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            PatternHost::Exact(host) => write!(f, "{host}")?,
            PatternHost::Below(suffix) => write!(f, "*{suffix}")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_patterns() {
        let check = |text: &str, expected: Option<&str>| {
            let read = text.parse::<HostPattern>().map(|pattern| pattern.to_string());
            assert_eq!(read.as_deref().ok(), expected, "{text}");
        };
        check("api.example.com", Some("api.example.com"));
        check("API.Example.com:8443", Some("api.example.com:8443"));
        check("api.example.com:443", Some("api.example.com:443"));
        check("*.example.com", Some("*.example.com"));
        check("10.0.0.1:80", Some("10.0.0.1:80"));
        check("::1", Some("[::1]"));
        check("[::1]:8080", Some("[::1]:8080"));
        check("bücher.example", Some("xn--bcher-kva.example"));
        for refused in [
            "",
            "*",
            "*.",
            "*.*.com",
            "a/b",
            "a@b",
            "http://a",
            "a:",
            "a:99999",
            "*.10.0.0.1",
            "a.",
            "a b",
            "a?",
        ] {
            check(refused, None);
        }
    }

    #[test]
    fn grants_what_the_url_really_names() {
        let check = |pattern: &str, url: &str, expected: bool| {
            let pattern: HostPattern = pattern.parse().unwrap();
            let target = Url::parse(url).ok().and_then(|url| Target::of(&url).ok());
            assert_eq!(target.is_some_and(|target| pattern.matches(&target)), expected, "{pattern} {url}");
        };
        check("api.example.com", "https://API.EXAMPLE.com/x", true);
        check("api.example.com", "https://api.example.com:443/", true);
        check("api.example.com", "https://api.example.com:8443/", false);
        check("api.example.com:8443", "https://api.example.com:8443/", true);
        check("api.example.com:443", "http://api.example.com/", false);
        check("api.example.com", "https://api.example.com./", false);
        check("api.example.com", "https://api.example.com@evil.example/", false);
        check("api.example.com", "https://evil.example/?@api.example.com/", false);
        check("api.example.com", "https://evil.example#api.example.com", false);
        check("api.example.com", r"https://evil.example\@api.example.com/", false);
        check("api.example.com", "ftp://api.example.com/", false);
        check("*.example.com", "https://a.b.example.com/", true);
        check("*.example.com", "https://example.com/", false);
        check("*.example.com", "https://badexample.com/", false);
        check("*.example.com", "https://.example.com/", false);
        check("bücher.example", "https://BÜCHER.example/", true);
        check("bücher.example", "https://bucher.example/", false);
        for spelling in ["127.1", "2130706433", "0x7f.1", "0177.0.0.1", "127.0.0.1.", "①②⑦.1"] {
            check("127.0.0.1", &format!("http://{spelling}/"), true);
        }
    }
}
