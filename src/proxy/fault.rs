//! Faults that a document asks for, between the request hooks and the backend.

use super::{Failure, Reason};
use crate::action::Fault;
use crate::message::Exchange;

/// Holds a request, and fails it, as far as it is meant and drawn. Dropping the future ends the wait.
pub(super) async fn inject(fault: &Fault, exchange: &Exchange) -> Result<(), Failure> {
    if !fault.is_for(&exchange.headers) {
        return Ok(());
    }
    if let Some(delay) = fault.draw_delay() {
        tokio::time::sleep(delay).await;
    }
    match fault.draw_abort() {
        Some(status) => Err(Failure::new(Reason::FaultInjected(status), "this rule has its requests fail")),
        None => Ok(()),
    }
}
