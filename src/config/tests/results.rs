//! What becomes of good documents.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::{FULL, accept, check_in, folder, schema, show};
use crate::base::address::Address;
use crate::base::units::ByteSize;
use crate::config::{
    AccessLog, Algorithm, Checked, Coding, Compress, Dial, Isolation, KeySource, Levels, Limits, OnError,
    Permission, PluginLimits, PluginSource, Protocols, Quotas, SentHost, Strategy, Timeouts,
    UpstreamProtocol,
};

/// The document of the original Cloud Cup.
const ORIGINAL: &str = include_str!("../../../config/main_config.json");

#[test]
fn takes_the_original_document() {
    let checked = accept(ORIGINAL);
    let routes: Vec<(&str, Vec<(&str, u32)>)> = checked
        .routes
        .iter()
        .map(|route| {
            (route.text.as_str(), backends(&checked, route.rules[0].action.upstreams().next().unwrap()))
        })
        .collect();
    assert_eq!(
        routes,
        [
            ("*", vec![("127.0.0.1:8081", 5)]),
            ("/", vec![("127.0.0.1:8082", 5)]),
            ("/game/*", vec![("127.0.0.1:8083", 5), ("127.0.0.1:8084", 5), ("127.0.0.1:8085", 3)]),
            ("/game/dev", vec![("127.0.0.1:8086", 5), ("127.0.0.1:8087", 5), ("127.0.0.1:8088", 5)]),
        ]
    );
    let listener = &checked.listeners[0];
    assert_eq!((listener.name.as_str(), listener.address.tcp()), ("root", Some(address("127.0.0.1:8080"))));
    assert_eq!(listener.protocols, Protocols { h1: true, h2: true, h3: false });
    assert_eq!((checked.http.timeouts, checked.http.limits), (Timeouts::default(), Limits::default()));
    assert_eq!((checked.workers, checked.access_log, checked.http.via), (None, AccessLog::Stdout, false));
}

