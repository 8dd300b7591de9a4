//! Which route a request takes.

use http::{Method, Request, Version};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::support::{Answer, Backend, Gateway, Port, document, get, request};

/// A gateway with a route for each pattern, whose backend has the pattern's name.
async fn routes(patterns: &[&str]) -> (Vec<Backend>, Gateway) {
    let backends: Vec<_> = patterns.iter().map(|pattern| Backend::echo(pattern)).collect();
    let routes: serde_json::Map<_, _> = patterns
        .iter()
        .zip(&backends)
        .map(|(pattern, backend)| ((*pattern).to_owned(), json!({ "backends": [backend.host()] })))
        .collect();
    let gateway = Gateway::start(document(Value::Object(routes))).await;
    (backends, gateway)
}

async fn ask(gateway: &Gateway, method: &str, host: &str, path: &str) -> Answer {
    let mut answers = Vec::new();
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let (target, header) = match version {
            Version::HTTP_2 => (format!("http://{host}{path}"), None),
            _ => (path.to_owned(), Some(host)),
        };
        let mut asking: Request<Full<bytes::Bytes>> = get("/");
        *asking.method_mut() = method.parse::<Method>().expect("a method");
        *asking.version_mut() = version;
        *asking.uri_mut() = target.parse().expect("a target");
        if let Some(host) = header {
            asking.headers_mut().insert("host", host.parse().expect("a value"));
        }
        answers.push(request(gateway.address(), asking).await);
    }
    let newer = answers.remove(1);
    assert_eq!(newer.status, answers[0].status, "HTTP/1.1 and HTTP/2 differ on {method} {host}{path}");
    newer
}

/// Each request with the pattern that gets it, or with the status.
async fn check(gateway: &Gateway, cases: &[(&str, &str)]) {
    for (asked, expected) in cases {
        let (method, target) = asked.split_once(' ').expect("a method and a target");
        let (host, path) = target.split_at(target.find('/').expect("a path"));
        let answer = ask(gateway, method, if host.is_empty() { "any.example" } else { host }, path).await;
        match expected.parse::<u16>() {
            Ok(status) => assert_eq!(answer.status.as_u16(), status, "{asked} got {}", answer.text()),
            Err(_) => assert_eq!(answer.backend(), *expected, "{asked}"),
        }
    }
}

#[tokio::test]
async fn serves_the_original_document_as_it_was_meant() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config/main_config.json");
    let text = std::fs::read_to_string(path).expect("the document");
    // Byte for byte, but for the ports, which are not ours to take.
    let ports: Vec<_> = (0..9).map(|_| Port::reserve()).collect();
    let mut document = text.clone();
    for (offset, port) in ports.iter().enumerate() {
        let original = format!("\"127.0.0.1:{}\"", 8080 + offset);
        assert_eq!(text.matches(&original).count(), 1, "{original}");
        document = document.replace(&original, &format!("\"{}\"", port.address()));
    }
    let mut ports = ports.into_iter();
    drop(ports.next());
    let names = ["any", "root", "game-1", "game-2", "game-3", "dev-1", "dev-2", "dev-3"];
    let backends: Vec<_> = ports.zip(names).map(|(port, name)| port.open_echo(name)).collect();
    let gateway = Gateway::start(serde_json::from_str(&document).expect("JSON")).await;

    let asked = async |path: &str, count: usize| {
        let mut answered = Vec::new();
        for _ in 0..count {
            answered.push(request(gateway.address(), get(path)).await.backend());
        }
        answered.sort_unstable();
        answered
    };
    assert_eq!(asked("/", 2).await, ["root", "root"]);
    assert_eq!(asked("/none", 2).await, ["any", "any"]);
    assert_eq!(asked("/gamer", 1).await, ["any"]);
    assert_eq!(asked("/game/x", 3).await, ["game-1", "game-2", "game-3"]);
    assert_eq!(asked("/game", 3).await, ["game-1", "game-2", "game-3"]);
    assert_eq!(asked("/game/dev/x", 3).await, ["game-1", "game-2", "game-3"]);
    assert_eq!(asked("/game/dev", 6).await, ["dev-1", "dev-1", "dev-2", "dev-2", "dev-3", "dev-3"]);
    assert_eq!(backends.iter().map(Backend::requests).sum::<usize>(), 20);
}

