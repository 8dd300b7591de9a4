//! TLS from clients.

use std::sync::Arc;

use http::{Request, Version};
use http_body_util::Full;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use super::with;
use crate::support::{
    Authority, Backend, Client, Gateway, TlsClient, document, eventually, get, guests, post, raw, request,
    within,
};

/// A certificate of a listener, by the name of its files.
fn files(name: &str) -> Value {
    json!({ "certificate": format!("{name}.pem"), "key": format!("{name}.key") })
}

/// A document with one listener, which speaks TLS like this.
fn over_tls(backend: &Backend, tls: Value) -> Value {
    let listener = json!({ "address": "127.0.0.1:0", "tls": tls });
    let routes = json!({ "*": { "backends": [backend.host()] } });
    with(document(routes), json!({ "listeners": { "secure": listener } }))
}

async fn start(folder: TempDir, document: Value) -> Gateway {
    Gateway::try_start_in(folder, document).await.unwrap_or_else(|error| panic!("{error}\n{error:?}"))
}

/// A gateway with one certificate, for `a.example`, and a client that trusts it.
async fn secured(backend: &Backend, fields: Value) -> (Gateway, Authority) {
    let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new("the authority"));
    authority.issue(&["a.example"]).write(folder.path(), "a");
    let tls = with(json!({ "certificates": [files("a")] }), fields);
    (start(folder, over_tls(backend, tls)).await, authority)
}

async fn connect(client: &TlsClient, gateway: &Gateway, name: &str) -> Client {
    let io = client.connect(gateway.address(), name).await.expect("a session");
    Client::over(io).await.expect("what was agreed on is spoken")
}

/// The host as HTTP/1.1 and HTTP/2 tell it.
fn get_at(authority: &str, path: &str) -> Request<Full<bytes::Bytes>> {
    let mut request = get(&format!("https://{authority}{path}"));
    request.headers_mut().insert("host", authority.parse().expect("a host"));
    request
}

#[tokio::test]
async fn what_is_spoken_is_negotiated() {
    let backend = Backend::echo("a");
    let (gateway, authority) = secured(&backend, json!({})).await;
    for (round, (alpn, version, protocol)) in [
        (&["h2", "http/1.1"][..], Version::HTTP_2, "HTTP/2"),
        (&["http/1.1"], Version::HTTP_11, "HTTP/1.1"),
        (&[], Version::HTTP_11, "HTTP/1.1"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = connect(&authority.client(alpn, None), &gateway, "a.example").await;
        for _ in 0..2 {
            let answer = client.send(get_at("a.example", "/x")).await.expect("a response");
            assert_eq!((answer.status.as_u16(), answer.version), (200, version), "{answer:?}");
            assert_eq!(answer.echoed("x-forwarded-proto").as_deref(), Some("https"));
            assert!(answer.echoed("forwarded").is_some_and(|value| value.ends_with("proto=https")));
        }
        assert_eq!(gateway.logged(2 * round + 2).await[2 * round + 1]["protocol"], protocol);
    }
    assert!(authority.client(&["h3"], None).connect(gateway.address(), "a.example").await.is_err());
}

#[tokio::test]
async fn only_what_the_listener_allows_is_negotiated() {
    let backend = Backend::echo("a");
    let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new("the authority"));
    authority.issue(&["a.example"]).write(folder.path(), "a");
    let mut document = over_tls(&backend, json!({ "certificates": [files("a")] }));
    document["listeners"]["secure"]["protocols"] = json!(["h1"]);
    let gateway = start(folder, document).await;
    let client = authority.client(&["h2", "http/1.1"], None);
    let mut client = connect(&client, &gateway, "a.example").await;
    assert_eq!(client.send(get_at("a.example", "/")).await.expect("a response").version, Version::HTTP_11);
    // Prior knowledge is for cleartext.
    let io = authority.client(&[], None).connect(gateway.address(), "a.example").await;
    let mut io = io.expect("a session");
    io.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("bytes leave");
    let mut answer = String::new();
    within(io.read_to_string(&mut answer)).await.expect("a text");
    assert!(answer.starts_with("HTTP/1.1 505 "), "{answer}");
}

