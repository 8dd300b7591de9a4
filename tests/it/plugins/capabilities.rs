//! What plugins learn and may use.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderValue, Version};
use serde_json::{Value, json};

use super::{log, refused, route, with_guests};
use crate::support::{Backend, Gateway, eventually, get, guest, request};

fn chatty(config: Value) -> Value {
    json!({ "use": "chatty", "config": config })
}

#[tokio::test]
async fn guest_plugins_learn_what_the_exchange_is_about() {
    let backend = Backend::respond(
        "HTTP/1.1 203 Fine\r\ncontent-type: a/b\r\nset-cookie: a=1\r\nset-cookie: b=2\r\ncontent-length: 0\r\n\r\n",
    );
    let chatty = chatty(json!({ "parameters": ["id", "none"] }));
    let routes = json!({ "GET api.test/users/{id}/*": route(&backend, json!([chatty])) });
    let mut document = with_guests(&["chatty"], routes);
    document["listeners"] = json!({ "inside": { "address": "127.0.0.1:0" } });
    let gateway = Gateway::start(document).await;
    for (version, protocol) in [(Version::HTTP_11, "HTTP/1.1"), (Version::HTTP_2, "HTTP/2")] {
        let mut asked = get("http://api.test/users/4%32%20x/y?q=%41&r");
        *asked.version_mut() = version;
        if version == Version::HTTP_11 {
            *asked.uri_mut() = "/users/4%32%20x/y?q=%41&r".parse().expect("a target");
            asked.headers_mut().insert("host", HeaderValue::from_static("api.test"));
        }
        asked.headers_mut().insert("user-agent", HeaderValue::from_static("tester"));
        asked.headers_mut().append("accept", HeaderValue::from_static("a"));
        asked.headers_mut().append("accept", HeaderValue::from_static("b"));
        let answer = request(gateway.address(), asked).await;
        let told = |name: &str| answer.header(&format!("x-{name}")).unwrap_or("nothing").to_owned();
        for (name, expected) in [
            ("client", "127.0.0.1"),
            ("protocol", protocol),
            ("listener", "inside"),
            ("route", "GET api.test/users/{id}/*"),
            ("param-id", "42%20x"),
            ("param-none", "nothing"),
            ("method", "GET"),
            ("scheme", "http"),
            ("authority", "api.test"),
            ("path", "/users/42%20x/y"),
            ("query", "q=%41&r"),
            ("user-agent", "tester"),
            ("accepts", "2"),
            ("status", "203"),
            ("content-type", "a/b"),
            ("cookies", "2"),
            ("tls-version", "nothing"),
        ] {
            assert_eq!(told(name), expected, "{name} in {protocol}");
        }
        let fields: Vec<_> =
            answer.header("x-request-fields").expect("names").split(',').map(str::to_owned).collect();
        assert!(
            fields.contains(&"accept".to_owned()) && fields.iter().all(|name| *name == name.to_lowercase())
        );
    }
}

#[tokio::test]
async fn guest_the_client_is_whom_trusted_proxies_name() {
    let backend = Backend::echo("a");
    for (trusted, expected) in [(json!([]), "127.0.0.1"), (json!(["127.0.0.0/8"]), "203.0.113.7")] {
        let mut document =
            with_guests(&["chatty"], json!({ "*": route(&backend, json!([chatty(json!({}))])) }));
        document["trusted_proxies"] = trusted;
        let gateway = Gateway::start(document).await;
        let mut asked = get("/");
        asked.headers_mut().insert("x-forwarded-for", HeaderValue::from_static("203.0.113.7"));
        assert_eq!(request(gateway.address(), asked).await.header("x-client"), Some(expected));
    }
}

