//! Several plugins on one route, and what each of them sees and may change.

use http::{Method, Version};
use serde_json::{Value, json};

use super::{route, with_guests};
use crate::support::{Answer, Backend, Gateway, get, post, request};

fn tag(value: &str) -> Value {
    json!({ "use": "tag", "config": { "value": value } })
}

fn trail(answer: &Answer) -> Vec<&str> {
    answer.headers.get_all("x-trail").iter().map(|value| value.to_str().expect("a text")).collect()
}

#[tokio::test]
async fn guest_chains_run_in_order_on_requests_and_in_reverse_on_responses() {
    let backend = Backend::echo("a");
    let routes = json!({ "*": route(&backend, json!([tag("1"), tag("2"), tag("3")])) });
    let gateway = Gateway::start(with_guests(&["tag"], routes)).await;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let mut asked = get("/");
        *asked.version_mut() = version;
        let answer = request(gateway.address(), asked).await;
        assert_eq!(answer.echoed("x-trail").as_deref(), Some("1|2|3"), "{version:?}");
        assert_eq!(trail(&answer), ["3", "2", "1"], "{version:?}");
    }
}

#[tokio::test]
async fn guest_each_attachment_has_its_own_config_and_else_that_of_the_plugin() {
    let backend = Backend::echo("a");
    let mut document = with_guests(
        &["tag"],
        json!({
            "/own": route(&backend, json!([tag("own")])),
            "/other": route(&backend, json!([tag("other")])),
            "/inherited": route(&backend, json!(["tag"])),
            "/both": route(&backend, json!([tag("own"), "tag"])),
        }),
    );
    document["plugins"]["tag"]["config"] = json!({ "value": "inherited" });
    let gateway = Gateway::start(document).await;
    for (path, expected) in
        [("/own", "own"), ("/other", "other"), ("/inherited", "inherited"), ("/both", "own|inherited")]
    {
        let answer = request(gateway.address(), get(path)).await;
        assert_eq!(answer.echoed("x-trail").as_deref(), Some(expected), "{path}");
    }
}

#[tokio::test]
async fn guest_a_reply_to_a_request_ends_the_chain_and_passes_those_before_it() {
    let backend = Backend::echo("a");
    let guard = json!({ "use": "require-header", "config": { "name": "x-key", "status": 403 } });
    let routes = json!({ "*": route(&backend, json!([tag("before"), guard, tag("behind")])) });
    let gateway = Gateway::start(with_guests(&["tag", "require-header"], routes)).await;
    let answer = request(gateway.address(), get("/")).await;
    assert_eq!((answer.status.as_u16(), trail(&answer)), (403, vec!["before"]));
    assert_eq!(backend.requests(), 0);
    let line = &gateway.logged(1).await[0];
    assert_eq!(line["plugins"], json!([{ "plugin": "require-header", "verdict": "reply" }]));
}

#[tokio::test]
async fn guest_a_reply_to_a_response_replaces_it() {
    let backend = Backend::respond("HTTP/1.1 404 Not Found\r\nx-secret: 1\r\ncontent-length: 4\r\n\r\ngone");
    let replacing =
        json!({ "use": "bad-header", "config": { "what": "remove-name", "hook": "on-response" } });
    let routes = json!({ "*": route(&backend, json!([tag("sees"), replacing, tag("lost")])) });
    let gateway = Gateway::start(with_guests(&["tag", "bad-header"], routes)).await;
    let answer = request(gateway.address(), get("/")).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, ""));
    assert_eq!(answer.header("x-refused"), Some("invalid-name"));
    assert_eq!((answer.header("x-secret"), answer.header("content-length")), (None, Some("0")));
    assert_eq!(trail(&answer), ["sees"], "hooks that are still to come see the reply");
    let line = &gateway.logged(1).await[0];
    assert_eq!(line["plugins"], json!([{ "plugin": "bad-header", "verdict": "reply" }]));
    assert_eq!((&line["status"], &line["response_bytes"]), (&json!(200), &json!(0)));
}

