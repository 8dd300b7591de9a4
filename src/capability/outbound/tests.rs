//! Requests to scripted servers on this machine.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::{Grant, HttpError, Outbound, Request};
use crate::capability::tests::scripted::{Reply, Scripted, response, until};

/// So long that nothing which ends ended because of it.
const HOUR: Duration = Duration::from_secs(3600);

/// Answers with the first list, then the second, and so on; the last one stays.
struct Names {
    answers: Vec<Vec<&'static str>>,
    asked: AtomicUsize,
}

impl Names {
    fn new(answers: &[&[&'static str]]) -> Arc<Self> {
        let answers = answers.iter().map(|answer| answer.to_vec()).collect();
        Arc::new(Self { answers, asked: AtomicUsize::new(0) })
    }
}

impl Resolve for Names {
    fn resolve(&self, _: Name) -> Resolving {
        let at = self.asked.fetch_add(1, Ordering::SeqCst).min(self.answers.len() - 1);
        let found: Vec<_> =
            self.answers[at].iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 0)).collect();
        Box::pin(async { Ok(Box::new(found.into_iter()) as Addrs) })
    }
}

fn grant(hosts: &[&str], private: &[&str]) -> Grant {
    Grant {
        hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(),
        private: private.iter().map(|network| network.parse().unwrap()).collect(),
        timeout: Duration::from_secs(10),
        response_size: 1000,
        concurrency: 4,
    }
}

/// May reach the server by its address.
fn to(server: &Scripted) -> Grant {
    grant(&[&server.address.to_string()], &["127.0.0.0/8"])
}

fn outbound(grant: Grant) -> Outbound {
    Outbound::new(grant, Handle::current()).unwrap()
}

fn get(url: &str) -> Request {
    let (method, url) = ("GET".to_owned(), url.to_owned());
    Request { method, url, headers: Vec::new(), body: Vec::new(), timeout: None }
}

fn denied<T>(result: &Result<T, HttpError>) -> bool {
    matches!(result, Err(HttpError::Denied(_)))
}

async fn serves(reply: Vec<u8>) -> Scripted {
    Scripted::new(move |_| Reply::Bytes(reply.clone())).await
}

#[tokio::test]
async fn sends_what_was_asked_and_reuses_the_connection() {
    let server =
        Scripted::new(|head| Reply::Bytes(response("201 Created", "x-a: 1\r\nx-a: 2\r\n", head))).await;
    let outbound = outbound(to(&server));
    for _ in 0..5 {
        let mut request = get(&server.url("/a?b=c"));
        request.method = "PURGE".to_owned();
        request.headers = vec![("X-C".to_owned(), b"2".to_vec())];
        let response = outbound.send(request).await.unwrap();
        assert_eq!(response.status, 201);
        assert_eq!(
            response.headers[..2],
            [("x-a".to_owned(), b"1".to_vec()), ("x-a".to_owned(), b"2".to_vec())]
        );
        let head = String::from_utf8(response.body).unwrap();
        assert!(head.starts_with("PURGE /a?b=c HTTP/1.1\r\nx-c: 2\r\n"), "{head}");
        assert!(!head.contains("accept-encoding") && !head.contains("cookie"), "{head}");
    }
    assert_eq!((server.connections(), server.requests()), (1, 5));
}

#[tokio::test]
async fn reaches_only_what_is_granted() {
    let server = serves(response("200 OK", "", "")).await;
    let (url, host) = (server.url("/"), server.address.to_string());
    let port = server.address.port();
    let check = async |grant: Grant, url: &str, expected: bool| {
        let result = outbound(grant).send(get(url)).await;
        assert_eq!((result.is_ok(), denied(&result)), (expected, !expected), "{url} {result:?}");
    };
    check(grant(&[&host], &["127.0.0.1"]), &url, true).await;
    check(grant(&[&host], &[]), &url, false).await;
    check(grant(&[], &["127.0.0.1"]), &url, false).await;
    check(grant(&["127.0.0.1"], &["127.0.0.1"]), &url, false).await;
    check(grant(&["127.0.0.2:1"], &["127.0.0.0/8"]), &url, false).await;
    for spelling in ["127.1", "2130706433", "0x7f.1", "0177.0.0.1", "127.0.0.1."] {
        let url = format!("http://{spelling}:{port}/");
        check(grant(&[&host], &[]), &url, false).await;
        check(grant(&["*.example.com"], &["127.0.0.1"]), &url, false).await;
        check(grant(&[&host], &["127.0.0.1"]), &url, true).await;
    }
    let mapped = format!("[::ffff:127.0.0.1]:{port}");
    check(grant(&[&mapped], &[]), &format!("http://{mapped}/"), false).await;
    check(
        grant(&["[::1]:1", "[fe80::1]:1", "[64:ff9b::7f00:1]:1"], &[]),
        "http://[64:ff9b::127.0.0.1]:1/",
        false,
    )
    .await;
    assert_eq!(server.requests(), 6);
}

