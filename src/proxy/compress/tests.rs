use std::future::poll_fn;
use std::task::Waker;

use http::{HeaderValue, StatusCode};

use super::*;

type Polled = Poll<Option<Result<Frame<Bytes>, BodyError>>>;

/// Frames that come one for each poll, where there is one.
#[derive(Debug)]
struct Source(Vec<Polled>);

impl Streamed for Source {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Polled {
        cx.waker().wake_by_ref();
        self.0.remove(0)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

struct Bench {
    bound: Rc<Bound>,
    metrics: Arc<WorkerMetrics>,
    head: ResponseHead,
}

impl Bench {
    fn new() -> Self {
        Self { bound: Rc::default(), metrics: Arc::default(), head: ResponseHead::default() }
    }

    fn compress(&mut self, body: Body) -> Body {
        let settings =
            Settings { codings: vec![Coding::Gzip], types: vec!["text/*".to_owned()], minimum_size: 10 };
        let rule = Arc::new(Compress { settings, levels: Levels { gzip: 6, brotli: 4, zstd: 3 } });
        let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"))]);
        let asked = Asked { rule, method: Method::GET, headers };
        self.head = ResponseHead { status: StatusCode::OK, ..ResponseHead::default() };
        self.head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        asked.compress(&mut self.head, body, &self.bound, &self.metrics)
    }

    fn taken(&self) -> usize {
        self.bound.0.get()
    }
}

fn poll(body: &mut Body) -> Polled {
    Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn one_turn_is_short_and_the_next_one_follows() {
    let mut bench = Bench::new();
    let mut body = bench.compress(Body::full(vec![b'a'; 1 << 20]));
    assert_eq!(bench.metrics.compression.plain_bytes.read(), 0);
    for turn in 1..5 {
        assert!(!matches!(poll(&mut body), Poll::Ready(None)));
        assert_eq!(bench.metrics.compression.plain_bytes.read(), turn * TURN as u64);
    }
}

#[tokio::test]
async fn the_encoder_goes_with_the_last_byte_and_not_with_the_body() {
    let mut bench = Bench::new();
    let mut body = bench.compress(Body::full(vec![b'a'; 1 << 20]));
    assert_eq!(bench.taken(), encoder::memory(Coding::Gzip, 6));
    let mut frames = 0;
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        assert!(!frame.expect("nothing breaks").into_data().expect("no trailers").is_empty());
        frames += 1;
    }
    assert!(frames > 0 && body.is_end_stream());
    assert_eq!(bench.taken(), 0);
    drop(bench.compress(Body::full(vec![b'a'; 1 << 20])));
    assert_eq!(bench.taken(), 0, "nobody wanted it");
}

#[test]
fn beyond_the_bound_bodies_go_as_they_are() {
    let mut bench = Bench::new();
    bench.bound.0.set(MOST_MEMORY);
    let body = bench.compress(Body::full("a text of some length"));
    assert!(matches!(body, Body::Full(_)));
    assert_eq!(bench.head.headers[header::VARY], "accept-encoding");
    assert!(!bench.head.headers.contains_key(header::CONTENT_ENCODING));
    assert_eq!(bench.metrics.compression.passed_over.read(), 1);
    bench.bound.0.set(0);
    assert!(matches!(bench.compress(Body::full("a text of some length")), Body::Streamed(_)));
}

#[test]
fn what_came_leaves_before_the_wait_and_only_once() {
    let data = |text: &'static str| Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(text.as_bytes())))));
    let broken = Poll::Ready(Some(Err(BodyError::Closed)));
    let frames = vec![data("one"), Poll::Pending, Poll::Pending, data("two"), Poll::Pending, broken];
    let mut bench = Bench::new();
    let mut body = bench.compress(Body::Streamed(Box::new(Source(frames))));
    assert!(matches!(poll(&mut body), Poll::Ready(Some(Ok(_)))), "the first");
    assert!(poll(&mut body).is_pending());
    assert!(matches!(poll(&mut body), Poll::Ready(Some(Ok(_)))), "the second");
    assert!(matches!(poll(&mut body), Poll::Ready(Some(Err(BodyError::Closed)))));
    assert!(!body.is_end_stream(), "it is not whole");
}

#[tokio::test]
async fn trailers_follow_the_last_byte() {
    let mut bench = Bench::new();
    let trailers = HeaderMap::from_iter([(header::ETAG, HeaderValue::from_static("\"1\""))]);
    let frames = vec![
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"one"))))),
        Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
    ];
    let mut body = bench.compress(Body::Streamed(Box::new(Source(frames))));
    let mut next = async || poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await.expect("a frame");
    assert!(next().await.expect("nothing breaks").is_data());
    assert!(next().await.expect("nothing breaks").is_trailers());
    assert!(body.is_end_stream());
}
