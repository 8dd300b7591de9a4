//! Rules that send clients elsewhere.

use http::{Request, Version};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::support::{Answer, Client, Gateway, document, get, post, request};

/// A gateway in which each pattern has a redirect.
async fn redirecting(routes: &[(&str, Value)]) -> Gateway {
    let routes =
        routes.iter().map(|(pattern, redirect)| ((*pattern).to_owned(), json!({ "redirect": redirect })));
    Gateway::start(document(Value::Object(routes.collect()))).await
}

async fn ask(gateway: &Gateway, host: &str, target: &str) -> Answer {
    let asking = Request::get(target).header("host", host).body(Full::<bytes::Bytes>::default());
    request(gateway.address(), asking.expect("a request")).await
}

/// The scheme, the host and the path of HTTPRequestRedirectFilter, as its documentation and its conformance tests have
/// them.
#[tokio::test]
async fn redirects_are_those_of_the_gateway_api() {
    let gateway = redirecting(&[
        ("/hostname-redirect", json!({ "host": "example.org" })),
        ("/host-and-status", json!({ "host": "example.org", "status": 301 })),
        ("/scheme", json!({ "scheme": "https" })),
        ("/scheme-and-host/*", json!({ "scheme": "https", "host": "example.org" })),
        ("/port", json!({ "port": 8083 })),
        ("/https-on-80", json!({ "scheme": "https", "port": 80 })),
        ("/http-on-80", json!({ "scheme": "http", "port": 80 })),
        ("/full/*", json!({ "path": "/full-path-replacement" })),
        ("/original-prefix/*", json!({ "prefix": "/replacement-prefix" })),
        ("/full-and-host/*", json!({ "host": "example.org", "path": "/replacement" })),
        ("/prefix-and-status/*", json!({ "prefix": "/new", "status": 301 })),
        ("/nothing/*", json!({ "prefix": "" })),
    ])
    .await;
    for (target, status, location) in [
        ("/hostname-redirect", 302, "http://example.org/hostname-redirect"),
        ("/host-and-status", 301, "http://example.org/host-and-status"),
        ("/scheme?a=b&c", 302, "https://a.example/scheme?a=b&c"),
        ("/scheme-and-host/x", 302, "https://example.org/scheme-and-host/x"),
        ("/port", 302, "http://a.example:8083/port"),
        ("/https-on-80", 302, "https://a.example:80/https-on-80"),
        ("/http-on-80", 302, "http://a.example/http-on-80"),
        ("/full/path/original", 302, "http://a.example/full-path-replacement"),
        ("/original-prefix/lemon", 302, "http://a.example/replacement-prefix/lemon"),
        ("/original-prefix", 302, "http://a.example/replacement-prefix"),
        ("/original-prefix/", 302, "http://a.example/replacement-prefix/"),
        ("/full-and-host/lemon", 302, "http://example.org/replacement"),
        ("/prefix-and-status/a?b", 301, "http://a.example/new/a?b"),
        ("/nothing", 302, "http://a.example/"),
        ("/nothing/a", 302, "http://a.example/a"),
    ] {
        let answer = ask(&gateway, "a.example", target).await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (status, Some(location)), "{target}");
        assert!(answer.header("date").is_some() && answer.body.is_empty());
        assert_eq!(answer.header("content-length"), Some("0"));
    }
}

#[tokio::test]
async fn a_port_of_the_client_stays_unless_the_scheme_changes() {
    let gateway =
        redirecting(&[("/a", json!({ "path": "/b" })), ("/s", json!({ "scheme": "http", "path": "/b" }))])
            .await;
    let own = gateway.address();
    let answer = request(own, get("/a")).await;
    assert_eq!(answer.header("location"), Some(&*format!("http://{own}/b")));
    assert_eq!(ask(&gateway, "[::1]:8080", "/a").await.header("location"), Some("http://[::1]:8080/b"));
    assert_eq!(ask(&gateway, "a.example:8080", "/s").await.header("location"), Some("http://a.example/b"));
    assert_eq!(ask(&gateway, "a.example:80", "/a").await.header("location"), Some("http://a.example/b"));
}

#[tokio::test]
async fn every_status_and_method_is_served_in_every_version() {
    for status in [301, 302, 303, 307, 308] {
        let gateway =
            redirecting(&[("*", json!({ "host": "b.example", "status": status, "query": false }))]).await;
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let mut asking = post("/x?secret", "a body that nobody reads");
            *asking.version_mut() = version;
            let answer = request(gateway.address(), asking).await;
            let port = gateway.address().port();
            let location = format!("http://b.example:{port}/x");
            assert_eq!((answer.status.as_u16(), answer.header("location")), (status, Some(&*location)));
        }
        let line = &gateway.logged(2).await[0];
        assert_eq!(
            (&line["status"], line.get("reason"), &line["attempts"]),
            (&status.into(), None, &0.into())
        );
    }
}

#[tokio::test]
async fn variables_are_written_into_hosts_and_paths() {
    let gateway = redirecting(&[
        ("/users/{id}", json!({ "path": "/people/${parameter.id}/${query.tab}", "query": false })),
        ("/tenant/*", json!({ "host": "${header.x-tenant}.example.com", "prefix": "/" })),
    ])
    .await;
    let location = async |target: &str, tenant: &str| {
        let asking = Request::get(target).header("host", "a.example").header("x-tenant", tenant);
        let answer =
            request(gateway.address(), asking.body(Full::<bytes::Bytes>::default()).expect("one")).await;
        answer.header("location").map(str::to_owned).ok_or_else(|| (answer.status.as_u16(), answer.code()))
    };
    assert_eq!(
        location("/users/a%20b?tab=c+d", "").await.as_deref(),
        Ok("http://a.example/people/a%20b/c%20d")
    );
    assert_eq!(location("/users/1?tab=", "").await.as_deref(), Ok("http://a.example/people/1/"));
    assert_eq!(location("/tenant/x", "acme").await.as_deref(), Ok("http://acme.example.com/x"));
    let refused = Err((500, "bad-rewrite".to_owned()));
    for tenant in ["evil.test/", "u@evil", "evil.test#", "", "a b"] {
        assert_eq!(location("/tenant/x", tenant).await, refused, "{tenant}");
    }
    for tab in ["..", "a%2Fb", "%0D%0Aset-cookie:x", "%00"] {
        assert_eq!(location(&format!("/users/1?tab={tab}"), "").await, refused, "{tab}");
    }
}

#[tokio::test]
async fn a_client_without_a_host_cannot_be_sent_elsewhere() {
    let gateway = redirecting(&[("*", json!({ "path": "/b" }))]).await;
    let answer = crate::support::raw(gateway.address(), "GET / HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with(b"HTTP/1.0 400") && answer.ends_with(b"\n"), "{answer:?}");
}

#[tokio::test]
async fn plugins_come_before_a_redirect() {
    let rule = json!({
        "redirect": { "path": "/there" },
        "plugins": [
            { "use": "require-header", "config": { "name": "x-key" } },
            { "use": "headers", "config": { "response": { "set": { "x-seen": "yes" } } } },
        ],
    });
    let gateway = Gateway::start(document(json!({ "*": rule }))).await;
    let mut client = Client::http1(gateway.address()).await.expect("a connection");
    assert_eq!(client.send(get("/")).await.expect("a response").status, 401);
    let mut asking = get("/");
    asking.headers_mut().insert("x-key", "1".parse().expect("a value"));
    let answer = client.send(asking).await.expect("a response");
    assert_eq!((answer.status.as_u16(), answer.header("x-seen")), (302, Some("yes")));
}
