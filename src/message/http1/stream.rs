//! A transport with what was read too early and what was not written yet.

use std::any::Any;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWrite;
use tokio::time::Instant;
use tokio_util::io::poll_read_buf;

use super::head::{self, HeadError};
use crate::base::buffers;
use crate::base::timer::Silence;
use crate::base::transport::Transport;

/// Reads grow up to this while a body keeps filling them.
const LARGEST_READ: usize = 128 * 1024;
/// Below this a chunk is copied behind what waits already; above it is written from where it lies.
const COPY_BELOW: usize = 4 * 1024;
/// So much of what was copied is written before more is.
const FULL: usize = 32 * 1024;

/// One connection's bytes, both ways. Polled by one task at a time.
#[derive(Debug)]
pub struct Stream {
    io: Transport,
    /// Read and not yet taken.
    pub input: BytesMut,
    /// To be written.
    pub output: Output,
    /// When it is too old to be used again.
    pub expires: Option<Instant>,
    /// What is given up with the connection.
    pub held: Option<Box<dyn Any>>,
    /// Whether the transport may still hold something that was written to it.
    is_unflushed: bool,
    scanned: usize,
    read_size: usize,
    silence: Silence,
}

/// Bytes that wait to be written: copied ones, then one chunk by reference, then its end.
#[derive(Debug, Default)]
pub struct Output {
    copied: BytesMut,
    chunk: Bytes,
    tail: &'static [u8],
}

impl Stream {
    /// A connection on which nothing was read yet.
    pub fn new(io: Transport) -> Self {
        Self {
            io,
            input: BytesMut::new(),
            output: Output::default(),
            expires: None,
            held: None,
            is_unflushed: false,
            scanned: 0,
            read_size: buffers::SIZE,
            silence: Silence::default(),
        }
    }

    /// The transport with what was read from it.
    pub fn into_parts(self) -> (Transport, Bytes) {
        (self.io, self.input.freeze())
    }

