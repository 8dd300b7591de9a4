//! The page on the admin address, and who may do what there: a browser goes where other sites' pages send it.

use std::net::SocketAddr;
use std::path::Path;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};

use super::{ask, remembering, served, version};
use crate::check::program::{Program, cloud_cup};
use crate::support::{Answer, Backend, Gateway, Wire, get, request};

const TOKEN: &str = "hidden-0123456789";
const OTHER: &str = "hidden-9876543210";

fn with_token(mut document: Value, token: &str) -> Value {
    document["admin"] = json!({ "listen": "127.0.0.1:0", "token": token });
    document
}

async fn start(backend: &Backend) -> (Gateway, SocketAddr) {
    let gateway = Gateway::start(with_token(remembering(version(backend, 1)), TOKEN)).await;
    let address = gateway.app().admin.expect("it has an admin address");
    (gateway, address)
}

async fn send(address: SocketAddr, method: Method, path: &str, fields: &[(&str, &str)]) -> Answer {
    let mut asked =
        Request::builder().method(method).uri(path).body(Full::<Bytes>::default()).expect("a path");
    for (name, value) in fields {
        let name = name.parse::<HeaderName>().expect("a name");
        asked.headers_mut().append(name, HeaderValue::try_from(*value).expect("a value"));
    }
    request(address, asked).await
}

