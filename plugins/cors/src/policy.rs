//! The configuration, checked, and the fields that follow from it.

use crate::{config::Config, origin::Pattern};

pub const PREFLIGHT_VARY: &str = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";

#[derive(Debug)]
pub struct Policy {
    origins: Vec<Pattern>,
    credentials: bool,
    private_network: bool,
    /// Lists as the fields have them; none where the field is not sent.
    methods: Option<String>,
    headers: Option<String>,
    expose: Option<String>,
    max_age: Option<String>,
}

/// What the origin of a request may.
#[derive(Debug, PartialEq)]
pub enum Grant {
    Nothing,
    /// As any other may.
    Any,
    /// This one, by name.
    Origin(String),
}

type Fields = Vec<(&'static str, String)>;

impl Policy {
    /// # Errors
    ///
    /// What does not go together, and where.
    pub fn new(config: Config) -> Result<Self, String> {
        let methods: Vec<&str> = config.methods.iter().map(|method| method.0.as_str()).collect();
        let headers: Vec<&str> = config.headers.iter().map(|name| &**name).collect();
        let expose: Vec<&str> = config.expose.iter().map(|name| &**name).collect();
        if config.origins.is_empty() {
            return Err("no origin may read: list one, or leave the plugin out at /origins".to_owned());
        }
        if config.credentials {
            check_credentials(config.origins.contains(&Pattern::Any), "origins")?;
            for (list, place) in [(&methods, "methods"), (&headers, "headers"), (&expose, "expose")] {
                check_credentials(list.contains(&"*"), place)?;
            }
        }
        Ok(Self {
            methods: list(&methods),
            headers: list(&headers),
            expose: list(&expose),
            max_age: config.max_age.map(|age| age.as_secs().to_string()),
            origins: config.origins,
            credentials: config.credentials,
            private_network: config.private_network,
        })
    }

    pub fn grant(&self, origin: &[u8]) -> Grant {
        let Ok(origin) = std::str::from_utf8(origin) else { return Grant::Nothing };
        if !self.origins.iter().any(|pattern| pattern.matches(origin)) {
            return Grant::Nothing;
        }
        if self.depends_on_origin() { Grant::Origin(origin.to_owned()) } else { Grant::Any }
    }

    /// Whether two origins may get different answers, which a cache has to know.
    pub fn depends_on_origin(&self) -> bool {
        !self.origins.contains(&Pattern::Any)
    }

    pub fn preflight(&self, grant: &Grant, wants_private_network: bool) -> Fields {
        let mut fields = self.granted(grant);
        if fields.is_empty() {
            return fields;
        }
        fields.extend(self.methods.clone().map(|methods| ("access-control-allow-methods", methods)));
        fields.extend(self.headers.clone().map(|headers| ("access-control-allow-headers", headers)));
        fields.extend(self.max_age.clone().map(|age| ("access-control-max-age", age)));
        if wants_private_network && self.private_network {
            fields.push(("access-control-allow-private-network", "true".to_owned()));
        }
        fields
    }

    pub fn actual(&self, grant: &Grant) -> Fields {
        let mut fields = self.granted(grant);
        if !fields.is_empty() {
            fields.extend(self.expose.clone().map(|names| ("access-control-expose-headers", names)));
        }
        fields
    }

    fn granted(&self, grant: &Grant) -> Fields {
        let origin = match grant {
            Grant::Nothing => return Vec::new(),
            Grant::Any => "*",
            Grant::Origin(origin) => origin,
        };
        let mut fields = vec![("access-control-allow-origin", origin.to_owned())];
        if self.credentials {
            fields.push(("access-control-allow-credentials", "true".to_owned()));
        }
        fields
    }
}

/// Whether a cache is told already.
pub fn varies_by_origin(values: &[Vec<u8>]) -> bool {
    let mut names = values.iter().flat_map(|value| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    names.any(|name| name == b"*" || name.eq_ignore_ascii_case(b"origin"))
}

/// Browsers do not take `*` for everything when there are credentials.
fn check_credentials(has_any: bool, place: &str) -> Result<(), String> {
    if has_any {
        return Err(format!(
            "with `credentials`, browsers do not accept `*`: list what is meant at /{place}"
        ));
    }
    Ok(())
}

fn list(names: &[&str]) -> Option<String> {
    (!names.is_empty()).then(|| names.join(", "))
}

#[cfg(test)]
mod tests {
    use cloud_cup_plugin::parse_config;

    use super::*;

    fn policy(text: &str) -> Result<Policy, String> {
        Policy::new(parse_config(text)?)
    }

    #[test]
    fn grants_any_or_by_name() {
        let any = policy(r#"{"origins": ["*"]}"#).unwrap();
        assert_eq!(any.grant(b"https://a.test"), Grant::Any);
        assert!(!any.depends_on_origin());
        let named = policy(r#"{"origins": ["https://a.test", "https://*.b.test"]}"#).unwrap();
        assert_eq!(named.grant(b"https://a.test"), Grant::Origin("https://a.test".to_owned()));
        assert_eq!(named.grant(b"https://x.b.test"), Grant::Origin("https://x.b.test".to_owned()));
        assert_eq!(named.grant(b"https://b.test"), Grant::Nothing);
        assert_eq!(named.grant(b"\xff"), Grant::Nothing);
        assert!(named.depends_on_origin());
    }

    #[test]
    fn fields_say_what_is_granted() {
        let text = r#"{"origins": ["https://a.test"], "methods": ["GET", "PUT"], "headers": ["X-A", "content-type"],
            "expose": ["X-B"], "credentials": true, "max_age": "10m", "private_network": true}"#;
        let policy = policy(text).unwrap();
        let grant = policy.grant(b"https://a.test");
        let named =
            [("access-control-allow-origin", "https://a.test"), ("access-control-allow-credentials", "true")];
        let check = |fields: Fields, expected: &[(&str, &str)]| {
            let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            assert_eq!(fields, [&named[..], expected].concat());
        };
        let preflight = [
            ("access-control-allow-methods", "GET, PUT"),
            ("access-control-allow-headers", "x-a, content-type"),
            ("access-control-max-age", "600"),
            ("access-control-allow-private-network", "true"),
        ];
        check(policy.preflight(&grant, true), &preflight);
        check(policy.preflight(&grant, false), &preflight[..3]);
        check(policy.actual(&grant), &[("access-control-expose-headers", "x-b")]);
        assert!(policy.preflight(&Grant::Nothing, true).is_empty());
        assert!(policy.actual(&Grant::Nothing).is_empty());
    }

    #[test]
    fn caches_are_told_once() {
        fn check(values: &[&str], expected: bool) {
            let values: Vec<_> = values.iter().map(|value| value.as_bytes().to_vec()).collect();
            assert_eq!(varies_by_origin(&values), expected, "{values:?}");
        }
        check(&[], false);
        check(&["accept-encoding"], false);
        check(&["accept-encoding,ORIGIN"], true);
        check(&["accept", "*"], true);
        check(&["x-origin"], false);
    }

    #[test]
    fn refusal_names_the_place() {
        fn check(text: &str, expected: &str) {
            assert_eq!(policy(text).unwrap_err(), expected, "{text}");
        }
        let any = |place: &str| {
            format!("with `credentials`, browsers do not accept `*`: list what is meant at /{place}")
        };
        check("{}", "missing field `origins`");
        check(r#"{"origins": []}"#, "no origin may read: list one, or leave the plugin out at /origins");
        check(r#"{"origins": ["*"], "credentials": true}"#, &any("origins"));
        check(r#"{"origins": ["null"], "methods": ["*"], "credentials": true}"#, &any("methods"));
        check(r#"{"origins": ["null"], "headers": ["*"], "credentials": true}"#, &any("headers"));
        check(r#"{"origins": ["null"], "expose": ["*"], "credentials": true}"#, &any("expose"));
        check(r#"{"origins": ["null"], "methods": ["GET "]}"#, "`GET ` is not a method at /methods/0");
        check(
            r#"{"origins": ["a.test"]}"#,
            "`a.test` is not an origin such as `https://example.com`, `https://*.example.com`, `http://localhost:3000` or `*` at /origins/0",
        );
    }
}
