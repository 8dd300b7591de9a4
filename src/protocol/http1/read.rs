//! Waiting for a request and reading its head.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::time::Instant;

use super::{Bounds, Http1};
use crate::message::http1::{ReadHeadError, Stream};
use crate::proxy::{Failure, Reason};

/// What came next on a connection.
pub(super) enum Next {
    /// A request's head.
    Head(Bytes),
    /// Nothing, and nothing will.
    Closed,
    /// Something that has to be answered although it is no request.
    Failed(Failure),
}

impl Http1 {
    /// Waits for a request. Between requests a connection may be idle for `keep_alive`, and ends at once when the
    /// worker drains; from the first byte on the whole head must come within `client_head`.
    pub(super) async fn read_head(&self, bounds: &Bounds, is_first: bool) -> Next {
        let allowed = if is_first { bounds.timeouts.client_head } else { bounds.timeouts.keep_alive };
        self.inbound.borrow_mut().stream.progressed();
        let (mut began, mut may_skip) = (None, true);
        poll_fn(|cx| {
            let stream = &mut self.inbound.borrow_mut().stream;
            if began.is_none() {
                match poll_first_byte(stream, cx, &mut may_skip) {
                    Poll::Ready(Ok(())) => began = Some(Instant::now()),
                    Poll::Ready(Err(_)) => return Poll::Ready(Next::Closed),
                    // A connection that has not had its first request was promised service when it was accepted.
                    Poll::Pending if self.session.drain.is_draining() && !is_first => {
                        return Poll::Ready(Next::Closed);
                    }
                    Poll::Pending => return stream.poll_silence(cx, allowed).map(|()| Next::Closed),
                }
            }
            let deadline = began.unwrap_or_else(Instant::now) + bounds.timeouts.client_head;
            poll_rest(stream, cx, bounds, deadline)
        })
        .await
    }
}

/// Waits for the first byte of a request. The empty line that some clients send behind a body is none (RFC 9112,
/// section 2.2).
fn poll_first_byte(stream: &mut Stream, cx: &mut Context<'_>, may_skip: &mut bool) -> Poll<io::Result<()>> {
    loop {
        if *may_skip && stream.skip_empty_line() {
            *may_skip = false;
        }
        let is_perhaps_empty = *may_skip && *stream.input == *b"\r";
        if !stream.input.is_empty() && !is_perhaps_empty {
            return Poll::Ready(Ok(()));
        }
        if stream.input.is_empty() {
            ready!(stream.poll_readable(cx))?;
        }
        if ready!(stream.poll_fill(cx))? == 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
    }
}

fn poll_rest(stream: &mut Stream, cx: &mut Context<'_>, bounds: &Bounds, deadline: Instant) -> Poll<Next> {
    match stream.poll_head(cx, bounds.head.bytes) {
        Poll::Ready(Ok(Some(head))) => Poll::Ready(Next::Head(head)),
        Poll::Ready(Err(ReadHeadError::Head(error))) => Poll::Ready(Next::Failed(error.into())),
        Poll::Ready(_) => Poll::Ready(Next::Closed),
        Poll::Pending => stream.poll_deadline(cx, deadline).map(|()| {
            if stream.input.is_empty() {
                return Next::Closed;
            }
            let message = format!("no whole head came within {:?}", bounds.timeouts.client_head);
            Next::Failed(Failure::new(Reason::HeadTimeout, message))
        }),
    }
}
