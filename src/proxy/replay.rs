//! A request's body that can be sent more than once.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};

use crate::message::body::Streamed;
use crate::message::{Body, BodyError};

/// See the module. What was read of the body is kept up to a limit; beyond it there is no second time.
#[derive(Debug)]
pub(super) enum Replay {
    /// None, or all of it at hand.
    AtHand(Bytes),
    /// It comes from the client.
    Kept(Rc<RefCell<Kept>>),
}

#[derive(Debug)]
pub(super) struct Kept {
    source: Body,
    pieces: Vec<Piece>,
    bytes: usize,
    limit: usize,
    /// Whether some of it is gone, or it failed.
    is_lost: bool,
    has_ended: bool,
}

/// A frame, which cannot be cloned.
#[derive(Debug, Clone)]
enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl Replay {
    pub fn new(body: Body, limit: usize) -> Self {
        match body {
            Body::Empty => Self::AtHand(Bytes::new()),
            Body::Full(bytes) => Self::AtHand(bytes),
            source => {
                let is_lost = source.size_hint().lower() > limit as u64;
                let kept = Kept { source, pieces: Vec::new(), bytes: 0, limit, is_lost, has_ended: false };
                Self::Kept(Rc::new(RefCell::new(kept)))
            }
        }
    }

    /// From its beginning. Of one that comes from the client only one may be read at a time.
    pub fn body(&self) -> Body {
        match self {
            Self::AtHand(bytes) => Body::full(bytes.clone()),
            Self::Kept(kept) => Body::Streamed(Box::new(Reader { kept: Rc::clone(kept), next: 0 })),
        }
    }

    /// Whether there is a second time.
    pub fn can_repeat(&self) -> bool {
        match self {
            Self::AtHand(_) => true,
            Self::Kept(kept) => !kept.borrow().is_lost,
        }
    }

    /// Whether it may be read twice at a time.
    pub fn is_at_hand(&self) -> bool {
        matches!(self, Self::AtHand(_))
    }
}

impl Kept {
    fn keep(&mut self, frame: &Frame<Bytes>) {
        if self.is_lost {
            return;
        }
        let piece = match (frame.data_ref(), frame.trailers_ref()) {
            (Some(data), _) => {
                self.bytes += data.len();
                Piece::Data(data.clone())
            }
            (None, Some(trailers)) => Piece::Trailers(trailers.clone()),
            (None, None) => return,
        };
        if self.bytes > self.limit {
            self.is_lost = true;
            self.pieces = Vec::new();
        } else {
            self.pieces.push(piece);
        }
    }
}

/// Reads what was kept, then the rest.
#[derive(Debug)]
struct Reader {
    kept: Rc<RefCell<Kept>>,
    next: usize,
}

impl Streamed for Reader {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut kept = self.kept.borrow_mut();
        if let Some(piece) = kept.pieces.get(self.next) {
            self.next += 1;
            return Poll::Ready(Some(Ok(match piece.clone() {
                Piece::Data(data) => Frame::data(data),
                Piece::Trailers(trailers) => Frame::trailers(trailers),
            })));
        }
        if kept.has_ended {
            return Poll::Ready(None);
        }
        let frame = ready!(Pin::new(&mut kept.source).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => kept.keep(frame),
            Some(Err(_)) => kept.is_lost = true,
            None => kept.has_ended = true,
        }
        self.next = kept.pieces.len();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let kept = self.kept.borrow();
        self.next >= kept.pieces.len() && (kept.has_ended || kept.source.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let kept = self.kept.borrow();
        let mut hint = kept.source.size_hint();
        if kept.is_lost {
            return hint;
        }
        // Of a piece that was read the source knows no more.
        let waiting = kept.pieces.iter().skip(self.next).map(|piece| match piece {
            Piece::Data(data) => data.len() as u64,
            Piece::Trailers(_) => 0,
        });
        let waiting: u64 = waiting.sum();
        let (lower, upper) = (hint.lower() + waiting, hint.upper().map(|upper| upper + waiting));
        if let Some(upper) = upper {
            hint.set_upper(upper);
        }
        hint.set_lower(lower);
        hint
    }

    fn drive(&mut self, cx: &mut Context<'_>) {
        self.kept.borrow_mut().source.drive(cx);
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    /// A body that comes in pieces.
    #[derive(Debug)]
    struct Pieces(Vec<&'static str>);

    impl Streamed for Pieces {
        fn poll_frame(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            let next = (!self.0.is_empty()).then(|| Ok(Frame::data(Bytes::from(self.0.remove(0)))));
            Poll::Ready(next)
        }

        fn is_end_stream(&self) -> bool {
            self.0.is_empty()
        }

        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(self.0.iter().map(|piece| piece.len() as u64).sum())
        }
    }

    fn replay(limit: usize) -> Replay {
        // Without its length, as a chunked one.
        Replay::new(Body::Streamed(Box::new(Pieces(vec!["one", "two", "three"]))), limit)
    }

    async fn read(body: Body) -> Bytes {
        body.collect().await.unwrap().to_bytes()
    }

    #[tokio::test]
    async fn is_read_again_from_its_beginning() {
        let replay = replay(11);
        let mut first = replay.body();
        let begun = first.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!((&*begun, replay.can_repeat()), (&b"one"[..], true));
        drop(first);
        let second = replay.body();
        assert_eq!(second.size_hint().exact(), Some(11));
        assert_eq!(read(second).await, "onetwothree");
        assert!(replay.can_repeat());
        assert_eq!(read(replay.body()).await, "onetwothree");
    }

    #[tokio::test]
    async fn what_is_larger_than_allowed_passes_once() {
        let known = replay(10);
        assert!(!known.can_repeat(), "its length says so before");
        assert_eq!(read(known.body()).await, "onetwothree");
        let at_hand = Replay::new(Body::full("all of it"), 0);
        assert!(at_hand.can_repeat() && at_hand.is_at_hand());
        assert_eq!(read(at_hand.body()).await, "all of it");
    }
}
