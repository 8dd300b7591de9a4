//! What can be asked of the one writer, and by whom.

use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use super::{Outcome, Plan};

/// Requests that may wait. Whoever has another one waits for room.
const QUEUE: usize = 16;

/// A change of what is served.
#[derive(Debug)]
pub enum Change {
    /// Read the document, where its file leads, and the files that it names.
    Reload,
    /// Serve this document.
    Apply {
        /// The document.
        text: String,
        /// Go back by yourself after this time, unless it is confirmed.
        trial: Option<Duration>,
    },
    /// Change the document at one place.
    Edit {
        /// The place, as a JSON pointer.
        pointer: String,
        /// How.
        edit: Edit,
    },
    /// Serve what an earlier revision served.
    Rollback {
        /// Which. None is the last one with another document.
        revision: Option<u64>,
    },
    /// Keep what is on trial.
    Confirm,
}

/// A change of a document at one place.
#[derive(Debug)]
pub enum Edit {
    /// This is there.
    Put(Value),
    /// What is there is changed by a JSON Merge Patch (RFC 7396).
    Patch(Value),
    /// Nothing is there.
    Delete,
}

/// A change, and what is remembered of it.
#[derive(Debug)]
pub struct Ask {
    /// What is to change.
    pub change: Change,
    /// Only if this is the running revision.
    pub if_match: Option<u64>,
    /// Who asks.
    pub author: String,
    /// Why.
    pub message: String,
}

impl Ask {
    /// A change that depends on nothing.
    pub fn new(change: Change, author: impl Into<String>) -> Self {
        Self { change, if_match: None, author: author.into(), message: String::new() }
    }
}

/// Asks the writer.
#[derive(Debug, Clone)]
pub struct Requests(mpsc::Sender<Request>);

/// The writer's end of [`Requests`].
pub type Waiting = mpsc::Receiver<Request>;

/// A request that waits for the writer, with where its answer goes.
#[derive(Debug)]
pub enum Request {
    /// Change what is served.
    Change(Ask, oneshot::Sender<Outcome>),
    /// Tell what serving this document would change.
    Plan(String, oneshot::Sender<Result<Plan, Outcome>>),
}

impl Requests {
    /// Both ends.
    pub fn new() -> (Self, Waiting) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self(sender), receiver)
    }

    /// Changes what is served and waits for the outcome; none when the gateway stops meanwhile.
    pub async fn change(&self, ask: Ask) -> Option<Outcome> {
        let (answer, outcome) = oneshot::channel();
        self.0.send(Request::Change(ask, answer)).await.ok()?;
        outcome.await.ok()
    }

    /// Tells what serving this document would change; none when the gateway stops meanwhile.
    pub async fn plan(&self, text: String) -> Option<Result<Plan, Outcome>> {
        let (answer, plan) = oneshot::channel();
        self.0.send(Request::Plan(text, answer)).await.ok()?;
        plan.await.ok()
    }
}
