//! What follows once client and backend have agreed on another protocol: bytes both ways, for as long as they like.
//!
//! A tunnel ends with its backend, when both were silent for `timeouts.tunnel_idle`, when it has lasted for
//! `timeouts.tunnel`, and when its worker drains: in the latter two cases a
//! WebSocket's client is told by a close frame that the server is going away (RFC 6455, section 7.4.1), and any other
//! protocol has until the end of the drain.

use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};

use crate::base::drain::{Drain, Watcher};
use crate::base::timer::Timer;
use crate::message::body::Streamed;
use crate::message::{Body, BodyError};
use crate::observe::metrics::WorkerMetrics;

/// A close frame with the status 1001, as servers send it.
const GOING_AWAY: &[u8] = &[0x88, 0x02, 0x03, 0xe9];

/// The backend's half of a tunnel, and with it the count of tunnels.
#[derive(Debug)]
pub(super) struct Tunnel {
    bytes: Body,
    drain: Watcher,
    /// Where WebSocket frames end; none for other protocols.
    frames: Option<Frames>,
    /// When it has lasted long enough.
    lasts: Option<Timer>,
    is_over: bool,
    metrics: Arc<WorkerMetrics>,
}

impl Tunnel {
    /// Counted from now on.
    pub fn open(
        bytes: Body,
        is_websocket: bool,
        lasts: Option<Duration>,
        drain: &Rc<Drain>,
        metrics: &Arc<WorkerMetrics>,
    ) -> Body {
        let lasts = lasts.map(|lasts| {
            let mut timer = Timer::default();
            timer.set(lasts);
            timer
        });
        metrics.tunnels.add(1);
        metrics.opened_tunnels.add(1);
        Body::Streamed(Box::new(Self {
            bytes,
            drain: Watcher::new(drain),
            frames: is_websocket.then(Frames::default),
            lasts,
            is_over: false,
            metrics: Arc::clone(metrics),
        }))
    }

    fn poll_going_away(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.frames {
            Some(frames) if frames.is_between() => self.drain.poll_begun(cx),
            _ => Poll::Pending,
        }
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.metrics.tunnels.subtract(1);
    }
}

impl Streamed for Tunnel {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if self.poll_going_away(cx).is_ready() {
            self.is_over = true;
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(GOING_AWAY)))));
        }
        if self.lasts.as_mut().is_some_and(|lasts| lasts.poll_expired(cx).is_ready()) {
            self.is_over = true;
            let is_between = self.frames.as_ref().is_some_and(Frames::is_between);
            let farewell = is_between.then(|| Ok(Frame::data(Bytes::from_static(GOING_AWAY))));
            return Poll::Ready(farewell);
        }
        let frame = ready!(Pin::new(&mut self.bytes).poll_frame(cx));
        if let (Some(frames), Some(Ok(frame))) = (&mut self.frames, &frame) {
            frames.pass(frame.data_ref().map_or(&[], |data| data));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.bytes.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }

    fn drive(&mut self, cx: &mut Context<'_>) {
        self.bytes.drive(cx);
    }
}

/// Finds the ends of WebSocket frames (RFC 6455, section 5.2) in bytes that pass.
#[derive(Debug, Default)]
struct Frames {
    /// What has come of a frame's header; at most 14 bytes.
    header: Vec<u8>,
    /// What is to come of a frame's payload.
    left: u64,
}

impl Frames {
    /// Whether nothing of a frame has come yet.
    fn is_between(&self) -> bool {
        self.header.is_empty() && self.left == 0
    }

    fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let payload = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
            self.left -= payload as u64;
            bytes = &bytes[payload..];
            while self.left == 0
                && let Some((first, rest)) = bytes.split_first()
            {
                self.header.push(*first);
                bytes = rest;
                if let Some(length) = payload_length(&self.header) {
                    self.left = length;
                    mem::take(&mut self.header);
                }
            }
        }
    }
}

/// The length of the payload behind a whole header.
fn payload_length(header: &[u8]) -> Option<u64> {
    let second = *header.get(1)?;
    let extended = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    let length = header.get(2..2 + extended).filter(|_| header.len() == 2 + extended + mask)?;
    Some(match extended {
        0 => u64::from(second & 0x7f),
        _ => length.iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(masked: bool, payload: usize) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut frame = vec![0x82];
        match payload {
            0..=125 => frame.push(mask | payload as u8),
            126..=65_535 => {
                frame.push(mask | 126);
                frame.extend((payload as u16).to_be_bytes());
            }
            _ => {
                frame.push(mask | 127);
                frame.extend((payload as u64).to_be_bytes());
            }
        }
        frame.extend(if masked { &[1, 2, 3, 4][..] } else { &[] });
        frame.resize(frame.len() + payload, 0xff);
        frame
    }

    #[test]
    fn finds_the_ends_of_frames_in_whatever_pieces_they_come() {
        let sizes = [0, 1, 125, 126, 65_535, 65_536, 0, 3];
        let frames: Vec<_> =
            sizes.iter().flat_map(|size| [frame(false, *size), frame(true, *size)]).collect();
        for step in [1, 2, 3, 7, 4096, 1 << 20] {
            let mut found = Frames::default();
            for frame in &frames {
                let mut pieces = frame.chunks(step).peekable();
                while let Some(piece) = pieces.next() {
                    found.pass(piece);
                    assert_eq!(found.is_between(), pieces.peek().is_none(), "{step}");
                }
            }
            found.pass(&frames.concat());
            assert!(found.is_between());
        }
    }
}
