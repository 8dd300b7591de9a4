//! The plugins inside the gateway's binary, which a route names with nothing installed.

use http::{HeaderValue, Method, Version};
use serde_json::{Value, json};

use super::{refused, route};
use crate::support::{Answer, Backend, Gateway, document, get, request};

async fn start(backend: &Backend, attachment: Value) -> Gateway {
    Gateway::start(document(json!({ "*": route(backend, json!([attachment])) }))).await
}

fn values<'a>(answer: &'a Answer, name: &str) -> Vec<&'a str> {
    answer.headers.get_all(name).iter().map(|value| value.to_str().expect("a text")).collect()
}

#[tokio::test]
async fn headers_changes_requests_and_responses() {
    let backend = Backend::with(|mut wire| async move {
        while let Some(head) = wire.try_read_head().await {
            let told = head.fields.iter().filter(|(name, _)| name.starts_with("x-"));
            let told: Vec<_> = told.map(|(name, value)| format!("{name}={value}")).collect();
            let body = told.join(";");
            let fields = "server: old\r\nx-kept: 1\r\nx-set: old\r\nx-set: older\r\nx-append: old";
            let answer =
                format!("HTTP/1.1 200 OK\r\n{fields}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            wire.send(answer).await;
        }
    });
    let change = json!({
        "remove": ["Server", "x-remove", "x-both"],
        "set": { "X-Set": "new", "x-new": "fresh", "x-both": "set" },
        "append": { "x-append": "more", "x-both": "appended" },
    });
    let gateway =
        start(&backend, json!({ "use": "headers", "config": { "request": change, "response": change } }))
            .await;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let mut asked = get("/");
        *asked.version_mut() = version;
        for (name, value) in [
            ("x-remove", "1"),
            ("x-set", "1"),
            ("x-set", "2"),
            ("x-append", "1"),
            ("x-both", "1"),
            ("x-kept", "1"),
        ] {
            asked.headers_mut().append(name, HeaderValue::from_static(value));
        }
        let answer = request(gateway.address(), asked).await;
        let mut sent: Vec<_> =
            answer.text().split(';').filter(|field| !field.starts_with("x-forwarded")).collect();
        sent.sort_unstable();
        let expected = [
            "x-append=1",
            "x-append=more",
            "x-both=appended",
            "x-both=set",
            "x-kept=1",
            "x-new=fresh",
            "x-set=new",
        ];
        assert_eq!(sent, expected, "{version:?}");
        for (name, expected) in [
            ("server", vec![]),
            ("x-kept", vec!["1"]),
            ("x-set", vec!["new"]),
            ("x-new", vec!["fresh"]),
            ("x-append", vec!["old", "more"]),
            ("x-both", vec!["set", "appended"]),
        ] {
            assert_eq!(values(&answer, name), expected, "{name}, {version:?}");
        }
    }
}

#[tokio::test]
async fn headers_without_a_config_changes_nothing() {
    let backend = Backend::echo("a");
    for attachment in [json!("headers"), json!({ "use": "headers", "config": {} })] {
        let gateway = start(&backend, attachment).await;
        assert_eq!(request(gateway.address(), get("/")).await.backend(), "a");
    }
}

#[tokio::test]
async fn a_shipped_plugin_takes_settings_from_the_document() {
    let backend = Backend::echo("a");
    let config = json!({ "response": { "set": { "x-cup": "1" } } });
    let gateway = Gateway::start(json!({
        "plugins": { "headers": { "config": config, "isolation": "request" } },
        "routes": { "*": route(&backend, json!(["headers"])) },
    }))
    .await;
    assert_eq!(request(gateway.address(), get("/")).await.header("x-cup"), Some("1"));
}

