//! Compression of responses, as clients see it.

use std::io::Read;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::sync::{Notify, mpsc};

use super::with;
use crate::support::{Answer, Authority, Backend, Client, Gateway, Http3, Wire, document, request, within};

const NAME: &str = "a.example";
const CODINGS: [&str; 3] = ["gzip", "br", "zstd"];

/// A gateway that sends everything to a backend, by this rule.
async fn before(backend: &Backend, compress: Value) -> Gateway {
    Gateway::start(document(json!({ "*": { "backends": [backend.host()], "compress": compress } }))).await
}

/// A gateway that sends everything to a backend and compresses all of it: in the clear, and over TLS with HTTP/3.
async fn in_every_version(backend: &Backend) -> (Gateway, Authority) {
    let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new("the authority"));
    authority.issue(&[NAME]).write(folder.path(), "a");
    let tls = json!({ "certificates": [{ "certificate": "a.pem", "key": "a.key" }] });
    let listeners = json!({
        "plain": { "address": "127.0.0.1:0" },
        "secure": { "address": "127.0.0.1:0", "protocols": ["h1", "h2", "h3"], "tls": tls },
    });
    let routes = document(json!({ "*": { "backends": [backend.host()] } }));
    let fields = json!({ "listeners": listeners, "http": { "compress": {} } });
    let started = Gateway::try_start_in(folder, with(routes, fields)).await;
    (started.unwrap_or_else(|error| panic!("{error}\n{error:?}")), authority)
}

fn accepts(coding: &str) -> Request<Full<Bytes>> {
    ask("GET", &[("accept-encoding", coding)])
}

fn ask(method: &str, fields: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri("/");
    let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(Full::default()).expect("a request")
}

fn decoder<'e>(coding: &str, encoded: &'e [u8]) -> Box<dyn Read + 'e> {
    match coding {
        "gzip" => Box::new(flate2::read::GzDecoder::new(encoded)),
        "br" => Box::new(brotli::Decompressor::new(encoded, 4096)),
        "zstd" => Box::new(zstd::stream::read::Decoder::new(encoded).expect("memory")),
        other => panic!("{other} is a coding"),
    }
}

fn decode(coding: &str, encoded: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut decoded = Vec::new();
    decoder(coding, encoded).read_to_end(&mut decoded).map(|_| decoded)
}

/// What a client has of a body that goes on.
fn decode_so_far(coding: &str, encoded: &[u8]) -> Vec<u8> {
    let (mut decoder, mut decoded, mut room) = (decoder(coding, encoded), Vec::new(), [0; 1024]);
    while let Ok(length @ 1..) = decoder.read(&mut room) {
        decoded.extend_from_slice(&room[..length]);
    }
    decoded
}

fn text(length: usize) -> String {
    let lines =
        (0..).map(|number: usize| format!("line {number} of a text that repeats itself, {}\n", number % 7));
    let mut text = String::new();
    lines
        .take_while(|line| {
            text.push_str(line);
            text.len() < length
        })
        .for_each(drop);
    text.truncate(length);
    text
}

fn with_length(body: &str) -> String {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-8\r\netag: \"1\"\r\naccept-ranges: bytes\r\n";
    format!("{head}content-length: {}\r\n\r\n{body}", body.len())
}

/// In chunks of uneven lengths, with a trailer.
fn in_chunks(body: &str) -> String {
    let mut response = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\netag: \"1\"\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n".to_owned();
    let (mut rest, mut length) = (body, 1);
    while !rest.is_empty() {
        let (chunk, behind) = rest.split_at(length.min(rest.len()));
        response.push_str(&format!("{:x}\r\n{chunk}\r\n", chunk.len()));
        (rest, length) = (behind, length * 3 % 70_001);
    }
    response + "0\r\nx-sum: 5\r\n\r\n"
}

#[track_caller]
fn assert_encoded(answer: &Answer, coding: &str, expected: &str) {
    let field = |name: &str| answer.headers.get(name).map(|value| value.to_str().expect("ASCII"));
    assert_eq!(answer.status, 200);
    assert_eq!(
        (
            field("content-encoding"),
            field("vary"),
            field("etag"),
            field("content-length"),
            field("accept-ranges")
        ),
        (Some(coding), Some("accept-encoding"), Some("W/\"1\""), None, None),
    );
    let decoded = decode(coding, &answer.body).expect("a whole stream");
    assert!(decoded == expected.as_bytes(), "{coding}: {} bytes of {}", decoded.len(), expected.len());
    assert!(answer.body.len() * 2 < expected.len(), "{coding}: {} bytes", answer.body.len());
}