#[tokio::test]
async fn bodies_of_any_size_pass_both_ways() {
    const SIZE: usize = 5 << 20;
    let backend = Backend::echo("a");
    let (gateway, authority) = secured(&backend, json!({})).await;
    for alpn in ["h2", "http/1.1"] {
        let mut client = connect(&authority.client(&[alpn], None), &gateway, "a.example").await;
        let body: String = (0..SIZE).map(|index| char::from(b'a' + (index % 23) as u8)).collect();
        let mut request = post("https://a.example/", body.clone());
        request.headers_mut().insert("host", "a.example".parse().expect("a host"));
        let answer = client.send(request).await.expect("a response");
        assert!(answer.json()["body"] == *body, "{alpn}: the body is another one");
    }
}

#[tokio::test]
async fn certificates_are_chosen_by_name() {
    let backend = Backend::echo("a");
    let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new("the authority"));
    authority.issue(&["first.example"]).write(folder.path(), "first");
    authority.issue(&["*.b.example", "b.example"]).write(folder.path(), "wild");
    authority.issue(&["exact.b.example"]).write(folder.path(), "exact");
    let names = ["first", "wild", "exact"];
    let tls = json!({ "certificates": names.map(files) });
    let gateway = start(folder, over_tls(&backend, tls)).await;
    let shown = async |name: &str| {
        // The client's own check of the name is what tells whether it is the right one.
        authority.client(&[], None).connect(gateway.address(), name).await.map(drop)
    };
    for name in ["first.example", "x.b.example", "b.example", "B.Example", "exact.b.example"] {
        shown(name).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    for name in ["x.y.b.example", "other.example"] {
        let error = shown(name).await.expect_err("the first certificate is shown");
        assert!(error.to_string().contains("first.example"), "{name}: {error}");
    }
    let (_, status) = gateway.admin("GET", "/v1/status").await;
    let status: Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!(status["certificates"][1]["names"], json!(["*.b.example", "b.example"]), "{status}");
    let exact =
        r#"cloudcup_certificate_not_after_timestamp_seconds{listener="secure",name="exact.b.example"}"#;
    assert!(gateway.metric(exact).await > 1e9);
}

#[tokio::test]
async fn kinds_of_keys_lie_side_by_side() {
    let backend = Backend::echo("a");
    let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new("the authority"));
    let rsa = authority.issue_with(&["a.example"], &rcgen::PKCS_RSA_SHA256, |_| ());
    let ecdsa = authority.issue(&["a.example"]);
    rsa.write(folder.path(), "rsa");
    ecdsa.write(folder.path(), "ecdsa");
    let tls = json!({ "certificates": [files("rsa"), files("ecdsa")] });
    let gateway = start(folder, over_tls(&backend, tls)).await;
    for (suite, expected) in [("ECDHE_ECDSA", &ecdsa), ("ECDHE_RSA", &rsa)] {
        let mut provider = aws_lc_rs::default_provider();
        provider.cipher_suites.retain(|known| format!("{:?}", known.suite()).contains(suite));
        let mut roots = RootCertStore::empty();
        roots.add(authority.der()).expect("an authority");
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS12])
            .expect("a version")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tcp = tokio::net::TcpStream::connect(gateway.address()).await.expect("a connection");
        let name = "a.example".try_into().expect("a name");
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, tcp);
        let io = within(connecting).await.expect("a session");
        let chain = io.get_ref().1.peer_certificates().expect("a chain");
        assert!(expected.is(&chain[0]), "{suite}");
    }
}

