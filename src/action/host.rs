//! Hosts that a document gives to requests and redirects.

use super::{Encoding, Facts, RewriteError, Template};
use crate::route::HostPattern;

/// A host, with a port where that is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostTemplate(Template);

/// Whether a text is a host that can be sent, with a port where `takes_port`.
pub fn is_host(text: &str, takes_port: bool) -> bool {
    let port = text.rfind(':').filter(|colon| takes_port && !text[*colon..].contains(']'));
    let (name, port) = port.map_or((text, None), |colon| (&text[..colon], Some(&text[colon + 1..])));
    let is_port = |port: &str| {
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|p| p > 0)
    };
    matches!(HostPattern::parse(name), Ok(HostPattern::Exact(_))) && port.is_none_or(is_port)
}

impl HostTemplate {
    /// Of a template whose [sample](Template::sample) is a host.
    pub fn new(template: Template) -> Self {
        Self(template)
    }

    /// Whether it must not be shown.
    pub fn is_secret(&self) -> bool {
        self.0.is_secret()
    }

    pub(super) fn looks_at_headers(&self) -> bool {
        self.0.looks_at_headers()
    }

    /// The host for a request.
    pub(super) fn render(&self, facts: &Facts<'_>, takes_port: bool) -> Result<String, RewriteError> {
        if let Some(host) = self.0.as_constant() {
            return Ok(host.to_owned());
        }
        let host = String::from_utf8(self.0.render(facts, Encoding::Field)).ok();
        host.filter(|host| is_host(host, takes_port)).ok_or(RewriteError::Host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address() {
        for good in ["a", "a.example", "A.Example.", "127.0.0.1", "[::1]", "a_b"] {
            assert!(is_host(good, false) && is_host(good, true), "{good}");
            let with_port = format!("{good}:80");
            assert!(!is_host(&with_port, false) && is_host(&with_port, true), "{with_port}");
        }
        for bad in [
            "", "a..b", "*.a", "a b", "a/b", "u@a", "[::1", "::1", "a%0A", "a\r\n", "a:", "a:0", "a:x",
            "a:70000", "a:+1",
        ] {
            assert!(!is_host(bad, false) && !is_host(bad, true), "{bad}");
        }
    }
}
