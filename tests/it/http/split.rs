//! Requests that are shared out among upstreams by weight.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};

use super::with;
use crate::check::program::{cupctl, run};
use crate::support::{Answer, Backend, Client, Gateway, document, get, request};

/// A gateway's document that shares out among `v1` and `v2`, with further fields of the rule.
fn split(v1: &Backend, v2: &Backend, weights: [u32; 2], fields: Value) -> Value {
    let shares = json!([
        { "upstream": "v1", "weight": weights[0] },
        { "upstream": "v2", "weight": weights[1] },
    ]);
    let rule = with(json!({ "split": shares }), fields);
    let upstreams = json!({ "v1": { "backends": [v1.host()] }, "v2": { "backends": [v2.host()] } });
    with(document(json!({ "*": rule })), json!({ "upstreams": upstreams }))
}

fn with_cookie(cookie: &str) -> Request<Full<Bytes>> {
    Request::get("/").header("cookie", cookie).body(Full::default()).expect("a request")
}

/// The cookie that an answer sets, without its attributes.
fn cookie(answer: &Answer) -> String {
    let field = answer.header("set-cookie").expect("a cookie");
    field.split(';').next().expect("a first part").to_owned()
}

async fn counted(client: &mut Client, count: usize) -> BTreeMap<String, usize> {
    let mut answered = BTreeMap::new();
    for _ in 0..count {
        let answer = client.send(get("/")).await.expect("a response");
        *answered.entry(answer.backend()).or_default() += 1;
    }
    answered
}

#[tokio::test]
async fn each_request_of_a_connection_is_drawn_by_weight() {
    let (v1, v2) = (Backend::echo("v1"), Backend::echo("v2"));
    let gateway = Gateway::start(split(&v1, &v2, [90, 10], json!({}))).await;
    for is_http2 in [false, true] {
        let address = gateway.address();
        let client = if is_http2 { Client::http2(address).await } else { Client::http1(address).await };
        let mut client = client.expect("it accepts connections");
        let answered = counted(&mut client, 1000).await;
        // 100 with a standard deviation of 9.5: once in billions it is further away than that.
        assert!((40..=160).contains(&answered["v2"]), "{answered:?}");
        assert_eq!(answered["v1"] + answered["v2"], 1000);
    }
    assert_eq!(v1.requests() + v2.requests(), 2000);
}

#[tokio::test]
async fn changed_weights_hold_from_the_next_request_on() {
    let (v1, v2) = (Backend::echo("v1"), Backend::echo("v2"));
    let gateway = Gateway::start(split(&v1, &v2, [1, 0], json!({}))).await;
    let mut client = Client::http1(gateway.address()).await.expect("it accepts connections");
    assert_eq!(counted(&mut client, 50).await, BTreeMap::from([("v1".to_owned(), 50)]));
    let outcome = gateway.change(split(&v1, &v2, [0, 1], json!({}))).await;
    assert_eq!(outcome.diagnostics(), [""; 0]);
    assert_eq!(counted(&mut client, 50).await, BTreeMap::from([("v2".to_owned(), 50)]));
    let outcome = gateway.change(split(&v1, &v2, [0, 0], json!({}))).await;
    assert!(outcome.diagnostics()[0].contains("no upstream of this split gets anything"));
    assert_eq!(counted(&mut client, 5).await["v2"], 5);
}