#[tokio::test]
async fn a_name_that_changes_its_mind_gains_nothing() {
    let server = serves(response("200 OK", "connection: close\r\n", "")).await;
    let url = format!("http://Api.Example.com:{}/", server.address.port());
    let pattern = format!("*.example.com:{}", server.address.port());
    let with = |private: &[&str], names: Arc<Names>| {
        Outbound::with_resolver(grant(&[&pattern], private), Handle::current(), names).unwrap()
    };
    for hidden in
        ["127.0.0.1", "::1", "::ffff:127.0.0.1", "10.0.0.1", "169.254.169.254", "fd00::1", "0.0.0.0"]
    {
        assert!(denied(&with(&[], Names::new(&[&[hidden]])).send(get(&url)).await), "{hidden}");
    }
    // Granted at first, private afterwards: each connection is checked, and what is not allowed is left out.
    let rebinding = with(&["127.0.0.1"], Names::new(&[&["10.0.0.1", "127.0.0.1"], &["10.0.0.1", "::1"]]));
    assert!(rebinding.send(get(&url)).await.is_ok());
    assert!(denied(&rebinding.send(get(&url)).await));
    assert_eq!(server.connections(), 1);
    let nowhere = with(&[], Names::new(&[&[]])).send(get(&url)).await;
    assert!(matches!(nowhere, Err(HttpError::Connect(_))), "{nowhere:?}");
}

#[tokio::test]
async fn refuses_malformed_requests() {
    let outbound = outbound(grant(&["api.example.com"], &[]));
    let check = async |change: &dyn Fn(&mut Request)| {
        let mut request = get("http://api.example.com/");
        change(&mut request);
        let result = outbound.send(request.clone()).await;
        assert!(matches!(result, Err(HttpError::Invalid(_))), "{request:?} {result:?}");
    };
    for method in ["", "GET /", "CONNECT", "TRACE", "GET\r\n"] {
        check(&|request| request.method = method.to_owned()).await;
    }
    for url in
        ["", "/", "ftp://api.example.com/", "file:///etc/passwd", "http://a@api.example.com/", "http://:b@x/"]
    {
        check(&|request| request.url = url.to_owned()).await;
    }
    check(&|request| request.url = format!("http://api.example.com/{}", "a".repeat(20_000))).await;
    for name in [
        "Host",
        "Connection",
        "Transfer-Encoding",
        "content-length",
        "Upgrade",
        "TE",
        "a b",
        "",
        "a:b",
        "a\r\n",
    ] {
        check(&|request| request.headers = vec![(name.to_owned(), b"x".to_vec())]).await;
    }
    for value in ["a\r\nhost: b", "a\nb", "a\0"] {
        check(&|request| request.headers = vec![("x".to_owned(), value.into())]).await;
    }
}

