//! Whole messages: with and without bodies, with trailers, with hints before them.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use hyper::ext::on_informational;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::backends::{Backends, HINTS, echo_by_hand, hinting};
use super::{Entrance, Exit, Matrix, NAME, Pair};
use crate::support::{Authority, Client, Http3, get, within};

fn request(method: Method, path: &str) -> Request<()> {
    Request::builder().method(method).uri(path).body(()).expect("a request")
}

#[tokio::test]
async fn requests_pass_one_after_the_other() {
    let case = |matrix: Arc<Matrix>, pair: Pair| async move {
        let mut caller = matrix.caller(pair).await;
        let path = pair.path("tell");
        for body in ["", "hello", "again"] {
            let answer = match body {
                "" => caller.ask(request(Method::GET, &path)).await.answer().await,
                _ => caller.exchange(request(Method::POST, &path), body).await,
            };
            let answer = answer.expect("a response");
            assert_eq!((answer.status.as_u16(), answer.version), (200, caller.version()), "{answer:?}");
            let told = answer.json();
            assert_eq!(told["method"], if body.is_empty() { "GET" } else { "POST" });
            assert_eq!((told["path"].as_str(), told["body"].as_str()), (Some(&*path), Some(body)));
            let version = if pair.exit == Exit::H1 { "HTTP/1.1" } else { "HTTP/2.0" };
            assert_eq!(told["version"], version);
        }
    };
    Matrix::new().await.check_all(case).await;
}

#[tokio::test]
async fn empty_requests_stay_empty() {
    let case = |matrix: Arc<Matrix>, pair: Pair| async move {
        let mut caller = matrix.caller(pair).await;
        for (method, length) in [(Method::GET, None), (Method::DELETE, None), (Method::POST, Some("0"))] {
            let mut asked = request(method.clone(), &pair.path("tell"));
            if let Some(length) = length {
                asked.headers_mut().insert("content-length", HeaderValue::from_static(length));
            }
            let told = caller.ask(asked).await.answer().await.expect("a response").json();
            assert_eq!(told["body"], "", "{method}: {told}");
            // Over HTTP/3 the end of a stream may come behind the head, and the gateway does not wait for it.
            if pair.entrance != Entrance::H3 {
                let framed = if pair.exit == Exit::H1 { length } else { None };
                let expected = json!([framed, null, false]);
                assert_eq!(json!([told["length"], told["coding"], told["has_body"]]), expected, "{method}");
            }
        }
    };
    Matrix::new().await.check_all(case).await;
}

#[tokio::test]
async fn empty_responses_stay_empty() {
    let case = |matrix: Arc<Matrix>, pair: Pair| async move {
        let mut caller = matrix.caller(pair).await;
        for (method, script, status) in [
            (Method::GET, "200", 200),
            (Method::GET, "204", 204),
            (Method::GET, "304", 304),
            (Method::HEAD, "tell", 200),
            (Method::HEAD, "200", 200),
        ] {
            let asked = request(method.clone(), &pair.path(script));
            let answer = caller.ask(asked).await.answer().await.expect("a response");
            assert_eq!(answer.status, status, "{method} {script}: {answer:?}");
            assert!(answer.body.is_empty(), "{method} {script}: {answer:?}");
            assert_eq!(answer.trailers, None, "{method} {script}");
            assert_eq!(answer.header("transfer-encoding"), None, "{method} {script}: {answer:?}");
            if script == "tell" && pair.exit == Exit::H1 {
                assert!(answer.header("content-length").is_some_and(|length| length != "0"), "{answer:?}");
            }
        }
        // What follows shows that no byte was too many.
        let answer = caller.exchange(request(Method::POST, &pair.path("echo")), "hello").await;
        assert_eq!(answer.expect("a response").text(), "hello");
    };
    Matrix::new().await.check_all(case).await;
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let case = |matrix: Arc<Matrix>, pair: Pair| async move {
        let mut caller = matrix.caller(pair).await;
        for round in ["1", "2"] {
            let mut asked = request(Method::POST, &pair.path("echo"));
            // HTTP/1.1 as hyper speaks it has those that are announced.
            asked.headers_mut().insert("trailer", HeaderValue::from_static("x-sum"));
            let (mut upload, download) = caller.call(asked).await;
            assert!(upload.send("hello".into()).await);
            let mut trailers = HeaderMap::new();
            trailers.insert("x-sum", HeaderValue::from_static(round));
            upload.finish(Some(trailers)).await;
            let answer = download.answer().await.expect("a response");
            assert_eq!(answer.text(), "hello");
            assert_eq!(answer.trailers.expect("trailers")["x-sum"], round);
        }
    };
    let backends = |authority: &Authority| {
        let mut backends = Backends::scripted(authority);
        backends.h1 = echo_by_hand();
        backends
    };
    Matrix::before(backends).await.check_all(case).await;
}

