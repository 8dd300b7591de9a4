//! What backends are told of the client, and what of that clients can make up.

use std::net::SocketAddr;

use http::Version;
use serde_json::{Value, json};

use super::{before, before_with};
use crate::support::{Answer, Backend, Client, Gateway, Wire, get, request};

/// Asks with these fields.
async fn ask(address: SocketAddr, version: Version, fields: &[(&'static str, &'static str)]) -> Answer {
    let mut asking = get("/");
    *asking.version_mut() = version;
    for (name, value) in fields {
        asking.headers_mut().append(*name, value.parse().expect("a value"));
    }
    request(address, asking).await
}

fn trusting(networks: Value) -> Value {
    json!({ "trusted_proxies": networks })
}

const CLAIMS: &[(&str, &str)] = &[
    ("x-forwarded-for", "203.0.113.7"),
    ("x-forwarded-for", "198.51.100.1"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "evil.example"),
    ("forwarded", "for=203.0.113.7;proto=https;host=evil.example"),
    ("forwarded", "for=198.51.100.1"),
];

async fn check_replaced(gateway: &Gateway) {
    let host = gateway.address().to_string();
    for version in [Version::HTTP_11, Version::HTTP_2] {
        for fields in [CLAIMS, &[]] {
            let answer = ask(gateway.address(), version, fields).await;
            assert_eq!(answer.echoed("x-forwarded-for").as_deref(), Some("127.0.0.1"));
            assert_eq!(answer.echoed("x-forwarded-proto").as_deref(), Some("http"));
            assert_eq!(answer.echoed("x-forwarded-host").as_deref(), Some(&*host));
            let forwarded = format!("for=127.0.0.1;host=\"{host}\";proto=http");
            assert_eq!(answer.echoed("forwarded"), Some(forwarded));
        }
    }
    for line in gateway.logged(4).await {
        assert_eq!(line["client"], "127.0.0.1");
    }
}

#[tokio::test]
async fn nobodys_word_about_the_client_is_taken_by_default() {
    let backend = Backend::echo("a");
    check_replaced(&before(&backend).await).await;
}

#[tokio::test]
async fn the_word_of_a_peer_that_is_not_trusted_is_replaced() {
    let backend = Backend::echo("a");
    check_replaced(&before_with(&backend, trusting(json!(["10.0.0.0/8", "127.0.0.2", "::1"]))).await).await;
}

#[tokio::test]
async fn a_trusted_proxys_word_is_kept_and_appended_to() {
    let backend = Backend::echo("a");
    for trusted in [json!(["127.0.0.1"]), json!(["10.0.0.0/8", "127.0.0.0/8"])] {
        let gateway = before_with(&backend, trusting(trusted)).await;
        let host = gateway.address().to_string();
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let answer = ask(gateway.address(), version, CLAIMS).await;
            let all = "203.0.113.7, 198.51.100.1, 127.0.0.1";
            assert_eq!(answer.echoed("x-forwarded-for").as_deref(), Some(all));
            assert_eq!(answer.echoed("x-forwarded-proto").as_deref(), Some("https"));
            assert_eq!(answer.echoed("x-forwarded-host").as_deref(), Some("evil.example"));
            let forwarded = format!(
                "for=203.0.113.7;proto=https;host=evil.example, for=198.51.100.1, \
                 for=127.0.0.1;host=\"{host}\";proto=http"
            );
            assert_eq!(answer.echoed("forwarded"), Some(forwarded));
        }
    }
}

#[tokio::test]
async fn each_request_of_a_connection_has_its_own_host() {
    let backend = Backend::echo("a");
    let gateway = before(&backend).await;
    let mut client: Client = Client::http1(gateway.address()).await.expect("it accepts connections");
    for host in ["a.example", "a.example", "b.example:80", "a.example", "A.example", "b.example"] {
        let mut asking = get("/");
        asking.headers_mut().insert("host", host.parse().expect("a value"));
        let answer = client.send(asking).await.expect("a response");
        assert_eq!(answer.echoed("host").as_deref(), Some(host));
        assert_eq!(answer.echoed("x-forwarded-host").as_deref(), Some(host));
        assert_eq!(answer.echoed("forwarded"), Some(format!("for=127.0.0.1;host=\"{host}\";proto=http")));
    }
    let mut asking = get("/");
    asking.headers_mut().insert("host", "a b".parse().expect("a value"));
    for _ in 0..2 {
        let answer = client.send(asking.clone()).await.expect("a response");
        assert_eq!((answer.status.as_u16(), &*answer.code()), (400, "bad-authority"));
    }
}

#[tokio::test]
async fn a_host_that_http10_may_leave_out_is_needed_in_http11() {
    let backend = Backend::echo("a");
    let gateway = before(&backend).await;
    let mut wire = Wire::connect(gateway.address()).await;
    wire.send("GET / HTTP/1.0\r\nconnection: keep-alive\r\nx-forwarded-host: evil\r\n\r\n").await;
    let head = wire.read_head().await;
    let body = wire.read_body(&head).await.expect("whole");
    let told: Value = serde_json::from_slice(&body).expect("an echo");
    let claimed = told["headers"].as_array().expect("pairs").iter().any(|pair| pair[1] == "evil");
    assert!(!claimed, "{told}");
    wire.send("GET / HTTP/1.1\r\nhost: \r\n\r\n").await;
    assert_eq!(wire.read_head().await.status(), 400);
}

#[tokio::test]
async fn a_trusted_proxy_that_says_nothing_is_the_client() {
    let backend = Backend::echo("a");
    let gateway = before_with(&backend, trusting(json!(["127.0.0.1"]))).await;
    let answer = ask(gateway.address(), Version::HTTP_11, &[]).await;
    assert_eq!(answer.echoed("x-forwarded-for").as_deref(), Some("127.0.0.1"));
    assert_eq!(answer.echoed("x-forwarded-proto").as_deref(), Some("http"));
    assert_eq!(answer.echoed("x-forwarded-host"), Some(gateway.address().to_string()));
    assert_eq!(gateway.logged(1).await[0]["client"], "127.0.0.1");
}

#[tokio::test]
async fn the_access_log_has_the_client_that_trusted_proxies_vouch_for() {
    let backend = Backend::echo("a");
    let gateway = before_with(&backend, trusting(json!(["127.0.0.1", "10.0.0.0/8"]))).await;
    // What the last trusted proxy saw counts, not what the client claimed to begin with.
    let cases = [
        ("203.0.113.7", "203.0.113.7"),
        ("192.0.2.66, 203.0.113.7", "203.0.113.7"),
        ("192.0.2.66, 203.0.113.7, 10.1.2.3", "203.0.113.7"),
        ("2001:db8::1", "2001:db8::1"),
    ];
    for (index, (claim, expected)) in cases.into_iter().enumerate() {
        ask(gateway.address(), Version::HTTP_11, &[("x-forwarded-for", claim)]).await;
        assert_eq!(gateway.logged(index + 1).await[index]["client"], expected, "{claim}");
    }
}