#[tokio::test]
async fn guest_replies_have_a_length_and_a_date() {
    let backend = Backend::echo("a");
    let reply = |bytes: u32| route(&backend, json!([{ "use": "huge-reply", "config": { "bytes": bytes } }]));
    let routes = json!({ "/some": reply(1000), "/none": reply(0) });
    let gateway = Gateway::start(with_guests(&["huge-reply"], routes)).await;
    for (method, path, version, length, received) in [
        (Method::GET, "/some", Version::HTTP_11, "1000", 1000),
        (Method::GET, "/some", Version::HTTP_2, "1000", 1000),
        (Method::HEAD, "/some", Version::HTTP_11, "1000", 0),
        (Method::HEAD, "/some", Version::HTTP_2, "1000", 0),
        (Method::GET, "/none", Version::HTTP_11, "0", 0),
        (Method::POST, "/none", Version::HTTP_11, "0", 0),
    ] {
        let mut asked = get(path);
        (*asked.method_mut(), *asked.version_mut()) = (method.clone(), version);
        let answer = request(gateway.address(), asked).await;
        let case = format!("{method} {path} {version:?}: {answer:?}");
        assert_eq!(answer.status, 200, "{case}");
        assert_eq!(answer.header("content-length"), Some(length), "{case}");
        assert_eq!(answer.body.len(), received, "{case}");
        assert!(answer.header("date").is_some_and(|date| date.ends_with(" GMT")), "{case}");
    }
    assert_eq!(backend.requests(), 0);
}

#[tokio::test]
async fn guest_a_megabyte_passes_untouched_with_plugins_attached() {
    let backend = Backend::echo("a");
    let routes = json!({ "*": route(&backend, json!([tag("1"), "counter"])) });
    let gateway = Gateway::start(with_guests(&["tag", "counter"], routes)).await;
    let body: String = (0..(1 << 20) / 8).map(|index| format!("{index:07} ")).collect();
    for (line, version) in [Version::HTTP_11, Version::HTTP_2].into_iter().enumerate() {
        let mut asked = post("/", body.clone());
        *asked.version_mut() = version;
        let answer = request(gateway.address(), asked).await;
        assert_eq!(answer.status, 200);
        assert!(answer.json()["body"] == body.as_str(), "the body changed on its way, {version:?}");
        assert_eq!(answer.echoed("x-trail").as_deref(), Some("1"));
        let line = &gateway.logged(line + 1).await[line];
        assert_eq!(line["request_bytes"], json!(body.len()), "{version:?}");
        assert_eq!(line["response_bytes"], json!(answer.body.len()), "{version:?}");
    }
}

#[tokio::test]
async fn guest_a_request_that_is_answered_by_a_plugin_leaves_its_connection_usable() {
    let backend = Backend::echo("a");
    let routes = json!({
        "/no": route(&backend, json!([{ "use": "huge-reply", "config": { "bytes": 10 } }])),
        "/yes": { "backends": [backend.host()] },
    });
    let gateway = Gateway::start(with_guests(&["huge-reply"], routes)).await;
    let mut client = crate::support::Client::http1(gateway.address()).await.expect("it accepts");
    let refused = client.send(post("/no", "a body that nobody reads")).await.expect("an answer");
    assert_eq!((refused.status.as_u16(), refused.text()), (200, "xxxxxxxxxx"));
    let answer = client.send(get("/yes")).await.expect("the connection goes on");
    assert_eq!(answer.backend(), "a");
}

#[tokio::test]
async fn guest_changes_that_a_head_may_not_have_are_refused_and_change_nothing() {
    let backend = Backend::echo("a");
    let cases = [
        ("set-name", "invalid-name"),
        ("set-value", "invalid-value"),
        ("set-forbidden", "forbidden"),
        ("set-huge", "too-large"),
        ("append-name", "invalid-name"),
        ("append-value", "invalid-value"),
        ("append-forbidden", "forbidden"),
        ("append-huge", "too-large"),
        ("remove-name", "invalid-name"),
        ("remove-forbidden", "forbidden"),
    ];
    let mut routes = json!({});
    for (what, _) in cases {
        for hook in ["on-request", "on-response"] {
            let bad = json!({ "use": "bad-header", "config": { "what": what, "hook": hook } });
            routes[format!("/{what}/{hook}")] = route(&backend, json!([bad]));
        }
    }
    let gateway = Gateway::start(with_guests(&["bad-header"], routes)).await;
    for (what, expected) in cases {
        for hook in ["on-request", "on-response"] {
            let answer = request(gateway.address(), get(&format!("/{what}/{hook}"))).await;
            assert_eq!(answer.header("x-refused"), Some(expected), "{what} {hook}: {answer:?}");
            for injected in ["x-injected", "x-name", "transfer-encoding"] {
                assert_eq!(answer.header(injected), None, "{what} {hook}");
            }
        }
    }
}