#[tokio::test]
async fn calls_of_grpc_pass_with_their_status() {
    let case = |matrix: Arc<Matrix>, pair: Pair| async move {
        let mut caller = matrix.caller(pair).await;
        for text in ["one", "another"] {
            let mut asked = request(Method::POST, &pair.path("call"));
            asked.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc+proto"));
            asked.headers_mut().insert("te", HeaderValue::from_static("trailers"));
            let message = [&[0, 0, 0, 0, text.len() as u8], text.as_bytes()].concat();
            let answer = caller.exchange(asked, message.clone()).await.expect("a response");
            assert_eq!((answer.status.as_u16(), &answer.body), (200, &Bytes::from(message)));
            assert_eq!(answer.header("content-type"), Some("application/grpc+proto"));
            assert_eq!(answer.trailers.expect("trailers")["grpc-status"], "0");
        }
    };
    let carry = |pair: &Pair| !pair.entrance.is_http1() && pair.exit != Exit::H1;
    Matrix::new().await.check(Pair::all().filter(carry), case).await;
}

#[tokio::test]
async fn early_hints_reach_every_client() {
    let case = |matrix: Arc<Matrix>, pair: Pair| async move {
        let (hints, status) = hinted(&matrix, pair).await;
        assert_eq!((hints.as_slice(), status), (&HINTS.map(|link| (103, link.to_owned()))[..], 200));
    };
    Matrix::before(hinting).await.check_all(case).await;
}

/// Status and link of a hint.
type Hint = (u16, String);

fn hint(status: StatusCode, headers: &HeaderMap) -> Hint {
    (status.as_u16(), headers["link"].to_str().expect("text").to_owned())
}

/// The hints that a client is given, and the status behind them.
async fn hinted(matrix: &Matrix, pair: Pair) -> (Vec<Hint>, u16) {
    let (entrances, path) = (&matrix.entrances, pair.path("hint"));
    let tls = |alpn| entrances.authority.client(&[alpn], None);
    match pair.entrance {
        Entrance::H1 => {
            hinted_by_http1(Client::http1(entrances.clear).await.expect("a connection"), &path).await
        }
        Entrance::H1OverTls => {
            let io = tls("http/1.1").connect(entrances.secure, NAME).await.expect("a session");
            hinted_by_http1(Client::over(io).await.expect("a connection"), &path).await
        }
        Entrance::H2c => {
            hinted_by_http2(within(TcpStream::connect(entrances.clear)).await.expect("a connection"), &path)
                .await
        }
        Entrance::H2 => {
            let io = tls("h2").connect(entrances.secure, NAME).await.expect("a session");
            hinted_by_http2(io, &path).await
        }
        Entrance::H3 => {
            let mut client = Http3::connect(entrances.secure, NAME, &entrances.authority).await;
            let mut stream = client.begin(request(Method::GET, &path)).await;
            within(stream.finish()).await.expect("it is taken");
            let mut hints = Vec::new();
            loop {
                let head = within(stream.recv_response()).await.expect("a head");
                if !head.status().is_informational() {
                    return (hints, head.status().as_u16());
                }
                hints.push(hint(head.status(), head.headers()));
            }
        }
    }
}

async fn hinted_by_http1(mut client: Client, path: &str) -> (Vec<Hint>, u16) {
    let (sender, mut hints) = mpsc::channel(8);
    let mut asked = get(path);
    asked.headers_mut().insert("host", HeaderValue::from_static(NAME));
    on_informational(&mut asked, move |head| {
        sender.try_send(hint(head.status(), head.headers())).expect("there is room");
    });
    let answer = client.send(asked).await.expect("a response");
    let mut seen = Vec::new();
    while let Ok(hint) = hints.try_recv() {
        seen.push(hint);
    }
    (seen, answer.status.as_u16())
}

/// hyper keeps hints of HTTP/2 to itself.
async fn hinted_by_http2(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    path: &str,
) -> (Vec<Hint>, u16) {
    let (mut client, connection) = within(h2::client::handshake(io)).await.expect("it speaks HTTP/2");
    tokio::spawn(connection);
    let asked = Request::get(format!("https://{NAME}{path}")).body(()).expect("a request");
    let (mut responding, _) = client.send_request(asked, true).expect("it is taken");
    let mut hints = Vec::new();
    let responded = poll_fn(|cx| {
        while let Poll::Ready(Some(head)) = responding.poll_informational(cx) {
            let head = head.expect("no reset");
            hints.push(hint(head.status(), head.headers()));
        }
        Pin::new(&mut responding).poll(cx)
    });
    let status = within(responded).await.expect("a response").status().as_u16();
    (hints, status)
}
