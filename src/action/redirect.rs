//! Redirects, as HTTPRequestRedirectFilter of the Gateway API has them.

use http::StatusCode;

use super::{Facts, HostTemplate, PathRewrite, RewriteError};

/// Where clients are sent. What is none stays as the client asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The scheme.
    pub scheme: Option<Scheme>,
    /// The host, without a port.
    pub host: Option<HostTemplate>,
    /// The port. None is that of `scheme`, or where that stays too, the one that the client used.
    pub port: Option<u16>,
    /// The path.
    pub path: Option<PathRewrite>,
    /// Whether the query goes along.
    pub keeps_query: bool,
    /// 301, 302, 303, 307 or 308.
    pub status: StatusCode,
}

/// What a redirect can lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as they are written")]
pub enum Scheme {
    Http,
    Https,
}

impl Scheme {
    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

impl Redirect {
    /// The whole URI to go to (RFC 9110, section 10.2.2).
    pub fn location(&self, facts: &Facts<'_>) -> Result<String, RewriteError> {
        let scheme = self.scheme.map_or(facts.scheme, Scheme::name);
        let made = self.host.as_ref().map(|host| host.render(facts, false)).transpose()?;
        let host = made.as_deref().unwrap_or(facts.host);
        if host.is_empty() {
            return Err(RewriteError::NoHost);
        }
        // The client's port is that of the listener, as it is known where the client is.
        let port = self.port.or(facts.port.filter(|_| self.scheme.is_none()));
        let port = port.filter(|port| *port != if scheme == "https" { 443 } else { 80 });
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let made = self.path.as_ref().map(|path| path.rewrite(facts)).transpose()?;
        let path = made.as_deref().unwrap_or(facts.path);
        let query = facts.query.filter(|_| self.keeps_query);
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        Ok(format!("{scheme}://{host}{port}{path}{query}"))
    }

    /// Whether it must not be shown.
    pub fn is_secret(&self) -> bool {
        self.host.as_ref().is_some_and(HostTemplate::is_secret)
            || self.path.as_ref().is_some_and(PathRewrite::is_secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Template;
    use crate::action::tests::{SCOPE, with_facts};

    const SAME: Redirect = Redirect {
        scheme: None,
        host: None,
        port: None,
        path: None,
        keeps_query: true,
        status: StatusCode::FOUND,
    };

    /// The rules of `port` in the Gateway API, and its conformance tests of scheme and port.
    #[test]
    fn ports_are_those_of_the_gateway_api() {
        let check = |asked: (&'static str, Option<u16>),
                     scheme: Option<Scheme>,
                     port: Option<u16>,
                     expected: &str| {
            let redirect = Redirect { scheme, port, path: None, ..SAME };
            let location = with_facts("", "", |facts| {
                redirect.location(&Facts { scheme: asked.0, port: asked.1, path: "/", query: None, ..*facts })
            });
            assert_eq!(location.as_deref(), Ok(expected), "{asked:?} {scheme:?} {port:?}");
        };
        use Scheme::{Http, Https};
        check(("http", None), None, None, "http://a.example/");
        check(("http", None), None, Some(80), "http://a.example/");
        check(("http", None), None, Some(8080), "http://a.example:8080/");
        check(("http", None), Some(Https), None, "https://a.example/");
        check(("http", None), Some(Https), Some(443), "https://a.example/");
        check(("http", None), Some(Https), Some(8443), "https://a.example:8443/");
        check(("http", Some(8080)), None, None, "http://a.example:8080/");
        check(("http", Some(8080)), None, Some(80), "http://a.example/");
        check(("http", Some(8080)), Some(Http), None, "http://a.example/");
        check(("http", Some(8080)), Some(Http), Some(80), "http://a.example/");
        check(("http", Some(8080)), Some(Http), Some(8080), "http://a.example:8080/");
        check(("http", Some(8080)), Some(Https), None, "https://a.example/");
        check(("https", None), None, None, "https://a.example/");
        check(("https", None), None, Some(443), "https://a.example/");
        check(("https", None), None, Some(8443), "https://a.example:8443/");
        check(("https", None), Some(Https), None, "https://a.example/");
        check(("https", Some(8443)), None, None, "https://a.example:8443/");
        check(("https", Some(8443)), Some(Http), None, "http://a.example/");
        check(("https", Some(8443)), Some(Http), Some(443), "http://a.example:443/");
    }

    #[test]
    fn queries_go_along_unless_they_should_not() {
        let check = |redirect: &Redirect, query: Option<&'static str>, expected: &str| {
            let location = with_facts("", "", |facts| {
                redirect.location(&Facts { port: None, path: "/p", query, ..*facts })
            });
            assert_eq!(location.as_deref(), Ok(expected));
        };
        check(&SAME, Some("a=b"), "http://a.example/p?a=b");
        check(&SAME, Some(""), "http://a.example/p?");
        check(&SAME, None, "http://a.example/p");
        check(&Redirect { keeps_query: false, ..SAME }, Some("a=b"), "http://a.example/p");
    }

    #[test]
    fn hosts_are_hosts_whatever_is_in_them() {
        let template = Template::parse("${header.x-a}.example", &SCOPE).unwrap();
        let redirect = Redirect { host: Some(HostTemplate::new(template)), ..SAME };
        let check = |text: &str, expected: Option<&str>| {
            let location = with_facts(text, "", |facts| {
                let mut headers = http::HeaderMap::new();
                if let Ok(value) = text.parse() {
                    headers.insert("x-a", value);
                }
                redirect.location(&Facts { headers: &headers, path: "/", query: None, port: None, ..*facts })
            });
            assert_eq!(location.ok().as_deref(), expected, "{text}");
        };
        check("b", Some("http://b.example/"));
        for bad in ["evil.test/", "u@evil", "a:80", "a b", "", "*", "ä"] {
            check(bad, None);
        }
        let nobody = with_facts("", "", |facts| SAME.location(&Facts { host: "", ..*facts }));
        assert_eq!(nobody, Err(RewriteError::NoHost));
    }
}
