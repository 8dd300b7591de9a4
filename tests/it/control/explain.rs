//! What is said of a request before it is sent is what becomes of it.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};

use super::ask;
use crate::check::program::{cupctl, run};
use crate::support::{Backend, Client, Gateway, document};

/// Method, host, path and headers.
type Case = (&'static str, &'static str, &'static str, &'static [(&'static str, &'static str)]);

fn routes(a: &Backend, b: &Backend) -> Value {
    let header = json!({ "use": "headers", "config": {}, "when": { "methods": ["POST"] } });
    document(json!({
        "*": { "backends": [a.host()] },
        "/game/*": [
            { "match": { "headers": { "x-beta": "yes" }, "query": { "v": "2" } }, "backends": [b.host()] },
            { "backends": [a.host()], "plugins": ["request-id", header] },
        ],
        "GET /game/{id}": { "backends": [b.host()] },
        "PUT /only": { "backends": [a.host()] },
        "api.example.com/v1/*": { "backends": [b.host()] },
    }))
}

async fn told(gateway: &Gateway, method: &str, url: &str, headers: &[(&str, &str)]) -> Value {
    let asked = json!({ "method": method, "url": url, "headers": headers }).to_string();
    let (status, told) = ask(gateway, "POST", "/v1/explain", &asked).await;
    assert_eq!(status, 200, "{told}");
    told
}

#[tokio::test]
async fn an_explanation_is_what_a_request_meets() {
    let (a, b) = (Backend::echo("a"), Backend::echo("b"));
    let gateway = Gateway::start(routes(&a, &b)).await;
    let cases: &[Case] = &[
        ("GET", "any.example", "/x", &[]),
        ("GET", "any.example", "/game/7", &[]),
        ("POST", "any.example", "/game/7", &[]),
        ("POST", "any.example", "/game/7/../8?v=2", &[("x-beta", "yes")]),
        ("POST", "any.example", "/game/7?v=2", &[("x-beta", "no")]),
        ("GET", "api.example.com", "/v1/users", &[]),
        ("GET", "any.example", "/only", &[]),
        ("GET", "any.example", "/..%2f", &[]),
        ("POST", "any.example", "/%67ame/", &[]),
    ];
    let mut client = Client::http1(gateway.address()).await.expect("a connection");
    for (method, host, path, headers) in cases {
        let told = told(&gateway, method, &format!("http://{host}{path}"), headers).await;
        let mut request = Request::builder().method(*method).uri(*path).header("host", *host);
        for (name, value) in *headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::<Bytes>::default()).expect("a request");
        let answer = client.send(request).await.expect("a response");
        match told["refused"].as_object() {
            Some(refused) => {
                assert_eq!(refused["status"], answer.status.as_u16(), "{method} {host}{path}: {told}");
                assert_eq!(refused["code"], *answer.code(), "{method} {host}{path}");
            }
            None => {
                assert_eq!(answer.status, 200, "{method} {host}{path}: {told}");
                let name =
                    if told["backends"][0]["host"] == json!(a.address().to_string()) { "a" } else { "b" };
                assert_eq!(answer.json()["backend"], name, "{method} {host}{path}: {told}");
            }
        }
    }
}

#[tokio::test]
async fn an_explanation_says_why_not_the_others() {
    let (a, b) = (Backend::echo("a"), Backend::echo("b"));
    let gateway = Gateway::start(routes(&a, &b)).await;
    let told = told(&gateway, "POST", "any.example/game/7?v=1", &[]).await;
    let patterns = json!([
        { "pattern": "GET /game/{id}", "verdict": "other-method" },
        { "pattern": "/game/*", "verdict": "chosen" },
        { "pattern": "*", "verdict": "less-specific" },
    ]);
    assert_eq!(told["patterns"], patterns);
    let rules = json!([
        { "index": 0, "verdict": "no-match", "missing": ["header `x-beta: yes`", "query `v=2`"] },
        { "index": 1, "verdict": "chosen", "missing": [] },
    ]);
    assert_eq!(told["rules"], rules);
    let plugins = json!([{ "name": "request-id", "sees": true }, { "name": "headers", "sees": true }]);
    assert_eq!(told["plugins"], plugins);
    assert_eq!(
        told["backends"],
        json!([{ "host": a.address().to_string(), "healthy": true, "drained": false, "next": true }])
    );
}

#[tokio::test]
async fn a_document_is_asked_as_a_gateway_is() {
    let (a, b) = (Backend::echo("a"), Backend::echo("b"));
    let gateway = Gateway::start(routes(&a, &b)).await;
    let (socket, file) = (gateway.app().socket.display().to_string(), gateway.folder().join("document.json"));
    let question = ["explain", "POST", "http://any.example/game/7", "-H", "x-beta: yes", "-o", "json"];
    let online = run(cupctl(["--socket", &socket].iter().chain(&question))).await;
    let file = file.display().to_string();
    let offline = run(cupctl(question.iter().chain(&["--file", &file]))).await;
    let mut online: Value = serde_json::from_str(&online.stdout).unwrap_or_else(|_| panic!("{online:?}"));
    let offline: Value = serde_json::from_str(&offline.stdout).unwrap_or_else(|_| panic!("{offline:?}"));
    online["revision"] = json!(0);
    assert_eq!(online, offline);
    let text = run(cupctl(["--socket", &socket, "explain", "GET", "any.example/..%2f"])).await;
    assert_eq!(text.code, 1);
    assert!(text.stdout.contains("answer    400 bad-path"), "{}", text.stdout);
    let wrong = run(cupctl(["--socket", &socket, "explain", "G T", "any.example"])).await;
    assert_eq!((wrong.code, wrong.stderr.as_str()), (2, "error: `G T` is no method\n"));
}

#[tokio::test]
async fn people_are_told_what_a_rule_makes_of_a_request() {
    let file = format!("{}/examples/editing.json", env!("CARGO_MANIFEST_DIR"));
    let told = async |url: &str, fields: &[&str]| {
        let fields = fields.iter().flat_map(|field| ["-H", *field]);
        let question = ["explain", "GET", url, "--file", &file].into_iter().chain(fields);
        let answer = run(cupctl(question)).await;
        assert_eq!(answer.code, 0, "{answer:?}");
        answer.stdout
    };
    let has = |text: &str, line: &str| assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    let moved = told("http://a.example/store/7?x=1", &[]).await;
    has(&moved, "redirect  301 to http://a.example/shop/7?x=1");
    let bot = told("http://a.example/shop/7", &["user-agent: a Bot"]).await;
    has(&bot, "reply     503, as it stands in the document");
    let shop = told("http://a.example/shop/7", &[]).await;
    has(&shop, "rewrite   host `shop.internal`, path `/7`");
    has(&shop, "edit      query `debug`, `client`");
    has(&shop, "edit      request headers `cookie`, `x-request-path`, `x-shop-user`");
    has(&shop, "edit      response headers `server`, `x-powered-by`, `x-served-by`");
    has(&shop, "edit      error pages `502`");
}
