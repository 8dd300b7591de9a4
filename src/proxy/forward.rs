//! Steps 5 and 6 of a request: pick an endpoint, send, and try the next one where that is safe.

use std::cell::Cell;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header;

use super::attempt::Missed;
use super::replay::Replay;
use super::retry::Miss;
use super::{Connection, Failure, Interim, Reason, RetryPolicy, RuleTimeouts, Settings};
use crate::message::{Body, Exchange, ResponseHead};
use crate::observe::metrics::WorkerMetrics;
use crate::upstream::{Busy, Cluster, EndpointId, Health, Member, Permit, Pools, Share};

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
    busy: Option<Busy>,
    /// And one of those that are asked again.
    retry: Option<Permit>,
    /// Whether that backend has all of it and has not answered.
    waits: Cell<bool>,
}

/// What is to be sent, and how often that can be done.
enum Sent {
    /// As often as nobody has looked at it.
    Once(Option<Body>),
    /// By a policy.
    Again(Replay),
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
        cluster: &Arc<Cluster>,
        exchange: &Exchange,
        body: Body,
        attempts: &mut Attempts,
    ) -> Result<Answered, Failure> {
        attempts.admitted = cluster.load().request(&cluster.spec().limits);
        if attempts.admitted.is_none() {
            let message = "the backends of this route have as many requests as they may";
            return Err(Failure::new(Reason::Overflow, message));
        }
        let policy = self.retry.filter(|_| exchange.upgrade.is_none());
        // Whether a backend may do it twice. What none has seen is sent again in any case, and needs a body for that.
        let covered = policy.filter(|policy| policy.covers(&exchange.method));
        let mut sent = match policy {
            Some(policy) => Sent::Again(Replay::new(body, policy.body)),
            None => Sent::Once(Some(body)),
        };
        let mut tried = cluster.ids(&exchange.avoided);
        let avoided = tried.len();
        let mut last: Option<Result<Answered, Failure>> = None;
        let mut retries = 0;
        let mut next = None;
        loop {
            let picked = next.take().or_else(|| cluster.pick(&cluster.choice(exchange, &tried)));
            // All were asked, and the policy is not at its end: another is preferred, the same is better than none.
            let picked = picked.or_else(|| {
                let is_again = retries > 0 && tried.len() > avoided;
                is_again.then(|| cluster.pick(&cluster.choice(exchange, &tried[..avoided]))).flatten()
            });
            let Some(member) = picked else {
                let none = || Failure::new(Reason::NoHealthyBackend, "no backend of this route is healthy");
                return last.unwrap_or_else(|| Err(none()));
            };
            let body = match &mut sent {
                Sent::Once(body) => body.take().unwrap_or_default(),
                Sent::Again(replay) => replay.body(),
            };
            let hedge = covered.and_then(|policy| policy.hedge_after);
            let asked = match (&sent, hedge) {
                (Sent::Again(replay), Some(after)) if replay.is_at_hand() => {
                    Box::pin(self.hedged(cluster, member, exchange, replay, after, &mut tried, attempts))
                        .await
                }
                _ => (self.ask(cluster, &member, exchange, body, attempts).await, member),
            };
            let can_repeat = matches!(&sent, Sent::Again(replay) if replay.can_repeat());
            let (wait, mut result) = match asked {
                (Ok(mut answer), member) => {
                    let again = covered.filter(|policy| {
                        can_repeat && retries < policy.attempts && policy.repeats_answer(&mut answer.0)
                    });
                    let wait = again.map(|policy| (policy, policy.asked_delay(&mut answer.0)));
                    let Some((policy, Ok(asked))) = wait else {
                        // However long the response may be, it is no retry any more.
                        attempts.retry = None;
                        bind_client(cluster, &member, exchange, &mut answer.0);
                        return Ok(answer);
                    };
                    tried.push(member.endpoint.id);
                    (Some(asked.unwrap_or_default().max(policy.delay(retries + 1))), Ok(answer))
                }
                (Err(missed), member) => {
                    tried.push(member.endpoint.id);
                    let is_unseen = matches!(missed.miss, Miss::Connect | Miss::Refused);
                    let can_repeat = can_repeat || missed.body.is_some();
                    let is_free = match &mut sent {
                        Sent::Once(body) => {
                            *body = missed.body;
                            body.is_some()
                        }
                        // Where there is a policy, it says whether a connection that ended is worth a retry: somebody may
                        // have looked at what was sent on it.
                        Sent::Again(_) => is_unseen && can_repeat,
                    };
                    let again = policy.filter(|policy| {
                        let may_repeat = can_repeat && (is_unseen || covered.is_some());
                        may_repeat && retries < policy.attempts && policy.repeats_miss(missed.miss)
                    });
                    // Nobody has looked at it: that is no load to anybody, and costs no retry while there are others.
                    next = is_free.then(|| cluster.pick(&cluster.choice(exchange, &tried))).flatten();
                    match again {
                        _ if next.is_some() => (None, Err(missed.failure)),
                        Some(policy) => (Some(policy.delay(retries + 1)), Err(missed.failure)),
                        None => return Err(missed.failure),
                    }
                }
            };
            if let Some(wait) = wait {
                // That of the retry before, if this is a further one, is given back first.
                attempts.retry = None;
                attempts.retry = cluster.load().retry(&cluster.spec().limits);
                if attempts.retry.is_none() {
                    if let (Ok(answer), Some(member)) = (&mut result, &attempts.backend) {
                        bind_client(cluster, member, exchange, &mut answer.0);
                    }
                    return result;
                }
                retries += 1;
                last = None;
                // Nobody has it while it waits.
                attempts.busy = None;
                drop(result);
                tokio::time::sleep(wait).await;
            } else {
                last = Some(result);
            }
        }
    }

    /// One attempt at a member, accounted for.
    async fn ask(
        &self,
        cluster: &Cluster,
        member: &Member,
        exchange: &Exchange,
        body: Body,
        attempts: &mut Attempts,
    ) -> Result<Answered, Box<Missed>> {
        attempts.count += 1;
        attempts.busy = Some(member.endpoint.begin());
        attempts.backend = Some(member.clone());
        self.timed(cluster, member, exchange, body, &attempts.waits).await
    }

    /// Asks a second member where the first takes long, and takes the first response.
    #[expect(clippy::too_many_arguments, reason = "it is a part of `send`")]
    async fn hedged(
        &self,
        cluster: &Arc<Cluster>,
        member: Member,
        exchange: &Exchange,
        replay: &Replay,
        after: Duration,
        tried: &mut Vec<EndpointId>,
        attempts: &mut Attempts,
    ) -> (Result<Answered, Box<Missed>>, Member) {
        attempts.count += 1;
        let busy = member.endpoint.begin();
        attempts.backend = Some(member.clone());
        let asked = member.clone();
        let mut first = pin!(self.timed(cluster, &asked, exchange, replay.body(), &attempts.waits));
        if let Ok(answered) = tokio::time::timeout(after, first.as_mut()).await {
            attempts.busy = Some(busy);
            return (answered, member);
        }
        tried.push(member.endpoint.id);
        let other = cluster.pick(&cluster.choice(exchange, tried));
        let budget = cluster.load().retry(&cluster.spec().limits);
        let Some((other, _budget)) = other.zip(budget) else {
            attempts.busy = Some(busy);
            return (first.await, member);
        };
        attempts.count += 1;
        tried.push(other.endpoint.id);
        let other_busy = other.endpoint.begin();
        // The first is the one who was to answer.
        let waits = Cell::default();
        let mut second = pin!(self.timed(cluster, &other, exchange, replay.body(), &waits));
        let (answered, is_first) = tokio::select! {
            answered = first.as_mut() => match answered {
                Ok(answered) => (Ok(answered), true),
                Err(_) => (second.await, false),
            },
            answered = second.as_mut() => match answered {
                Ok(answered) => (Ok(answered), false),
                Err(_) => (first.await, true),
            },
        };
        let (busy, member) = if is_first { (busy, member) } else { (other_busy, other.clone()) };
        attempts.busy = Some(busy);
        attempts.backend = Some(member.clone());
        (answered, member)
    }
}

/// Makes a client come back to a member, where it would not by itself.
fn bind_client(cluster: &Cluster, member: &Member, exchange: &Exchange, head: &mut ResponseHead) {
    let Some(affinity) = &cluster.spec().balancing.affinity else { return };
    let value = affinity.value(cluster.name(), &member.endpoint.host);
    if affinity.shown(&exchange.headers) != Some(value.as_str()) {
        let is_secure = exchange.client.tls.is_some();
        head.headers.append(header::SET_COOKIE, affinity.field(&value, is_secure));
    }
}