#[tokio::test]
async fn the_modern_profile_is_tls_1_3() {
    let backend = Backend::echo("a");
    let (gateway, authority) = secured(&backend, json!({ "profile": "modern" })).await;
    let version = |curl: &'static str| {
        let url = format!("https://a.example:{}/", gateway.address().port());
        let resolve = format!("a.example:{}:127.0.0.1", gateway.address().port());
        std::fs::write(gateway.folder().join("ca.pem"), authority.pem()).expect("a file");
        let ca = gateway.folder().join("ca.pem");
        async move {
            let mut command = tokio::process::Command::new("curl");
            command.args(["-sS", "--noproxy", "*", "--resolve", &resolve, curl, &url, "--cacert"]).arg(ca);
            within(command.output()).await.expect("there is a `curl`")
        }
    };
    let good = version("--tlsv1.3").await;
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stderr));
    assert!(!version("--tls-max=1.2").await.status.success());
}

#[tokio::test]
async fn sessions_are_resumed_on_any_worker_and_after_a_change() {
    let backend = Backend::echo("a");
    let (gateway, authority) = secured(&backend, json!({})).await;
    let client = authority.client(&["http/1.1"], None);
    let kind = async || {
        let io = client.connect(gateway.address(), "a.example").await.expect("a session");
        let kind = io.get_ref().1.handshake_kind();
        // The tickets come behind the handshake.
        let answer = Client::over(io).await.expect("a client").send(get_at("a.example", "/")).await;
        assert_eq!(answer.expect("a response").status, 200);
        kind
    };
    assert_eq!(Box::pin(kind()).await, Some(HandshakeKind::Full));
    for _ in 0..8 {
        assert_eq!(Box::pin(kind()).await, Some(HandshakeKind::Resumed));
    }
    authority.issue(&["a.example"]).write(gateway.folder(), "a");
    gateway.reload().await;
    assert_eq!(Box::pin(kind()).await, Some(HandshakeKind::Resumed));
    assert_eq!(gateway.metric(r#"cloudcup_tls_handshakes_total{outcome="full"}"#).await, 1.0);
    assert_eq!(gateway.metric(r#"cloudcup_tls_handshakes_total{outcome="resumed"}"#).await, 9.0);
}

#[tokio::test]
async fn a_certificate_that_is_replaced_is_shown_and_no_connection_ends() {
    let backend = Backend::echo("a");
    let (gateway, authority) = secured(&backend, json!({})).await;
    let mut open = connect(&authority.client(&["h2"], None), &gateway, "a.example").await;
    assert_eq!(open.send(get_at("a.example", "/")).await.expect("a response").status, 200);
    let renewed = authority.issue(&["a.example"]);
    renewed.write(gateway.folder(), "a");
    eventually(|| async {
        let io = authority.client(&[], None).connect(gateway.address(), "a.example").await;
        let io = io.expect("a session");
        renewed.is(&io.get_ref().1.peer_certificates().expect("a chain")[0])
    })
    .await;
    assert_eq!(open.send(get_at("a.example", "/")).await.expect("a response").status, 200);
}

#[tokio::test]
async fn a_connection_is_for_its_host_and_those_of_its_certificate() {
    let backend = Backend::echo("a");
    let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new("the authority"));
    authority.issue(&["a.example", "b.example"]).write(folder.path(), "ab");
    authority.issue(&["c.example"]).write(folder.path(), "c");
    let tls = json!({ "certificates": [files("ab"), files("c")] });
    let gateway = start(folder, over_tls(&backend, tls)).await;
    for alpn in ["h2", "http/1.1"] {
        let mut client = connect(&authority.client(&[alpn], None), &gateway, "a.example").await;
        for (host, expected) in
            [("a.example", 200), ("A.example:444", 200), ("b.example", 200), ("c.example", 421), ("d", 421)]
        {
            let answer = client.send(get_at(host, "/")).await.expect("a response");
            assert_eq!(answer.status, expected, "{alpn} {host}: {answer:?}");
            if expected == 421 {
                assert_eq!(answer.code(), "misdirected-request");
            }
        }
    }
}

#[tokio::test]
async fn cleartext_on_a_tls_port_is_told_so() {
    let backend = Backend::echo("a");
    let (gateway, _) = secured(&backend, json!({})).await;
    let answer = request(gateway.address(), get("/")).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, "plain-http-on-tls-port"));
    // What is neither is closed, with an alert or without.
    raw(gateway.address(), [22, 3, 1, 0, 5, 1, 2, 3, 4, 5]).await;
    let failed = r#"cloudcup_tls_handshakes_total{outcome="failed"}"#;
    eventually(|| async { gateway.metric(failed).await == 2.0 }).await;
    assert_eq!(backend.requests(), 0);
}

#[tokio::test]
async fn a_handshake_has_its_time() {
    let backend = Backend::echo("a");
    let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new("the authority"));
    authority.issue(&["a.example"]).write(folder.path(), "a");
    let document = over_tls(&backend, json!({ "certificates": [files("a")] }));
    let gateway = start(folder, with(document, json!({ "timeouts": { "client_head": "100ms" } }))).await;
    assert!(raw(gateway.address(), []).await.is_empty());
}