#[tokio::test]
async fn every_version_and_coding_gives_back_what_the_backend_sent() {
    for body in [text(3000), text(2_000_000)] {
        for (response, has_trailers) in [(with_length(&body), false), (in_chunks(&body), true)] {
            let backend = Backend::respond(response);
            let (gateway, authority) = in_every_version(&backend).await;
            let plain = gateway.address_of("plain");
            let mut http1 = Client::http1(plain).await.expect("a connection");
            let mut http2 = Client::http2(plain).await.expect("a connection");
            let mut http3 = Http3::connect(gateway.address_of("secure"), NAME, &authority).await;
            for coding in CODINGS {
                let mut accepts_trailers = accepts(coding);
                accepts_trailers.headers_mut().insert("te", "trailers".parse().expect("a value"));
                let by_http3 = accepts_trailers.clone().map(|_| Bytes::new());
                let answers = [
                    http1.send(accepts_trailers.clone()).await.expect("a whole response"),
                    http2.send(accepts_trailers).await.expect("a whole response"),
                    http3.send(by_http3).await,
                ];
                for answer in answers {
                    assert_encoded(&answer, coding, &body);
                    let sum = answer.trailers.as_ref().and_then(|trailers| trailers.get("x-sum"));
                    assert_eq!(sum.is_some(), has_trailers, "{coding} {:?}", answer.version);
                }
            }
            let log = gateway.logged(9).await;
            assert!(log.iter().all(|line| line["complete"] == true), "{log:?}");
        }
    }
}

#[tokio::test]
async fn curl_takes_what_it_asked_for() {
    let body = text(200_000);
    let backend = Backend::respond(with_length(&body));
    let gateway = before(&backend, json!({})).await;
    let Some(curl) = std::env::var_os("CLOUDCUP_CURL") else { panic!("CLOUDCUP_CURL names no curl") };
    let url = format!("http://{}/", gateway.address());
    let output =
        Command::new(curl).args(["-sS", "--compressed", "-D", "-", &url]).stdin(Stdio::null()).output();
    let told = String::from_utf8(within(output).await.expect("curl starts").stdout).expect("text");
    let (head, got) = told.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.to_lowercase().contains("\r\ncontent-encoding: "), "{head}");
    assert!(got == body, "{} bytes of {}", got.len(), body.len());
}

#[tokio::test]
async fn clients_get_what_they_accept() {
    let body = text(5000);
    let backend = Backend::respond(with_length(&body));
    let gateway = before(&backend, json!({})).await;
    let encoding = async |request| {
        let answer = crate::support::request(gateway.address(), request).await;
        assert_eq!(answer.headers["vary"], "accept-encoding");
        let encoding = answer.header("content-encoding").map(str::to_owned);
        if encoding.is_none() {
            assert!(answer.body == body && answer.headers["etag"] == "\"1\"");
            assert_eq!(answer.header("content-length"), Some("5000"));
        }
        encoding
    };
    assert_eq!(encoding(ask("GET", &[])).await, None);
    for nothing in ["", "identity", "gzip;q=0", "gzip;q=0, br;q=0, *;q=0", "deflate"] {
        assert_eq!(encoding(accepts(nothing)).await, None, "{nothing}");
    }
    assert_eq!(encoding(accepts("gzip, deflate, br, zstd")).await.as_deref(), Some("zstd"));
    assert_eq!(encoding(accepts("gzip, zstd")).await.as_deref(), Some("zstd"));
    assert_eq!(encoding(accepts("br;q=0.5, gzip;q=0.8")).await.as_deref(), Some("gzip"));
    assert_eq!(encoding(accepts("br;q=0, gzip;q=0.1")).await.as_deref(), Some("gzip"));
}

/// What comes of a response to `asked`, which says of its body all that is in `head`.
async fn outcome(head: &str, body: &str, compress: Value, asked: Request<Full<Bytes>>) -> (HeaderMap, Bytes) {
    let is_head = asked.method() == "HEAD";
    let response = format!("{head}content-length: {}\r\n\r\n{}", body.len(), if is_head { "" } else { body });
    let backend = Backend::respond(response);
    let gateway = before(&backend, compress).await;
    let answer = request(gateway.address(), asked).await;
    (answer.headers, answer.body)
}

