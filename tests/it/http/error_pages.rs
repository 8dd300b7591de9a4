//! What clients see instead of errors.

use std::fs;

use http::{Method, Request, Version};
use http_body_util::Full;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::with;
use crate::support::{Answer, Backend, Gateway, Port, document, eventually, get, request};

/// A backend that answers every request with 404 and more than a page has.
fn failing() -> Backend {
    Backend::respond(
        "HTTP/1.1 404 Not Found\r\nserver: s\r\ncontent-type: text/x\r\netag: \"a\"\r\ncontent-encoding: br\r\n\
         set-cookie: a=b\r\ncontent-length: 7\r\n\r\nbackend",
    )
}

fn nobody() -> Value {
    json!({ "host": Port::reserve().address().to_string() })
}

async fn ask(gateway: &Gateway, path: &str) -> Answer {
    request(gateway.address(), get(path)).await
}

#[tokio::test]
async fn a_page_stands_for_the_gateways_own_errors() {
    let pages = json!({ "pages": {
        "404": { "body": "nowhere" },
        "5xx": { "json": { "sorry": true }, "headers": { "x-status": "${status}", "x-path": "${path}" } },
        "502": { "body": "<p>later", "headers": { "content-type": "text/html" }, "status": 503 },
    } });
    let gateway = Gateway::start(with(
        document(json!({ "/dead": { "backends": [nobody()] }, "POST /post": { "backends": [nobody()] } })),
        json!({ "http": { "error_pages": pages } }),
    ))
    .await;
    let dead = ask(&gateway, "/dead").await;
    assert_eq!((dead.status.as_u16(), dead.text()), (503, "<p>later"));
    assert_eq!(dead.header("content-type"), Some("text/html"));
    let nowhere = ask(&gateway, "/none").await;
    assert_eq!((nowhere.status.as_u16(), nowhere.text()), (404, "nowhere"));
    assert_eq!(nowhere.header("content-type"), Some("text/plain; charset=utf-8"));
    assert!(nowhere.header("date").is_some());
    // There is no page for it, and what the response says beside its body is as it was.
    let post = ask(&gateway, "/post").await;
    assert_eq!(
        (post.status.as_u16(), &*post.code(), post.header("allow")),
        (405, "method-not-allowed", Some("POST"))
    );
    let log = gateway.logged(3).await;
    let mut told: Vec<_> = log.iter().map(|line| (line["status"].clone(), line["reason"].clone())).collect();
    told.sort_by_key(|(status, _)| status.as_u64());
    let expected = [(404, "no-route"), (405, "method-not-allowed"), (503, "backend-connect-failed")];
    assert_eq!(told, expected.map(|(status, reason)| (json!(status), json!(reason))));
    let metric = "cloudcup_gateway_responses_total{reason=\"backend-connect-failed\"}";
    assert_eq!(gateway.metric(metric).await, 1.0);
}

#[tokio::test]
async fn ejected_backends_have_a_page_that_says_when_to_come_back() {
    let pages =
        json!({ "pages": { "503": { "body": "later", "headers": { "x-backend": "<${backend}>" } } } });
    let dead = json!({ "host": nobody()["host"], "max_failure": 1 });
    let rule = json!({ "backends": [dead], "error_pages": pages });
    let gateway = Gateway::start(document(json!({ "*": rule }))).await;
    eventually(|| async { ask(&gateway, "/").await.status == 503 }).await;
    let answer = ask(&gateway, "/").await;
    assert_eq!((answer.text(), answer.header("retry-after")), ("later", Some("1")));
    assert_eq!(answer.header("x-backend"), Some("<>"));
}

#[tokio::test]
async fn a_rules_page_comes_before_that_of_all() {
    let everywhere = json!({ "pages": { "502": { "body": "all: 502" }, "404": { "body": "all: 404" } } });
    let own = json!({ "pages": { "5xx": { "body": "own: 5xx" } } });
    let gateway = Gateway::start(with(
        document(json!({
            "/own": { "backends": [nobody()], "error_pages": own },
            "/all": { "backends": [nobody()] },
            "/rules": [{ "match": { "methods": ["PUT"] }, "backends": [nobody()], "error_pages": own }],
        })),
        json!({ "http": { "error_pages": everywhere } }),
    ))
    .await;
    for (path, expected) in
        [("/own", "own: 5xx"), ("/all", "all: 502"), ("/none", "all: 404"), ("/rules", "all: 404")]
    {
        assert_eq!(ask(&gateway, path).await.text(), expected, "{path}");
    }
}

