//! What a step expects, beside what was found.

use std::fmt::Display;

use bytes::Bytes;
use http::HeaderMap;

use super::written::{Expect, Verdict};
use crate::message::{Exchange, ResponseHead};

/// How much of a body is shown.
const SHOWN: usize = 200;

/// What became of an exchange.
pub(super) struct Found {
    pub verdict: Verdict,
    /// Of the fault, if there was one.
    pub code: Option<&'static str>,
    pub head: ResponseHead,
    pub body: Bytes,
    pub exchange: Box<Exchange>,
}

/// Everything that is not as expected.
pub(super) fn check(expect: &Expect, found: &Found) -> Vec<String> {
    let mut failures = Vec::new();
    let mut differs = |what: &str, expected: &dyn Display, found: &dyn Display| {
        failures.push(format!("expected {what} {expected}, found {found}"));
    };
    let verdict = || match found.code {
        Some(code) => format!("`fault` ({code})"),
        None => format!("`{}`", found.verdict.name()),
    };
    match (expect.verdict, &expect.code) {
        (_, Some(code)) if found.code != Some(code.as_str()) => {
            differs("a fault with the code", &format_args!("`{code}`"), &verdict());
        }
        (Some(expected), None) if expected != found.verdict => {
            differs("the verdict", &format_args!("`{}`", expected.name()), &verdict());
        }
        (None, None) if found.verdict == Verdict::Fault => differs("no", &"fault", &verdict()),
        _ => {}
    }
    let status = found.head.status.as_u16();
    if let Some(expected) = expect.status.filter(|expected| *expected != status) {
        differs("the status", &expected, &status);
    }
    if let Some(expected) = &expect.body_contains {
        let body = String::from_utf8_lossy(&found.body);
        if !body.contains(expected.as_str()) {
            let shown: String = body.chars().take(SHOWN).collect();
            differs("a body that contains", &format_args!("`{expected}`"), &format_args!("`{shown}`"));
        }
    }
    let (request, response) = (&found.exchange.headers, &found.head.headers);
    for (of, fields, wanted, absent) in [
        ("the response", response, &expect.headers, &expect.absent),
        ("the request", request, &expect.request_headers, &expect.request_absent),
    ] {
        for (name, expected) in wanted.iter().filter(|(name, expected)| !has(fields, name, expected)) {
            differs(&format!("{of} with"), &format_args!("`{name}: {expected}`"), &shown(fields, name));
        }
        for name in absent.iter().filter(|name| fields.contains_key(name.as_str())) {
            differs(&format!("{of} without"), &format_args!("`{name}`"), &shown(fields, name));
        }
    }
    let attributes = &found.exchange.attributes;
    for (name, expected) in &expect.attributes {
        let value = attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value);
        if value != Some(expected) {
            let value = value.map_or("none".to_owned(), |value| format!("`{value}`"));
            differs(&format!("the attribute `{name}` to be"), &format_args!("`{expected}`"), &value);
        }
    }
    if let Some(expected) = &expect.avoided {
        let sorted = |list: &[String]| {
            let mut list = list.to_vec();
            list.sort_unstable();
            list
        };
        let (expected, avoided) = (sorted(expected), sorted(&found.exchange.avoided));
        if expected != avoided {
            differs("avoided backends", &format_args!("{expected:?}"), &format_args!("{avoided:?}"));
        }
    }
    failures
}

/// Whether a field has this value: among its own, or as all of them in one line.
fn has(fields: &HeaderMap, name: &str, expected: &str) -> bool {
    let values: Vec<_> = fields.get_all(name).iter().map(|value| value.as_bytes()).collect();
    values.contains(&expected.as_bytes())
        || (!values.is_empty() && values.join(&b", "[..]) == expected.as_bytes())
}

fn shown(fields: &HeaderMap, name: &str) -> String {
    let values: Vec<_> =
        fields.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
    if values.is_empty() { "none".to_owned() } else { format!("`{}`", values.join("`, `")) }
}
