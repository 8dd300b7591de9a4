//! Clients that come back to the backend that they had, by a cookie.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Puppet, check, echoes, get_with, hosts, pool, puppets, with};
use crate::support::{Answer, Authority, Backend, Client, Gateway, Wire, get, request};

const SECRET: &str = "sixteen characters or more";

fn affine(backends: &[Backend], affinity: Value) -> Value {
    pool(json!({ "backends": hosts(backends), "affinity": affinity }))
}

/// The cookie that was set: its value, and its attributes in lower case.
#[track_caller]
fn cookie(answer: &Answer, name: &str) -> (String, BTreeMap<String, String>) {
    let line = answer.header("set-cookie").expect("a cookie is set");
    let mut parts = line.split("; ");
    let (told, value) = parts.next().and_then(|pair| pair.split_once('=')).expect("a pair");
    assert_eq!(told, name);
    let attribute = |part: &str| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        (name.to_lowercase(), value.to_owned())
    };
    (value.to_owned(), parts.map(attribute).collect())
}

async fn come_back(gateway: &Gateway, value: &str) -> Answer {
    request(gateway.address(), get_with("/", "cookie", &format!("cloudcup={value}"))).await
}

#[tokio::test]
async fn a_client_comes_back_to_the_backend_that_it_had() {
    let backends = echoes(4);
    let gateway = Gateway::start(affine(&backends, json!({}))).await;
    let mut values = BTreeMap::new();
    for _ in 0..4 {
        let answer = request(gateway.address(), get("/")).await;
        let (value, attributes) = cookie(&answer, "cloudcup");
        let told: Vec<_> = attributes.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(told, [("httponly", ""), ("path", "/"), ("samesite", "Lax")]);
        assert!(value.len() >= 20, "nobody may guess it: {value}");
        assert!(!value.contains("127"), "it tells where the backend is: {value}");
        values.insert(answer.backend(), value);
    }
    assert_eq!(values.len(), 4, "each backend has its own");
    for _ in 0..3 {
        for (backend, value) in &values {
            let answer = come_back(&gateway, value).await;
            assert_eq!(&answer.backend(), backend);
            assert_eq!(answer.header("set-cookie"), None, "it has the cookie already");
        }
    }
    // A reload leaves clients where they are, although the secret is a random one.
    let document = with(affine(&backends, json!({})), json!({ "limits": { "header_count": 50 } }));
    gateway.change(document).await;
    for (backend, value) in &values {
        assert_eq!(&come_back(&gateway, value).await.backend(), backend);
    }
}

#[tokio::test]
async fn the_cookie_is_made_as_the_document_says() {
    let backends = echoes(1);
    for (fields, expected) in [
        (json!({ "max_age": "2h" }), &[("max-age", "7200"), ("samesite", "Lax")][..]),
        (json!({ "same_site": "strict" }), &[("samesite", "Strict")]),
        (json!({ "same_site": "none" }), &[("samesite", "None"), ("secure", "")]),
        (json!({ "secure": true }), &[("samesite", "Lax"), ("secure", "")]),
    ] {
        let affinity = with(fields, json!({ "cookie": "back" }));
        let gateway = Gateway::start(affine(&backends, affinity)).await;
        let (value, mut attributes) = cookie(&request(gateway.address(), get("/")).await, "back");
        assert!(attributes.remove("httponly").is_some() && attributes.remove("path").is_some());
        let told: Vec<_> = attributes.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(told, expected);
        let again = request(gateway.address(), get_with("/", "cookie", &format!("back={value}"))).await;
        assert_eq!(again.header("set-cookie"), None);
    }
}