#[tokio::test]
async fn headers_refuses_a_config_that_could_fail_later() {
    let set = |name: &str, value: &str| json!({ "request": { "set": { name: value } } });
    let mut cases = vec![
        (json!({ "requests": {} }), "unknown field `requests`"),
        (json!({ "request": { "sett": {} } }), "unknown field `sett`"),
        (json!({ "request": { "remove": 1 } }), "/request/remove"),
        (json!({ "response": { "set": [] } }), "/response/set"),
        (json!("set"), "invalid type"),
        (set("x y", "1"), "`x y` is not a field name"),
        (set("x-a", "1\r\nx-b: 2"), "control character"),
    ];
    for forbidden in [
        "host",
        "Content-Length",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "upgrade",
    ] {
        cases.push((set(forbidden, "1"), "belongs to the gateway"));
    }
    let mut routes = json!({});
    for (index, (config, _)) in cases.iter().enumerate() {
        let attachment = json!({ "use": "headers", "config": config });
        routes[format!("/{index}")] =
            json!({ "backends": [{ "host": "127.0.0.1:1" }], "plugins": [attachment] });
    }
    let diagnostics = refused(document(routes)).await;
    assert_eq!(diagnostics.len(), cases.len(), "{diagnostics:#?}");
    for (index, (config, expected)) in cases.iter().enumerate() {
        let at = format!("/routes/~1{index}/plugins/0");
        let found = diagnostics
            .iter()
            .find(|diagnostic| diagnostic.pointer == at || diagnostic.pointer.starts_with(&format!("{at}/")));
        let diagnostic = found.unwrap_or_else(|| panic!("nothing of {config}"));
        assert!(diagnostic.message.contains("plugin `headers`"), "{diagnostic}");
        assert!(diagnostic.message.contains(expected), "{diagnostic}");
        assert!(diagnostic.line > 0 && diagnostic.column > 0);
    }
}

#[tokio::test]
async fn require_header_refuses_requests_without_it() {
    let backend = Backend::echo("a");
    for (config, status) in
        [(json!({ "name": "X-Api-Key" }), 401), (json!({ "name": "x-api-key", "status": 403 }), 403)]
    {
        let gateway = start(&backend, json!({ "use": "require-header", "config": config })).await;
        let before = backend.requests();
        for method in [Method::GET, Method::POST, Method::HEAD] {
            let mut asked = get("/");
            *asked.method_mut() = method;
            assert_eq!(request(gateway.address(), asked).await.status, status);
        }
        assert_eq!(backend.requests(), before, "no backend is asked");
        let mut asked = get("/");
        asked.headers_mut().insert("x-api-key", HeaderValue::from_static("1"));
        assert_eq!(request(gateway.address(), asked).await.backend(), "a");
    }
}

#[tokio::test]
async fn require_header_refuses_a_config_without_a_name() {
    let backend = Backend::echo("a");
    for (config, expected) in [
        (Value::Null, "missing field `name`"),
        (json!({ "name": "x", "status": 200 }), "`status` is not of 400 to 599"),
        (json!({ "name": "" }), "not a field name"),
    ] {
        let attachment = json!({ "use": "require-header", "config": config });
        let diagnostics = refused(document(json!({ "*": route(&backend, json!([attachment])) }))).await;
        assert_eq!(diagnostics.len(), 1, "{diagnostics:?}");
        assert!(diagnostics[0].message.contains(expected), "{}", diagnostics[0]);
    }
}

#[tokio::test]
async fn a_plugin_that_nobody_ships_is_a_diagnostic() {
    let backend = Backend::echo("a");
    let diagnostics = refused(document(json!({ "*": route(&backend, json!(["heders", "zzz"])) }))).await;
    let told: Vec<_> = diagnostics.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].contains("unknown plugin `heders`") && told[0].contains("did you mean `headers`?"),
        "{told:?}"
    );
    assert!(told[1].contains("/routes/*/plugins/1") && told[1].contains("unknown plugin `zzz`"), "{told:?}");
}

#[tokio::test]
async fn a_response_that_the_gateway_makes_passes_the_plugins_of_its_route() {
    let dead = crate::support::Port::reserve();
    let config = json!({ "response": { "set": { "x-seen": "1" }, "remove": ["content-type"] } });
    let attachment = json!({ "use": "headers", "config": config });
    let routes = json!({ "/dead": { "backends": [dead.host()], "plugins": [attachment] } });
    let gateway = Gateway::start(document(routes)).await;
    let answer = request(gateway.address(), get("/dead")).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (502, "backend-connect-failed"));
    assert_eq!((answer.header("x-seen"), answer.header("content-type")), (Some("1"), None));
    assert_eq!(request(gateway.address(), get("/none")).await.header("x-seen"), None, "no route, no plugins");
}
