//! What backends answer: passed on as it is meant, or refused where it has more than one reading.

use serde_json::json;

use super::{before, before_with};
use crate::support::{Backend, Wire, get, request};

#[tokio::test]
async fn passes_on_bodies_however_they_are_delimited() {
    let large = "x".repeat(100_000);
    let cases = [
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello".to_owned(), "hello"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_owned(), "hello"),
        ("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello".to_owned(), "hello"),
        ("HTTP/1.0 200 OK\r\n\r\nhello".to_owned(), "hello"),
        ("HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello".to_owned(), "hello"),
        ("HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n".to_owned(), ""),
        (format!("HTTP/1.1 200 OK\r\n\r\n{large}"), &large),
        (format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{large}", large.len()), &large),
    ];
    for (response, expected) in cases {
        let sent = response.clone();
        let backend = Backend::with(move |mut wire| {
            let response = response.clone();
            async move {
                wire.read_head().await;
                wire.send(response).await;
            }
        });
        let gateway = before(&backend).await;
        let answer = request(gateway.address(), get("/")).await;
        assert_eq!(answer.status, 200, "{sent:.60?}");
        assert!(answer.body == expected, "{sent:.60?} got {} bytes", answer.body.len());
    }
}

#[tokio::test]
async fn passes_on_the_status_and_the_fields() {
    let backend = Backend::respond(
        "HTTP/1.1 418 I'm a teapot\r\nset-cookie: a=1\r\nset-cookie: b=2\r\nx-latin: \u{e9}\r\nX-Case: y\r\n\
         date: Thu, 01 Jan 1970 00:00:00 GMT\r\ncontent-length: 0\r\n\r\n",
    );
    let gateway = before(&backend).await;
    let answer = request(gateway.address(), get("/")).await;
    assert_eq!(answer.status, 418);
    let cookies: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
    assert_eq!(answer.headers["x-latin"].as_bytes(), "\u{e9}".as_bytes());
    assert_eq!(answer.headers["x-case"], "y");
    assert_eq!(answer.headers["date"], "Thu, 01 Jan 1970 00:00:00 GMT");
    let unknown = Backend::respond("HTTP/1.1 599 Whatever\r\ncontent-length: 0\r\n\r\n");
    let gateway = before(&unknown).await;
    assert_eq!(request(gateway.address(), get("/")).await.status.as_u16(), 599);
}

#[tokio::test]
async fn refuses_responses_that_cannot_be_read() {
    for response in [
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
        "HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\ncontent-length: 0\n\n",
        "HTTP/1.1 200 OK\r\nx: a\nset-cookie: b\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx : a\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: \0\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 20 OK\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 abc OK\r\ncontent-length: 0\r\n\r\n",
        "HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n",
        "SSH-2.0-OpenSSH_9\r\n\r\n",
        "hello\r\n\r\n",
    ] {
        let backend = Backend::respond(response);
        let gateway = before(&backend).await;
        let answer = request(gateway.address(), get("/")).await;
        assert_eq!(
            (answer.status.as_u16(), &*answer.code()),
            (502, "backend-invalid-response"),
            "{response:?}"
        );
    }
}

#[tokio::test]
async fn limits_the_heads_of_responses() {
    for field in [format!("x: {}\r\n", "x".repeat(2048)), "x: y\r\n".repeat(11)] {
        let backend = Backend::respond(format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{field}\r\n"));
        let limits = json!({ "limits": { "head_size": "2KiB", "header_count": 10 } });
        let gateway = before_with(&backend, limits).await;
        let answer = request(gateway.address(), get("/")).await;
        assert_eq!((answer.status.as_u16(), &*answer.code()), (502, "backend-invalid-response"));
    }
}

#[tokio::test]
async fn takes_no_response_for_another_requests() {
    let backend = Backend::with(|mut wire| async move {
        let first = wire.read_head().await;
        wire.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        wire.send("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nhidden").await;
        assert!(wire.try_read_head().await.is_none(), "{first:?} was the last on this connection");
    });
    let gateway = before_with(&backend, json!({ "workers": 1 })).await;
    let mut wire = Wire::connect(gateway.address()).await;
    for count in 1..=3 {
        wire.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let head = wire.read_head().await;
        assert_eq!(wire.read_body(&head).await.expect("whole"), b"ok");
        assert_eq!(backend.connections(), count);
    }
}

#[tokio::test]
async fn never_passes_a_broken_response_off_as_a_whole_one() {
    let cases = [
        "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n50\r\nhello",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhelloxyz\r\n0\r\n\r\n",
    ];
    for response in cases {
        for reset in [false, true] {
            let backend = Backend::with(move |mut wire| async move {
                wire.read_head().await;
                wire.send(response).await;
                if reset {
                    wire.reset();
                }
            });
            let gateway = before(&backend).await;
            let mut wire = Wire::connect(gateway.address()).await;
            wire.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
            let Some(head) = wire.try_read_head().await else {
                panic!("the client is told nothing of {response:?}");
            };
            // A reset may overtake what was sent before it.
            assert!(head.status() == 200 || (reset && head.status() == 502), "{response:?} got {head:?}");
            if head.status() == 200 {
                assert_eq!(wire.read_body(&head).await, None, "{response:?} was made whole");
            }
            let log = gateway.logged(1).await;
            assert_eq!(log[0]["complete"], head.status() == 502, "{response:?}");
        }
    }
}

#[tokio::test]
async fn an_http10_client_sees_that_a_response_is_broken() {
    let backend = Backend::with(|mut wire| async move {
        wire.read_head().await;
        wire.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
    });
    let gateway = before(&backend).await;
    let mut wire = Wire::connect(gateway.address()).await;
    wire.send("GET / HTTP/1.0\r\nhost: a\r\n\r\n").await;
    assert_eq!(wire.read_head().await.status(), 200);
    // Without a length, only a reset tells it from a whole response.
    assert!(wire.is_reset().await, "the response looks whole");
}

#[tokio::test]
async fn a_backend_that_closes_without_an_answer_is_a_502() {
    for reset in [false, true] {
        let backend = Backend::with(move |mut wire| async move {
            wire.read_head().await;
            if reset {
                wire.reset();
            }
        });
        let gateway = before(&backend).await;
        let answer = request(gateway.address(), get("/")).await;
        assert_eq!((answer.status.as_u16(), &*answer.code()), (502, "backend-closed"));
    }
}

#[tokio::test]
async fn a_backend_that_closes_within_its_head_is_a_502() {
    let backend = Backend::with(|mut wire| async move {
        wire.read_head().await;
        wire.send("HTTP/1.1 200 OK\r\ncontent-le").await;
    });
    let gateway = before(&backend).await;
    let answer = request(gateway.address(), get("/")).await;
    assert_eq!((answer.status.as_u16(), &*answer.code()), (502, "backend-closed"));
}