#[tokio::test]
async fn guest_plugins_see_the_path_that_was_matched() {
    let backend = Backend::echo("a");
    let routes = json!({
        "/admin/*": route(&backend, json!([chatty(json!({}))])),
        "*": { "backends": [backend.host()] },
    });
    let gateway = Gateway::start(with_guests(&["chatty"], routes)).await;
    for spelling in
        ["/admin/x", "/%61dmin/x", "//admin//x", "/a/../admin/./x", "/a/%2e%2E/admin/x", "/admin/y/%2e./x"]
    {
        let mut asked = get("/");
        *asked.uri_mut() = spelling.parse().expect("a target");
        let answer = request(gateway.address(), asked).await;
        assert_eq!(answer.header("x-path"), Some("/admin/x"), "{spelling}");
        assert_eq!(answer.json()["target"], "/admin/x", "the backend sees what was matched: {spelling}");
    }
}

#[tokio::test]
async fn guest_attributes_pass_from_one_plugin_to_those_behind_it() {
    let backend = Backend::echo("a");
    let many: serde_json::Map<_, _> =
        (0..65).map(|index| (format!("name-{index:02}"), json!("value"))).collect();
    let reader = chatty(json!({ "attributes": ["tenant", "other"] }));
    let with = |set: Value| route(&backend, json!([reader, chatty(json!({ "set": set }))]));
    let routes = json!({
        "/set": with(json!({ "tenant": "acme" })),
        "/none": with(json!({})),
        "/large": with(json!({ "tenant": "x".repeat(5000) })),
        "/many": with(Value::Object(many)),
    });
    let gateway = Gateway::start(with_guests(&["chatty"], routes)).await;
    // The reader is the first of the chain, so its response hook is the last and has the last word.
    for (path, tenant) in [("/set", Some("acme")), ("/none", None), ("/large", None), ("/many", None)] {
        let answer = request(gateway.address(), get(path)).await;
        assert_eq!(answer.header("x-attribute-tenant"), tenant, "{path}");
        assert_eq!(answer.header("x-attribute-other"), None, "{path}");
    }
}

#[tokio::test]
async fn guest_attributes_are_bounded() {
    let backend = Backend::echo("a");
    let many = |count: u32| (0..count).map(|index| (format!("name-{index:02}"), json!("value"))).collect();
    let with = |set: serde_json::Map<String, Value>| route(&backend, json!([chatty(json!({ "set": set }))]));
    let long = |length: usize| [("name".to_owned(), json!("x".repeat(length)))].into_iter().collect();
    let routes = json!({
        "/64": with(many(64)),
        "/65": with(many(65)),
        "/short": with(long(4000)),
        "/long": with(long(5000)),
    });
    let gateway = Gateway::start(with_guests(&["chatty"], routes)).await;
    for (path, ended) in [("/64", "done"), ("/65", "too-many"), ("/short", "done"), ("/long", "too-large")] {
        let answer = request(gateway.address(), get(path)).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-set-attribute")), (200, Some(ended)), "{path}");
    }
}

#[tokio::test]
async fn guest_clock_and_random_are_what_they_say() {
    let backend = Backend::echo("a");
    let routes = json!({ "*": route(&backend, json!([chatty(json!({ "random": 16 }))])) });
    let gateway = Gateway::start(with_guests(&["chatty"], routes)).await;
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("it is past 1970").as_nanos();
    let (mut last, mut seen) = (0, BTreeSet::new());
    for _ in 0..5 {
        let before = now();
        let answer = request(gateway.address(), get("/")).await;
        let number = |name: &str| answer.header(name).expect(name).parse::<u128>().expect("a number");
        assert!((before..=now()).contains(&number("x-now")));
        assert!(number("x-monotonic") > last, "it never goes back");
        last = number("x-monotonic");
        let random = answer.header("x-random-bytes").expect("bytes");
        assert_eq!(random.len(), 32);
        seen.extend([random.to_owned(), answer.header("x-random-number").expect("a number").to_owned()]);
    }
    assert_eq!(seen.len(), 10, "random numbers do not repeat: {seen:?}");
}

