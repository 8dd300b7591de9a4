//! Copies of requests, sent to other upstreams beside their backend. Nobody waits for them, and what becomes of them is
//! seen by nobody but the operator.

mod tee;

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http_body::Body as _;
use tracing::debug;

use super::forward::{Attempts, Forward};
use super::handle::Worker;
use super::{Connection, Failure, Interim, Reason, Rule, RuleTimeouts, View};
use crate::message::{Body, BodyError, Exchange};
use tee::{Copied, tee};

/// Copies that a worker has under way at one time. What is more is dropped.
const MOST: usize = 100;
/// How long a copy may take where its rule does not say how long requests may.
const DEADLINE: Duration = Duration::from_secs(15);

/// How many copies a worker has under way.
#[derive(Debug, Default)]
pub(super) struct UnderWay(Cell<usize>);

/// One of them, for as long as this lives.
struct Place(Rc<Worker>);

impl Place {
    fn take(worker: &Rc<Worker>) -> Option<Self> {
        let UnderWay(count) = &worker.mirrors;
        if count.get() >= MOST {
            worker.metrics.mirrored.dropped.add(1);
            return None;
        }
        count.set(count.get() + 1);
        worker.metrics.mirrored.under_way.add(1);
        Some(Self(Rc::clone(worker)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let UnderWay(count) = &self.0.mirrors;
        count.set(count.get() - 1);
        self.0.metrics.mirrored.under_way.subtract(1);
    }
}

/// A copy of a request. It keeps its view as the request itself does, and no longer than its deadline.
struct Copy {
    place: Place,
    view: Rc<View>,
    exchange: Exchange,
    cluster: usize,
    timeouts: RuleTimeouts,
    connection: Connection,
}

/// Sends the copies that are drawn for a request as it goes to its backend. Returns its body, from which they get theirs.
pub(super) fn send(
    rule: &Rule,
    exchange: &Exchange,
    body: Body,
    connection: &Connection,
    (worker, view): (&Rc<Worker>, &Rc<View>),
) -> Body {
    if exchange.upgrade.is_some() {
        return body;
    }
    let drawn = rule.mirrors.iter().filter(|mirror| mirror.percent.draw());
    let copies: Vec<_> = drawn
        .filter_map(|mirror| {
            Some(Copy {
                place: Place::take(worker)?,
                view: Rc::clone(view),
                exchange: exchange.copy(),
                cluster: mirror.upstream,
                timeouts: rule.timeouts.clone(),
                connection: detached(connection),
            })
        })
        .collect();
    if copies.is_empty() {
        return body;
    }
    let (body, bodies) = tee(body, copies.len());
    for (copy, copied) in copies.into_iter().zip(bodies) {
        // Nobody waits for it: it has a deadline, and the worker ends it when it stops.
        tokio::task::spawn_local(copy.run(copied));
    }
    body
}

/// What a copy has of its client's connection, which may be gone before.
fn detached(connection: &Connection) -> Connection {
    let Connection { peer, local, entrance, tls, .. } = connection;
    Connection::new(*peer, *local, Arc::clone(entrance), tls.clone(), Rc::default())
}

impl Copy {
    async fn run(self, Copied { body, fate }: Copied) {
        let allowed = self.timeouts.request.unwrap_or(DEADLINE);
        let late = || Err(Failure::new(Reason::RequestTimeout, "the copy took longer than it may"));
        let asked = tokio::select! {
            asked = tokio::time::timeout(allowed, self.ask(body)) => asked.unwrap_or_else(|_| late()),
            () = fate.is_behind() => Err(BodyError::TooLarge.into()),
        };
        let counts = &self.place.0.metrics.mirrored;
        let Err(failure) = asked else { return counts.answered.add(1) };
        let upstream = self.view.snapshot.clusters[self.cluster].name();
        debug!(upstream, reason = failure.reason.code(), message = %failure.message, "mirrored request failed");
        match failure.reason {
            Reason::Overflow | Reason::QueueTimeout | Reason::BodyTooLarge => counts.dropped.add(1),
            _ => counts.failed.add(1),
        }
    }

    /// Asks a backend and reads its answer to the end.
    async fn ask(&self, body: Body) -> Result<(), Failure> {
        let (worker, snapshot) = (&self.place.0, &self.view.snapshot);
        let forward = Forward {
            pools: &worker.pools,
            health: &worker.health,
            settings: &snapshot.settings,
            timeouts: &self.timeouts,
            retry: None,
            connection: &self.connection,
            interim: &Interim::default(),
            metrics: &worker.metrics,
        };
        let (cluster, mut attempts) = (&snapshot.clusters[self.cluster], Attempts::default());
        let (_, mut answer) = forward.send(cluster, &self.exchange, body, &mut attempts).await?;
        let Some(member) = &attempts.backend else { return Ok(()) };
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut answer).poll_frame(cx)).await {
            match frame {
                Ok(_) => {}
                Err(BodyError::Request(error)) => return Err((*error).into()),
                Err(error) => {
                    worker.health.failed(cluster, member, "it broke off in the middle of a response");
                    return Err(Failure::new(Reason::BackendClosed, error.to_string()));
                }
            }
        }
        worker.health.succeeded(member);
        Ok(())
    }
}
