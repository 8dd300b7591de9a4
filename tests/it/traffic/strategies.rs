//! Who of several backends is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};

use super::{Puppet, answered, check, counts, echoes, get_with, hosts, pool, puppets, with};
use crate::support::{Backend, Gateway, Port, Wire, eventually, get, guests, request};

/// Takes its time for each answer.
fn slow(name: &str, time: Duration) -> Backend {
    let body: Arc<str> = json!({ "backend": name }).to_string().into();
    Backend::with(move |mut wire: Wire| {
        let body = Arc::clone(&body);
        async move {
            while wire.try_read_head().await.is_some() {
                tokio::time::sleep(time).await;
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                if wire.try_send(answer).await.is_err() {
                    return;
                }
            }
        }
    })
}

fn weighted(backends: &[(&Backend, u32)]) -> Value {
    let weighted = |(backend, weight): &(&Backend, u32)| json!({ "host": backend.address().to_string(), "weight": weight });
    backends.iter().map(weighted).collect()
}

#[tokio::test]
async fn weights_decide_how_much_each_backend_gets() {
    // Of 400 requests one quarter is 100. What is left to chance is so within ten standard deviations; the keys of a
    // hash are few, and the latencies of a busy machine wide.
    for (strategy, least, most) in [
        ("round-robin", 100, 100),
        ("random", 30, 190),
        ("least-request", 30, 190),
        ("peak-ewma", 15, 240),
        ("maglev", 30, 190),
        ("ring-hash", 30, 190),
    ] {
        let backends = echoes(2);
        let members = weighted(&[(&backends[0], 1), (&backends[1], 3)]);
        let mut fields = json!({ "backends": members, "strategy": strategy });
        if ["maglev", "ring-hash"].contains(&strategy) {
            // Without it they draw.
            fields["hash_key"] = json!({ "header": "x-key" });
        }
        let gateway = Gateway::start(pool(fields)).await;
        let [light, heavy] = counts(&gateway, 400, ["b0", "b1"]).await;
        assert!((least..=most).contains(&light), "{strategy}: {light}");
        assert_eq!(light + heavy, 400, "{strategy}");
    }
}

#[tokio::test]
async fn least_request_avoids_a_backend_that_is_busy() {
    let (fast, slow) = (echoes(3), slow("slow", Duration::from_millis(60)));
    let fields = json!({ "backends": hosts(fast.iter().chain([&slow])), "strategy": "least-request" });
    let gateway = Gateway::start(pool(fields)).await;
    let counts = answered(&gateway, 8, 40).await;
    // In turns it would be 80; both draws meet it in one case of 16.
    assert!(counts["slow"] < 60, "{counts:?}");
    assert!(fast.iter().all(|backend| backend.requests() > 40), "{counts:?}");
}

#[tokio::test]
async fn peak_ewma_avoids_a_backend_that_is_slow_although_nobody_else_asks_it() {
    let (fast, slow) = (echoes(3), slow("slow", Duration::from_millis(60)));
    let fields = json!({ "backends": hosts(fast.iter().chain([&slow])), "strategy": "peak-ewma" });
    let gateway = Gateway::start(pool(fields)).await;
    let counts = answered(&gateway, 1, 200).await;
    // In turns it would be 50; both draws meet it in one case of 16.
    assert!(counts["slow"] < 32, "{counts:?}");
}

/// A document with an upstream for each kind of key, over the same backends.
fn by_keys(strategy: &str, backends: &[Backend], more: Value) -> Value {
    let kinds = [
        ("header", json!({ "header": "x-key" })),
        ("cookie", json!({ "cookie": "key" })),
        ("query", json!({ "query": "key" })),
        ("parameter", json!({ "parameter": "key" })),
        ("client", Value::Null),
    ];
    let mut document = json!({ "upstreams": {}, "routes": {}, "trusted_proxies": ["127.0.0.1"] });
    for (kind, key) in kinds {
        let mut upstream = with(json!({ "backends": hosts(backends), "strategy": strategy }), more.clone());
        if !key.is_null() {
            upstream["hash_key"] = key;
        }
        document["upstreams"][kind] = upstream;
        let pattern = if kind == "parameter" { "/parameter/{key}".into() } else { format!("/{kind}") };
        document["routes"][pattern] = json!({ "upstream": kind });
    }
    document
}

