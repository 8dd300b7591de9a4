//! Exchanges that end in the middle: the other end must see that they do.

use std::sync::Arc;

use http::Request;

use super::backends::Seen;
use super::{Matrix, Pair};

fn request(method: &str, path: &str) -> Request<()> {
    Request::builder().method(method).uri(path).body(()).expect("a request")
}

#[tokio::test]
async fn an_upload_that_breaks_off_reaches_the_backend_as_broken() {
    let case = |matrix: Arc<Matrix>, pair: Pair| async move {
        for length in [None, Some("50")] {
            let mut caller = matrix.caller(pair).await;
            let mut asked = request("POST", &pair.path("watch"));
            if let Some(length) = length {
                asked.headers_mut().insert("content-length", length.parse().expect("a length"));
            }
            let (mut upload, download) = caller.call(asked).await;
            assert!(upload.send("hello".into()).await);
            assert_eq!(matrix.backends.seen().await, Seen::Begun);
            upload.abort().await;
            assert_eq!(matrix.backends.seen().await, Seen::BrokenOff, "with {length:?}");
            // Some versions leave room for an answer, but not for that of a backend that saw all of it.
            let answer = download.answer().await;
            assert!(answer.as_ref().map_or(true, |answer| answer.text() != "seen"), "{answer:?}");
        }
    };
    Matrix::new().await.check_all(case).await;
}

#[tokio::test]
async fn a_response_that_breaks_off_reaches_the_client_as_broken() {
    let case = |matrix: Arc<Matrix>, pair: Pair| async move {
        for script in ["break", "break-length"] {
            let mut caller = matrix.caller(pair).await;
            let mut download = caller.ask(request("GET", &pair.path(script))).await;
            let head = download.head().await.expect("a response");
            assert_eq!(head.status, 200);
            assert_eq!(download.bytes(5).await.expect("the first piece"), "hello");
            matrix.backends.go_on();
            let rest = download.rest(head).await;
            assert!(rest.is_err(), "{script} was made whole: {rest:?}");
        }
    };
    Matrix::new().await.check_all(case).await;
}

#[tokio::test]
async fn a_backend_that_ends_without_a_response_is_a_bad_gateway() {
    let case = |matrix: Arc<Matrix>, pair: Pair| async move {
        let mut caller = matrix.caller(pair).await;
        for _ in 0..2 {
            let asked = request("POST", &pair.path("refuse"));
            let answer = caller.exchange(asked, "hello").await.expect("a response");
            assert_eq!((answer.status.as_u16(), &*answer.code()), (502, "backend-closed"));
        }
    };
    Matrix::new().await.check_all(case).await;
}

#[tokio::test]
async fn a_client_that_leaves_before_the_response_frees_its_backend() {
    let case = |matrix: Arc<Matrix>, pair: Pair| async move {
        let mut caller = matrix.caller(pair).await;
        let download = caller.ask(request("GET", &pair.path("never"))).await;
        assert_eq!(matrix.backends.seen().await, Seen::Begun);
        drop(download);
        assert_eq!(matrix.backends.seen().await, Seen::Abandoned);
    };
    Matrix::new().await.check_all(case).await;
}

async fn leave_in_response(matrix: Arc<Matrix>, pair: Pair, script: &str) {
    let mut caller = matrix.caller(pair).await;
    let mut download = caller.ask(request("GET", &pair.path(script))).await;
    download.head().await.expect("a response");
    assert!(!download.bytes(1).await.expect("a piece").is_empty());
    drop(download);
    assert_eq!(matrix.backends.seen().await, Seen::Abandoned);
}

#[tokio::test]
async fn a_client_that_leaves_in_a_response_frees_its_backend() {
    let case = |matrix, pair| leave_in_response(matrix, pair, "endless");
    Matrix::new().await.check_all(case).await;
}

#[tokio::test]
async fn a_client_that_leaves_while_a_response_pauses_frees_its_backend() {
    let case = |matrix, pair| leave_in_response(matrix, pair, "quiet");
    Matrix::new().await.check_all(case).await;
}