#[tokio::test]
async fn the_most_specific_path_wins() {
    let patterns = ["*", "/", "/a/*", "/a/b", "/a/{x}", "/a/{x}/c", "/a/b/*"];
    let (_backends, gateway) = routes(&patterns).await;
    check(
        &gateway,
        &[
            ("GET /", "/"),
            ("GET /x", "*"),
            ("GET /a", "/a/*"),
            ("GET /a/", "/a/*"),
            ("GET /ab", "*"),
            ("GET /a/b", "/a/b"),
            ("GET /a/x", "/a/{x}"),
            ("GET /a/x/c", "/a/{x}/c"),
            ("GET /a/x/d", "/a/*"),
            ("GET /a/b/c", "/a/b/*"),
            ("GET /a/b/c/d", "/a/b/*"),
            ("GET /a/x/c/d", "/a/*"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_host_comes_before_a_path() {
    let patterns = ["*", "/a/b", "x.example/*", "x.example/a", "*.example/*", "*.y.example/a/*"];
    let (_backends, gateway) = routes(&patterns).await;
    check(
        &gateway,
        &[
            ("GET x.example/", "x.example/*"),
            ("GET X.Example:8080/", "x.example/*"),
            ("GET x.example/a", "x.example/a"),
            ("GET x.example/a/b", "x.example/*"),
            ("GET z.example/a", "*.example/*"),
            ("GET z.y.example/a", "*.y.example/a/*"),
            ("GET example/a", "*"),
            ("GET other.test/a/b", "/a/b"),
            ("GET other.test/a", "*"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_method_comes_before_none() {
    let patterns = ["GET,HEAD /a", "POST /a", "/b", "GET /b", "PURGE /c/*", "x.example/a"];
    let (_backends, gateway) = routes(&patterns).await;
    check(
        &gateway,
        &[
            ("GET /a", "GET,HEAD /a"),
            ("POST /a", "POST /a"),
            ("PUT /a", "405"),
            ("GET /b", "GET /b"),
            ("PUT /b", "/b"),
            ("PURGE /c/d", "PURGE /c/*"),
            ("GET /c/d", "405"),
            ("PUT x.example/a", "x.example/a"),
            ("PUT /none", "404"),
        ],
    )
    .await;
}

#[tokio::test]
async fn tells_which_methods_are_allowed() {
    let (backends, gateway) = routes(&["GET,PUT /a", "POST /a", "DELETE x.example/a"]).await;
    let answer = ask(&gateway, "PATCH", "any.example", "/a").await;
    assert_eq!((answer.status.as_u16(), &*answer.code()), (405, "method-not-allowed"));
    let mut allowed: Vec<_> = answer.header("allow").expect("a list").split(", ").collect();
    allowed.sort_unstable();
    assert!(["GET", "POST", "PUT"].iter().all(|method| allowed.contains(method)), "{allowed:?}");
    assert!(!allowed.contains(&"DELETE"), "{allowed:?}");
    assert_eq!(backends.iter().map(Backend::requests).sum::<usize>(), 0);
    assert_eq!(gateway.logged(2).await[0]["reason"], "method-not-allowed");
}

#[tokio::test]
async fn a_request_without_a_route_is_a_404_that_says_so() {
    let (_backends, gateway) = routes(&["/a"]).await;
    let answer = ask(&gateway, "GET", "any.example", "/b").await;
    assert_eq!((answer.status.as_u16(), &*answer.code()), (404, "no-route"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(answer.header("date").is_some());
    let line = &gateway.logged(2).await[0];
    assert_eq!(
        (&line["status"], &line["reason"], line.get("route")),
        (&404.into(), &"no-route".into(), None)
    );
    assert_eq!(gateway.metric("cloudcup_gateway_responses_total{reason=\"no-route\"}").await, 2.0);
}

#[tokio::test]
async fn the_first_rule_that_matches_counts() {
    let names = ["both", "header", "query", "rest"];
    let backends: Vec<_> = names.iter().map(|name| Backend::echo(name)).collect();
    let rule =
        |index: usize, matches: Value| json!({ "match": matches, "backends": [backends[index].host()] });
    let gateway = Gateway::start(document(json!({
        "/a": [
            rule(0, json!({ "headers": { "X-Beta": "yes" }, "query": { "v": "2" } })),
            rule(1, json!({ "headers": { "X-Beta": "yes" } })),
            rule(2, json!({ "query": { "v": "a b" } })),
            { "backends": [backends[3].host()] },
        ],
        "/b": [rule(0, json!({ "headers": { "x": "y" } }))],
        "*": { "backends": [backends[3].host()] },
    })))
    .await;
    let cases: &[(&str, &[&'static str], &str)] = &[
        ("/a?v=2", &["yes"], "both"),
        ("/a?u=1&v=2", &["no", "yes"], "both"),
        ("/a?v=3", &["yes"], "header"),
        ("/a", &["yes"], "header"),
        ("/a?v=a%20b", &[], "query"),
        ("/a?v=a+b", &["no"], "query"),
        ("/a?v=2", &[], "rest"),
        ("/a?V=2", &["YES"], "rest"),
        ("/a?v=22", &["yes, yes"], "rest"),
        ("/a", &[], "rest"),
    ];
    for (target, values, expected) in cases {
        let mut asking = get(target);
        for value in *values {
            asking.headers_mut().append("x-beta", value.parse().expect("a value"));
        }
        assert_eq!(request(gateway.address(), asking).await.backend(), *expected, "{target} {values:?}");
    }
    // A route whose rules all fail does not leave its requests to a less specific one.
    let answer = request(gateway.address(), get("/b")).await;
    assert_eq!((answer.status.as_u16(), &*answer.code()), (404, "no-route"));
}

#[tokio::test]
async fn a_rule_sees_the_client_as_the_gateway_tells_of_it() {
    let (named, other) = (Backend::echo("named"), Backend::echo("other"));
    let gateway = Gateway::start(document(json!({ "*": [
        { "match": { "headers": { "x-forwarded-for": "127.0.0.1" } }, "backends": [named.host()] },
        { "backends": [other.host()] },
    ] })))
    .await;
    for claim in ["127.0.0.1", "203.0.113.7"] {
        let mut asking = get("/");
        asking.headers_mut().insert("x-forwarded-for", claim.parse().expect("a value"));
        assert_eq!(request(gateway.address(), asking).await.backend(), "named", "{claim}");
    }
}

#[tokio::test]
async fn routes_share_an_upstream() {
    let backends = [Backend::echo("a"), Backend::echo("b")];
    let gateway = Gateway::start(json!({
        "upstreams": { "shared": { "backends": [backends[0].host(), backends[1].host()] } },
        "routes": { "/x": { "upstream": "shared" }, "/y": { "upstream": "shared" } },
    }))
    .await;
    let mut answered = Vec::new();
    for path in ["/x", "/y", "/x", "/y"] {
        answered.push(request(gateway.address(), get(path)).await.backend());
    }
    // One upstream, one order of turns.
    assert_eq!(answered, ["a", "b", "a", "b"]);
}

#[tokio::test]
async fn tells_which_route_and_backend_served_a_request() {
    let (backends, gateway) = routes(&["/users/{id}", "*"]).await;
    request(gateway.address(), get("/users/7?token=secret")).await;
    let line = &gateway.logged(1).await[0];
    let backend = backends[0].address().to_string();
    assert_eq!(line["route"], "/users/{id}");
    assert_eq!(line["backend"], backend.as_str());
    assert_eq!(line["path"], "/users/7", "the query may carry secrets");
    assert_eq!(
        (&line["method"], &line["status"], &line["attempts"]),
        (&"GET".into(), &200.into(), &1.into())
    );
    assert_eq!(line.get("reason"), None);
    let metric = "cloudcup_requests_total{route=\"/users/{id}\",status=\"2xx\"}";
    assert_eq!(gateway.metric(metric).await, 1.0);
}