fn keyed(kind: &str, key: usize) -> Request<Full<bytes::Bytes>> {
    match kind {
        "header" => get_with("/header", "x-key", &format!("key-{key}")),
        "cookie" => get_with("/cookie", "cookie", &format!("a=b; key=value-{key}")),
        "query" => get(&format!("/query?a=b&key=value%2d{key}")),
        "parameter" => get(&format!("/parameter/value-{key}")),
        _ => get_with("/client", "x-forwarded-for", &format!("192.0.2.{key}")),
    }
}

/// To whom keys lead; each is asked for on connections of its own, which different workers have.
async fn led(gateway: &Gateway, keys: usize) -> BTreeMap<(&'static str, usize), String> {
    let mut led = BTreeMap::new();
    for kind in ["header", "cookie", "query", "parameter", "client"] {
        for key in 0..keys {
            led.insert((kind, key), request(gateway.address(), keyed(kind, key)).await.backend());
        }
    }
    led
}

#[tokio::test]
async fn a_key_leads_to_one_backend_on_any_worker_and_after_a_reload_and_a_restart() {
    for strategy in ["maglev", "ring-hash"] {
        let backends = echoes(5);
        let document = by_keys(strategy, &backends, json!({}));
        let gateway = Gateway::start(document.clone()).await;
        let first = led(&gateway, 24).await;
        for kind in ["header", "cookie", "query", "parameter", "client"] {
            let met: BTreeSet<_> =
                first.iter().filter(|((of, _), _)| *of == kind).map(|(_, backend)| backend).collect();
            assert!(met.len() >= 4, "{strategy} by {kind}: {met:?}");
        }
        for _ in 0..2 {
            assert_eq!(led(&gateway, 24).await, first, "{strategy}");
        }
        let outcome = gateway.change(by_keys(strategy, &backends, json!({ "panic_threshold": 1 }))).await;
        assert_eq!(outcome.diagnostics(), [""; 0]);
        assert_eq!(led(&gateway, 24).await, first, "{strategy} after a reload");
        gateway.stop().await;
        let again = Gateway::start(document).await;
        assert_eq!(led(&again, 24).await, first, "{strategy} after a restart");
    }
}

#[tokio::test]
async fn guest_an_attribute_leads_to_one_backend_too() {
    let backends = echoes(4);
    for strategy in ["maglev", "ring-hash"] {
        let fields = json!({
            "backends": hosts(&backends), "strategy": strategy, "hash_key": { "attribute": "tenant" },
        });
        let mut document = with(pool(fields), json!({ "plugins": guests(&["chatty"]) }));
        for tenant in 0..12 {
            let attachment =
                json!({ "use": "chatty", "config": { "set": { "tenant": format!("t{tenant}") } } });
            let rule = json!({ "upstream": "pool", "plugins": [attachment] });
            document["routes"][format!("/{tenant}")] = rule;
        }
        let gateway = Gateway::start(document).await;
        let mut met = BTreeSet::new();
        for tenant in 0..12 {
            let asked = || async { request(gateway.address(), get(&format!("/{tenant}"))).await.backend() };
            let first = asked().await;
            for _ in 0..3 {
                assert_eq!(asked().await, first, "{strategy}, {tenant}");
            }
            met.insert(first);
        }
        assert!(met.len() >= 3, "{strategy}: {met:?}");
    }
}

#[tokio::test]
async fn a_backend_that_goes_out_moves_its_keys_and_gets_them_back() {
    // By a ring no other key moves; by Maglev's table few do.
    for (strategy, others) in [("maglev", 8), ("ring-hash", 0)] {
        let backends = Puppet::several::<5>();
        let fields = json!({
            "backends": puppets(&backends), "strategy": strategy, "hash_key": { "header": "x-key" },
            "health_check": check(json!({})),
        });
        let gateway = Gateway::start(pool(fields)).await;
        let led = || async {
            let mut led = Vec::new();
            for key in 0..80 {
                let asking = get_with("/", "x-key", &format!("key-{key}"));
                led.push(request(gateway.address(), asking).await.backend());
            }
            led
        };
        let before = led().await;
        backends[2].becomes(&gateway, false).await;
        let without = led().await;
        assert!(!without.contains(&"b2".to_owned()));
        let moved = before.iter().zip(&without).filter(|(before, after)| *before != "b2" && before != after);
        let moved = moved.count();
        assert!(moved <= others, "{strategy}: {moved} others moved");
        let heirs: BTreeSet<_> =
            before.iter().zip(&without).filter(|(before, _)| *before == "b2").map(|(_, heir)| heir).collect();
        assert!(heirs.len() > 1, "one has to take all of them: {heirs:?}");
        backends[2].becomes(&gateway, true).await;
        assert_eq!(led().await, before, "{strategy}");
    }
}

