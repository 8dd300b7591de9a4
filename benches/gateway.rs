//! What a request passes through, part by part: `cargo bench`, or `cargo bench -- NAME` for some of it.
//!
//! The whole way, beside other proxies, is measured by `cargo xtask bench`. The guest `noop` is found by the environment
//! variable `CLOUDCUP_GUESTS`, the folder that `cargo xtask guests` fills; what needs it is left out without it.

#![allow(clippy::print_stderr, reason = "says what it leaves out")]

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cloud_cup::base::buffers;
use cloud_cup::base::immediate::immediate;
use cloud_cup::capability::jwt::{self, KeySet, KeySetSpec, Source, Verdict};
use cloud_cup::message::http1::{
    BodyEncoding, HeadLimits, SentResponse, Stream, parse_request, write_response_head,
};
use cloud_cup::message::{Client, Exchange, ResponseHead};
use cloud_cup::observe::metrics::PluginMetrics;
use cloud_cup::plugin::{
    Attachment, AttachmentSpec, Chain, Grants, Instances, Isolation, Link, OnError, Plugin, PluginEngine,
    PluginLimits, shipped,
};
use cloud_cup::route::{Lookup, Pattern, Table, path};
use criterion::{Criterion, criterion_group, criterion_main};
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode, Uri, Version};

criterion_group!(benches, route, paths, heads, plugins, tokens);
criterion_main!(benches);

/// A token that is remembered costs a digest; one that is not costs hardly more than the check of its signature.
fn tokens(criterion: &mut Criterion) {
    const TOKEN: &str = include_str!("../xtask/src/bench/policies/token.txt");
    const KEYS: &str = include_str!("../xtask/src/bench/policies/jwks.json");
    let token = TOKEN.trim();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let key_set = |remembered| {
        let source = Source::JwksText(KEYS.to_owned());
        let spec = KeySetSpec::new("bench", source, vec![jwt::Algorithm::Rs256]);
        let spec = KeySetSpec { cache_size: remembered, ..spec };
        KeySet::new(spec, jwt::fetcher(runtime.handle().clone()).expect("a client")).expect("a key set")
    };
    let is_good = |verdict| matches!(verdict, Verdict::Ready(Ok(_)));
    let mut group = criterion.benchmark_group("token");
    let remembering = key_set(100);
    assert!(is_good(remembering.verify_now(token)));
    group.bench_function("remembered", |bencher| bencher.iter(|| remembering.verify_now(black_box(token))));
    let forgetful = key_set(0);
    assert!(is_good(forgetful.verify_now(token)));
    group.bench_function("verified", |bencher| bencher.iter(|| forgetful.verify_now(black_box(token))));
    let keys: jsonwebtoken::jwk::JwkSet = serde_json::from_str(KEYS).expect("a key set");
    let key = jsonwebtoken::DecodingKey::from_jwk(&keys.keys[0]).expect("a key");
    let (message, signature) = token.rsplit_once('.').expect("three parts");
    let check = || {
        let message = black_box(message).as_bytes();
        jsonwebtoken::crypto::verify(signature, message, &key, jsonwebtoken::Algorithm::RS256)
    };
    assert_eq!(check().ok(), Some(true));
    group.bench_function("signature alone", |bencher| bencher.iter(check));
    group.finish();
}

/// A lookup costs the same in a small table and in a large one.
fn route(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("route");
    for count in [10, 10_000] {
        let table = table(count);
        let middle = count / 4;
        for (name, path) in [
            ("literal", format!("/service-{middle}/items/42")),
            ("parameter", format!("/service-{middle}/users/42/orders")),
            ("fallback", "/nowhere/at/all".to_owned()),
        ] {
            let found = table.find(&Method::GET, "example.com", &path);
            assert!(matches!(found, Lookup::Found { value, .. } if *value == name), "{path}: {found:?}");
            group.bench_function(format!("{name}/{count}"), |bencher| {
                bencher.iter(|| table.find(&Method::GET, black_box("example.com"), black_box(&path)));
            });
        }
    }
    group.finish();
}

/// `count` patterns, half of them with a parameter, and one more that takes everything.
fn table(count: usize) -> Table<&'static str> {
    let services = (0..count / 2).flat_map(|index| {
        let literal = format!("/service-{index}/items/*");
        [(literal, "literal"), (format!("/service-{index}/users/{{id}}/*"), "parameter")]
    });
    let routes = services.chain([("*".to_owned(), "fallback")]);
    Table::build(routes.map(|(text, name)| (Pattern::parse(&text).expect("a pattern"), name)))
}

fn paths(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("path");
    for (name, raw) in [("plain", "/api/v1/users/42/orders"), ("escaped", "/api//v1/%75sers/./42/caf%c3%a9")]
    {
        group.bench_function(name, |bencher| bencher.iter(|| path::normalise(black_box(raw)).is_ok()));
    }
    group.finish();
}

fn heads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("head");
    let limits = HeadLimits { bytes: 32 << 10, fields: 100 };
    for (name, head) in [("parse/curl", CURL), ("parse/browser", BROWSER)] {
        let head = Bytes::from_static(head.as_bytes());
        parse_request(&head, limits).expect("a head");
        group.bench_function(name, |bencher| bencher.iter(|| parse_request(black_box(&head), limits)));
    }
    let mut stream = stream();
    let (parsed, none) = (response_headers(), HeaderMap::new());
    let lines =
        b"date: Thu, 01 Jan 2026 00:00:00 GMT\r\nserver: backend\r\ncontent-type: application/json\r\n\
        cache-control: no-store\r\netag: \"5f3c-61d2a\"\r\nvary: accept-encoding\r\n";
    for (name, headers, lines) in [("write/fields", &parsed, &b""[..]), ("write/lines", &none, lines)] {
        let response = SentResponse { status: StatusCode::OK, headers, lines };
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let length = BodyEncoding::Length(1024);
                write_response_head(&mut stream.output, Version::HTTP_11, black_box(&response), length, None);
                stream.output.buffer().clear();
            });
        });
    }
    buffers::give_back(stream.output.buffer());
    group.finish();
}

