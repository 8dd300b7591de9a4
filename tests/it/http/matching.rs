//! What a rule asks of a request, beside its pattern.

use http::{Request, Version};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::support::{Answer, Backend, Client, Gateway, document, get, request};

/// A gateway whose route sends what meets `matches` to `yes` and the rest to `no`.
async fn asking(matches: Value) -> (Gateway, [Backend; 2]) {
    let backends = [Backend::echo("yes"), Backend::echo("no")];
    let gateway = Gateway::start(document(json!({ "*": [
        { "match": matches, "backends": [backends[0].host()] },
        { "backends": [backends[1].host()] },
    ] })))
    .await;
    (gateway, backends)
}

/// A request by its method, target and fields; a field `host` becomes the authority.
fn asked(line: &str, fields: &[(&'static str, &'static str)]) -> Request<Full<bytes::Bytes>> {
    let (method, target) = line.split_once(' ').expect("a method and a target");
    let mut request = get(target);
    *request.method_mut() = method.parse().expect("a method");
    for (name, value) in fields {
        request.headers_mut().append(*name, value.parse().expect("a value"));
    }
    request
}

type Case = (&'static str, &'static [(&'static str, &'static str)], &'static str);

/// That requests meet the conditions or not, over HTTP/1.1 and over HTTP/2.
async fn check(matches: Value, cases: &[Case]) {
    let (gateway, _backends) = asking(matches.clone()).await;
    for (line, fields, expected) in cases {
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let mut request = asked(line, fields);
            if version == Version::HTTP_2 {
                let host = request.headers_mut().remove("host");
                let host = host.as_ref().map_or("any.example", |host| host.to_str().expect("text"));
                *request.uri_mut() = format!("http://{host}{}", request.uri()).parse().expect("a target");
                *request.version_mut() = version;
            }
            let answer = crate::support::request(gateway.address(), request).await;
            assert_eq!(answer.backend(), *expected, "{matches}: {line} {fields:?} {version:?}");
        }
    }
}

#[tokio::test]
async fn methods_are_one_of_a_list() {
    let cases: &[Case] = &[("GET /", &[], "yes"), ("PURGE /", &[], "yes"), ("POST /", &[], "no")];
    check(json!({ "methods": ["GET", "PURGE"] }), cases).await;
}

#[tokio::test]
async fn hosts_are_one_of_a_list_of_patterns() {
    let cases: &[Case] = &[
        ("GET /", &[("host", "a.example")], "yes"),
        ("GET /", &[("host", "A.Example:8080")], "yes"),
        ("GET /", &[("host", "x.y.b.example")], "yes"),
        ("GET /", &[("host", "b.example")], "no"),
        ("GET /", &[("host", "xa.example")], "no"),
    ];
    check(json!({ "hosts": ["a.example", "*.b.example"] }), cases).await;
}

#[tokio::test]
async fn values_have_forms() {
    let cases: &[Case] = &[
        ("GET /", &[("x-kind", "beta")], "yes"),
        ("GET /", &[("x-kind", "alpha"), ("x-kind", "beta")], "yes"),
        ("GET /", &[("x-kind", "betas")], "no"),
        ("GET /", &[], "no"),
    ];
    check(json!({ "headers": { "X-Kind": { "exact": "beta" } } }), cases).await;
    let cases: &[Case] = &[
        ("GET /?v=10.1", &[], "yes"),
        ("GET /?v=9&v=10.", &[], "yes"),
        ("GET /?v=%31%30.2", &[], "yes"),
        ("GET /?v=110.", &[], "no"),
        ("GET /", &[], "no"),
    ];
    check(json!({ "query": { "v": { "prefix": "10." } } }), cases).await;
    let cases: &[Case] = &[
        ("GET /?id=17", &[], "yes"),
        ("GET /?id=17x", &[], "no"),
        ("GET /?id=x17", &[], "no"),
        ("GET /?id=", &[], "no"),
    ];
    check(json!({ "query": { "id": { "regex": "[0-9]+" } } }), cases).await;
    let cases: &[Case] = &[("GET /", &[("x-a", "")], "yes"), ("GET /", &[("x-b", "1")], "no")];
    check(json!({ "headers": { "x-a": { "present": true } } }), cases).await;
    let cases: &[Case] = &[("GET /", &[("x-a", "")], "no"), ("GET /", &[("x-b", "1")], "yes")];
    check(json!({ "headers": { "x-a": { "present": false } } }), cases).await;
}

#[tokio::test]
async fn not_holds_where_there_is_no_value() {
    let cases: &[Case] = &[
        ("GET /", &[], "yes"),
        ("GET /", &[("x-kind", "alpha")], "yes"),
        ("GET /", &[("x-kind", "beta")], "no"),
        ("GET /", &[("x-kind", "alpha"), ("x-kind", "beta")], "no"),
    ];
    check(json!({ "headers": { "x-kind": { "not": "beta" } } }), cases).await;
    check(json!({ "headers": { "x-kind": { "not": { "not": { "not": "beta" } } } } }), cases).await;
}