#[tokio::test]
async fn what_cannot_or_should_not_be_encoded_passes_untouched() {
    let body = text(5000);
    let ok = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n";
    let cases = [
        (
            "HTTP/1.1 206 Partial Content\r\ncontent-type: text/html\r\ncontent-range: bytes 0-4999/9999\r\n",
            &*body,
        ),
        ("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-encoding: br\r\n", &body),
        ("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncache-control: public, no-transform\r\n", &body),
        ("HTTP/1.1 200 OK\r\ncontent-type: image/png\r\n", &body),
        ("HTTP/1.1 200 OK\r\ncontent-type: application/grpc-web+proto\r\n", &body),
        ("HTTP/1.1 200 OK\r\n", &body),
        (ok, &body[..1023]),
        (ok, ""),
    ];
    for (head, body) in cases {
        let (headers, got) =
            outcome(head, body, json!({ "types": ["text/*", "application/*"] }), accepts("gzip")).await;
        assert!(got == body, "{head}: {} bytes", got.len());
        assert_eq!(headers.get("vary"), None, "{head}");
        assert_eq!(headers["content-length"], body.len().to_string());
    }
    let asked = ask("GET", &[("accept-encoding", "gzip"), ("cache-control", "no-transform")]);
    assert!(!outcome(ok, &body, json!({}), asked).await.0.contains_key("content-encoding"));
    let (headers, got) = outcome(ok, &body, json!({}), ask("HEAD", &[("accept-encoding", "gzip")])).await;
    assert_eq!(
        (headers.get("content-encoding"), got.len(), &headers["vary"]),
        (None, 0, &"accept-encoding".parse().expect("a value"))
    );
}

#[tokio::test]
async fn a_rule_may_differ_from_all_others() {
    let backend = Backend::respond(with_length(&text(5000)));
    let rule = |compress: Value| json!({ "backends": [backend.host()], "compress": compress });
    let routes = json!({
        "/": { "backends": [backend.host()] },
        "/off": rule(json!({ "enabled": false })),
        "/zstd": rule(json!({ "codings": ["zstd"] })),
        "/long": rule(json!({ "minimum_size": 5001 })),
        "/html": rule(json!({ "types": ["text/html"] })),
    });
    let fields = json!({ "http": { "compress": { "codings": ["gzip", "zstd"], "level": "fast" } } });
    let gateway = Gateway::start(with(document(routes), fields)).await;
    let cases =
        [("/", Some("gzip")), ("/off", None), ("/zstd", Some("zstd")), ("/long", None), ("/html", None)];
    for (path, expected) in cases {
        let mut asked = accepts("gzip, zstd, br");
        *asked.uri_mut() = path.parse().expect("a path");
        let answer = request(gateway.address(), asked).await;
        assert_eq!(answer.header("content-encoding"), expected, "{path}");
    }
}

