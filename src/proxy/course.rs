//! The attempts at one request: who is asked next, with which body, and when it is enough.

use std::cell::Cell;
use std::pin::pin;
use std::time::Duration;

use http::header;
use tokio::time::timeout;

use super::attempt::Missed;
use super::forward::{Answered, Attempts, Forward};
use super::replay::Replay;
use super::retry::Miss;
use super::{Failure, RetryPolicy};
use crate::message::{Body, Exchange};
use crate::upstream::{Cluster, EndpointId, Member};

/// What is known between two attempts.
pub(super) struct Course<'a> {
    forward: &'a Forward<'a>,
    cluster: &'a Cluster,
    exchange: &'a Exchange,
    policy: Option<&'a RetryPolicy>,
    /// The same, where a backend may do the request twice. What none has seen is sent again in any case.
    covered: Option<&'a RetryPolicy>,
    sent: Sent,
    /// Those to be avoided, then those that were asked.
    tried: Vec<EndpointId>,
    avoided: usize,
    retries: u32,
}

/// What is to be sent, and how often that can be done.
enum Sent {
    /// As often as nobody has looked at it.
    Once(Option<Body>),
    /// By a policy.
    Again(Replay),
}

/// What follows an attempt.
pub(super) enum Verdict {
    /// Nothing.
    Final(Result<Answered, Failure>),
    /// Another member at once. Nobody has looked at the request, so that this is no load to anybody, and no retry.
    Elsewhere(Member),
    /// A retry after a while; where there may be none, this is the end.
    Again(Duration, Result<Answered, Failure>),
}

impl<'a> Course<'a> {
    /// Before the first attempt.
    pub fn new(forward: &'a Forward<'a>, cluster: &'a Cluster, exchange: &'a Exchange, body: Body) -> Self {
        let policy = forward.retry.filter(|_| exchange.upgrade.is_none());
        let tried = cluster.ids(&exchange.avoided);
        Self {
            forward,
            cluster,
            exchange,
            policy,
            covered: policy.filter(|policy| policy.covers(&exchange.method)),
            sent: match policy {
                Some(policy) => Sent::Again(Replay::new(body, policy.body)),
                None => Sent::Once(Some(body)),
            },
            avoided: tried.len(),
            tried,
            retries: 0,
        }
    }

    /// Somebody who was not asked yet.
    pub fn pick(&self) -> Option<Member> {
        self.pick_beside(&self.tried)
    }

    /// Somebody for a retry: another is preferred, the same is better than none.
    pub fn pick_again(&self) -> Option<Member> {
        self.pick().or_else(|| self.pick_beside(&self.tried[..self.avoided]))
    }

    fn pick_beside(&self, tried: &[EndpointId]) -> Option<Member> {
        self.cluster.pick(&self.cluster.choice(self.exchange, tried))
    }

    /// One attempt at a member, or two where the first takes long.
    pub async fn ask(&mut self, member: Member, attempts: &mut Attempts) -> Verdict {
        let hedge = self.covered.and_then(|policy| policy.hedge_after);
        let is_at_hand = matches!(&self.sent, Sent::Again(replay) if replay.is_at_hand());
        let (asked, member) = match hedge.filter(|_| is_at_hand) {
            Some(after) => Box::pin(self.ask_two(member, after, attempts)).await,
            None => {
                let body = self.body();
                attempts.count += 1;
                attempts.busy = Some(member.endpoint.begin());
                attempts.backend = Some(member.clone());
                (
                    self.forward.timed(self.cluster, &member, self.exchange, body, &attempts.waits).await,
                    member,
                )
            }
        };
        self.tried.push(member.endpoint.id);
        match asked {
            Ok(answer) => self.judge_answer(answer, &member),
            Err(missed) => self.judge_miss(*missed),
        }
    }

    fn body(&mut self) -> Body {
        match &mut self.sent {
            Sent::Once(body) => body.take().unwrap_or_default(),
            Sent::Again(replay) => replay.body(),
        }
    }

