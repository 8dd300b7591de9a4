//! Ends HTTP/2 connections whose clients do not move.
//!
//! `h2` waits for a client for as long as it takes. The watch looks at what the connection waits for whenever its task
//! runs, and gives each kind of waiting the time that the document gives it.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::base::timer::Timer;
use crate::base::transport::Transport;
use crate::proxy::Timeouts;

/// How long a connection without streams may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// What the tasks of one connection have in common.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// Streams that are open.
    pub open: Cell<usize>,
    /// Streams that have data for a client which has not opened its window.
    pub stalled: Cell<usize>,
    /// Whether there ever was a stream.
    pub has_begun: Cell<bool>,
    /// Grows with every piece of a response that a client has room for.
    progress: Cell<u64>,
    /// Bytes that were written.
    written: Cell<u64>,
    /// The connection's task.
    watching: RefCell<Option<Waker>>,
}

impl Activity {
    /// A client has taken a piece of its response.
    pub fn progressed(&self) {
        self.progress.set(self.progress.get().wrapping_add(1));
    }

    /// A stream's task has changed something that the connection's may have to act on.
    pub fn tell(&self) {
        if let Some(watching) = &*self.watching.borrow() {
            watching.wake_by_ref();
        }
    }
}

/// See the module.
pub(super) struct Watch {
    activity: Rc<Activity>,
    timeouts: Timeouts,
    timer: Timer,
    phase: Phase,
    /// What the current wait is for, as it was when the wait began.
    seen: u64,
    is_ending: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No whole request has come yet.
    Beginning,
    /// There is no stream.
    Idle,
    /// A stream waits for its backend, or moves.
    Busy,
    /// A stream waits for its client.
    Stalled,
    /// There is no stream, and there will be none.
    Ending,
}

/// What is to be done with a connection whose time is up.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Expired {
    /// Ask the client to open no more streams.
    Graceful,
    /// Close.
    Now,
}

impl Watch {
    pub fn new(activity: Rc<Activity>, timeouts: Timeouts) -> Self {
        let mut timer = Timer::default();
        timer.set(timeouts.client_head);
        Self { activity, timeouts, timer, phase: Phase::Beginning, seen: 0, is_ending: false }
    }

    /// From now on the connection is about to end.
    pub fn end(&mut self) {
        self.is_ending = true;
    }

    /// Ready when the client has had its time for what it is to do.
    pub fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<Expired> {
        match &mut *self.activity.watching.borrow_mut() {
            Some(watching) => watching.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        let phase = self.phase_now();
        // What does not help a response on, a ping for one, is no reason to wait for longer.
        let seen = match phase {
            Phase::Stalled => self.activity.progress.get(),
            Phase::Ending => self.activity.written.get(),
            Phase::Beginning | Phase::Idle | Phase::Busy => self.seen,
        };
        if phase != self.phase || seen != self.seen {
            (self.phase, self.seen) = (phase, seen);
            self.timer.set(match phase {
                Phase::Beginning => self.timeouts.client_head,
                Phase::Idle => self.timeouts.keep_alive,
                Phase::Stalled => self.timeouts.client_idle,
                Phase::Ending => GOODBYE,
                Phase::Busy => return Poll::Pending,
            });
        }
        if phase == Phase::Busy {
            return Poll::Pending;
        }
        self.timer
            .poll_expired(cx)
            .map(|()| if phase == Phase::Idle { Expired::Graceful } else { Expired::Now })
    }

    fn phase_now(&self) -> Phase {
        match (self.activity.open.get(), self.activity.stalled.get()) {
            (0, _) if self.is_ending => Phase::Ending,
            (0, _) if self.activity.has_begun.get() => Phase::Idle,
            (0, _) => Phase::Beginning,
            (_, 0) => Phase::Busy,
            _ => Phase::Stalled,
        }
    }
}

/// A transport whose movement is watched.
pub(super) struct Watched {
    pub io: Transport,
    /// What was read from it already.
    pub read: Bytes,
    pub activity: Rc<Activity>,
}

impl Watched {
    fn note(&self, size: usize) {
        self.activity.written.set(self.activity.written.get().wrapping_add(size as u64));
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.read.is_empty() {
            let size = self.read.len().min(buffer.remaining());
            buffer.put_slice(&self.read.split_to(size));
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        if let Poll::Ready(Ok(size)) = written {
            self.note(size);
        }
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        if let Poll::Ready(Ok(size)) = written {
            self.note(size);
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