#[tokio::test]
async fn clients_show_certificates() {
    let backend = Backend::echo("a");
    let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new("the authority"));
    let (people, strangers) = (Authority::new("people"), Authority::new("strangers"));
    authority.issue(&["a.example"]).write(folder.path(), "a");
    std::fs::write(folder.path().join("people.pem"), people.pem()).expect("a file");
    let with_mode = |mode: &str| {
        let clients = json!({ "ca": "people.pem", "mode": mode, "forward": true });
        over_tls(&backend, json!({ "certificates": [files("a")], "client_certificates": clients }))
    };
    let gateway = start(folder, with_mode("required")).await;
    let (alice, mallory) = (people.issue(&["alice"]), strangers.issue(&["alice"]));
    let ask = async |shows| {
        let io = authority.client(&["http/1.1"], shows).connect(gateway.address(), "a.example").await;
        let mut request = get_at("a.example", "/");
        request.headers_mut().insert("client-cert", ":spoofed:".parse().expect("a value"));
        // In TLS 1.3 a client learns of its refusal when it reads.
        let answer = Client::over(io.ok()?).await.ok()?.send(request).await.ok()?;
        assert_eq!(answer.status, 200, "{answer:?}");
        Some(answer.echoed("client-cert"))
    };
    let shown = Box::pin(ask(Some(&alice))).await.expect("alice is served").expect("the backend is told");
    assert!(shown.len() > 100 && shown.starts_with(':') && shown.ends_with(':'), "{shown}");
    assert_eq!(Box::pin(ask(None)).await, None);
    assert_eq!(Box::pin(ask(Some(&mallory))).await, None);
    gateway.change(with_mode("optional")).await;
    assert_eq!(Box::pin(ask(None)).await, Some(None), "a claim of the client's own is no certificate");
    assert_eq!(Box::pin(ask(Some(&alice))).await, Some(Some(shown)));
    assert_eq!(Box::pin(ask(Some(&mallory))).await, None);
}