    fn keeps_body(&self) -> bool {
        matches!(&self.sent, Sent::Again(replay) if replay.can_repeat())
    }

    fn judge_answer(&mut self, mut answer: Answered, member: &Member) -> Verdict {
        let again = self.covered.filter(|policy| {
            self.retries < policy.attempts && self.keeps_body() && policy.repeats_answer(&mut answer.0)
        });
        let wait = again.map(|policy| (policy, policy.asked_delay(&mut answer.0)));
        self.bind_client(member, &mut answer);
        // A backend that wants to be left alone for longer than anybody waits has its answer passed on.
        let Some((policy, Ok(asked))) = wait else { return Verdict::Final(Ok(answer)) };
        self.retries += 1;
        let wait = asked.unwrap_or_default().max(policy.delay(self.retries));
        Verdict::Again(wait, Ok(answer))
    }

    fn judge_miss(&mut self, missed: Missed) -> Verdict {
        let is_unseen = matches!(missed.miss, Miss::Connect | Miss::Refused);
        // One that is too large to be kept can be sent again all the same while nobody has taken any of it.
        let has_body = self.keeps_body() || missed.body.is_some();
        let is_free = match &mut self.sent {
            Sent::Once(body) => {
                *body = missed.body;
                body.is_some()
            }
            // Where there is a policy, it says whether a connection that ended is worth a retry: somebody may have looked
            // at what was sent on it.
            Sent::Again(_) => is_unseen && has_body,
        };
        if let Some(other) = is_free.then(|| self.pick()).flatten() {
            return Verdict::Elsewhere(other);
        }
        let again = self.policy.filter(|policy| {
            let may_repeat = has_body && (is_unseen || self.covered.is_some());
            may_repeat && self.retries < policy.attempts && policy.repeats_miss(missed.miss)
        });
        let Some(policy) = again else { return Verdict::Final(Err(missed.failure)) };
        self.retries += 1;
        Verdict::Again(policy.delay(self.retries), Err(missed.failure))
    }

    /// Asks a second member where the first takes long, and takes the first response (hedging).
    async fn ask_two(
        &mut self,
        member: Member,
        after: Duration,
        attempts: &mut Attempts,
    ) -> (Result<Answered, Box<Missed>>, Member) {
        let (forward, cluster, exchange) = (self.forward, self.cluster, self.exchange);
        let (body, other_body) = (self.body(), self.body());
        attempts.count += 1;
        let busy = member.endpoint.begin();
        attempts.backend = Some(member.clone());
        let asked = member.clone();
        let mut first = pin!(forward.timed(cluster, &asked, exchange, body, &attempts.waits));
        if let Ok(answered) = timeout(after, first.as_mut()).await {
            attempts.busy = Some(busy);
            return (answered, member);
        }
        self.tried.push(member.endpoint.id);
        let budget = cluster.load().retry(&cluster.spec().limits);
        let Some((other, _budget)) = self.pick().zip(budget) else {
            attempts.busy = Some(busy);
            return (first.await, member);
        };
        attempts.count += 1;
        self.tried.push(other.endpoint.id);
        let other_busy = other.endpoint.begin();
        // The first is the one who was to answer.
        let waits = Cell::default();
        let mut second = pin!(forward.timed(cluster, &other, exchange, other_body, &waits));
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

    /// Makes a client come back to a member, where it would not by itself.
    fn bind_client(&self, member: &Member, (head, _): &mut Answered) {
        let Some(affinity) = &self.cluster.spec().balancing.affinity else { return };
        let value = affinity.value(self.cluster.name(), &member.endpoint.host);
        if affinity.shown(&self.exchange.headers) != Some(value.as_str()) {
            let is_secure = self.exchange.client.tls.is_some();
            head.headers.append(header::SET_COOKIE, affinity.field(&value, is_secure));
        }
    }
}
