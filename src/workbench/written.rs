//! A file of cases as it is written. Unknown fields are errors, with their line and column.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;
use serde_json::{Map, Value};

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tests {
    /// As in the document.
    #[serde(default)]
    pub key_sets: Map<String, Value>,
    /// As in the document. The plugin is granted all of them.
    #[serde(default)]
    pub secrets: Map<String, Value>,
    pub cases: Vec<Case>,
}

/// One use of the plugin, with a state of its own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    pub name: String,
    pub config: Option<Value>,
    #[serde(default)]
    pub steps: Vec<Step>,
    /// The configuration is refused, with words that contain these.
    pub refused: Option<String>,
}

/// One exchange.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    #[serde(default)]
    pub request: Request,
    /// How much time passes before it.
    pub wait: Option<String>,
    #[serde(default)]
    pub response: Response,
    #[serde(default)]
    pub expect: Expect,
}

/// What the client asks, and what the gateway knows of it by then.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Request {
    pub method: Option<String>,
    pub path: Option<String>,
    pub query: Option<String>,
    pub host: Option<String>,
    pub headers: Vec<(String, String)>,
    pub client: Option<IpAddr>,
    pub route: Option<String>,
    pub parameters: BTreeMap<String, String>,
    pub attributes: BTreeMap<String, String>,
    pub backends: Option<Vec<String>>,
}

/// What the backend answers, or with a reason the gateway in its place.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Response {
    pub status: Option<u16>,
    pub headers: Vec<(String, String)>,
    pub backend: Option<String>,
    pub duration: Option<String>,
    pub reason: Option<String>,
}

/// What has to come of it. What is not said may be anything, but for a fault.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Expect {
    pub verdict: Option<Verdict>,
    pub code: Option<String>,
    pub status: Option<u16>,
    pub headers: BTreeMap<String, String>,
    pub absent: Vec<String>,
    pub body_contains: Option<String>,
    pub request_headers: BTreeMap<String, String>,
    pub request_absent: Vec<String>,
    pub attributes: BTreeMap<String, String>,
    pub avoided: Option<Vec<String>>,
}

/// What became of an exchange in the plugin's hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// It passed.
    Next,
    /// The plugin answered.
    Reply,
    /// The plugin failed.
    Fault,
}

impl Verdict {
    pub fn name(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Reply => "reply",
            Self::Fault => "fault",
        }
    }
}