#[tokio::test]
async fn what_was_set_over_tls_stays_there() {
    let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new("the authority"));
    authority.issue(&["a.example"]).write(folder.path(), "a");
    let tls = json!({ "certificates": [{ "certificate": "a.pem", "key": "a.key" }] });
    let backends = echoes(1);
    let listeners = json!({ "secure": { "address": "127.0.0.1:0", "tls": tls } });
    let document = |affinity| with(affine(&backends, affinity), json!({ "listeners": listeners }));
    let gateway = Gateway::try_start_in(folder, document(json!({}))).await.expect("it starts");
    for (affinity, is_secure) in [(json!({}), true), (json!({ "secure": false }), false)] {
        gateway.change(document(affinity)).await;
        let client = authority.client(&["http/1.1"], None);
        let io = client.connect(gateway.address(), "a.example").await.expect("a session");
        let mut client: Client = Client::over(io).await.expect("a connection");
        let answer = client.send(get_with("/", "host", "a.example")).await.expect("a response");
        assert_eq!(cookie(&answer, "cloudcup").1.contains_key("secure"), is_secure);
    }
}

#[tokio::test]
async fn a_forged_cookie_is_ignored() {
    let backends = echoes(2);
    let gateway = Gateway::start(affine(&backends, json!({ "secret": SECRET }))).await;
    let (value, _) = cookie(&request(gateway.address(), get("/")).await, "cloudcup");
    let other = Gateway::start(affine(&backends, json!({ "secret": "another of sixteen characters" }))).await;
    let (foreign, _) = cookie(&request(other.address(), get("/")).await, "cloudcup");
    let host = backends[0].address().to_string();
    for forged in ["", "x", &host, &foreign, &value[1..], &format!("{value}A"), &"A".repeat(4000)] {
        let mut met = Vec::new();
        for _ in 0..2 {
            let answer = come_back(&gateway, forged).await;
            cookie(&answer, "cloudcup");
            met.push(answer.backend());
        }
        assert_ne!(met[0], met[1], "{forged:?} leads somewhere");
    }
}

#[tokio::test]
async fn another_backend_takes_over_while_a_clients_own_is_out() {
    let backends = Puppet::several::<2>();
    let fields = json!({
        "backends": puppets(&backends), "affinity": {},
        "health_check": check(json!({})),
    });
    let gateway = Gateway::start(pool(fields)).await;
    let (value, _) = cookie(&request(gateway.address(), get("/")).await, "cloudcup");
    let own = come_back(&gateway, &value).await.backend();
    let index = usize::from(own == "b1");
    backends[index].becomes(&gateway, false).await;
    let answer = come_back(&gateway, &value).await;
    assert_ne!(answer.backend(), own);
    let (next, _) = cookie(&answer, "cloudcup");
    backends[index].becomes(&gateway, true).await;
    for _ in 0..3 {
        assert_ne!(come_back(&gateway, &next).await.backend(), own, "it was taken over");
        assert_eq!(come_back(&gateway, &value).await.backend(), own, "whoever was not there meanwhile");
    }
}

#[tokio::test]
async fn gateways_with_one_secret_understand_each_others_cookies() {
    let backends = echoes(3);
    let document = affine(&backends, json!({ "secret": SECRET }));
    let (one, other) = (Gateway::start(document.clone()).await, Gateway::start(document).await);
    for _ in 0..3 {
        let answer = request(one.address(), get("/")).await;
        let (value, _) = cookie(&answer, "cloudcup");
        let there = come_back(&other, &value).await;
        assert_eq!((there.backend(), there.header("set-cookie")), (answer.backend(), None));
    }
}

#[tokio::test]
async fn a_backends_own_cookies_stay_beside_it() {
    let backends = [Backend::respond("HTTP/1.1 200 OK\r\nset-cookie: a=b\r\ncontent-length: 0\r\n\r\n")];
    let gateway = Gateway::start(affine(&backends, json!({}))).await;
    let mut wire = Wire::connect(gateway.address()).await;
    wire.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let head = wire.read_head().await;
    let cookies: Vec<_> = head.fields.iter().filter(|(name, _)| name == "set-cookie").collect();
    assert_eq!(cookies.len(), 2, "{cookies:?}");
    assert!(cookies.iter().any(|(_, value)| value == "a=b"));
}