#[tokio::test]
async fn cookies_are_found_in_all_fields() {
    let cases: &[Case] = &[
        ("GET /", &[("cookie", "theme=dark")], "yes"),
        ("GET /", &[("cookie", "a=1; theme=dark;b=2")], "yes"),
        ("GET /", &[("cookie", "a=1"), ("cookie", "theme=dark")], "yes"),
        ("GET /", &[("cookie", "theme=light; xtheme=dark")], "no"),
        ("GET /", &[("cookie", "THEME=dark")], "no"),
        ("GET /", &[("cookie", "theme")], "no"),
        ("GET /", &[], "no"),
    ];
    check(json!({ "cookies": { "theme": "dark" } }), cases).await;
}

#[tokio::test]
async fn all_conditions_have_to_hold() {
    let cases: &[Case] = &[
        ("GET /?v=1", &[("host", "a.example"), ("cookie", "c=1"), ("x-a", "b")], "yes"),
        ("PUT /?v=1", &[("host", "a.example"), ("cookie", "c=1"), ("x-a", "b")], "no"),
        ("GET /?v=1", &[("host", "b.example"), ("cookie", "c=1"), ("x-a", "b")], "no"),
        ("GET /?v=1", &[("host", "a.example"), ("cookie", "c=2"), ("x-a", "b")], "no"),
        ("GET /?v=1", &[("host", "a.example"), ("cookie", "c=1"), ("x-a", "c")], "no"),
        ("GET /?v=2", &[("host", "a.example"), ("cookie", "c=1"), ("x-a", "b")], "no"),
    ];
    let matches = json!({
        "methods": ["GET"], "hosts": ["a.example"], "headers": { "x-a": "b" }, "query": { "v": "1" },
        "cookies": { "c": "1" },
    });
    check(matches, cases).await;
}

#[tokio::test]
async fn a_plugin_sees_what_its_condition_names() {
    let backend = Backend::echo("a");
    let seen = json!({ "response": { "set": { "x-seen": "yes" } } });
    let attachment = json!({ "use": "headers", "config": seen, "when": {
        "hosts": ["*.example"],
        "headers": { "x-a": "*", "x-b": { "prefix": "b" } },
        "cookies": { "session": { "not": { "regex": "guest-.*" } } },
        "query": { "debug": { "present": false } },
    } });
    let rule = json!({ "backends": [backend.host()], "plugins": [attachment] });
    let gateway = Gateway::start(document(json!({ "*": rule }))).await;
    let mut client = Client::http1(gateway.address()).await.expect("a connection");
    let mut seen = async |line: &str, fields: &[(&'static str, &'static str)]| {
        let answer: Answer = client.send(asked(line, fields)).await.expect("a response");
        answer.header("x-seen").is_some()
    };
    assert!(seen("GET /", &[("host", "a.example"), ("x-a", "1"), ("x-b", "b2")]).await);
    assert!(!seen("GET /", &[("host", "a.test"), ("x-a", "1"), ("x-b", "b2")]).await);
    assert!(!seen("GET /", &[("host", "a.example"), ("x-b", "b2")]).await);
    assert!(!seen("GET /?debug", &[("host", "a.example"), ("x-a", "1"), ("x-b", "b2")]).await);
    let guest = ("cookie", "session=guest-7");
    assert!(!seen("GET /", &[("host", "a.example"), ("x-a", "1"), ("x-b", "b2"), guest]).await);
}

#[tokio::test]
async fn an_explanation_says_which_conditions_are_missed() {
    let (gateway, _backends) = asking(json!({
        "methods": ["PUT", "POST"], "hosts": ["*.example"], "cookies": { "c": { "not": "1" } },
        "headers": { "x-a": { "regex": "[0-9]+" } }, "query": { "v": { "prefix": "2" } },
    }))
    .await;
    let headers = json!([["cookie", "c=1"], ["x-a", "x"]]);
    let asked = json!({ "method": "GET", "url": "http://a.test/?v=1", "headers": headers }).to_string();
    let (status, told) =
        gateway.admin_with("POST", "/v1/explain", "content-type: application/json\r\n", &asked).await;
    assert_eq!(status, 200, "{told}");
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(
        told["rules"][0]["missing"],
        json!([
            "method `PUT` or `POST`",
            "host `*.example`",
            "header `x-a` that matches `[0-9]+`",
            "query `v=2…`",
            "cookie not `c=1`",
        ])
    );
    assert_eq!(told["rules"][1]["verdict"], "chosen");
    assert_eq!(request(gateway.address(), get("/")).await.backend(), "no");
}