const CURL: &str =
    "GET /game/dev HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n";

const BROWSER: &str = "GET /api/v1/users/42?full=1 HTTP/1.1\r\n\
    Host: www.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Accept-Language: en-US,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Referer: http://www.example.com/users\r\n\
    Connection: keep-alive\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\
    If-None-Match: \"5f3c-61d2a\"\r\n\
    Cache-Control: max-age=0\r\n\
    Sec-Fetch-Dest: document\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-Site: same-origin\r\n\r\n";

fn response_headers() -> HeaderMap {
    let fields = [
        (header::DATE, "Thu, 01 Jan 2026 00:00:00 GMT"),
        (header::SERVER, "backend"),
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
        (header::ETAG, "\"5f3c-61d2a\""),
        (header::VARY, "accept-encoding"),
    ];
    fields.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value))).collect()
}

/// A connection that nothing is ever sent on: heads are written to its buffer.
fn stream() -> Stream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let tcp = tokio::net::TcpStream::connect(address).await.expect("it listens");
        Stream::new(cloud_cup::base::transport::Transport::Tcp(tcp))
    })
}

/// Both head hooks of one plugin, as a request calls them.
fn plugins(criterion: &mut Criterion) {
    let engine = PluginEngine::default();
    let mut group = criterion.benchmark_group("plugin");
    for (name, component, config) in components() {
        for (isolation, mode) in [(Isolation::Reuse, "reuse"), (Isolation::Request, "request")] {
            let instances = instances(&engine, name, &component, config, isolation);
            let mut waiting = Some(exchange());
            group.bench_function(format!("{name}/{mode}"), |bencher| {
                bencher.iter(|| waiting = waiting.take().map(|exchange| call(&instances, exchange)));
            });
        }
    }
    group.finish();
}

/// The components that can be had, with a configuration of each.
fn components() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let mut components = Vec::new();
    match std::env::var_os("CLOUDCUP_GUESTS").map(|folder| PathBuf::from(folder).join("noop.wasm")) {
        Some(path) => match std::fs::read(&path) {
            Ok(component) => components.push(("noop", component, "null")),
            Err(error) => eprintln!("skipped: plugin/noop ({} cannot be read: {error})", path.display()),
        },
        None => eprintln!(
            "skipped: plugin/noop (CLOUDCUP_GUESTS is not set; `cargo xtask guests` builds the guests)"
        ),
    }
    match shipped::find("headers") {
        Some(headers) => components.push(("headers", headers.component.to_vec(), HEADERS)),
        None => eprintln!(
            "skipped: plugin/headers (this build ships no plugins; `cargo xtask plugins` builds them)"
        ),
    }
    components
}

const HEADERS: &str = r#"{
    "request": { "set": { "x-gateway": "cloud-cup" }, "remove": ["x-debug"] },
    "response": { "set": { "x-frame-options": "DENY" }, "remove": ["server"] }
}"#;

fn instances(
    engine: &PluginEngine,
    name: &str,
    component: &[u8],
    config: &str,
    isolation: Isolation,
) -> Instances {
    let plugin =
        Plugin::load(engine, name, component, Grants::default()).expect("a filter without permissions");
    let limits = PluginLimits {
        time: Duration::from_millis(100),
        memory: 16 << 20,
        table_elements: 10_000,
        reply_size: 64 << 10,
        log_rate: 10,
        requests: 100_000,
        waiting_calls: 64,
    };
    let spec = AttachmentSpec { config: config.to_owned(), on_error: OnError::Closed, isolation, limits };
    let attachment = Arc::new(Attachment::new(Arc::new(plugin), spec));
    attachment.check().expect("it takes its configuration");
    Instances::new(&[attachment], &Instances::default(), |_| Arc::new(PluginMetrics::default()))
}

fn call(instances: &Instances, exchange: Box<Exchange>) -> Box<Exchange> {
    let mut chain = Chain::default();
    let mut place = Some(exchange);
    let links = [Link { slot: 0, when: None }];
    let calling = async {
        chain.on_request(instances, &links, &mut place).await.expect("it lets requests pass");
        if chain.wants_response(instances) {
            let replace = |_: &mut Exchange, end| panic!("it lets responses pass, and not {end:?}");
            chain.on_response(instances, &mut place, replace).await;
        }
    };
    immediate(calling).expect("it waits for nothing");
    place.expect("it is back in its place")
}

fn exchange() -> Box<Exchange> {
    let head =
        parse_request(&Bytes::from_static(BROWSER.as_bytes()), HeadLimits { bytes: 32 << 10, fields: 100 });
    let head = head.expect("a head");
    Box::new(Exchange {
        method: head.method,
        asked: None,
        uri: Uri::from_static("/api/v1/users/42?full=1"),
        headers: head.headers,
        upgrade: None,
        is_early: false,
        host_name_length: "www.example.com".len(),
        forwarded: None,
        client: Client {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 50_000)),
            version: Version::HTTP_11,
            entrance: std::sync::Arc::default(),
            tls: None,
        },
        route: Some("/api/*".into()),
        parameters: Vec::new(),
        attributes: Vec::new(),
        backends: None,
        avoided: Vec::new(),
        response_fields: Vec::new(),
        held: Vec::new(),
        response: Some(ResponseHead { headers: response_headers(), ..ResponseHead::default() }),
    })
}
