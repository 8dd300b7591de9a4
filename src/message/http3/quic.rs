//! quinn's streams as h3 wants them.
//!
//! The crate `h3-quinn` would do but for two things. A server could not hear of a client that has given a request up: the
//! sending half of a stream knows, and is out of reach behind it. And h3 reads more than is taken from it: a piece of the
//! stream whenever it is asked for a piece of a body, which with small frames is little, so that a client could fill the
//! memory although nobody takes its body. Here each stream that is accepted leaves a [`Stopped`] and a [`Flow`] for whoever
//! serves it, and each that is opened a [`Flow`].

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h3::error::Code;
use h3::quic::{self, ConnectionErrorIncoming, StreamErrorIncoming, StreamId, WriteBuf};
use quinn::{ConnectionError, ReadError, StoppedError, VarInt, WriteError};

/// Ends when the client wants no response any more, or has all of it.
pub type Stopped = Pin<Box<dyn Future<Output = Result<Option<VarInt>, StoppedError>>>>;

/// Bytes that h3 may have read and not given to anybody.
const AHEAD: usize = 64 << 10;

/// What is known of a stream that was accepted.
pub struct Accepted {
    /// When the peer wants no more of it.
    pub stopped: Stopped,
    /// How far h3 is ahead on it.
    pub flow: Rc<Flow>,
    /// Whether it began before the handshake was done.
    pub is_early: bool,
}

/// What is known of a connection's streams beside them.
#[derive(Default)]
pub struct Known {
    /// Those that were accepted, in that order.
    accepted: RefCell<VecDeque<Accepted>>,
    opened: RefCell<Vec<(StreamId, Weak<Flow>)>>,
}

impl Known {
    /// The next stream of those that were accepted.
    pub fn next_accepted(&self) -> Option<Accepted> {
        self.accepted.borrow_mut().pop_front()
    }

    /// The flow of a stream that was opened.
    pub(super) fn take_opened(&self, id: StreamId) -> Option<Rc<Flow>> {
        let mut opened = self.opened.borrow_mut();
        let at = opened.iter().position(|(opened, _)| *opened == id)?;
        opened.swap_remove(at).1.upgrade()
    }

    fn note_opened(&self, stream: &Both) {
        let mut opened = self.opened.borrow_mut();
        opened.retain(|(_, flow)| flow.strong_count() > 0);
        opened.push((stream.sending.id(), Rc::downgrade(&stream.receiving.flow)));
    }
}

/// How far h3 is ahead of whoever takes a body.
#[derive(Debug)]
pub struct Flow {
    ahead: Cell<usize>,
    /// Pieces of the body that were taken.
    taken: Cell<u64>,
    /// How many they were when h3 was last refused more.
    refused_at: Cell<u64>,
}

impl Flow {
    fn new() -> Rc<Self> {
        Rc::new(Self { ahead: Cell::new(0), taken: Cell::new(0), refused_at: Cell::new(u64::MAX) })
    }

    /// A piece of the body was taken.
    pub fn take(&self, size: usize) {
        self.taken.set(self.taken.get() + 1);
        self.ahead.set(self.ahead.get().saturating_sub(size));
    }

    /// Whether h3 may read. When it is far ahead it is refused, as long as it has something to give; then it has nothing
    /// left, and is not ahead at all but for the bytes that frames their pieces.
    fn may_read(&self) -> bool {
        if self.ahead.get() <= AHEAD {
            return true;
        }
        if self.refused_at.replace(self.taken.get()) != self.taken.get() {
            return false;
        }
        self.ahead.set(0);
        true
    }

    fn read(&self, size: usize) {
        self.ahead.set(self.ahead.get() + size);
    }
}

type Pending<T> = Option<Pin<Box<dyn Future<Output = Result<T, ConnectionError>>>>>;
type Bidirectional = (quinn::SendStream, quinn::RecvStream);

/// A connection.
pub struct Quic {
    connection: quinn::Connection,
    known: Rc<Known>,
    accepting: Pending<Bidirectional>,
    accepting_one_way: Pending<quinn::RecvStream>,
    opener: Opener,
}

/// Opens streams.
pub struct Opener {
    connection: quinn::Connection,
    known: Rc<Known>,
    opening: Pending<Bidirectional>,
    opening_one_way: Pending<quinn::SendStream>,
}

/// Both halves of a stream.
pub struct Both {
    sending: Sending,
    receiving: Receiving,
}

/// The sending half.
pub struct Sending {
    stream: quinn::SendStream,
    waiting: Option<WriteBuf<Bytes>>,
    /// Whether it must not seem to be whole when it is dropped.
    is_cut_off: bool,
}

