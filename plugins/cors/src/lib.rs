//! Tells browsers which origins may read (the CORS protocol of the Fetch standard).
//!
//! A preflight is answered here and reaches no backend; other responses get the fields that let a page read them. What a
//! backend says about it itself is replaced: there is one policy, and it stands in the document.

mod config;
mod origin;
mod policy;

use cloud_cup_plugin::{Error, Filter, Reply, RequestHead, ResponseHead, Verdict, filter};

use config::Config;
use policy::{Grant, Policy};

struct Cors {
    policy: Policy,
}

/// What a response of the backend may not say beside us.
const OWN: [&str; 7] = [
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "access-control-expose-headers",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-allow-private-network",
    "access-control-max-age",
];

#[filter(schema = "config.schema.json")]
impl Filter for Cors {
    type Config = Config;

    fn new(config: Config) -> Result<Self, Error> {
        Ok(Self { policy: Policy::new(config)? })
    }

    fn on_request(&self, request: &RequestHead) -> Verdict {
        if !is_preflight(request) {
            return Verdict::Next;
        }
        let wants_private_network = request
            .header("access-control-request-private-network")
            .is_some_and(|value| value.eq_ignore_ascii_case(b"true"));
        let fields = self.policy.preflight(&self.grant(request), wants_private_network);
        let reply = Reply::new(204).header("vary", policy::PREFLIGHT_VARY);
        fields.into_iter().fold(reply, |reply, (name, value)| reply.header(name, value)).into()
    }

    fn on_response(&self, request: &RequestHead, response: &ResponseHead) -> Verdict {
        // A preflight's response is ours, or that of a plugin before us.
        if is_preflight(request) {
            return Verdict::Next;
        }
        for name in OWN {
            _ = response.remove_header(name);
        }
        // A response that is full goes without, and the page does not get to read it.
        for (name, value) in self.policy.actual(&self.grant(request)) {
            _ = response.set_header(name, value.as_bytes());
        }
        if self.policy.depends_on_origin() && !policy::varies_by_origin(&response.headers("vary")) {
            _ = response.append_header("vary", b"Origin");
        }
        Verdict::Next
    }
}

impl Cors {
    /// Where all may read, it is said to all: a cache may keep the answer to a request that has no origin.
    fn grant(&self, request: &RequestHead) -> Grant {
        if !self.policy.depends_on_origin() {
            return Grant::Any;
        }
        let origins = request.headers("origin");
        match &origins[..] {
            [origin] => self.policy.grant(origin),
            _ => Grant::Nothing,
        }
    }
}

fn is_preflight(request: &RequestHead) -> bool {
    request.method() == "OPTIONS"
        && request.header("origin").is_some()
        && request.header("access-control-request-method").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_schema_readme_and_tests_agree() {
        agreement::check("cors", env!("CARGO_MANIFEST_DIR"), |text| {
            Policy::new(cloud_cup_plugin::parse_config(text)?).map(drop)
        });
    }
}