#[tokio::test]
async fn requests_without_a_key_are_spread() {
    let backends = echoes(3);
    for strategy in ["maglev", "ring-hash"] {
        let fields = json!({
            "backends": hosts(&backends), "strategy": strategy, "hash_key": { "header": "x-key" },
        });
        let gateway = Gateway::start(pool(fields)).await;
        let counts = answered(&gateway, 1, 90).await;
        assert!(counts.len() == 3 && counts.values().all(|count| *count > 5), "{strategy}: {counts:?}");
    }
}

#[tokio::test]
async fn a_backend_that_is_new_begins_with_a_tenth() {
    let backends = echoes(2);
    let fields = |count: usize, window: &str| {
        pool(json!({ "backends": hosts(&backends[..count]), "slow_start": window }))
    };
    // Those that are new together share evenly.
    let together = Gateway::start(fields(2, "1h")).await;
    assert_eq!(counts(&together, 44, ["b0", "b1"]).await, [22, 22]);
    // So that the first is no newcomer any more.
    let gateway = Gateway::start(fields(1, "1s")).await;
    let alone = || async { counts(&gateway, 10, ["b0"]).await == [10] };
    eventually(alone).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    gateway.change(fields(2, "1s")).await;
    let [_, newcomer] = counts(&gateway, 22, ["b0", "b1"]).await;
    assert!(newcomer <= 8, "{newcomer} of 22 at once");
    eventually(|| async { counts(&gateway, 22, ["b0", "b1"]).await == [11, 11] }).await;
}

#[tokio::test]
async fn a_backend_that_is_back_begins_with_a_tenth() {
    let backends = Puppet::several::<2>();
    let fields = json!({
        "backends": puppets(&backends), "slow_start": "3s",
        "health_check": check(json!({})),
    });
    let gateway = Gateway::start(pool(fields)).await;
    backends[1].becomes(&gateway, false).await;
    assert_eq!(counts(&gateway, 22, ["b0", "b1"]).await, [22, 0]);
    // The first one is no newcomer any more.
    tokio::time::sleep(Duration::from_secs(3)).await;
    backends[1].becomes(&gateway, true).await;
    let [_, back] = counts(&gateway, 22, ["b0", "b1"]).await;
    assert!(back <= 5, "{back} of 22 at once");
}

#[tokio::test]
async fn all_are_asked_when_fewer_than_the_panic_threshold_are_healthy() {
    for (threshold, is_panic) in [(50, true), (20, false), (0, false)] {
        let backends = Puppet::several::<4>();
        let fields = json!({
            "backends": puppets(&backends),
            "panic_threshold": threshold, "health_check": check(json!({})),
        });
        let gateway = Gateway::start(pool(fields)).await;
        let names = ["b0", "b1", "b2", "b3"];
        for backend in &backends[..2] {
            backend.becomes(&gateway, false).await;
        }
        assert_eq!(counts(&gateway, 20, names).await, [0, 0, 10, 10], "half of them is not fewer than half");
        backends[2].becomes(&gateway, false).await;
        let expected = if is_panic { [5; 4] } else { [0, 0, 0, 20] };
        assert_eq!(counts(&gateway, 20, names).await, expected, "{threshold}");
        backends[0].becomes(&gateway, true).await;
        assert_eq!(counts(&gateway, 20, names).await, [10, 0, 0, 10], "{threshold}");
    }
}

#[tokio::test]
async fn in_a_panic_even_backends_that_are_all_out_are_asked() {
    let backends = Puppet::several::<2>();
    backends.iter().for_each(|backend| backend.check_with(503));
    let fields = |threshold: u32| {
        pool(json!({
            "backends": puppets(&backends), "panic_threshold": threshold,
            "health_check": check(json!({ "initially": "unhealthy" })),
        }))
    };
    let gateway = Gateway::start(fields(1)).await;
    assert_eq!(counts(&gateway, 10, ["b0", "b1"]).await, [5, 5]);
    gateway.change(fields(0)).await;
    let answer = request(gateway.address(), get("/")).await;
    assert_eq!((answer.status.as_u16(), &*answer.code()), (503, "no-healthy-backend"));
}