#[tokio::test]
async fn browsers_are_sent_and_kept_to_https() {
    let backend = Backend::echo("a");
    let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new("the authority"));
    authority.issue(&["a.example"]).write(folder.path(), "a");
    let hsts = json!({ "max_age": "1h", "include_subdomains": true });
    let mut document = over_tls(&backend, json!({ "certificates": [files("a")], "hsts": hsts }));
    document["listeners"]["plain"] = json!({ "address": "127.0.0.1:0", "https_redirect": {} });
    document["listeners"]["other"] =
        json!({ "address": "127.0.0.1:0", "https_redirect": { "port": 8443, "status": 302 } });
    document["listeners"]["served"] = json!({ "address": "127.0.0.1:0" });
    let gateway = start(folder, document).await;
    let mut at = get("/x/../y?z=1");
    at.headers_mut().insert("host", "a.example:80".parse().expect("a host"));
    let answer = request(gateway.address_of("plain"), at.clone()).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (308, "https-redirect"));
    assert_eq!(answer.header("location"), Some("https://a.example/y?z=1"));
    let answer = request(gateway.address_of("other"), at).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("location")),
        (302, Some("https://a.example:8443/y?z=1"))
    );
    let nowhere = raw(gateway.address_of("plain"), "GET / HTTP/1.0\r\n\r\n").await;
    assert!(nowhere.starts_with(b"HTTP/1.0 400 "), "{}", String::from_utf8_lossy(&nowhere));
    assert_eq!(backend.requests(), 0);
    let field = "strict-transport-security";
    assert_eq!(request(gateway.address_of("served"), get("/")).await.header(field), None);
    let io = authority.client(&[], None).connect(gateway.address_of("secure"), "a.example").await;
    let mut client = Client::over(io.expect("a session")).await.expect("a client");
    for host in ["a.example", "b.example"] {
        let answer = client.send(get_at(host, "/")).await.expect("a response");
        assert_eq!(answer.header(field), Some("max-age=3600; includeSubDomains"), "{host}");
    }
}

#[tokio::test]
async fn the_original_ssl_is_for_root() {
    let backend = Backend::echo("a");
    let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new("the authority"));
    authority.issue(&["a.example"]).write(folder.path(), "a");
    let routes = json!({ "*": { "backends": [backend.host()] } });
    let ssl = json!({ "ssl_certificate": "a.pem", "ssl_certificate_key": "a.key" });
    let gateway = start(folder, with(document(routes), json!({ "ssl": ssl }))).await;
    let mut client = connect(&authority.client(&["h2"], None), &gateway, "a.example").await;
    assert_eq!(client.send(get_at("a.example", "/")).await.expect("a response").status, 200);
}

#[tokio::test]
async fn a_connection_ends_with_its_listener() {
    let backend = Backend::echo("a");
    let (gateway, authority) = secured(&backend, json!({})).await;
    let io = authority.client(&["http/1.1"], None).connect(gateway.address(), "a.example").await;
    let mut io = io.expect("a session");
    io.write_all(b"GET / HTTP/1.1\r\nhost: a.example\r\n\r\n").await.expect("bytes leave");
    let mut first = [0; 12];
    within(io.read_exact(&mut first)).await.expect("a response");
    assert_eq!(&first, b"HTTP/1.1 200");
    assert_eq!(gateway.stop().await, 0);
    let mut rest = Vec::new();
    // `close_notify` came before the end: without it this would be an error.
    within(io.read_to_end(&mut rest)).await.expect("an orderly end");
}

#[tokio::test]
async fn guest_plugins_are_told_of_the_session() {
    let backend = Backend::echo("a");
    let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new("the authority"));
    authority.issue(&["a.example"]).write(folder.path(), "a");
    std::fs::write(folder.path().join("ca.pem"), authority.pem()).expect("a file");
    let tls = json!({ "certificates": [files("a")], "client_certificates": { "ca": "ca.pem" } });
    let mut document = over_tls(&backend, tls);
    document["plugins"] = guests(&["chatty"]);
    document["routes"]["*"]["plugins"] = json!(["chatty"]);
    let gateway = start(folder, document).await;
    let client = authority.client(&[], Some(&authority.issue(&["alice.example"])));
    let mut client = connect(&client, &gateway, "a.example").await;
    let answer = client.send(get_at("a.example", "/")).await.expect("a response");
    let told = |name: &str| answer.header(&format!("x-{name}")).unwrap_or_default();
    assert_eq!((told("tls-version"), told("tls-server-name")), ("TLSv1.3", "a.example"), "{answer:?}");
    assert!(told("tls-cipher-suite").starts_with("TLS13_"), "{answer:?}");
    assert_eq!((told("scheme"), told("client-names")), ("https", "alice.example"));
    assert!(told("client-subject").contains("CN=alice.example"), "{}", told("client-subject"));
}
