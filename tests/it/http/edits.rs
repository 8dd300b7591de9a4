//! Rules that change header fields and queries.

use http::Version;
use serde_json::{Value, json};

use super::with;
use crate::support::{Answer, Backend, Client, Gateway, Port, document, get, post, request};

async fn editing(backend: &Backend, fields: Value) -> Gateway {
    let rule = with(json!({ "backends": [backend.host()] }), fields);
    Gateway::start(document(json!({ "/{id}/*": rule, "*": { "backends": [backend.host()] } }))).await
}

async fn ask(gateway: &Gateway, target: &str, fields: &[(&'static str, &str)]) -> Answer {
    let mut asking = get(target);
    for (name, value) in fields {
        asking.headers_mut().append(*name, value.parse().expect("a value"));
    }
    request(gateway.address(), asking).await
}

#[tokio::test]
async fn a_request_is_edited_on_its_way_to_a_backend() {
    let edits = json!({
        "set": { "X-One": "1", "x-id": "${parameter.id}", "x-forwarded-proto": "https", "x-none": "${cookie.none}" },
        "add": { "x-tag": "${protocol}" },
        "remove": ["User-Agent"],
    });
    for (backend, protocol) in [(Backend::echo("a"), "h1"), (Backend::echo_h2c("a"), "h2c")] {
        let upstreams = json!({ "all": { "backends": [backend.host()], "protocol": protocol } });
        let edited = json!({ "upstream": "all", "headers": { "request": edits } });
        let routes = json!({ "/{id}/*": edited, "*": { "upstream": "all" } });
        let gateway = Gateway::start(with(document(routes), json!({ "upstreams": upstreams }))).await;
        let fields =
            [("x-one", "2"), ("x-one", "3"), ("x-tag", "a"), ("x-none", "forged"), ("user-agent", "curl")];
        let answer = ask(&gateway, "/7/x", &fields).await;
        assert_eq!(answer.echoed("x-one").as_deref(), Some("1"));
        assert_eq!(answer.echoed("x-id").as_deref(), Some("7"));
        assert_eq!(answer.echoed("x-tag").as_deref(), Some("a|HTTP/1.1"));
        assert_eq!(answer.echoed("user-agent"), None);
        assert_eq!(answer.echoed("x-none"), None, "nobody else's value stands for an empty one");
        assert_eq!(answer.echoed("x-forwarded-proto").as_deref(), Some("https"), "and it is there once");
        assert_eq!(
            answer.echoed("x-forwarded-for").as_deref(),
            Some("127.0.0.1"),
            "the others are as they were"
        );
        assert_eq!(ask(&gateway, "/", &[("x-one", "2")]).await.echoed("x-one").as_deref(), Some("2"));
    }
}

#[tokio::test]
async fn variables_stand_for_what_is_known_of_a_request() {
    let backend = Backend::echo("a");
    let names = [
        "client.address",
        "client.port",
        "scheme",
        "method",
        "host",
        "path",
        "query",
        "route",
        "protocol",
        "header.x-a",
        "header.x-forwarded-for",
        "cookie.theme",
        "query.q",
        "parameter.id",
    ];
    let set: serde_json::Map<_, _> = names
        .iter()
        .map(|name| (format!("x-{}", name.replace('.', "-")), json!(format!("<${{{name}}}>"))))
        .collect();
    let gateway = editing(&backend, json!({ "headers": { "request": { "set": set } } })).await;
    let fields = [
        ("host", "a.example:8080"),
        ("x-a", "1"),
        ("x-a", "2"),
        ("cookie", "theme=dark"),
        ("x-forwarded-for", "9.9.9.9"),
    ];
    let answer = ask(&gateway, "/a%20b/x?q=%0d%0ax%20y&z", &fields).await;
    let port = answer.echoed("x-client-port").expect("it is set");
    assert!(port.trim_matches(['<', '>']).parse::<u16>().is_ok_and(|port| port > 0), "{port}");
    for (name, expected) in [
        ("x-client-address", "<127.0.0.1>"),
        ("x-scheme", "<http>"),
        ("x-method", "<GET>"),
        ("x-host", "<a.example>"),
        ("x-path", "</a%20b/x>"),
        ("x-query", "<q=%0d%0ax%20y&z>"),
        ("x-route", "</{id}/*>"),
        ("x-protocol", "<HTTP/1.1>"),
        ("x-header-x-a", "<1, 2>"),
        ("x-header-x-forwarded-for", "<127.0.0.1>"),
        ("x-cookie-theme", "<dark>"),
        ("x-query-q", "<%0D%0Ax y>"),
        ("x-parameter-id", "<a%20b>"),
    ] {
        assert_eq!(answer.echoed(name).as_deref(), Some(expected), "{name}");
    }
}

#[tokio::test]
async fn a_query_is_edited_and_the_rest_of_it_stays() {
    let backend = Backend::echo("a");
    let edits =
        json!({ "set": { "key": "a&b" }, "add": { "from": "${client.address}" }, "remove": ["debug"] });
    let gateway = editing(&backend, json!({ "query": edits })).await;
    for (asked, expected) in [
        ("/7/x", "/7/x?key=a%26b&from=127.0.0.1"),
        ("/7/x?key=1&x=%7e+y&debug&key=2", "/7/x?x=%7e+y&key=a%26b&from=127.0.0.1"),
        ("/7/x?%64ebug=1&from=me", "/7/x?from=me&key=a%26b&from=127.0.0.1"),
    ] {
        assert_eq!(ask(&gateway, asked, &[]).await.json()["target"], expected, "{asked}");
    }
    let gateway = editing(&backend, json!({ "query": { "remove": ["a"] } })).await;
    assert_eq!(ask(&gateway, "/7/x?a", &[]).await.json()["target"], "/7/x");
}

#[tokio::test]
async fn a_response_is_edited_whoever_made_it() {
    let backend = Backend::respond(
        "HTTP/1.1 200 OK\r\nserver: old\r\nx-a: 1\r\nvary: accept\r\ncontent-length: 2\r\n\r\nok",
    );
    let dead = json!({ "host": Port::reserve().address().to_string() });
    let response = json!({
        "set": { "x-a": "${status} ${backend} ${path}" }, "add": { "vary": "origin" }, "remove": ["server", "x-seen"],
    });
    let headers = json!({ "response": response });
    let plugin = json!({ "use": "headers", "config": { "response": { "set": { "x-seen": "yes", "x-a": "plugin" } } } });
    let key = json!({ "use": "require-header", "config": { "name": "x-key" } });
    let gateway = Gateway::start(document(json!({
        "/ok/*": { "backends": [backend.host()], "headers": headers, "plugins": [plugin] },
        "/dead": { "backends": [dead], "headers": headers },
        "/page": { "reply": { "status": 404, "headers": { "server": "mine" } }, "headers": headers },
        "/moved": { "redirect": { "path": "/ok" }, "headers": headers },
        "/key": { "backends": [backend.host()], "headers": headers, "plugins": [key] },
    })))
    .await;
    let own = backend.address().to_string();
    for (path, status, told) in [
        ("/ok/x", 200, format!("200 {own} /ok/x")),
        ("/page", 404, "404  /page".to_owned()),
        ("/moved", 302, "302  /moved".to_owned()),
        ("/key", 401, "401  /key".to_owned()),
    ] {
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let mut asking = get(path);
            *asking.version_mut() = version;
            let answer = request(gateway.address(), asking).await;
            assert_eq!((answer.status.as_u16(), answer.header("x-a")), (status, Some(&*told)), "{path}");
            assert_eq!((answer.header("server"), answer.header("x-seen")), (None, None), "{path}");
            let vary: Vec<_> = answer.headers.get_all("vary").iter().collect();
            assert_eq!(vary.last().expect("it is added"), &"origin", "{path}");
        }
    }
    let dead = ask(&gateway, "/dead", &[]).await;
    assert_eq!((dead.status.as_u16(), &*dead.code()), (502, "backend-connect-failed"));
    assert!(dead.header("x-a").is_some_and(|told| told.starts_with("502 127.0.0.1:")), "{dead:?}");
}

#[tokio::test]
async fn attributes_of_plugins_can_be_written() {
    let backend = Backend::echo("a");
    let rule = json!({
        "backends": [backend.host()],
        "plugins": ["request-id"],
        "headers": { "request": { "set": { "x-copy": "${header.x-request-id}", "x-none": "${attribute.none}" } } },
    });
    let gateway = Gateway::start(document(json!({ "*": rule }))).await;
    let answer = ask(&gateway, "/", &[("x-none", "forged")]).await;
    let id = answer.echoed("x-request-id");
    assert!(id.is_some() && answer.echoed("x-copy") == id, "edits come behind plugins");
    assert_eq!(answer.echoed("x-none"), None);
}

#[tokio::test]
async fn secrets_are_written_as_they_are() {
    let backend = Backend::echo("a");
    let folder = tempfile::TempDir::new().expect("a folder");
    std::fs::write(folder.path().join("key"), "a$$b${host}\n").expect("it can be written");
    let headers = json!({ "request": { "set": { "authorization": "$file:key" } } });
    let rule = json!({ "backends": [backend.host()], "headers": headers });
    let gateway = Gateway::try_start_in(folder, document(json!({ "*": rule }))).await.expect("it starts");
    assert_eq!(ask(&gateway, "/", &[]).await.echoed("authorization").as_deref(), Some("a$$b${host}"));
    let (_, told) = gateway
        .admin_with("POST", "/v1/explain", "", r#"{"method": "GET", "url": "http://a/", "headers": []}"#)
        .await;
    assert!(told.contains("request headers `authorization`") && !told.contains("a$$b"), "{told}");
}

#[tokio::test]
async fn bodies_and_framing_stay_as_they_are() {
    let backend = Backend::echo("a");
    let edits = json!({ "request": { "set": { "content-type": "text/x" } }, "response": { "set": { "content-type": "text/y" } } });
    let gateway = editing(&backend, json!({ "headers": edits })).await;
    let mut client = Client::http1(gateway.address()).await.expect("a connection");
    for _ in 0..2 {
        let answer = client.send(post("/7/x", "a body")).await.expect("a response");
        assert_eq!(answer.json()["body"], "a body");
        assert_eq!(answer.echoed("content-type").as_deref(), Some("text/x"));
        assert_eq!(answer.header("content-type"), Some("text/y"));
    }
}
