//! The form of a tests.json, as far as a test needs it without the gateway: unknown fields are mistakes.

#![expect(dead_code, reason = "most fields are there to be checked by their types")]

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

type Map<T = String> = BTreeMap<String, T>;
type Fields = Vec<(String, String)>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestsFile {
    #[serde(default)]
    key_sets: Map<Value>,
    #[serde(default)]
    secrets: Map<Value>,
    pub cases: Vec<Case>,
}

/// A fresh attachment with this config; its exchanges follow one another.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub name: String,
    #[serde(default)]
    pub config: Value,
    #[serde(default)]
    pub steps: Vec<Step>,
    pub refused: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    #[serde(default)]
    request: Request,
    wait: Option<String>,
    #[serde(default)]
    response: Response,
    #[serde(default)]
    expect: Expect,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Request {
    method: Option<String>,
    path: Option<String>,
    query: Option<String>,
    host: Option<String>,
    headers: Fields,
    client: Option<String>,
    route: Option<String>,
    parameters: Map,
    attributes: Map,
    backends: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Response {
    status: Option<u16>,
    headers: Fields,
    backend: Option<String>,
    duration: Option<String>,
    reason: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Expect {
    verdict: Option<Verdict>,
    code: Option<String>,
    status: Option<u16>,
    headers: Map,
    absent: Vec<String>,
    body_contains: Option<String>,
    request_headers: Map,
    request_absent: Vec<String>,
    attributes: Map,
    avoided: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Next,
    Reply,
    Fault,
}