impl Sending {
    fn new(stream: quinn::SendStream) -> Self {
        Self { stream, waiting: None, is_cut_off: false }
    }

    fn id(&self) -> StreamId {
        id(self.stream.id())
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if self.is_cut_off {
            quic::SendStream::reset(self, Code::H3_REQUEST_CANCELLED.value());
        }
    }
}

/// The receiving half.
pub struct Receiving {
    stream: quinn::RecvStream,
    flow: Rc<Flow>,
}

impl Receiving {
    fn new(stream: quinn::RecvStream) -> Self {
        Self { stream, flow: Flow::new() }
    }
}

impl Quic {
    /// A connection, and what will be known of its streams.
    pub fn new(connection: quinn::Connection) -> (Self, Rc<Known>) {
        let known = Rc::<Known>::default();
        let quic = Self {
            opener: Opener::new(connection.clone(), &known),
            connection,
            known: Rc::clone(&known),
            accepting: None,
            accepting_one_way: None,
        };
        (quic, known)
    }
}

impl Opener {
    fn new(connection: quinn::Connection, known: &Rc<Known>) -> Self {
        Self { connection, known: Rc::clone(known), opening: None, opening_one_way: None }
    }
}

impl Clone for Opener {
    fn clone(&self) -> Self {
        Self::new(self.connection.clone(), &self.known)
    }
}

/// Goes on with what has begun, or begins it.
fn poll_pending<T, F: Future<Output = Result<T, ConnectionError>> + 'static>(
    pending: &mut Pending<T>,
    cx: &mut Context<'_>,
    begin: impl FnOnce() -> F,
) -> Poll<Result<T, ConnectionErrorIncoming>> {
    let future = pending.get_or_insert_with(|| Box::pin(begin()));
    let ended = ready!(future.as_mut().poll(cx));
    *pending = None;
    Poll::Ready(ended.map_err(lost))
}

fn both((sending, receiving): Bidirectional) -> Both {
    Both { sending: Sending::new(sending), receiving: Receiving::new(receiving) }
}

impl quic::Connection<Bytes> for Quic {
    type RecvStream = Receiving;
    type OpenStreams = Opener;

    fn poll_accept_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Receiving, ConnectionErrorIncoming>> {
        let connection = &self.connection;
        let begin = || {
            let connection = connection.clone();
            async move { connection.accept_uni().await }
        };
        poll_pending(&mut self.accepting_one_way, cx, begin).map_ok(Receiving::new)
    }

    fn poll_accept_bidi(&mut self, cx: &mut Context<'_>) -> Poll<Result<Both, ConnectionErrorIncoming>> {
        let connection = &self.connection;
        let begin = || {
            let connection = connection.clone();
            async move { connection.accept_bi().await }
        };
        let both = both(ready!(poll_pending(&mut self.accepting, cx, begin))?);
        let accepted = Accepted {
            stopped: Box::pin(both.sending.stream.stopped()),
            flow: Rc::clone(&both.receiving.flow),
            is_early: both.receiving.stream.is_0rtt(),
        };
        self.known.accepted.borrow_mut().push_back(accepted);
        Poll::Ready(Ok(both))
    }

    fn opener(&self) -> Opener {
        self.opener.clone()
    }
}

impl quic::OpenStreams<Bytes> for Quic {
    type BidiStream = Both;
    type SendStream = Sending;

    fn poll_open_bidi(&mut self, cx: &mut Context<'_>) -> Poll<Result<Both, StreamErrorIncoming>> {
        self.opener.poll_open_bidi(cx)
    }

    fn poll_open_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<Sending, StreamErrorIncoming>> {
        self.opener.poll_open_send(cx)
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.opener.close(code, reason);
    }
}

impl quic::OpenStreams<Bytes> for Opener {
    type BidiStream = Both;
    type SendStream = Sending;

    fn poll_open_bidi(&mut self, cx: &mut Context<'_>) -> Poll<Result<Both, StreamErrorIncoming>> {
        let connection = &self.connection;
        let begin = || {
            let connection = connection.clone();
            async move { connection.open_bi().await }
        };
        let mut opened = both(ready!(poll_pending(&mut self.opening, cx, begin)).map_err(of_connection)?);
        opened.sending.is_cut_off = true;
        self.known.note_opened(&opened);
        Poll::Ready(Ok(opened))
    }

    fn poll_open_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<Sending, StreamErrorIncoming>> {
        let connection = &self.connection;
        let begin = || {
            let connection = connection.clone();
            async move { connection.open_uni().await }
        };
        let opened = ready!(poll_pending(&mut self.opening_one_way, cx, begin));
        Poll::Ready(opened.map(Sending::new).map_err(of_connection))
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.connection.close(number(code.value()), reason);
    }
}

