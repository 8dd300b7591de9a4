//! A body that others get copies of as it passes.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};

use crate::message::body::Streamed;
use crate::message::{Body, BodyError};

/// How many bytes a copy may be behind, one piece aside.
const BEHIND: usize = 64 << 10;

/// A copy of a body. It is read as the body is, which waits for no copy.
pub(super) struct Copied {
    pub body: Body,
    pub fate: Fate,
}

/// Tells whether a copy has fallen too far behind, so that it ends in [`BodyError::TooLarge`]. Whoever waits for room
/// to send what came before learns it here alone.
pub(super) struct Fate(Option<Rc<RefCell<Feed>>>);

impl Fate {
    /// Waits until it has, mostly for ever.
    pub async fn is_behind(&self) {
        poll_fn(|cx| {
            let Some(feed) = &self.0 else { return Poll::Pending };
            let mut feed = feed.borrow_mut();
            if feed.end == Some(End::Behind) {
                return Poll::Ready(());
            }
            feed.watcher = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// The body, and so many copies of it. Those of a body that is not read to its end break off.
pub(super) fn tee(body: Body, count: usize) -> (Body, Vec<Copied>) {
    let at_hand = |body| Copied { body, fate: Fate(None) };
    match body {
        Body::Empty => (Body::Empty, (0..count).map(|_| at_hand(Body::Empty)).collect()),
        Body::Full(bytes) => {
            let copies = (0..count).map(|_| at_hand(Body::Full(bytes.clone()))).collect();
            (Body::Full(bytes), copies)
        }
        source => {
            let left = source.size_hint().exact();
            let feeds: Vec<Rc<RefCell<Feed>>> = (0..count).map(|_| Rc::default()).collect();
            let copy = |feed: &Rc<RefCell<Feed>>| Copied {
                body: Body::Streamed(Box::new(Copy { feed: Rc::clone(feed), left })),
                fate: Fate(Some(Rc::clone(feed))),
            };
            let copies = feeds.iter().map(copy).collect();
            (Body::Streamed(Box::new(Tee { source, feeds, has_waited: false })), copies)
        }
    }
}

/// What lies between the body and a copy.
#[derive(Debug, Default)]
pub(super) struct Feed {
    pieces: VecDeque<Piece>,
    bytes: usize,
    end: Option<End>,
    waker: Option<Waker>,
    watcher: Option<Waker>,
}

#[derive(Debug, Clone)]
enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
}

/// Behind the pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Whole,
    Broken,
    Behind,
}

impl Feed {
    fn push(&mut self, frame: &Frame<Bytes>) {
        if self.end.is_some() {
            return;
        }
        let piece = match (frame.data_ref(), frame.trailers_ref()) {
            (Some(data), _) if self.bytes > 0 && self.bytes + data.len() > BEHIND => {
                return self.end(End::Behind);
            }
            (Some(data), _) => {
                self.bytes += data.len();
                Piece::Data(data.clone())
            }
            (None, Some(trailers)) => Piece::Trailers(trailers.clone()),
            (None, None) => return,
        };
        self.pieces.push_back(piece);
        self.wake();
    }

    fn end(&mut self, end: End) {
        if self.end.is_some() {
            return;
        }
        self.end = Some(end);
        if end != End::Whole {
            (self.pieces, self.bytes) = (VecDeque::new(), 0);
        }
        self.watcher.take().into_iter().for_each(Waker::wake);
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

#[derive(Debug)]
struct Tee {
    source: Body,
    feeds: Vec<Rc<RefCell<Feed>>>,
    /// Whether copies had their turn before the next piece.
    has_waited: bool,
}

impl Tee {
    fn end(&self, end: End) {
        self.feeds.iter().for_each(|feed| feed.borrow_mut().end(end));
    }

    fn has_one_behind(&self) -> bool {
        self.feeds.iter().any(|feed| feed.borrow().bytes > BEHIND / 2)
    }
}

impl Streamed for Tee {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        // A client can be quick enough for the worker to do nothing else: copies get a turn, whatever they make of it.
        if !self.has_waited && self.has_one_behind() {
            self.has_waited = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let frame = ready!(Pin::new(&mut self.source).poll_frame(cx));
        self.has_waited = false;
        match &frame {
            Some(Ok(frame)) => {
                self.feeds.iter().for_each(|feed| feed.borrow_mut().push(frame));
                // Whoever reads it may know by then, and not ask again.
                if self.source.is_end_stream() {
                    self.end(End::Whole);
                }
            }
            Some(Err(_)) => self.end(End::Broken),
            None => self.end(End::Whole),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.source.size_hint()
    }

    fn drive(&mut self, cx: &mut Context<'_>) {
        self.source.drive(cx);
    }
}

impl Drop for Tee {
    fn drop(&mut self) {
        self.end(End::Broken);
    }
}

#[derive(Debug)]
struct Copy {
    feed: Rc<RefCell<Feed>>,
    /// Bytes to come, where the body said how long it is.
    left: Option<u64>,
}

impl Streamed for Copy {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut feed = self.feed.borrow_mut();
        match (feed.pieces.pop_front(), feed.end) {
            (Some(Piece::Data(data)), _) => {
                feed.bytes -= data.len();
                self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            (Some(Piece::Trailers(trailers)), _) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            (None, Some(End::Whole)) => Poll::Ready(None),
            (None, Some(End::Broken)) => Poll::Ready(Some(Err(BodyError::Closed))),
            (None, Some(End::Behind)) => Poll::Ready(Some(Err(BodyError::TooLarge))),
            (None, None) => {
                feed.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let feed = self.feed.borrow();
        feed.pieces.is_empty() && feed.end == Some(End::Whole)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// Nobody reads it any more, so that nothing needs to be kept for it.
impl Drop for Copy {
    fn drop(&mut self) {
        self.feed.borrow_mut().end(End::Broken);
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    /// A body of pieces of a size.
    #[derive(Debug)]
    struct Pieces(usize, usize);

    impl Streamed for Pieces {
        fn poll_frame(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            let Some(left) = self.0.checked_sub(1) else { return Poll::Ready(None) };
            self.0 = left;
            Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![b'a' + left as u8 % 26; self.1])))))
        }

        fn is_end_stream(&self) -> bool {
            self.0 == 0
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact((self.0 * self.1) as u64)
        }
    }

    fn pieces(count: usize, size: usize) -> (Body, Vec<Body>) {
        let (body, copies) = tee(Body::Streamed(Box::new(Pieces(count, size))), 2);
        (body, copies.into_iter().map(|copy| copy.body).collect())
    }

    #[tokio::test]
    async fn copies_have_all_that_the_body_has() {
        let (body, copies) = pieces(4, 16 << 10);
        assert!(copies.iter().all(|copy| copy.size_hint().exact() == Some(64 << 10)));
        let whole = body.collect().await.unwrap().to_bytes();
        for copy in copies {
            assert_eq!(copy.collect().await.unwrap().to_bytes(), whole);
        }
    }

    #[tokio::test]
    async fn a_copy_that_falls_behind_is_given_up_and_others_are_not() {
        let (body, mut copies) = pieces(100, 16 << 10);
        let (slow, quick) = (copies.pop().unwrap(), copies.pop().unwrap());
        let (whole, copied) = tokio::join!(body.collect(), quick.collect());
        assert_eq!(whole.unwrap().to_bytes(), copied.unwrap().to_bytes());
        assert!(matches!(slow.collect().await, Err(BodyError::TooLarge)));
    }

    #[tokio::test]
    async fn one_large_piece_is_copied() {
        let (body, copies) = pieces(1, 1 << 20);
        assert_eq!(body.collect().await.unwrap().to_bytes().len(), 1 << 20);
        assert_eq!(copies.into_iter().next().unwrap().collect().await.unwrap().to_bytes().len(), 1 << 20);
    }

    #[tokio::test]
    async fn a_body_that_is_not_read_to_its_end_breaks_its_copies() {
        let (mut body, copies) = pieces(4, 1);
        body.frame().await.unwrap().unwrap();
        drop(body);
        for copy in copies {
            assert!(matches!(copy.collect().await, Err(BodyError::Closed)));
        }
    }
}
