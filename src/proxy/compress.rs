//! The last thing that happens to a response: its body becomes smaller on its way, where its rule and its client want
//! that. [`message::compress`](crate::message::compress) knows when and how.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Method, header};
use http_body::{Body as _, Frame, SizeHint};

use crate::message::body::Streamed;
use crate::message::compress::encoder::{self, Encoder};
use crate::message::compress::{Coding, Decision, Levels, Settings, decide};
use crate::message::{Body, BodyError, Exchange, ResponseHead};
use crate::observe::metrics::WorkerMetrics;

/// What all encoders of a worker may take together, in bytes. One lasts as long as its client takes to read: beyond this
/// bodies go as they are, so that those who read slowly cannot take up all memory.
const MOST_MEMORY: usize = 256 << 20;
/// What is encoded before others have their turn, in bytes: half a millisecond of the worker's time.
const TURN: usize = 16 << 10;
/// The fields of a request that say whether its response may be encoded.
const ASKED: [header::HeaderName; 2] = [header::ACCEPT_ENCODING, header::CACHE_CONTROL];

/// How the responses of a rule are compressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compress {
    /// Which ones, and by what.
    pub settings: Settings,
    /// How much time is spent on it.
    pub levels: Levels,
}

/// What a client said of its response's body. A rule or a plugin may change what the backend is told of it afterwards.
#[derive(Debug)]
pub(super) struct Asked {
    rule: Arc<Compress>,
    method: Method,
    headers: HeaderMap,
}

/// How much memory a worker's encoders take.
#[derive(Debug, Default)]
pub(super) struct Bound(Cell<usize>);

impl Asked {
    pub fn new(rule: &Arc<Compress>, exchange: &Exchange) -> Self {
        let mut headers = HeaderMap::with_capacity(ASKED.len());
        for name in ASKED {
            for value in exchange.headers.get_all(&name) {
                headers.append(&name, value.clone());
            }
        }
        Self { rule: Arc::clone(rule), method: exchange.method.clone(), headers }
    }

    /// The body that goes to the client. The head says what it is.
    pub fn compress(
        &self,
        head: &mut ResponseHead,
        body: Body,
        bound: &Rc<Bound>,
        metrics: &Arc<WorkerMetrics>,
    ) -> Body {
        head.complete_headers();
        let Compress { settings, levels } = &*self.rule;
        let length = body.size_hint().exact();
        let decision = decide(&self.method, &self.headers, head.status, &head.headers, length, settings);
        let encoding = match decision {
            Decision::Encode(coding) => Encoding::begin(coding, levels.of(coding), bound),
            Decision::Leave | Decision::Vary => None,
        };
        let Some(encoding) = encoding else {
            // Short of memory, another client of the same cache may still have it encoded.
            let is_left = decision == Decision::Leave;
            if is_left { Decision::Leave } else { Decision::Vary }.apply(&mut head.headers);
            metrics.compression.passed_over.add(u64::from(matches!(decision, Decision::Encode(_))));
            return body;
        };
        decision.apply(&mut head.headers);
        metrics.compression.responses.add(1);
        Body::Streamed(Box::new(Encoded {
            plain: body,
            encoding: Some(encoding),
            input: Bytes::new(),
            output: Vec::new(),
            trailers: None,
            metrics: Arc::clone(metrics),
        }))
    }
}

/// An encoder and its place among those of the worker.
#[derive(Debug)]
struct Encoding {
    encoder: Encoder,
    _place: Place,
}

#[derive(Debug)]
struct Place {
    bytes: usize,
    bound: Rc<Bound>,
}

impl Encoding {
    /// None where there is no memory for it.
    fn begin(coding: Coding, level: u32, bound: &Rc<Bound>) -> Option<Self> {
        let place = Place::take(encoder::memory(coding, level), bound)?;
        Some(Self { encoder: Encoder::new(coding, level).ok()?, _place: place })
    }
}

impl Place {
    fn take(bytes: usize, bound: &Rc<Bound>) -> Option<Self> {
        let taken = bound.0.get() + bytes;
        if taken > MOST_MEMORY {
            return None;
        }
        bound.0.set(taken);
        Some(Self { bytes, bound: Rc::clone(bound) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.bound.0.set(self.bound.0.get() - self.bytes);
    }
}

/// A response's body, encoded as it comes. Whatever came is passed on when nothing more is there, so that a stream of
/// events is not held back; a body that breaks off is not ended as if it were whole.
#[derive(Debug)]
struct Encoded {
    plain: Body,
    /// Gone at the end.
    encoding: Option<Encoding>,
    /// What came and is not encoded yet.
    input: Bytes,
    /// What is encoded and did not leave yet.
    output: Vec<u8>,
    /// What follows the last of it.
    trailers: Option<Frame<Bytes>>,
    metrics: Arc<WorkerMetrics>,
}

impl Streamed for Encoded {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut turn = TURN;
        while let Some(Encoding { encoder, .. }) = &mut self.encoding {
            if !self.input.is_empty() {
                let piece = self.input.split_to(self.input.len().min(turn));
                encoder.encode(&piece, &mut self.output)?;
                self.metrics.compression.plain_bytes.add(piece.len() as u64);
                turn -= piece.len();
            }
            if self.input.is_empty() && self.plain.is_end_stream() {
                self.finish()?;
            } else if turn == 0 && self.output.is_empty() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            } else if turn == 0 {
                break;
            } else {
                match Pin::new(&mut self.plain).poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                        Ok(data) => self.input = data,
                        Err(trailers) => {
                            self.trailers = Some(trailers);
                            self.finish()?;
                        }
                    },
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                    Poll::Ready(None) => self.finish()?,
                    Poll::Pending => {
                        encoder.flush(&mut self.output)?;
                        if self.output.is_empty() {
                            return Poll::Pending;
                        }
                        break;
                    }
                }
            }
        }
        Poll::Ready(self.take().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.encoding.is_none() && self.output.is_empty() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }

    fn drive(&mut self, cx: &mut Context<'_>) {
        self.plain.drive(cx);
    }
}

impl Encoded {
    fn finish(&mut self) -> Result<(), BodyError> {
        if let Some(Encoding { encoder, .. }) = self.encoding.take() {
            encoder.finish(&mut self.output)?;
        }
        Ok(())
    }

    /// What is ready to leave, or what follows the last of it.
    fn take(&mut self) -> Option<Frame<Bytes>> {
        if self.output.is_empty() {
            return self.trailers.take();
        }
        let output = Bytes::from(std::mem::take(&mut self.output));
        self.metrics.compression.encoded_bytes.add(output.len() as u64);
        Some(Frame::data(output))
    }
}

#[cfg(test)]
mod tests;