#[tokio::test]
async fn bounds_the_response() {
    let chunked = |size: usize| {
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        format!("{head}{:x}\r\n{}\r\n0\r\n\r\n", size, "a".repeat(size)).into_bytes()
    };
    let endless = |size: usize| {
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffff\r\n{}", "a".repeat(size))
    };
    let check = async |reply: Vec<u8>, expected: Result<usize, HttpError>| {
        let server = serves(reply).await;
        let found = outbound(to(&server)).send(get(&server.url("/"))).await;
        assert_eq!(found.map(|response| response.body.len()), expected);
    };
    check(response("200 OK", "", &"a".repeat(1000)), Ok(1000)).await;
    check(response("200 OK", "", &"a".repeat(1001)), Err(HttpError::TooLarge)).await;
    check(b"HTTP/1.1 200 OK\r\ncontent-length: 9999999999\r\n\r\n".to_vec(), Err(HttpError::TooLarge)).await;
    check(chunked(1000), Ok(1000)).await;
    check(chunked(1001), Err(HttpError::TooLarge)).await;
    check(endless(1001).into_bytes(), Err(HttpError::TooLarge)).await;
    let fields = format!("x: {}\r\n", "a".repeat(8000)).repeat(9);
    check(response("200 OK", &fields, ""), Err(HttpError::TooLarge)).await;
    let server = serves(response("200 OK", &"a: b\r\n".repeat(200), "")).await;
    let crowded = outbound(to(&server)).send(get(&server.url("/"))).await;
    assert!(matches!(crowded, Err(HttpError::Failed(_))), "{crowded:?}");
}

#[tokio::test]
async fn hands_redirects_on() {
    let server = serves(response("302 Found", "location: http://127.0.0.1:1/\r\n", "")).await;
    let found = outbound(to(&server)).send(get(&server.url("/"))).await.unwrap();
    assert_eq!(
        (found.status, found.header("location"), server.requests()),
        (302, Some("http://127.0.0.1:1/"), 1)
    );
}

#[tokio::test]
async fn tells_failures_apart() {
    let server = serves(b"SSH-2.0-OpenSSH\r\n".to_vec()).await;
    let found = outbound(to(&server)).send(get(&server.url("/"))).await;
    assert!(matches!(found, Err(HttpError::Failed(_))), "{found:?}");
    let (grant, url) = (to(&server), server.url("/"));
    drop(server);
    let found = outbound(grant).send(get(&url)).await;
    assert!(matches!(found, Err(HttpError::Connect(_))), "{found:?}");
}

#[tokio::test]
async fn a_request_has_an_end() {
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf".to_vec();
    for reply in [vec![], half] {
        let server = serves(reply).await;
        let outbound = outbound(Grant { timeout: Duration::from_millis(50), ..to(&server) });
        let mut request = get(&server.url("/"));
        assert_eq!(outbound.send(request.clone()).await, Err(HttpError::Timeout));
        request.timeout = Some(Duration::from_secs(3600));
        assert_eq!(outbound.send(request.clone()).await, Err(HttpError::Timeout));
        until(|| server.closed() == 2).await;
    }
}

#[tokio::test]
async fn is_busy_at_once_and_free_again() {
    let go = Arc::new(Notify::new());
    let gate = go.clone();
    let server = Scripted::new(move |_| Reply::After(gate.clone(), response("200 OK", "", ""))).await;
    let outbound = Arc::new(outbound(to(&server)));
    let mut sent = JoinSet::new();
    for _ in 0..4 {
        let (outbound, request) = (outbound.clone(), get(&server.url("/")));
        sent.spawn(async move { outbound.send(request).await.map(|response| response.status) });
    }
    until(|| server.requests() == 4).await;
    assert_eq!(outbound.send(get(&server.url("/"))).await, Err(HttpError::Busy));
    go.notify_waiters();
    assert_eq!(sent.join_all().await, [const { Ok(200) }; 4]);
    go.notify_one();
    assert!(outbound.send(get(&server.url("/"))).await.is_ok());
}

#[tokio::test]
async fn dropping_the_future_ends_the_request() {
    let server = Scripted::new(|_| Reply::Never).await;
    let outbound = Arc::new(outbound(Grant { concurrency: 1, timeout: HOUR, ..to(&server) }));
    for round in 1..=3 {
        let (sender, request) = (outbound.clone(), get(&server.url("/")));
        let mut sent = JoinSet::new();
        sent.spawn(async move { sender.send(request).await });
        until(|| server.requests() == round).await;
        sent.shutdown().await;
        until(|| server.closed() == round && outbound.places.available_permits() == 1).await;
    }
}

#[tokio::test]
async fn urls_of_the_document_may_be_private() {
    let server = serves(response("200 OK", "", "x")).await;
    let outbound = Outbound::unrestricted(Handle::current(), Duration::from_secs(10), 1, 1).unwrap();
    let url = format!("http://localhost:{}/", server.address.port());
    assert_eq!(outbound.send(get(&url)).await.unwrap().body, b"x");
}