#[tokio::test]
async fn a_client_comes_back_to_its_share_by_a_cookie() {
    let (v1, v2) = (Backend::echo("v1"), Backend::echo("v2"));
    let sticky = json!({ "sticky": { "max_age": "1h", "secret": "a-secret-of-gateways" } });
    let gateway = Gateway::start(split(&v1, &v2, [1, 1], sticky.clone())).await;
    let first = request(gateway.address(), get("/")).await;
    let field = first.header("set-cookie").expect("a cookie");
    assert!(field.starts_with("cloudcup-split="), "{field}");
    assert!(field.ends_with("; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax"), "{field}");
    let mine = cookie(&first);
    for _ in 0..40 {
        let again = request(gateway.address(), with_cookie(&format!("a=b; {mine}"))).await;
        assert_eq!((again.backend(), again.header("set-cookie")), (first.backend(), None));
    }
    // Its share may shrink as far as it likes; a restart changes nothing either.
    let weights = |mine, other| if first.backend() == "v1" { [mine, other] } else { [other, mine] };
    gateway.change(split(&v1, &v2, weights(1, 1_000_000), sticky.clone())).await;
    for _ in 0..20 {
        assert_eq!(request(gateway.address(), with_cookie(&mine)).await.backend(), first.backend());
    }
    gateway.change(split(&v1, &v2, weights(0, 1), sticky)).await;
    let moved = request(gateway.address(), with_cookie(&mine)).await;
    assert_ne!(moved.backend(), first.backend());
    assert_ne!(cookie(&moved), mine);
}

#[tokio::test]
async fn a_forged_cookie_is_drawn_anew_and_replaced() {
    let (v1, v2) = (Backend::echo("v1"), Backend::echo("v2"));
    let gateway = Gateway::start(split(&v1, &v2, [0, 1], json!({ "sticky": { "cookie": "share" } }))).await;
    let real = cookie(&request(gateway.address(), get("/")).await);
    for forged in ["share=v1", "share=", "share=AAAAAAAAAAAAAAAAAAAAAA", "share=v2"] {
        let answer = request(gateway.address(), with_cookie(forged)).await;
        assert_eq!((answer.backend().as_str(), cookie(&answer)), ("v2", real.clone()), "{forged}");
    }
}

#[tokio::test]
async fn a_canary_is_two_rules() {
    let (v1, v2) = (Backend::echo("v1"), Backend::echo("v2"));
    let mut document = split(&v1, &v2, [1, 0], json!({}));
    let canary = json!({ "match": { "headers": { "x-canary": "always" } }, "upstream": "v2" });
    document["routes"]["*"] = json!([canary, document["routes"]["*"]]);
    let gateway = Gateway::start(document).await;
    assert_eq!(request(gateway.address(), get("/")).await.backend(), "v1");
    let canary = Request::get("/").header("x-canary", "always").body(Full::<Bytes>::default());
    assert_eq!(request(gateway.address(), canary.expect("a request")).await.backend(), "v2");
}

#[tokio::test]
async fn an_explanation_has_the_shares() {
    let (v1, v2) = (Backend::echo("v1"), Backend::echo("v2"));
    let sticky = json!({ "sticky": { "secret": "a-secret-of-gateways" } });
    let gateway = Gateway::start(split(&v1, &v2, [3, 1], sticky)).await;
    let explain = async |fields: Value| {
        let asked = json!({ "method": "GET", "url": "http://a.example/", "headers": fields }).to_string();
        let (status, told) =
            gateway.admin_with("POST", "/v1/explain", "content-type: application/json\r\n", &asked).await;
        assert_eq!(status, 200, "{told}");
        serde_json::from_str::<Value>(&told).expect("it is JSON")
    };
    let told = explain(json!([])).await;
    let shares = json!([
        { "upstream": "v1", "weight": 3, "percent": 75.0 },
        { "upstream": "v2", "weight": 1, "percent": 25.0 },
    ]);
    assert_eq!((&told["split"], &told["upstream"]), (&shares, &Value::Null));
    assert_eq!(told["action"]["kind"], "split");
    assert_eq!(told["backends"].as_array().map(Vec::len), Some(2));
    let answer = request(gateway.address(), get("/")).await;
    let told = explain(json!([["cookie", cookie(&answer)]])).await;
    assert_eq!(told["upstream"], answer.backend());
    let socket = gateway.app().socket.display().to_string();
    let text = run(cupctl(["--socket", &socket, "explain", "GET", "http://a.example/"])).await;
    assert!(text.stdout.contains("75.0000 % by weight 3"), "{}", text.stdout);
}
