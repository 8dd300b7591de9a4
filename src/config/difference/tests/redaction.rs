use super::*;
use crate::config::difference::redaction::REDACTED;

/// All that is secret has an `S` in it, and nothing else has.
fn document() -> Value {
    json!({
        "secrets": { "api": "S1", "outside": "$env:API", "file": "$file:api", "escaped": "$$env:S", "number": 5 },
        "admin": { "listen": "127.0.0.1:9901", "token": "S0", "socket": "cup.sock" },
        "ssl": { "ssl_certificate": "a.pem", "ssl_certificate_key": "a.key" },
        "key_sets": {
            "shared": { "secret": "S2", "algorithms": ["HE256"] },
            "outside": { "secret": "$file:secret" },
            "inline": { "jwks": { "keys": [{ "kty": "RE", "kid": "1", "n": "public", "d": "S3" }, { "kty": "oct", "k": "S4" }] } },
            "pem": { "pem": "-----BEGIN RSA PRIVATE KEY-----\nS5" },
            "public": { "pem": "-----BEGIN PUBLIC KEY-----\nMII" }
        },
        "http": { "plugins": [{ "use": "x", "config": { "client_secret": "S6", "level": "high" } }] },
        "plugins": {
            "mine": { "secrets": ["token"], "config": { "upstreams": [{ "ApiKey": "S7", "url": "https://x" }], "tokens": ["S8"] } }
        },
        "upstreams": { "a": {
            "affinity": { "cookie": "cup", "secret": "S11" },
            "health_check": { "headers": { "authorization": "S12", "x-probe": "1" } }
        } },
        "routes": {
            "/c": {
                "match": { "headers": { "X-Api-Key": { "exact": "S13" } } },
                "split": [{ "upstream": "a", "weight": 1 }],
                "sticky": { "secret": "S14", "max_age": "1h" },
                "headers": { "request": {
                    "set": { "authorization": "Bearer S15", "x-gateway": "cup" }, "remove": ["x-token"]
                } },
                "retry": { "headers": ["x-secret"] }
            },
            "/a": { "plugins": ["cors", { "use": "basic-auth", "config": {
                "users": { "alice": "$2y$S" }, "htpasswd": "$file:users", "keys": { "shop": "sha256:S" },
                "user_header": "x-user", "bcrypt_cost": 8, "from": [{ "header": "x-api-key" }]
            } }] },
            "/b": [{ "plugins": [
                { "use": "jwt-auth", "config": { "key_sets": ["shared"], "forward_token": false } },
                { "use": "rate-limit", "config": { "key": ["route", { "claim": "sub" }], "requests": 1 } },
                { "use": "headers", "config": { "request": { "set": { "Authorization": "Basic S", "x-gateway": "cup" } } } },
                { "use": "other", "config": { "key": "S9", "more": { "key": { "1": "S10" } } } }
            ] }]
        }
    })
}

#[test]
fn shows_no_secret_of_a_document() {
    let mut redacted = document();
    redact(&mut redacted);
    let check = |Difference { pointer, change }: &Difference| match change {
        Change::Changed { old, new } => {
            assert_eq!(*new, json!(REDACTED), "{pointer}");
            assert!(old.to_string().contains('S') || pointer == "/secrets/number", "{pointer}");
        }
        other => panic!("{pointer} {other:?}"),
    };
    let found = differences(&document(), &redacted);
    found.iter().for_each(check);
    assert!(!redacted.to_string().contains('S'), "{redacted}");
    assert_eq!(found.len(), 21);
}

#[test]
fn shows_no_secret_of_a_difference() {
    let mut other = document();
    shout(&mut other);
    let found = Differences::between(&document(), &other);
    let count = found.differences.len();
    let redacted = found.redacted();
    assert_eq!(redacted.differences.len(), count);
    for difference in &redacted.differences {
        assert!(!difference.to_string().contains('S'), "{difference}");
    }
    let users = Difference {
        pointer: "/routes/~1a/plugins/1/config/users/alice".to_owned(),
        change: Change::Changed { old: json!(REDACTED), new: json!(REDACTED) },
    };
    assert!(redacted.differences.contains(&users));
}

/// Appends an exclamation mark to every secret.
fn shout(value: &mut Value) {
    match value {
        Value::String(text) if text.contains('S') => text.push('!'),
        Value::Array(items) => items.iter_mut().for_each(shout),
        Value::Object(fields) => fields.values_mut().for_each(shout),
        _ => {}
    }
}

/// Wherever the part that was added begins.
#[test]
fn shows_no_secret_of_any_part() {
    let check = |difference: &Difference| {
        for part in parts(&difference.pointer, difference.change.clone()) {
            let shown = serde_json::to_string(&part.clone().redacted()).unwrap();
            assert!(!shown.contains('S'), "{shown}");
        }
    };
    differences(&json!({}), &document()).iter().for_each(check);
}

/// The value and all values inside, each as a difference of its own.
fn parts(pointer: &str, change: Change) -> Vec<Difference> {
    let Change::Added { new } = &change else { panic!("{change:?}") };
    let inside: Vec<(String, Value)> = match new {
        Value::Object(fields) => fields.clone().into_iter().collect(),
        Value::Array(items) => {
            items.iter().cloned().enumerate().map(|(i, item)| (i.to_string(), item)).collect()
        }
        _ => Vec::new(),
    };
    let inside = inside.into_iter().flat_map(|(token, new)| {
        let pointer = super::super::super::path::join(pointer, &token);
        parts(&pointer, Change::Added { new })
    });
    let mut parts: Vec<_> = inside.collect();
    parts.push(Difference { pointer: pointer.to_owned(), change });
    parts
}