#[tokio::test]
async fn guest_lines_of_the_log_name_the_plugin_and_the_route() {
    log::keep();
    let backend = Backend::echo("a");
    let chatty = json!({ "use": "chatty", "config": { "log": "log-names" }, "limits": { "log_rate": 100 } });
    let gateway =
        Gateway::start(with_guests(&["chatty"], json!({ "/x": route(&backend, json!([chatty])) }))).await;
    request(gateway.address(), get("/x")).await;
    // Five levels at each of three hooks.
    eventually(|| async { log::lines("log-names").len() == 15 }).await;
    let lines = log::lines("log-names");
    for (level, line) in ["TRACE", "DEBUG", "INFO", "WARN", "ERROR"].into_iter().zip(&lines) {
        assert_eq!(line["level"], level);
        assert_eq!((&line["plugin"], &line["route"]), (&json!("chatty"), &json!("/x")));
        assert_eq!(line["message"], "log-names on-request GET");
    }
}

#[tokio::test]
async fn guest_lines_of_the_log_are_bounded_however_short_an_instance_lives() {
    const REQUESTS: usize = 40;
    log::keep();
    let backend = Backend::echo("a");
    for isolation in ["reuse", "request"] {
        let text = format!("log-bound-{isolation}");
        let mut chatty = chatty(json!({ "log": text }));
        chatty["isolation"] = json!(isolation);
        chatty["limits"] = json!({ "log_rate": 3 });
        let mut document = with_guests(&["chatty"], json!({ "*": route(&backend, json!([chatty])) }));
        document["workers"] = json!(1);
        let gateway = Gateway::start(document).await;
        let began = std::time::Instant::now();
        for _ in 0..REQUESTS {
            request(gateway.address(), get("/")).await;
        }
        gateway.logged(REQUESTS).await;
        // Seconds of the clock that these requests may have touched.
        let seconds = began.elapsed().as_secs() as usize + 2;
        let lines = log::lines(&text).len();
        assert!((3..=3 * seconds).contains(&lines), "{lines} lines in {seconds} s, {isolation}");
    }
}

#[tokio::test]
async fn guest_a_line_of_the_log_stays_one_line() {
    log::keep();
    let backend = Backend::echo("a");
    let text = "log-line\n2026-01-01 ERROR forged\u{1b}[31m";
    let chatty = json!({ "use": "chatty", "config": { "log": text } });
    let gateway =
        Gateway::start(with_guests(&["chatty"], json!({ "*": route(&backend, json!([chatty])) }))).await;
    request(gateway.address(), get("/")).await;
    eventually(|| async { !log::lines("log-line").is_empty() }).await;
    for line in log::lines("log-line") {
        let message = line["message"].as_str().expect("a text");
        assert!(!message.contains(char::is_control), "{message:?}");
    }
}

#[tokio::test]
async fn guest_a_capability_that_is_not_granted_is_a_diagnostic_that_names_it() {
    let backend = Backend::echo("a");
    let source = guest("chatty");
    for (granted, missing) in [
        (json!([]), vec!["log", "clock", "random"]),
        (json!(["log"]), vec!["clock", "random"]),
        (json!(["log", "random"]), vec!["clock"]),
        (json!(["clock", "log"]), vec!["random"]),
    ] {
        let diagnostics = refused(json!({
            "plugins": { "chatty": { "source": source, "permissions": granted } },
            "routes": { "*": route(&backend, json!(["chatty"])) },
        }))
        .await;
        let told: Vec<_> = diagnostics.iter().map(ToString::to_string).collect();
        for name in missing {
            // All that is wrong is said at once.
            assert!(
                told.iter().any(|line| line.contains(&format!("`{name}`"))),
                "{name} with {granted}: {told:?}"
            );
        }
        for diagnostic in &diagnostics {
            assert_eq!(diagnostic.pointer, "/plugins/chatty");
            assert!(
                diagnostic.hint.as_ref().is_some_and(|hint| hint.contains("permissions")),
                "{diagnostic}"
            );
        }
    }
}
