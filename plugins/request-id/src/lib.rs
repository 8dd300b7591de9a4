//! Gives each request an identifier: for the backend, for the client, and for the plugins that come later.

use cloud_cup_plugin::{
    Error, FieldName, Filter, Refusal, RequestHead, ResponseHead, Verdict, clock, facts, filter, grpc, random,
};
use uuid::Builder;

/// What later plugins and the response hook read.
const ATTRIBUTE: &str = "request.id";
const LONGEST: usize = 128;

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    header: Name,
    #[serde(default)]
    trust: bool,
    #[serde(default)]
    format: Format,
    #[serde(default = "yes")]
    response: bool,
}

/// Of a field that a filter may change.
#[derive(Debug, serde::Deserialize)]
#[serde(try_from = "FieldName")]
struct Name(FieldName);

#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    /// Random.
    #[default]
    Uuid4,
    /// Random behind the time: later ones sort behind earlier ones.
    Uuid7,
}

struct RequestId {
    config: Config,
}

#[filter(schema = "config.schema.json")]
impl Filter for RequestId {
    type Config = Config;

    fn new(config: Config) -> Result<Self, Error> {
        Ok(Self { config })
    }

    fn on_request(&self, request: &RequestHead) -> Verdict {
        let name = &*self.config.header.0;
        if self.config.trust {
            if let Some(id) = trusted(request.headers(name)) {
                // Without it, the response goes without.
                _ = facts::set_attribute(ATTRIBUTE, &id);
                return Verdict::Next;
            }
        }
        let id = self.config.format.id();
        if request.set_header(name, id.as_bytes()).is_err() {
            return too_large(request);
        }
        _ = facts::set_attribute(ATTRIBUTE, &id);
        Verdict::Next
    }

    fn on_response(&self, _request: &RequestHead, response: &ResponseHead) -> Verdict {
        if self.config.response {
            if let Some(id) = facts::attribute(ATTRIBUTE) {
                // A response that is full goes without.
                _ = response.set_header(&self.config.header.0, id.as_bytes());
            }
        }
        Verdict::Next
    }
}

impl Format {
    fn id(self) -> String {
        let random = random::bytes(16);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&random);
        match self {
            Self::Uuid4 => uuid4(bytes),
            Self::Uuid7 => uuid7(bytes, u64::try_from(clock::now().as_millis()).unwrap_or(u64::MAX)),
        }
    }
}

/// RFC 9562, section 5.4.
fn uuid4(random: [u8; 16]) -> String {
    Builder::from_random_bytes(random).into_uuid().hyphenated().to_string()
}

/// RFC 9562, section 5.7.
fn uuid7(random: [u8; 16], milliseconds: u64) -> String {
    let [tail @ .., _, _, _, _, _, _] = random;
    Builder::from_unix_timestamp_millis(milliseconds, &tail).into_uuid().hyphenated().to_string()
}

/// The one value, if it has a length and characters that any log can take.
fn trusted(mut values: Vec<Vec<u8>>) -> Option<String> {
    let value = values.pop().filter(|_| values.is_empty())?;
    let is_visible = (1..=LONGEST).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic);
    if is_visible { String::from_utf8(value).ok() } else { None }
}

/// The head has no room for the field. A request that nobody can find again does not go on.
fn too_large(request: &RequestHead) -> Verdict {
    let refusal = Refusal {
        status: 431,
        grpc_status: grpc::RESOURCE_EXHAUSTED,
        code: "head-too-large",
        message: "the head of the request has no room for an identifier",
    };
    refusal.reply(request.is_grpc()).into()
}

fn yes() -> bool {
    true
}

impl Default for Name {
    fn default() -> Self {
        Self(FieldName::try_from("x-request-id".to_owned()).expect("it is a name"))
    }
}

impl TryFrom<FieldName> for Name {
    type Error = String;

    fn try_from(name: FieldName) -> Result<Self, String> {
        if name.may_change() {
            return Ok(Self(name));
        }
        Err(format!("`{}` belongs to the gateway and cannot be changed", &*name))
    }
}

#[cfg(test)]
mod tests {
    use cloud_cup_plugin::parse_config;

    use super::*;

    #[test]
    fn identifiers_have_the_form_of_their_format() {
        assert_eq!(uuid4([0xff; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(uuid4([0; 16]), "00000000-0000-4000-8000-000000000000");
        // The example of RFC 9562, section A.6.
        assert_eq!(&uuid7([0xff; 16], 0x017f_22e2_79b0)[..18], "017f22e2-79b0-7fff");
        assert!(uuid7([0xff; 16], 1) < uuid7([0; 16], 2));
    }

    #[test]
    fn trusts_one_value_of_visible_characters() {
        fn check(values: &[&str], expected: Option<&str>) {
            let fields = values.iter().map(|value| value.as_bytes().to_vec()).collect();
            assert_eq!(trusted(fields).as_deref(), expected, "{values:?}");
        }
        check(&["a-1/B:c"], Some("a-1/B:c"));
        check(&[], None);
        check(&[""], None);
        check(&["a b"], None);
        check(&["é"], None);
        check(&["a", "b"], None);
        check(&[&"x".repeat(128)], Some(&"x".repeat(128)));
        check(&[&"x".repeat(129)], None);
    }

    #[test]
    fn code_schema_readme_and_tests_agree() {
        agreement::check("request-id", env!("CARGO_MANIFEST_DIR"), |text| {
            parse_config::<Config>(text).map(drop)
        });
    }
}
