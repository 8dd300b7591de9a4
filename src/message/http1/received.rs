//! The body of a request that came over HTTP/1.1.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::{Decoded, Decoder, Stream};
use crate::message::BodyError;

/// The receiving side of a client's connection, shared by the task that serves it and the body that it is handing out.
/// Both live in that one task, so a borrow never outlasts a poll.
#[derive(Debug)]
pub struct Inbound {
    /// The connection.
    pub stream: Stream,
    /// Where the current request's body stands.
    pub decoder: Decoder,
    /// The client waits for `100 Continue` before it sends the body.
    pub awaits_continue: bool,
    /// The client waits to hear whether it may speak another protocol.
    pub awaits_switch: bool,
    /// How long the client may be silent in the middle of a body.
    pub idle: Duration,
}

/// A handle on the body of the request that is being served.
#[derive(Debug, Clone)]
pub struct ReceivedBody(pub Rc<RefCell<Inbound>>);

impl ReceivedBody {
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0.borrow_mut().poll_frame(cx)
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.0.borrow().is_done()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.0.borrow().decoder.remaining().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Inbound {
    /// Whether nothing more is to come of the request.
    pub fn is_done(&self) -> bool {
        self.decoder.is_done() && !self.awaits_switch
    }

    /// Takes the next piece of the body; the first one is what a waiting client is told to send it for.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.awaits_continue {
            self.awaits_continue = false;
            self.stream.output.buffer().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            if let Poll::Ready(Err(error)) = self.stream.poll_flush(cx) {
                return Poll::Ready(Some(Err(error.into())));
            }
        }
        if self.awaits_switch {
            // Whoever ends the wait is the task that polls this.
            return Poll::Pending;
        }
        loop {
            match self.decoder.decode(&mut self.stream.input) {
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
                Ok(Decoded::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(Decoded::Trailers(trailers)) => return Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                Ok(Decoded::End) => return Poll::Ready(None),
                Ok(Decoded::Incomplete) => {}
            }
            match self.stream.poll_fill(cx) {
                Poll::Ready(Ok(0)) if self.decoder.end_of_input() => return Poll::Ready(None),
                Poll::Ready(Ok(0)) => return Poll::Ready(Some(Err(BodyError::Closed))),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                Poll::Pending => {
                    ready!(self.stream.poll_silence(cx, self.idle));
                    return Poll::Ready(Some(Err(BodyError::Idle)));
                }
            }
        }
    }
}