    /// Waits for the peer's next byte without holding a buffer meanwhile.
    pub fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.input.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let readable = self.io.poll_read_ready(cx);
        if readable.is_pending() {
            self.release();
        }
        readable
    }

    /// Gives the buffers back that have nothing in them.
    pub fn release(&mut self) {
        if self.input.is_empty() {
            buffers::give_back(&mut self.input);
        }
        if self.output.is_empty() {
            buffers::give_back(&mut self.output.copied);
        }
    }

    /// Reads once. `Ok(0)` is the end of the peer's bytes. Who has to wait for more holds no buffer for it, unless it is one
    /// that has grown: who reads a large body would make one again for each read.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.input.capacity() == 0 && self.read_size == buffers::SIZE {
            self.input = buffers::borrow();
        } else {
            self.input.reserve(self.read_size);
        }
        let Poll::Ready(size) = poll_read_buf(Pin::new(&mut self.io), cx, &mut self.input)? else {
            if self.read_size == buffers::SIZE {
                self.release();
            }
            return Poll::Pending;
        };
        self.progressed();
        if size >= self.read_size {
            self.read_size = (self.read_size * 2).min(LARGEST_READ);
        }
        Poll::Ready(Ok(size))
    }

    /// Reads until a whole head is there and takes it. `Ok(None)` when the peer ended before its first byte.
    pub fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        limit: usize,
    ) -> Poll<Result<Option<Bytes>, ReadHeadError>> {
        loop {
            match head::find_end(&self.input, &mut self.scanned)? {
                Some(end) if end <= limit => {
                    self.scanned = 0;
                    return Poll::Ready(Ok(Some(self.input.split_to(end).freeze())));
                }
                None if self.input.len() < limit => {}
                _ => return Poll::Ready(Err(HeadError::TooLarge.into())),
            }
            if ready!(self.poll_fill(cx))? == 0 {
                let nothing = self.input.is_empty();
                return Poll::Ready(if nothing { Ok(None) } else { Err(ReadHeadError::Closed) });
            }
        }
    }

    /// Skips an empty line, if there is one in front of what was read.
    pub fn skip_empty_line(&mut self) -> bool {
        let is_there = self.scanned == 0 && self.input.starts_with(b"\r\n");
        if is_there {
            self.input.advance(2);
        }
        is_there
    }

    /// Writes until nothing waits.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.output.is_empty() {
            let written = ready!(self.output.poll_write_to(&mut self.io, cx))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.output.advance(written);
            self.is_unflushed = true;
            self.progressed();
        }
        if self.is_unflushed {
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            self.is_unflushed = false;
            self.progressed();
        }
        Poll::Ready(Ok(()))
    }

    /// To be called when nothing could be done: ready when the peer was silent for `allowed` since the first such
    /// call after the last progress.
    pub fn poll_silence(&mut self, cx: &mut Context<'_>, allowed: Duration) -> Poll<()> {
        self.silence.poll(cx, allowed)
    }

    /// As [`Self::poll_silence`], for a deadline that progress does not move.
    pub fn poll_deadline(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        self.silence.poll_until(cx, deadline)
    }

    /// Ready when the peer has gone although it was sent everything it is waiting for. What it sends meanwhile is kept,
    /// and then no more is known until that was taken.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.input.is_empty() || self.io.poll_read_ready(cx).is_pending() {
            return Poll::Pending;
        }
        match self.poll_fill(cx) {
            Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }

    /// Ends the wait that [`Self::poll_silence`] measures; the next one begins anew.
    pub fn progressed(&mut self) {
        self.silence.end();
    }

    /// Whether an unused connection is still good: the peer has neither ended it nor sent what nobody asked for.
    pub fn is_quiet(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        self.io.poll_read_ready(&mut cx).is_pending() || self.poll_fill(&mut cx).is_pending()
    }

    /// Whether something was given to be written that has not left.
    pub fn has_unsent(&self) -> bool {
        self.is_unflushed || !self.output.is_empty()
    }

    /// Gives up what was to be written.
    pub fn discard_unsent(&mut self) {
        self.output = Output::default();
        self.is_unflushed = false;
    }

    /// Closes with a reset once this is dropped, so that the end is not taken for the end of a body.
    pub fn reset_on_close(&self) {
        self.io.reset_on_close();
    }

    /// Tells a peer over TLS that the end is one, and no attack (RFC 8446, section 6.1), as far as that can be done at
    /// once. Closing does that in the clear.
    pub fn say_goodbye(&mut self) {
        if let Transport::Tls(io) = &mut self.io {
            // Who does not take it is not waited for.
            let _ = Pin::new(io).poll_shutdown(&mut Context::from_waker(Waker::noop()));
        }
    }

    /// Tells the peer that no more bytes come.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl Output {
    /// Where heads and small pieces are written to. Only while no chunk waits, see [`Self::is_empty`].
    pub fn buffer(&mut self) -> &mut BytesMut {
        if self.copied.capacity() == 0 {
            self.copied = buffers::borrow();
        }
        &mut self.copied
    }

    /// Adds a chunk and what closes it. Nothing else may be waiting as a chunk.
    pub fn push(&mut self, chunk: Bytes, tail: &'static [u8]) {
        if chunk.len() < COPY_BELOW {
            self.copied.extend_from_slice(&chunk);
            self.copied.extend_from_slice(tail);
        } else {
            self.chunk = chunk;
            self.tail = tail;
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.copied.is_empty() && self.chunk.is_empty() && self.tail.is_empty()
    }

    /// Whether what waits has to leave before anything is added.
    pub fn is_full(&self) -> bool {
        self.has_chunk() || self.copied.len() >= FULL
    }

    fn has_chunk(&self) -> bool {
        !self.chunk.is_empty() || !self.tail.is_empty()
    }

    fn poll_write_to(&self, io: &mut Transport, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if !self.has_chunk() {
            return Pin::new(io).poll_write(cx, &self.copied);
        }
        let slices = [IoSlice::new(&self.copied), IoSlice::new(&self.chunk), IoSlice::new(self.tail)];
        let first = usize::from(self.copied.is_empty());
        Pin::new(io).poll_write_vectored(cx, &slices[first..])
    }

    fn advance(&mut self, mut written: usize) {
        let from_copied = written.min(self.copied.len());
        if from_copied == self.copied.len() {
            self.copied.clear();
        } else {
            self.copied.advance(from_copied);
        }
        written -= from_copied;
        let from_chunk = written.min(self.chunk.len());
        self.chunk.advance(from_chunk);
        self.tail = &self.tail[written - from_chunk..];
    }
}

/// Why no head could be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadHeadError {
    /// What came is not a head.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The peer ended in the middle.
    #[error("the connection closed in the middle of a head")]
    Closed,
    /// The transport failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}
