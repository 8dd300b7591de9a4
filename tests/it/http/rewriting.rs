//! Rules that ask backends for something else than the client asked for.

use http::Version;
use serde_json::{Value, json};

use super::with;
use crate::support::{Answer, Backend, Client, Gateway, Port, document, get, request};

/// A gateway whose route at this pattern rewrites so.
async fn rewriting(backend: &Backend, pattern: &str, rewrite: Value) -> Gateway {
    let rule = json!({ "backends": [backend.host()], "rewrite": rewrite });
    Gateway::start(document(json!({ pattern: rule }))).await
}

async fn ask(gateway: &Gateway, target: &str, version: Version) -> Answer {
    let mut asking = get(target);
    match version {
        Version::HTTP_2 => *asking.uri_mut() = format!("http://a.example{target}").parse().expect("a target"),
        _ => drop(asking.headers_mut().insert("host", "a.example".parse().expect("a value"))),
    }
    *asking.version_mut() = version;
    request(gateway.address(), asking).await
}

/// What the backend is asked for.
async fn check(pattern: &str, rewrite: Value, cases: &[(&str, &str)]) {
    let backend = Backend::echo("a");
    let gateway = rewriting(&backend, pattern, rewrite.clone()).await;
    for (asked, expected) in cases {
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let answer = ask(&gateway, asked, version).await;
            assert_eq!(answer.json()["target"], *expected, "{rewrite}: {asked} {version:?}");
        }
    }
}

/// The examples of URLRewrite in the Gateway API, and those of `regex_rewrite` in Envoy.
#[tokio::test]
async fn paths_are_rewritten_as_gateways_do() {
    check(
        "/prefix/*",
        json!({ "prefix": "/" }),
        &[("/prefix/one/two", "/one/two"), ("/prefix", "/"), ("/prefix/", "/"), ("/prefix/a?b=c", "/a?b=c")],
    )
    .await;
    check(
        "/strip-prefix/*",
        json!({ "prefix": "" }),
        &[("/strip-prefix/three", "/three"), ("/strip-prefix", "/")],
    )
    .await;
    check(
        "/one/*",
        json!({ "prefix": "/xyz/" }),
        &[("/one/bar", "/xyz/bar"), ("/one", "/xyz"), ("/one/", "/xyz/")],
    )
    .await;
    check("*", json!({ "prefix": "/api/v1" }), &[("/a/b", "/api/v1/a/b"), ("/", "/api/v1/")]).await;
    check("/full/*", json!({ "path": "/one" }), &[("/full/path/original", "/one"), ("/full?q", "/one?q")])
        .await;
    check(
        "*",
        json!({ "regex": { "pattern": "^/service/([^/]+)(/.*)$", "replacement": "${2}/instance/$1" } }),
        &[("/service/foo/v1/api", "/v1/api/instance/foo"), ("/other", "/other")],
    )
    .await;
    check(
        "*",
        json!({ "regex": { "pattern": "one", "replacement": "two" } }),
        &[("/xxx/one/yyy/one/zzz?one", "/xxx/two/yyy/two/zzz?one")],
    )
    .await;
    check(
        "/users/{id}/*",
        json!({ "path": "/${method}/${parameter.id}/${query.q}" }),
        &[("/users/a%2Bb/x?q=c%20d&e", "/GET/a%2Bb/c%20d?q=c%20d&e")],
    )
    .await;
}

#[tokio::test]
async fn what_is_no_safe_path_reaches_no_backend() {
    let backend = Backend::echo("a");
    let refused = async |pattern: &str, rewrite: Value, target: &str| {
        let gateway = rewriting(&backend, pattern, rewrite).await;
        let answer = ask(&gateway, target, Version::HTTP_11).await;
        assert_eq!((answer.status.as_u16(), &*answer.code()), (500, "bad-rewrite"), "{target}");
        let line = &gateway.logged(1).await[0];
        assert_eq!((&line["reason"], &line["attempts"]), (&"bad-rewrite".into(), &0.into()));
        let metric = "cloudcup_gateway_responses_total{reason=\"bad-rewrite\"}";
        assert_eq!(gateway.metric(metric).await, 1.0);
    };
    // What nginx's `alias` is known for.
    let alias = json!({ "regex": { "pattern": "^/files(.*)$", "replacement": "/data/$1" } });
    refused("*", alias, "/files../secret").await;
    refused("*", json!({ "regex": { "pattern": "^/", "replacement": "" } }), "/a").await;
    refused("/x/*", json!({ "path": "/x/${query.file}" }), "/x/?file=..%2F..%2Fetc").await;
    refused("/x/*", json!({ "path": "/x/${query.file}/y" }), "/x/?file=..").await;
    refused("/x/*", json!({ "path": "/x/${query.file}" }), "/x/?file=a%0D%0Ab").await;
    refused("/x/*", json!({ "host": "${query.host}" }), "/x/?host=a%0D%0Ab").await;
    assert_eq!(backend.requests(), 0);
}