#[tokio::test]
async fn a_backends_error_is_replaced_only_where_that_is_wanted() {
    let backend = failing();
    let pages = json!({ "404": { "body": "page", "headers": { "server": "mine" } } });
    let gateway = Gateway::start(document(json!({
        "/kept": { "backends": [backend.host()], "error_pages": { "pages": pages } },
        "/replaced": { "backends": [backend.host()], "error_pages": { "pages": pages, "backend_errors": true } },
    })))
    .await;
    let kept = ask(&gateway, "/kept").await;
    assert_eq!(
        (kept.text(), kept.header("etag"), kept.header("server")),
        ("backend", Some("\"a\""), Some("s"))
    );
    for version in [Version::HTTP_11, Version::HTTP_2] {
        for method in [Method::GET, Method::HEAD] {
            let mut asking = get("/replaced");
            (*asking.method_mut(), *asking.version_mut()) = (method.clone(), version);
            let answer = request(gateway.address(), asking).await;
            let body = if method == Method::HEAD { "" } else { "page" };
            assert_eq!((answer.status.as_u16(), answer.text()), (404, body), "{method} {version:?}");
            assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
            assert_eq!((answer.header("etag"), answer.header("content-encoding")), (None, None));
            assert_eq!((answer.header("set-cookie"), answer.header("server")), (Some("a=b"), Some("mine")));
            if version == Version::HTTP_11 {
                assert_eq!(answer.header("content-length"), Some("4"), "{method}");
            }
        }
    }
    let line = &gateway.logged(5).await[4];
    assert_eq!((&line["status"], line.get("reason"), &line["attempts"]), (&404.into(), None, &1.into()));
    assert_eq!(line["backend"], backend.address().to_string());
}

#[tokio::test]
async fn what_a_plugin_or_a_rule_answers_is_no_error() {
    let pages = json!({ "pages": { "4xx": { "body": "page" } }, "backend_errors": true });
    let key = json!({ "use": "require-header", "config": { "name": "x-key" } });
    let gateway = Gateway::start(document(json!({
        "/key": { "backends": [nobody()], "plugins": [key], "error_pages": pages },
        "/reply": { "reply": { "status": 404, "body": "reply" }, "error_pages": pages },
    })))
    .await;
    let key = ask(&gateway, "/key").await;
    assert!(key.status == 401 && key.text() != "page", "{key:?}");
    assert_eq!(ask(&gateway, "/reply").await.text(), "reply");
}

#[tokio::test]
async fn plugins_and_edits_see_to_a_page_too() {
    let seen = json!({ "use": "headers", "config": { "response": { "set": { "x-seen": "yes" } } } });
    let rule = json!({
        "backends": [nobody()],
        "plugins": [seen],
        "headers": { "response": { "set": { "x-status": "${status}" }, "remove": ["x-gone"] } },
        "error_pages": { "pages": { "502": { "body": "page", "status": 500, "headers": { "x-gone": "1" } } } },
    });
    let gateway = Gateway::start(document(json!({ "*": rule }))).await;
    let answer = ask(&gateway, "/").await;
    assert_eq!((answer.status.as_u16(), answer.text(), answer.header("x-seen")), (500, "page", Some("yes")));
    assert_eq!((answer.header("x-status"), answer.header("x-gone")), (Some("500"), None), "edits are last");
}

#[tokio::test]
async fn calls_of_grpc_get_statuses() {
    let pages =
        json!({ "pages": { "4xx": { "body": "page" }, "5xx": { "body": "page" } }, "backend_errors": true });
    let gateway = Gateway::start(with(
        document(json!({ "/shop.Cart/*": { "backends": [nobody()] } })),
        json!({ "http": { "error_pages": pages } }),
    ))
    .await;
    for (path, code) in [("/shop.Cart/Add", "14"), ("/none", "12")] {
        let mut call = Request::post(path)
            .header("content-type", "application/grpc")
            .body(Full::<bytes::Bytes>::default());
        *call.as_mut().expect("a request").version_mut() = Version::HTTP_2;
        let answer = request(gateway.address(), call.expect("a request")).await;
        assert_eq!((answer.status.as_u16(), answer.header("grpc-status")), (200, Some(code)), "{path}");
        assert!(answer.body.is_empty());
    }
}

#[tokio::test]
async fn a_page_comes_from_a_file() {
    let folder = TempDir::new().expect("a folder");
    fs::write(folder.path().join("502.html"), "<p>later</p>").expect("it can be written");
    let pages = json!({ "pages": { "5xx": { "file": "502.html" } } });
    let document = document(json!({ "*": { "backends": [nobody()], "error_pages": pages } }));
    let gateway = Gateway::try_start_in(folder, document).await.expect("it starts");
    let answer = ask(&gateway, "/").await;
    assert_eq!((answer.status.as_u16(), answer.text()), (502, "<p>later</p>"));
    fs::write(gateway.folder().join("502.html"), "<p>soon</p>").expect("it can be written");
    eventually(|| async { ask(&gateway, "/").await.text() == "<p>soon</p>" }).await;
}

#[tokio::test]
async fn what_is_no_request_has_a_page_too() {
    let pages = json!({ "pages": { "400": { "body": "what?" } } });
    let document = with(
        document(json!({ "*": { "backends": [nobody()] } })),
        json!({ "http": { "error_pages": pages } }),
    );
    let gateway = Gateway::start(document).await;
    let answer = crate::support::raw(gateway.address(), "GET /\u{0} HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let text = String::from_utf8_lossy(&answer);
    assert!(
        text.starts_with("HTTP/1.1 400")
            && text.contains("connection: close")
            && text.ends_with("\r\n\r\nwhat?"),
        "{text}"
    );
}