#[tokio::test]
async fn events_arrive_one_by_one() {
    for coding in CODINGS {
        let (send, sent) = mpsc::channel::<String>(1);
        let sent = Arc::new(Mutex::new(Some(sent)));
        let backend = Backend::with(move |mut wire| {
            let sent = Arc::clone(&sent);
            async move {
                wire.read_head().await;
                let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
                wire.send(head).await;
                let sent = sent.lock().expect("nobody panics with it").take();
                let mut sent = sent.expect("there is one request");
                while let Some(event) = sent.recv().await {
                    wire.send(format!("{:x}\r\n{event}\r\n", event.len())).await;
                }
                wire.send("0\r\n\r\n").await;
            }
        });
        let gateway = before(&backend, json!({})).await;
        let mut client = Client::http2(gateway.address()).await.expect("a connection");
        let response = client.begin(accepts(coding)).await.expect("a response");
        assert_eq!(response.headers()["content-encoding"], coding);
        let (mut events, mut got, mut expected) = (response.into_body(), Vec::new(), Vec::new());
        for number in 0..5 {
            let event = format!("data: {number}\n\n");
            expected.extend_from_slice(event.as_bytes());
            send.send(event).await.expect("it is read");
            while decode_so_far(coding, &got) != expected {
                let frame = within(events.frame()).await.expect("a frame").expect("no reset");
                got.extend(frame.into_data().expect("data"));
            }
        }
        drop(send);
        got.extend(within(events.collect()).await.expect("no reset").to_bytes());
        assert_eq!(decode(coding, &got).expect("a whole stream"), expected);
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_does_not_look_whole() {
    for coding in CODINGS {
        let body = text(100_000);
        let part =
            format!("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 200000\r\n\r\n{body}");
        let has_head = Arc::new(Notify::new());
        let backend = Backend::with({
            let has_head = Arc::clone(&has_head);
            move |mut wire| {
                let (part, has_head) = (part.clone(), Arc::clone(&has_head));
                async move {
                    wire.read_head().await;
                    wire.send(part).await;
                    has_head.notified().await;
                }
            }
        });
        let (gateway, authority) = in_every_version(&backend).await;
        let plain = gateway.address_of("plain");

        let mut wire = Wire::connect(plain).await;
        wire.send(format!("GET / HTTP/1.1\r\nhost: a\r\naccept-encoding: {coding}\r\n\r\n")).await;
        let head = wire.read_head().await;
        has_head.notify_one();
        assert_eq!((head.status(), head.field("content-encoding")), (200, Some(coding)));
        assert_eq!(wire.read_body(&head).await, None, "{coding} was made whole");

        let mut http2 = Client::http2(plain).await.expect("a connection");
        let response = http2.begin(accepts(coding)).await.expect("a head");
        has_head.notify_one();
        assert!(within(response.into_body().collect()).await.is_err(), "{coding} was made whole");

        let mut http3 = Http3::connect(gateway.address_of("secure"), NAME, &authority).await;
        let mut stream = http3.begin(accepts(coding).map(drop)).await;
        within(stream.finish()).await.expect("it is taken");
        assert_eq!(Http3::read_head(&mut stream).await.header("content-encoding"), Some(coding));
        has_head.notify_one();
        let ended = loop {
            match within(stream.recv_data()).await {
                Ok(Some(_)) => {}
                ended => break ended.map(drop),
            }
        };
        assert!(ended.is_err(), "{coding} was made whole");
        assert!(gateway.logged(3).await.iter().all(|line| line["complete"] == false));
    }
}

#[tokio::test]
async fn what_the_client_accepts_counts_and_not_what_the_backend_is_told() {
    let backend = Backend::with(|mut wire| async move {
        let head = wire.read_head().await;
        let told = format!("{:?} {}", head.field("accept-encoding"), text(5000));
        wire.send(with_length(&told)).await;
    });
    let hide = json!({ "use": "headers", "config": { "request": { "remove": ["accept-encoding"] } } });
    let keep =
        json!({ "use": "headers", "config": { "response": { "set": { "cache-control": "no-transform" } } } });
    let rule = |plugins: Value| json!({ "backends": [backend.host()], "compress": {}, "plugins": [plugins] });
    let gateway = Gateway::start(document(json!({ "/": rule(hide), "/kept": rule(keep) }))).await;
    let hidden = request(gateway.address(), accepts("gzip")).await;
    assert_encoded(&hidden, "gzip", &format!("None {}", text(5000)));
    let mut asked = accepts("gzip");
    *asked.uri_mut() = "/kept".parse().expect("a path");
    let kept = request(gateway.address(), asked).await;
    assert_eq!(kept.header("content-encoding"), None, "a plugin said so");
}

#[tokio::test]
async fn bodies_of_requests_are_passed_on_as_they_are() {
    let backend = Backend::echo("a");
    let gateway = before(&backend, json!({ "minimum_size": 0 })).await;
    let mut asked = ask("POST", &[("content-encoding", "gzip"), ("accept-encoding", "br")]);
    *asked.body_mut() = Full::from("not gzip at all");
    let answer = request(gateway.address(), asked).await;
    assert_eq!(
        (answer.echoed("content-encoding").as_deref(), &answer.json()["body"]),
        (Some("gzip"), &"not gzip at all".into())
    );
    assert_eq!(answer.echoed("accept-encoding").as_deref(), Some("br"), "the backend may encode, too");
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_nobody_up() {
    let body = text(8 << 20);
    let backend = Backend::respond(with_length(&body));
    let fields = json!({ "workers": 1, "timeouts": { "client_idle": "300ms" } });
    let routes = json!({ "*": { "backends": [backend.host()], "compress": { "codings": ["gzip"], "level": "fast" } } });
    let gateway = Gateway::start(with(document(routes), fields)).await;
    let mut slow = Wire::connect(gateway.address()).await;
    slow.send("GET / HTTP/1.1\r\nhost: a\r\naccept-encoding: gzip\r\n\r\n").await;
    let answer = request(gateway.address(), accepts("gzip")).await;
    assert!(decode("gzip", &answer.body).expect("a whole stream") == body.as_bytes());
    drop(slow);
    tokio::time::timeout(Duration::from_secs(10), gateway.logged(2)).await.expect("both have ended");
}

#[tokio::test]
async fn metrics_say_what_was_saved() {
    let body = text(50_000);
    let backend = Backend::respond(with_length(&body));
    let gateway = before(&backend, json!({})).await;
    let answer = request(gateway.address(), accepts("gzip")).await;
    assert_eq!(gateway.metric(r#"cloudcup_compression_bytes_total{side="before"}"#).await, 50_000.0);
    let after = gateway.metric(r#"cloudcup_compression_bytes_total{side="after"}"#).await;
    assert_eq!(after, answer.body.len() as f64);
    assert_eq!(gateway.metric(r#"cloudcup_compression_responses_total{outcome="compressed"}"#).await, 1.0);
    assert_eq!(gateway.metric(r#"cloudcup_compression_responses_total{outcome="no-memory"}"#).await, 0.0);
}