impl quic::BidiStream<Bytes> for Both {
    type SendStream = Sending;
    type RecvStream = Receiving;

    fn split(self) -> (Sending, Receiving) {
        (self.sending, self.receiving)
    }
}

impl quic::SendStream<Bytes> for Both {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.sending.poll_ready(cx)
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        self.sending.send_data(data)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.sending.poll_finish(cx)
    }

    fn reset(&mut self, code: u64) {
        self.sending.reset(code);
    }

    fn send_id(&self) -> StreamId {
        self.sending.send_id()
    }
}

impl quic::RecvStream for Both {
    type Buf = Bytes;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        self.receiving.poll_data(cx)
    }

    fn stop_sending(&mut self, code: u64) {
        self.receiving.stop_sending(code);
    }

    fn recv_id(&self) -> StreamId {
        self.receiving.recv_id()
    }
}

impl quic::SendStream<Bytes> for Sending {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        if let Some(data) = &mut self.waiting {
            while data.has_remaining() {
                let written = ready!(Pin::new(&mut self.stream).poll_write(cx, data.chunk()));
                data.advance(written.map_err(unwritten)?);
            }
        }
        self.waiting = None;
        Poll::Ready(Ok(()))
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        if self.waiting.is_some() {
            let misuse = "something was to be sent before the last piece had left".to_owned();
            return Err(of_connection(ConnectionErrorIncoming::InternalError(misuse)));
        }
        self.waiting = Some(data.into());
        Ok(())
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.is_cut_off = false;
        Poll::Ready(self.stream.finish().map_err(|error| StreamErrorIncoming::Unknown(Box::new(error))))
    }

    fn reset(&mut self, code: u64) {
        self.is_cut_off = false;
        // A stream that has ended needs no reset.
        let _ = self.stream.reset(number(code));
    }

    fn send_id(&self) -> StreamId {
        self.id()
    }
}

impl quic::RecvStream for Receiving {
    type Buf = Bytes;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        if !self.flow.may_read() {
            // It is asked again for what it has.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        // A read that is dropped has taken nothing, and whoever is to be woken stays known.
        let Some(chunk) = ready!(pin!(self.stream.read_chunk(usize::MAX, true)).poll(cx)).map_err(unread)?
        else {
            return Poll::Ready(Ok(None));
        };
        self.flow.read(chunk.bytes.len());
        // A copy: it is a small part of the packets that were received at one time, and would keep all of them.
        Poll::Ready(Ok(Some(Bytes::copy_from_slice(&chunk.bytes))))
    }

    fn stop_sending(&mut self, code: u64) {
        // A stream that has ended need not be stopped.
        let _ = self.stream.stop(number(code));
    }

    fn recv_id(&self) -> StreamId {
        id(self.stream.id())
    }
}

fn number(code: u64) -> VarInt {
    VarInt::from_u64(code).unwrap_or(VarInt::MAX)
}

fn id(id: quinn::StreamId) -> StreamId {
    StreamId::try_from(u64::from(id)).expect("ids of QUIC's streams have the same range everywhere")
}

fn of_connection(connection_error: ConnectionErrorIncoming) -> StreamErrorIncoming {
    StreamErrorIncoming::ConnectionErrorIncoming { connection_error }
}

fn lost(error: ConnectionError) -> ConnectionErrorIncoming {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            ConnectionErrorIncoming::ApplicationClose { error_code: close.error_code.into() }
        }
        ConnectionError::TimedOut => ConnectionErrorIncoming::Timeout,
        error => ConnectionErrorIncoming::Undefined(Arc::new(error)),
    }
}

fn unread(error: ReadError) -> StreamErrorIncoming {
    match error {
        ReadError::Reset(code) => StreamErrorIncoming::StreamTerminated { error_code: code.into_inner() },
        ReadError::ConnectionLost(error) => of_connection(lost(error)),
        error => StreamErrorIncoming::Unknown(Box::new(error)),
    }
}

fn unwritten(error: WriteError) -> StreamErrorIncoming {
    match error {
        WriteError::Stopped(code) => StreamErrorIncoming::StreamTerminated { error_code: code.into_inner() },
        WriteError::ConnectionLost(error) => of_connection(lost(error)),
        error => StreamErrorIncoming::Unknown(Box::new(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_far_ahead_reads_on_when_nothing_is_left_to_be_taken() {
        let flow = Flow::new();
        flow.read(AHEAD);
        assert!(flow.may_read());
        flow.read(1);
        assert!(!flow.may_read());
        flow.take(0);
        assert!(!flow.may_read(), "something was taken, so there may be more");
        assert!(flow.may_read(), "nothing was");
        flow.read(AHEAD);
        assert!(flow.may_read(), "what was read before has gone");
    }
}
