//! Futures that have nothing to wait for.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// What a future gives at once; none if it waits, and then it is dropped.
pub fn immediate<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