/// The hosts of an upstream and their `max_failure`.
fn backends(checked: &Checked, upstream: usize) -> Vec<(&str, u32)> {
    checked.upstreams[upstream]
        .endpoints
        .iter()
        .map(|backend| (backend.host.as_str(), backend.max_failure.unwrap_or_default()))
        .collect()
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn full() -> Checked {
    let folder = folder();
    let (checked, warnings) =
        check_in(folder.path(), FULL).unwrap_or_else(|errors| panic!("{}", show(&errors)));
    assert_eq!(show(&warnings), "");
    checked
}

#[test]
fn settings_are_as_written() {
    let checked = full();
    let listeners: Vec<_> = checked
        .listeners
        .iter()
        .filter_map(|listener| Some((listener.name.as_str(), listener.address.tcp()?)))
        .collect();
    assert_eq!(
        listeners,
        [
            ("root", address("127.0.0.1:8080")),
            ("inside", address("[::1]:8081")),
            ("outside", address("[::]:80")),
            ("secure", address("[::]:8443"))
        ]
    );
    assert_eq!(checked.workers.map(usize::from), Some(4));
    assert_eq!(
        checked.http.timeouts,
        Timeouts {
            client_head: Duration::from_secs(5),
            client_idle: Duration::from_secs(20),
            keep_alive: Duration::from_secs(60),
            request: Some(Duration::from_secs(60)),
            connect: Duration::from_millis(250),
            tls: Duration::from_secs(2),
            queue: Duration::from_secs(3),
            tunnel: Some(Duration::from_secs(12 * 60 * 60)),
            backend_idle: Duration::from_secs(120),
            backend_keep_alive: Duration::from_secs(45),
            tunnel_idle: Duration::from_secs(7200),
            drain: Duration::from_secs(3600),
        }
    );
    assert_eq!(
        checked.http.limits,
        Limits {
            head_size: ByteSize::kib(16),
            header_count: 50,
            pool_idle: 8,
            request_body: Some(ByteSize::bytes(10_000_000)),
            connections: 1000,
            h2_streams: 50,
            h2_stream_window: ByteSize::kib(128),
            h2_connection_window: ByteSize::kib(512),
            h2_frame_size: ByteSize::kib(32),
        }
    );
    let proxies: Vec<String> = checked.http.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!((proxies, checked.http.via), (vec!["10.0.0.0/8".to_owned(), "::1/128".to_owned()], true));
    assert_eq!(checked.admin.listen, Some(address("127.0.0.1:9901")));
    let token = checked.admin.token.expect("a token");
    assert!(token.is(b"a-token-of-an-operator") && !token.is(b"a-token-of-an-operator ") && !token.is(b""));
    assert_eq!(format!("{token:?}"), "Token");
    assert!(checked.admin.socket.is_some_and(|path| path.ends_with("cup.sock")));
}

#[test]
fn a_rule_says_how_its_compression_differs() {
    let checked = full();
    let everywhere = Compress {
        codings: vec![Coding::Zstd, Coding::Gzip],
        types: vec!["text/*".to_owned(), "application/*+json".to_owned()],
        minimum_size: ByteSize::kib(2),
        levels: Levels { br: 5, zstd: 3, gzip: 1 },
    };
    let game = &checked.routes[1].rules;
    let of_rule = Compress {
        minimum_size: ByteSize::bytes(0),
        levels: Levels { br: 1, zstd: 1, gzip: 2 },
        ..everywhere.clone()
    };
    assert_eq!((&game[0].compress, &game[1].compress), (&Some(of_rule), &None));
    assert_eq!(checked.routes[0].rules[0].compress, Some(everywhere));
    let written = |everywhere: Value, rule: Value| {
        let mut document = json!({
            "root": ":1",
            "http": { "compress": everywhere },
            "routes": { "*": { "backends": [{ "host": "a:1" }] } },
        });
        if !rule.is_null() {
            document["routes"]["*"]["compress"] = rule;
        }
        accept(&document.to_string()).routes[0].rules[0].compress.clone()
    };
    assert_eq!(written(json!({ "enabled": false }), Value::Null), None);
    let own = written(json!({ "enabled": false, "minimum_size": 5 }), json!({})).expect("it is switched on");
    assert_eq!((own.minimum_size, own.levels), (ByteSize::bytes(5), Levels { br: 4, zstd: 3, gzip: 6 }));
    assert_eq!(own.codings, [Coding::Zstd, Coding::Br, Coding::Gzip]);
}

#[test]
fn rules_lead_to_upstreams() {
    let checked = full();
    let names: Vec<&str> = checked.upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
    assert_eq!(names, ["games", "judged", "secure", "told", "routes:/game/*", "routes:/game/*#1"]);
    let games = &checked.upstreams[0];
    assert_eq!(games.balancing.strategy, Strategy::Maglev);
    let endpoints: Vec<_> = games
        .endpoints
        .iter()
        .map(|backend| (backend.address.to_string(), backend.max_failure, backend.weight))
        .collect();
    assert_eq!(
        endpoints,
        [("127.0.0.1:9001".to_owned(), Some(3), 2), ("games.internal:9002".to_owned(), Some(5), 1)]
    );
    assert_eq!(games.dial, Dial::default());
    let secure = &checked.upstreams[2].dial;
    assert_eq!(secure.protocol, UpstreamProtocol::H2);
    assert_eq!((secure.streams, secure.ping), (50, Some(Duration::from_secs(30))));
    assert_eq!((&secure.host, secure.connection_age), (&SentHost::Backend, Some(Duration::from_secs(3600))));
    let tls = secure.tls.as_ref().expect("they speak TLS");
    assert_eq!(tls.server_name.as_deref(), Some("games.internal"));
    assert_eq!(tls.files().count(), 3);
    let told = &checked.upstreams[3];
    assert_eq!((told.dial.protocol, told.dial.sends_proxy_header), (UpstreamProtocol::H1, true));
    assert_eq!(told.endpoints[0].address, Address::Unix("/run/games.sock".into()));
    let upstreams = |index: usize| {
        checked.routes[index]
            .rules
            .iter()
            .map(|rule| rule.action.upstreams().next().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!((upstreams(0), upstreams(1)), (vec![0], vec![4, 5]));
    assert!(checked.routes[1].rules[1].matches.is_empty());
}

#[test]
fn attachments_take_over_from_plugins() {
    let checked = full();
    let plugins: Vec<_> = checked
        .plugins
        .iter()
        .map(|plugin| (plugin.name.as_str(), plugin.pointer.as_str(), plugin.source == PluginSource::Shipped))
        .collect();
    assert_eq!(
        plugins,
        [
            ("headers", "/plugins/headers", true),
            ("mine", "/plugins/mine", false),
            ("jwt-auth", "/routes/~1game~1*/0/plugins/0", true),
        ]
    );
    assert_eq!(
        checked.plugins[1].permissions,
        [Permission::Log, Permission::Clock, Permission::Random, Permission::Http, Permission::Secrets]
            .into()
    );
    let headers = &checked.routes[0].rules[0].attachments[0];
    assert_eq!((headers.plugin, &headers.config), (0, &json!({"set": {"x-cup": "1"}})));
    assert_eq!(
        (headers.on_error, headers.isolation, headers.limits),
        (OnError::Closed, Isolation::Reuse, PluginLimits::default())
    );
    let [jwt, mine] = &checked.routes[1].rules[0].attachments[..] else { panic!("two attachments") };
    assert_eq!((jwt.plugin, &jwt.config), (2, &Value::Null));
    assert_eq!(
        (mine.plugin, &mine.config, mine.on_error, mine.isolation),
        (1, &json!({"level": 3}), OnError::Open, Isolation::Reuse)
    );
    assert_eq!(
        mine.limits,
        PluginLimits {
            time: Duration::from_secs(1),
            memory: ByteSize::mib(1),
            table_elements: 100,
            reply_size: ByteSize::kib(1),
            log_rate: 5,
            requests: 1000,
            waiting_calls: 32,
        }
    );
    assert_eq!(mine.pointer, "/routes/~1game~1*/0/plugins/1");
}

#[test]
fn plugins_have_what_they_are_granted() {
    let mine = &full().plugins[1];
    assert_eq!(mine.hosts, ["api.example.com"]);
    assert_eq!(mine.private_networks, ["10.0.0.0/8".parse().unwrap()]);
    assert_eq!(mine.secrets, ["token"]);
    assert_eq!(
        mine.quotas,
        Quotas {
            rate_limit_keys: 1000,
            state_entries: 100,
            state_size: ByteSize::mib(1),
            metric_series: 10,
            http_requests: 5,
            http_time: Duration::from_secs(2),
            http_response_size: ByteSize::kib(64),
        }
    );
    assert_eq!(full().plugins[0].quotas, Quotas::default());
}

#[test]
fn key_sets_have_their_defaults() {
    let checked = full();
    let [discovered, fetched, filed, shared, single, written] = &checked.key_sets[..] else {
        panic!("six key sets")
    };
    assert_eq!(fetched.source, KeySource::Url("https://issuer.example/keys".into()));
    assert_eq!(fetched.algorithms, [Algorithm::RS256, Algorithm::EdDsa]);
    assert_eq!(
        (&fetched.issuers[..], &fetched.audiences[..]),
        (&["https://issuer.example".into()][..], &["games".into()][..])
    );
    assert_eq!((fetched.clock_skew, fetched.remembered_tokens), (Duration::from_secs(30), 100));
    assert_eq!(discovered.issuers, ["https://issuer.example"], "the provider is the issuer");
    assert_eq!(discovered.algorithms, [Algorithm::RS256, Algorithm::ES256]);
    assert_eq!(discovered.required_claims, ["exp"]);
    assert_eq!((discovered.clock_skew, discovered.remembered_tokens), (Duration::from_secs(60), 10_000));
    assert_eq!(shared.algorithms, [Algorithm::HS256]);
    assert!(filed.issuers.is_empty() && written.issuers.is_empty());
    let shown = format!("{shared:?} {single:?} {filed:?}");
    assert!(!shown.contains("0123456789") && !shown.contains("BEGIN"), "{shown}");
}

#[test]
fn plugins_of_every_route_come_first_and_can_be_switched_off() {
    let checked = accept(
        r#"{
        "root": ":80", "http": {"plugins": ["headers", "rate-limit"]},
        "routes": {
            "/a": {"backends": [{"host": "a:1"}], "plugins": ["jwt-auth"]},
            "/b": {"backends": [{"host": "a:1"}], "plugins": [{"use": "headers", "enabled": false}, "jwt-auth"]},
            "/c": {"backends": [{"host": "a:1"}]}
        }
    }"#,
    );
    let names = |index: usize| {
        let attachments = &checked.routes[index].rules[0].attachments;
        attachments.iter().map(|attachment| attachment.name.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(names(0), ["headers", "rate-limit", "jwt-auth"]);
    assert_eq!(names(1), ["rate-limit", "jwt-auth"]);
    assert_eq!(names(2), ["headers", "rate-limit"]);
}

#[test]
fn paths_begin_in_the_folder_of_the_document() {
    let text = r#"{
        "root": ":80", "access_log": "logs/a", "admin": {"socket": "/run/b"},
        "plugins": {"c": {"source": "c.wasm"}}, "routes": {"/": {"backends": [{"host": "a:1"}]}}
    }"#;
    let checked = check_in(Path::new("/folder"), text).unwrap().0;
    assert_eq!(checked.access_log, AccessLog::File("/folder/logs/a".into()));
    assert_eq!(checked.admin.socket, Some("/run/b".into()));
    assert_eq!(checked.plugins[0].source, PluginSource::File("/folder/c.wasm".into()));
}

/// The defaults that the schema tells, to editors and in words, are those of the code.
#[test]
fn defaults_are_as_described() {
    let schema = schema();
    let limits = defaults(&schema["$defs"]["PluginLimits"]);
    let document = |top: Value, listener: Value, plugin: Value, backend: Value| {
        let mut document = json!({
            "listeners": {"a": {"address": ":1"}},
            "plugins": {"headers": {}},
            "routes": {"/": {"backends": [{"host": "a:1"}], "plugins": ["headers"]}},
        });
        extend(&mut document, "", top);
        extend(&mut document, "/listeners/a", listener);
        extend(&mut document, "/plugins/headers", plugin);
        extend(&mut document, "/routes/~1/backends/0", backend);
        accept(&document.to_string())
    };
    let explicit = document(
        json!({
            "timeouts": defaults(&schema["$defs"]["Timeouts"]),
            "limits": defaults(&schema["$defs"]["Limits"]),
            "http": defaults(&schema["$defs"]["Http"]),
            "via": defaults(&schema)["via"],
            "access_log": defaults(&schema)["access_log"],
        }),
        json!({}),
        json!({"isolation": defaults(&schema["$defs"]["Plugin"])["isolation"], "limits": limits}),
        defaults(&schema["$defs"]["Backend"]),
    );
    assert_eq!(explicit, document(json!({}), json!({}), json!({}), json!({})));
}

/// Adds fields to the object at a pointer.
fn extend(document: &mut Value, pointer: &str, fields: Value) {
    let object = document.pointer_mut(pointer).and_then(Value::as_object_mut).unwrap();
    object.extend(fields.as_object().unwrap().clone());
}

/// The defaults that the fields of a definition have in their descriptions, and the same as `default` if that is there.
fn defaults(definition: &Value) -> Value {
    let mut defaults = serde_json::Map::new();
    for (name, property) in definition["properties"].as_object().unwrap() {
        if let Some(told) = told_default(property["description"].as_str().unwrap()) {
            assert!(property.get("default").is_none_or(|default| *default == told), "{name}");
            defaults.insert(name.clone(), told);
        }
    }
    defaults.into()
}

/// What stands behind `Default:`, where it is one value: `10s` between backticks, a number, true or false.
fn told_default(description: &str) -> Option<Value> {
    let (_, text) = description.split_once("Default: ")?;
    let text = text.strip_suffix('.')?;
    match text.strip_prefix('`').and_then(|text| text.strip_suffix('`')) {
        Some(text) => Some(text.into()).filter(|_| !text.contains('`')),
        None => serde_json::from_str(text).ok(),
    }
}