#[tokio::test]
async fn a_host_is_rewritten_for_backends_of_every_version() {
    let rewrite = json!({ "host": "${parameter.tenant}.internal:81" });
    for (backend, protocol) in [(Backend::echo("a"), "h1"), (Backend::echo_h2c("a"), "h2c")] {
        let upstreams = json!({ "all": { "backends": [backend.host()], "protocol": protocol } });
        let routes = json!({ "/{tenant}/*": { "upstream": "all", "rewrite": rewrite } });
        let gateway = Gateway::start(with(document(routes), json!({ "upstreams": upstreams }))).await;
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let answer = ask(&gateway, "/acme/x", version).await;
            match protocol {
                "h1" => assert_eq!(answer.echoed("host").as_deref(), Some("acme.internal:81")),
                _ => assert_eq!(answer.json()["target"], "http://acme.internal:81/acme/x"),
            }
            assert_eq!(answer.echoed("x-forwarded-host").as_deref(), Some("a.example"));
        }
        let line = &gateway.logged(2).await[1];
        assert_eq!((&line["host"], &line["path"]), (&"a.example".into(), &"/acme/x".into()));
    }
}

#[tokio::test]
async fn plugins_and_the_log_have_what_the_client_asked_for() {
    let backend = Backend::echo("a");
    let tells = json!({ "use": "headers", "config": { "request": { "set": { "x-plugin": "1" } } } });
    let only = json!({ "use": "headers", "config": { "response": { "set": { "x-seen": "yes" } } }, "when": { "paths": ["/game/*"] } });
    let rule = json!({
        "backends": [backend.host()],
        "plugins": [tells, only],
        "rewrite": { "prefix": "/v2" },
        "headers": { "response": { "set": { "x-asked": "${host}${path}" } } },
    });
    let gateway = Gateway::start(document(json!({ "/game/*": rule }))).await;
    let answer = ask(&gateway, "/game/7?x", Version::HTTP_11).await;
    assert_eq!(answer.json()["target"], "/v2/7?x");
    assert_eq!(answer.echoed("x-plugin").as_deref(), Some("1"));
    assert_eq!((answer.header("x-seen"), answer.header("x-asked")), (Some("yes"), Some("a.example/game/7")));
    let line = &gateway.logged(1).await[0];
    assert_eq!((&line["path"], &line["route"]), (&"/game/7".into(), &"/game/*".into()));
}

#[tokio::test]
async fn the_log_has_the_clients_path_when_it_leaves_early() {
    let backend = Backend::with(|mut wire| async move {
        wire.try_read_head().await;
        std::future::pending().await
    });
    let gateway = rewriting(&backend, "/game/*", json!({ "prefix": "/v2", "host": "b" })).await;
    let mut client = Client::http1(gateway.address()).await.expect("a connection");
    let asking = client.start(get("/game/7")).await.expect("it is sent");
    crate::support::eventually(|| async { backend.requests() == 1 }).await;
    drop((asking, client));
    let line = &gateway.logged(1).await[0];
    assert_eq!((&line["path"], &line["reason"]), (&"/game/7".into(), &"client-closed".into()));
    assert_eq!(line["host"], gateway.address().to_string());
}

#[tokio::test]
async fn the_next_backend_is_asked_for_the_same() {
    let (dead, backend) = (Port::reserve(), Backend::echo("a"));
    let dead = json!({ "host": dead.address().to_string() });
    let rule = json!({ "backends": [dead, backend.host()], "rewrite": { "prefix": "/v2" } });
    let gateway = Gateway::start(document(json!({ "/game/*": rule }))).await;
    for _ in 0..2 {
        assert_eq!(ask(&gateway, "/game/7", Version::HTTP_11).await.json()["target"], "/v2/7");
    }
}

#[tokio::test]
async fn an_explanation_shows_what_a_rule_does() {
    let backend = Backend::echo("a");
    let gateway = Gateway::start(document(json!({
        "/game/{id}/*": {
            "backends": [backend.host()],
            "rewrite": { "prefix": "/v2/${parameter.id}", "host": "b.internal:81" },
            "query": { "set": { "key": "secret" } },
            "headers": { "request": { "set": { "x-key": "secret" } }, "response": { "remove": ["server"] } },
        },
        "/old/*": { "redirect": { "scheme": "https", "prefix": "/new", "status": 301 } },
        "/page": { "reply": { "status": 503, "body": "later" } },
        "/bad": { "backends": [backend.host()], "rewrite": { "path": "/${header.x-a}" } },
    })))
    .await;
    let told = async |url: &str, headers: Value| {
        let asked = json!({ "method": "GET", "url": url, "headers": headers }).to_string();
        let (status, told) = gateway.admin_with("POST", "/v1/explain", "", &asked).await;
        assert_eq!(status, 200, "{told}");
        assert!(!told.contains("secret"), "{told}");
        serde_json::from_str::<Value>(&told).expect("JSON")
    };
    let game = told("http://a.example/game/7/x?q", json!([])).await;
    let action = json!({
        "kind": "forward", "status": null, "location": null, "host": "b.internal:81", "path": "/v2/7/x",
        "edits": ["query `key`", "request headers `x-key`", "response headers `server`"],
    });
    assert_eq!((&game["action"], &game["path"]), (&action, &"/game/7/x".into()));
    let old = told("http://a.example/old/x?q", json!([])).await;
    let action = &old["action"];
    assert_eq!((&action["kind"], &action["status"]), (&"redirect".into(), &301.into()));
    assert_eq!((&action["location"], &old["upstream"]), (&"https://a.example/new/x?q".into(), &Value::Null));
    let page = told("http://a.example/page", json!([])).await;
    assert_eq!((&page["action"]["kind"], &page["action"]["status"]), (&"reply".into(), &503.into()));
    let bad = told("http://a.example/bad", json!([["x-a", ".."]])).await;
    assert_eq!((&bad["refused"]["status"], &bad["refused"]["code"]), (&500.into(), &"bad-rewrite".into()));
}