#[tokio::test]
async fn what_was_drained_is_not_asked_even_in_a_panic() {
    let backends = Puppet::several::<2>();
    let fields = json!({
        "backends": puppets(&backends), "panic_threshold": 100, "health_check": check(json!({})),
    });
    let gateway = Gateway::start(pool(fields)).await;
    backends[0].becomes(&gateway, false).await;
    backends[1].becomes(&gateway, false).await;
    assert_eq!(counts(&gateway, 10, ["b0", "b1"]).await, [5, 5]);
    for (word, expected) in [("drain", [0, 10]), ("ready", [5, 5])] {
        let path = format!("/v1/backends/{word}?host={}", backends[0].address());
        let (status, body) = gateway.admin("POST", &path).await;
        assert!(status < 300, "{status} {body}");
        assert_eq!(counts(&gateway, 10, ["b0", "b1"]).await, expected, "{word}");
    }
}

fn ranked(backends: &[Puppet], rank: impl Fn(usize) -> Value) -> Value {
    let ranked = |(index, backend): (usize, &Puppet)| with(backend.host(), rank(index));
    backends.iter().enumerate().map(ranked).collect()
}

#[tokio::test]
async fn the_next_priority_takes_what_the_one_before_cannot() {
    let backends = Puppet::several::<4>();
    let fields = json!({
        "backends": ranked(&backends, |index| json!({ "priority": index / 2 })),
        "health_check": check(json!({})),
    });
    let gateway = Gateway::start(pool(fields)).await;
    let names = ["b0", "b1", "b2", "b3"];
    assert_eq!(counts(&gateway, 40, names).await, [20, 20, 0, 0]);
    // Half of them is healthy, which is good for 7 requests of 10.
    backends[0].becomes(&gateway, false).await;
    let [gone, left, third, fourth] = counts(&gateway, 200, names).await;
    assert_eq!(gone, 0);
    assert!((90..190).contains(&left) && third > 5 && fourth > 5, "{left}, {third}, {fourth}");
    backends[1].becomes(&gateway, false).await;
    assert_eq!(counts(&gateway, 40, names).await, [0, 0, 20, 20]);
    // And back.
    backends[0].becomes(&gateway, true).await;
    backends[1].becomes(&gateway, true).await;
    assert_eq!(counts(&gateway, 40, names).await, [20, 20, 0, 0]);
}

#[tokio::test]
async fn the_next_priority_answers_when_the_first_is_found_dead_by_requests() {
    let (dead, spare) = (Port::reserve(), Backend::echo("spare"));
    let fields = json!({ "backends": [dead.host(), with(spare.host(), json!({ "priority": 1 }))] });
    let gateway = Gateway::start(pool(fields)).await;
    assert_eq!(counts(&gateway, 20, ["spare"]).await, [20]);
}

#[tokio::test]
async fn backends_of_the_gateways_zone_come_first() {
    let backends = Puppet::several::<4>();
    let zones = |index: usize| json!({ "zone": if index < 2 { "east" } else { "west" } });
    let fields = json!({ "backends": ranked(&backends, zones), "health_check": check(json!({})) });
    let names = ["b0", "b1", "b2", "b3"];
    let zoned = |zone: &str| with(pool(fields.clone()), json!({ "zone": zone }));
    let gateway = Gateway::start(zoned("west")).await;
    assert_eq!(counts(&gateway, 20, names).await, [0, 0, 10, 10]);
    backends[2].becomes(&gateway, false).await;
    backends[3].becomes(&gateway, false).await;
    assert_eq!(counts(&gateway, 20, names).await, [10, 10, 0, 0]);
    backends[2].becomes(&gateway, true).await;
    backends[3].becomes(&gateway, true).await;
    gateway.change(zoned("east")).await;
    assert_eq!(counts(&gateway, 20, names).await, [10, 10, 0, 0]);
    // A zone in which no backend stands is far from all.
    gateway.change(zoned("north")).await;
    assert_eq!(counts(&gateway, 20, names).await, [5, 5, 5, 5]);
}

#[tokio::test]
async fn a_priority_counts_before_a_zone() {
    let backends = Puppet::several::<2>();
    let ranks = [json!({ "priority": 0, "zone": "far" }), json!({ "priority": 1, "zone": "near" })];
    let fields = json!({ "backends": ranked(&backends, |index| ranks[index].clone()) });
    let gateway = Gateway::start(with(pool(fields), json!({ "zone": "near" }))).await;
    assert_eq!(counts(&gateway, 10, ["b0", "b1"]).await, [10, 0]);
}