async fn status(address: SocketAddr, method: Method, path: &str, fields: &[(&str, &str)]) -> u16 {
    send(address, method, path, fields).await.status.as_u16()
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

#[tokio::test]
async fn the_page_is_served_with_strict_fields() {
    let backend = Backend::echo("a");
    let (_gateway, address) = start(&backend).await;
    for (path, kind) in [("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript")] {
        let answer = request(address, get(path)).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("content-type"), Some(format!("{kind}; charset=utf-8").as_str()));
        let policy = answer.header("content-security-policy").expect("a policy");
        let rules: Vec<&str> = policy.split("; ").collect();
        for rule in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ] {
            assert!(rules.contains(&rule), "{rule}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        let told =
            ["x-content-type-options", "referrer-policy", "cache-control"].map(|name| answer.header(name));
        assert_eq!(told, [Some("nosniff"), Some("no-referrer"), Some("no-cache")]);
    }
    assert_eq!(status(address, Method::POST, "/", &[]).await, 405);
}

/// What the policy would stop a browser from running is not there.
#[tokio::test]
async fn the_page_has_nothing_inline() {
    let backend = Backend::echo("a");
    let (_gateway, address) = start(&backend).await;
    let page = request(address, get("/")).await.text().to_owned();
    assert_eq!(
        page.matches("<script").count(),
        page.matches("<script type=\"module\" src=\"/page.js\"></script>").count()
    );
    for inline in ["<style", " style=", " onclick=", " onload=", "javascript:"] {
        assert!(!page.contains(inline), "{inline}");
    }
    let script = request(address, get("/page.js")).await.text().to_owned();
    for sink in [
        "innerHTML",
        "outerHTML =",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "localStorage",
    ] {
        assert!(!script.contains(sink), "{sink}");
    }
}

#[tokio::test]
async fn the_token_opens_the_rest() {
    let backend = Backend::echo("a");
    let (gateway, address) = start(&backend).await;
    let right = bearer(TOKEN);
    let two = with_token(remembering(version(&backend, 2)), TOKEN);
    gateway.change(two).await;
    assert_eq!(served(&gateway).await, "2");
    let revisions = send(address, Method::GET, "/v1/revisions", &[("authorization", &right)]).await;
    assert_eq!((revisions.status.as_u16(), revisions.json().as_array().map(Vec::len)), (200, Some(2)));
    let back = "/v1/rollback?revision=1";
    let fields = [("authorization", right.as_str()), ("if-match", "\"1\"")];
    assert_eq!(status(address, Method::POST, back, &fields).await, 412, "not the running revision");
    let fields = [("authorization", right.as_str()), ("if-match", "\"2\"")];
    assert_eq!(status(address, Method::POST, back, &fields).await, 200);
    assert_eq!(served(&gateway).await, "1");
}

#[tokio::test]
async fn a_wrong_token_opens_nothing() {
    let backend = Backend::echo("a");
    let (_gateway, address) = start(&backend).await;
    let longer = format!("{TOKEN}0");
    for wrong in [OTHER, "", &TOKEN[..16], &longer] {
        for path in ["/v1/revisions", "/v1/status", "/metrics"] {
            let answer = send(address, Method::GET, path, &[("authorization", &bearer(wrong))]).await;
            assert_eq!(
                (answer.status.as_u16(), answer.header("www-authenticate")),
                (401, Some("Bearer")),
                "{wrong}"
            );
        }
    }
    // Not for the gateway.
    let basic = [("authorization", "Basic YTpi")];
    assert_eq!(status(address, Method::GET, "/v1/status", &basic).await, 200);
    assert_eq!(status(address, Method::GET, "/v1/revisions", &basic).await, 403);
}

#[tokio::test]
async fn an_observer_changes_nothing_and_sees_no_document() {
    let backend = Backend::echo("a");
    let (gateway, address) = start(&backend).await;
    for path in ["/v1/rollback", "/v1/reload", "/v1/apply", "/v1/plan", "/v1/explain", "/v1/confirm"] {
        assert_eq!(status(address, Method::POST, path, &[]).await, 403, "{path}");
    }
    for path in ["/v1/config", "/v1/revisions", "/v1/revisions/1", "/v1/diff?from=1", "/v1/routes"] {
        assert_eq!(status(address, Method::GET, path, &[]).await, 403, "{path}");
    }
    assert_eq!(served(&gateway).await, "1");
}

#[tokio::test]
async fn without_a_token_in_the_document_none_is_right() {
    let backend = Backend::echo("a");
    let mut document = version(&backend, 1);
    document["admin"] = json!({ "listen": "127.0.0.1:0" });
    let gateway = Gateway::start(document).await;
    let address = gateway.app().admin.expect("it has an admin address");
    assert_eq!(status(address, Method::GET, "/v1/revisions", &[("authorization", "Bearer ")]).await, 401);
    assert_eq!(status(address, Method::GET, "/v1/revisions", &[]).await, 403);
}

#[tokio::test]
async fn another_token_is_in_force_after_a_reload() {
    let backend = Backend::echo("a");
    let (gateway, address) = start(&backend).await;
    let document = with_token(remembering(version(&backend, 1)), OTHER);
    let outcome = serde_json::to_value(gateway.change(document).await).expect("it has JSON");
    assert_eq!((&outcome["outcome"], &outcome["warnings"]), (&json!("applied"), &json!([])));
    let asked = async |token| {
        status(address, Method::GET, "/v1/revisions", &[("authorization", &bearer(token))]).await
    };
    assert_eq!((asked(TOKEN).await, asked(OTHER).await), (401, 200));
}

#[tokio::test]
async fn pages_of_other_sites_change_nothing() {
    let backend = Backend::echo("a");
    let (_gateway, address) = start(&backend).await;
    let (right, own) = (bearer(TOKEN), format!("http://{address}"));
    let asked = async |field: (&str, &str)| {
        status(address, Method::POST, "/v1/reload", &[("authorization", &right), field]).await
    };
    for foreign in ["http://evil.example", "null", "http://127.0.0.1:1", "", &format!("{own}.evil.example")] {
        assert_eq!(asked(("origin", foreign)).await, 403, "{foreign}");
    }
    assert_eq!(asked(("sec-fetch-site", "cross-site")).await, 403);
    assert_eq!(asked(("origin", &own)).await, 200);
    assert_eq!(asked(("sec-fetch-site", "same-origin")).await, 200);
    let answer = send(address, Method::OPTIONS, "/v1/reload", &[("origin", &own)]).await;
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn names_of_others_are_not_answered() {
    let backend = Backend::echo("a");
    let (_gateway, address) = start(&backend).await;
    let right = bearer(TOKEN);
    for host in ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""] {
        for path in ["/", "/v1/status", "/v1/revisions"] {
            let fields = [("host", host), ("authorization", &right)];
            assert_eq!(status(address, Method::GET, path, &fields).await, 403, "{host}{path}");
        }
    }
    let scraped = status(address, Method::GET, "/metrics", &[("host", "gateway.internal:9901")]).await;
    assert_eq!(scraped, 200, "what scrapes it may know it by a name");
    for host in ["localhost", &format!("localhost:{}", address.port()), "[::1]", "10.0.0.1:9901"] {
        assert_eq!(status(address, Method::GET, "/v1/status", &[("host", host)]).await, 200, "{host}");
    }
    let mut wire = Wire::connect(address).await;
    wire.send("GET http://evil.example/v1/status HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(wire.read_head().await.status(), 403);
    let mut wire = Wire::connect(address).await;
    wire.send("GET /healthz HTTP/1.0\r\n\r\n").await;
    assert_eq!(wire.read_head().await.status(), 200, "a program without `Host`");
}

#[tokio::test]
async fn the_token_is_shown_nowhere() {
    let backend = Backend::echo("a");
    let (gateway, address) = start(&backend).await;
    let two = with_token(remembering(version(&backend, 1)), OTHER);
    let mut three = two.clone();
    three["admin"]["socket"] = json!(gateway.app().socket);
    let (_, plan) = ask(&gateway, "POST", "/v1/plan", &three.to_string()).await;
    gateway.change(two.clone()).await;
    let right = bearer(OTHER);
    let mut told = vec![plan.to_string()];
    for path in ["/", "/metrics", "/v1/status", "/v1/revisions", "/v1/revisions/1", "/v1/diff?from=1&to=2"] {
        told.push(send(address, Method::GET, path, &[("authorization", &right)]).await.text().to_owned());
    }
    assert!(told[6].contains("/admin/token"), "{}", told[6]);
    let mut bad = two;
    bad["admin"]["token"] = json!("hidden-short");
    let outcome = serde_json::to_string(&gateway.change(bad).await).expect("it has JSON");
    assert!(outcome.contains("expected at least 16 characters"), "{outcome}");
    told.push(outcome);
    for text in told {
        assert!(!text.contains("hidden-"), "{text}");
    }
}

#[tokio::test]
async fn the_token_is_in_no_log() {
    let backend = Backend::echo("a");
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let file = folder.path().join("cup.json");
    let document = json!({
        "root": "127.0.0.1:0",
        "access_log": "access.log",
        "history": "off",
        "admin": { "listen": "127.0.0.1:0", "socket": "admin.sock", "token": TOKEN },
        "routes": { "*": { "backends": [backend.host()] } },
    });
    std::fs::write(&file, document.to_string()).expect("it can be written to");
    let mut command = cloud_cup([Path::new("--config"), &file]);
    command.env("RUST_LOG", "trace");
    let program = Program::serving(command).await;
    let log = program.log();
    let line = log.iter().find(|line| line["message"] == "admin").expect("it tells where it is asked");
    let address = line["address"].as_str().and_then(|address| address.parse().ok()).expect("an address");
    for token in [TOKEN, OTHER] {
        send(address, Method::POST, "/v1/reload", &[("authorization", &bearer(token))]).await;
    }
    program.signal("TERM");
    let ended = program.ended().await;
    let shown = ended.stderr.lines().find(|line| line.contains("hidden-"));
    assert!(shown.is_none(), "the log shows a token: {}", shown.unwrap_or_default());
}
