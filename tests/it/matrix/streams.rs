//! Bodies on their way: both sides at once, one side after the other, and answers before the question is over.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;

use super::backends::{EARLY, Seen};
use super::{Matrix, Pair};

/// How many pieces of 16 KiB a client sends when it has the head of its response.
const MORE: usize = 100;

fn post(path: &str) -> Request<()> {
    Request::post(path).body(()).expect("a request")
}

#[tokio::test]
async fn both_sides_speak_in_turn() {
    let case = |matrix: Arc<Matrix>, pair: Pair| async move {
        let mut caller = matrix.caller(pair).await;
        let (mut upload, mut download) = caller.call(post(&pair.path("echo"))).await;
        assert!(upload.send("first".into()).await);
        assert_eq!(download.head().await.expect("a response before the request has ended").status, 200);
        assert_eq!(download.bytes(5).await.expect("an echo"), "first");
        for piece in ["second", "third", "last"] {
            assert!(upload.send(piece.into()).await, "{piece} is wanted");
            assert_eq!(download.bytes(piece.len()).await.expect("an echo"), piece);
        }
        upload.finish(None).await;
        while let Some(frame) = download.frame().await.expect("an unbroken response") {
            assert_eq!(frame.into_data().expect("no trailers"), "", "no more was sent");
        }
    };
    Matrix::new().await.check_all(case).await;
}

#[tokio::test]
async fn a_request_that_has_ended_gets_its_response_later() {
    let case = |matrix: Arc<Matrix>, pair: Pair| async move {
        let mut caller = matrix.caller(pair).await;
        for _ in 0..2 {
            let (mut upload, download) = caller.call(post(&pair.path("after"))).await;
            assert!(upload.send("hello, ".into()).await);
            assert!(upload.send("world".into()).await);
            upload.finish(None).await;
            assert_eq!(matrix.backends.seen().await, Seen::Whole(12));
            matrix.backends.go_on();
            assert_eq!(download.answer().await.expect("a response").text(), "one, two, three");
        }
    };
    Matrix::new().await.check_all(case).await;
}

#[tokio::test]
async fn a_response_may_be_over_before_its_request() {
    let case = |matrix: Arc<Matrix>, pair: Pair| async move {
        // What the client still sends races with what it is sent, so once is not enough.
        for _ in 0..5 {
            let mut caller = matrix.caller(pair).await;
            let (mut upload, mut download) = caller.call(post(&pair.path("early"))).await;
            let piece = Bytes::from(vec![b'y'; 16 << 10]);
            assert!(upload.send(piece.clone()).await);
            let head = download.head().await.expect("a response to half a request");
            assert_eq!(head.status, 200);
            let sending = tokio::spawn(async move {
                for _ in 0..MORE {
                    if !upload.send(piece.clone()).await {
                        return;
                    }
                }
                upload.finish(None).await;
            });
            let answer = download.rest(head).await.expect("the whole response");
            assert!(answer.body.len() == EARLY && answer.body.iter().all(|byte| *byte == b'x'));
            matrix.backends.go_on();
            sending.await.expect("a client may send what nobody reads");
        }
    };
    Matrix::new().await.check_all(case).await;
}
