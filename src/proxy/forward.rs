//! Steps 5 and 6 of a request: pick an endpoint, send, and try the next one where that is safe.

use std::cell::Cell;
use std::sync::Arc;

use tokio::time::sleep;

use super::course::{Course, Verdict};
use super::{Connection, Failure, Interim, Reason, RetryPolicy, RuleTimeouts, Settings};
use crate::message::{Body, Exchange, ResponseHead};
use crate::observe::metrics::WorkerMetrics;
use crate::upstream::{Busy, Cluster, Health, Member, Permit, Pools, Share};

/// What forwarding needs of its worker.
pub(super) struct Forward<'a> {
    pub pools: &'a Pools,
    pub health: &'a Health,
    pub settings: &'a Settings,
    pub timeouts: &'a RuleTimeouts,
    pub retry: Option<&'a RetryPolicy>,
    pub connection: &'a Connection,
    pub interim: &'a Interim,
    pub metrics: &'a Arc<WorkerMetrics>,
}

/// What came of it, beside the response.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// The backend that was asked last.
    pub backend: Option<Member>,
    /// How many were asked.
    pub count: u32,
    /// The request is one of its rule's.
    pub share: Option<Share>,
    /// And one of its cluster's.
    admitted: Option<Permit>,
    /// And one of that backend's.
    pub(super) busy: Option<Busy>,
    /// And one of those that are asked again.
    retry: Option<Permit>,
    /// Whether that backend has all of it and has not answered.
    pub(super) waits: Cell<bool>,
}

pub(super) type Answered = (ResponseHead, Body);

impl Attempts {
    /// The backend that was still to answer when the time for that was over.
    pub fn late(&self) -> Option<&Member> {
        self.backend.as_ref().filter(|_| self.waits.get())
    }
}

impl Forward<'_> {
    /// Asks the cluster's endpoints until one answers, and again as far as the policy goes.
    pub async fn send(
        &self,
        cluster: &Cluster,
        exchange: &Exchange,
        body: Body,
        attempts: &mut Attempts,
    ) -> Result<Answered, Failure> {
        let limits = &cluster.spec().limits;
        attempts.admitted = cluster.load().request(limits);
        if attempts.admitted.is_none() {
            let message = "the backends of this route have as many requests as they may";
            return Err(Failure::new(Reason::Overflow, message));
        }
        let mut course = Course::new(self, cluster, exchange, body);
        let mut next = course.pick();
        loop {
            let Some(member) = next else {
                return Err(Failure::new(Reason::NoHealthyBackend, "no backend of this route is healthy"));
            };
            match course.ask(member, attempts).await {
                Verdict::Final(result) => {
                    // However long the response may be, it is no retry any more.
                    attempts.retry = None;
                    return result;
                }
                Verdict::Elsewhere(other) => next = Some(other),
                Verdict::Again(wait, result) => {
                    // That of the retry before, if this is a further one, is given back first.
                    attempts.retry = None;
                    attempts.retry = cluster.load().retry(limits);
                    if attempts.retry.is_none() {
                        return result;
                    }
                    // Nobody has it while it waits.
                    attempts.busy = None;
                    drop(result);
                    sleep(wait).await;
                    next = course.pick_again();
                }
            }
        }
    }
}
