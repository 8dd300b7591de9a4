//! A route's attachments, run in order on requests and in reverse on responses.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use tokio::time::Instant;
use tracing::warn;

use super::attachment::{Attachment, Isolation, OnError};
use super::bindings::Outcome;
use super::fault::{Fault, FaultKind};
use super::instance::{Hook, Instance, StartError, Verdict};
use super::load::Hooks;
use super::reply::Reply;
use super::trip::Admission;
use crate::message::Exchange;
use crate::observe::metrics::PluginMetrics;
use crate::route::{Condition, Subject};

/// Instances of one attachment that a worker keeps warm: more than one only where calls wait beside each other.
const MOST_WARM: usize = 8;

/// One worker's instances: a slot per attachment of its snapshot.
#[derive(Default)]
pub struct Instances {
    slots: Vec<Slot>,
}

struct Slot {
    attachment: Arc<Attachment>,
    warm: RefCell<Vec<Instance>>,
    /// Calls that are under way on this worker and may wait.
    waiting: Cell<u32>,
    /// Those of finish hooks, which have places of their own: nobody waits for them, and they keep nobody waiting.
    finishing: Cell<u32>,
    metrics: Arc<PluginMetrics>,
}

/// An attachment in its place in a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Which: an index into the snapshot's attachments.
    pub slot: usize,
    /// Which requests it sees.
    pub when: Option<Condition>,
}

/// How far one request has come through its chain.
#[derive(Default)]
pub struct Chain {
    /// Slots whose request hook ran without a fault; their other hooks follow.
    reached: Vec<usize>,
    /// Instances that belong to this request alone.
    own: Vec<(usize, Instance)>,
    /// What each hook that did not just go on said, for the access log.
    verdicts: Vec<(usize, &'static str)>,
    /// Slots that this request tries after a pause.
    probes: Vec<usize>,
}

/// Why a chain ended before its last plugin.
#[derive(Debug)]
pub enum ChainEnd {
    /// A plugin answered.
    Reply(Reply),
    /// A plugin failed, and its failures are not to be passed over.
    Fault(FaultKind),
}

/// The exchange that a chain works on. Its place is empty while a hook runs; when a hook that waits is abandoned, the
/// exchange is put back.
pub type Place = Option<Box<Exchange>>;

impl Instances {
    /// A slot for each attachment, in the snapshot's order. Instances of `previous` whose attachment is the same object
    /// move over.
    pub fn new(
        attachments: &[Arc<Attachment>],
        previous: &Self,
        metrics: impl Fn(&str) -> Arc<PluginMetrics>,
    ) -> Self {
        let slots = attachments.iter().map(|attachment| Slot {
            attachment: Arc::clone(attachment),
            warm: RefCell::new(previous.take(attachment)),
            waiting: Cell::new(0),
            finishing: Cell::new(0),
            metrics: metrics(&attachment.plugin.name),
        });
        Self { slots: slots.collect() }
    }

    fn take(&self, attachment: &Arc<Attachment>) -> Vec<Instance> {
        let slot = self.slots.iter().find(|slot| Arc::ptr_eq(&slot.attachment, attachment));
        slot.map(|slot| slot.warm.take()).unwrap_or_default()
    }

    /// Gives all warm instances back to the engine.
    fn cool(&self) {
        self.slots.iter().for_each(|slot| drop(slot.warm.take()));
    }

    /// Bytes of linear memory of each warm instance.
    pub fn memory(&self) -> Vec<usize> {
        let of_slot = |slot: &Slot| slot.warm.borrow().iter().map(Instance::memory).collect::<Vec<_>>();
        self.slots.iter().flat_map(of_slot).collect()
    }

    fn start(&self, slot: &Slot) -> Result<Instance, Fault> {
        let started = match Instance::new(&slot.attachment) {
            // The engine's pool may be empty because other attachments hold on to instances that they hardly use.
            Err(StartError::Fault(Fault { kind: FaultKind::Start | FaultKind::Busy, .. })) => {
                self.cool();
                Instance::new(&slot.attachment)
            }
            started => started,
        };
        started.map_err(|error| match error {
            StartError::Fault(fault) => fault,
            StartError::Contract(detail) | StartError::Refused(detail) => {
                Fault { kind: FaultKind::Start, detail }
            }
        })
    }

    fn hooks(&self, index: usize) -> &Hooks {
        &self.slots[index].attachment.plugin.hooks
    }

    fn fails_closed(&self, index: usize) -> bool {
        self.slots[index].attachment.spec.on_error == OnError::Closed
    }
}

impl Chain {
    /// Runs the request hooks of the attachments in `links` whose conditions hold.
    pub async fn on_request(
        &mut self,
        instances: &Instances,
        links: &[Link],
        exchange: &mut Place,
    ) -> Result<(), ChainEnd> {
        for Link { slot: index, when } in links {
            let index = *index;
            if when.as_ref().is_some_and(|when| !holds(when, exchange)) {
                continue;
            }
            if instances.hooks(index).on_request.is_none() {
                self.reached.push(index);
                continue;
            }
            match self.call(instances, index, exchange, Hook::Request).await {
                Ok(Verdict::Next) => self.reached.push(index),
                Ok(Verdict::Reply(reply)) => {
                    self.reached.push(index);
                    self.verdicts.push((index, "reply"));
                    return Err(ChainEnd::Reply(reply));
                }
                Err(kind) if instances.fails_closed(index) => return Err(ChainEnd::Fault(kind)),
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Whether any hook wants the response.
    pub fn wants_response(&self, instances: &Instances) -> bool {
        self.reached.iter().any(|&index| instances.hooks(index).on_response.is_some())
    }

    /// Runs the response hooks of what was reached, in reverse. An end replaces the response, and the hooks that are
    /// still to come see what it was replaced by: `replace` puts it into the exchange.
    pub async fn on_response(
        &mut self,
        instances: &Instances,
        exchange: &mut Place,
        mut replace: impl FnMut(&mut Exchange, ChainEnd),
    ) {
        for position in (0..self.reached.len()).rev() {
            let index = self.reached[position];
            if instances.hooks(index).on_response.is_none() {
                continue;
            }
            let end = match self.call(instances, index, exchange, Hook::Response).await {
                Ok(Verdict::Reply(reply)) => {
                    self.verdicts.push((index, "reply"));
                    ChainEnd::Reply(reply)
                }
                Err(kind) if instances.fails_closed(index) => ChainEnd::Fault(kind),
                _ => continue,
            };
            replace(exchange.as_mut().expect("a call that has ended has put it back"), end);
        }
    }

    /// Whether any hook wants to know how the exchange ended.
    pub fn wants_finish(&self, instances: &Instances) -> bool {
        self.reached.iter().any(|&index| instances.hooks(index).on_finish.is_some())
    }

    /// Whether finish hooks may wait.
    pub fn finish_waits(&self, instances: &Instances) -> bool {
        self.reached.iter().any(|&index| {
            instances.hooks(index).on_finish.is_some() && instances.slots[index].attachment.plugin.waits
        })
    }

    /// Runs the finish hooks of what was reached. Their faults concern nobody but the log.
    pub async fn on_finish(&mut self, instances: &Instances, exchange: &mut Place, outcome: &Outcome) {
        for position in 0..self.reached.len() {
            let index = self.reached[position];
            if instances.hooks(index).on_finish.is_some() {
                let _ = self.call(instances, index, exchange, Hook::Finish(outcome.clone())).await;
            }
        }
    }

    /// Plugins that said more than "go on", with what they said.
    pub fn verdicts<'a>(&'a self, instances: &'a Instances) -> impl Iterator<Item = (&'a str, &'static str)> {
        self.verdicts
            .iter()
            .map(|&(index, verdict)| (instances.slots[index].attachment.plugin.name.as_str(), verdict))
    }

    /// Calls one hook. After a fault the instance is gone.
    async fn call(
        &mut self,
        instances: &Instances,
        index: usize,
        exchange: &mut Place,
        hook: Hook,
    ) -> Result<Verdict, FaultKind> {
        let slot = &instances.slots[index];
        let Some(admission) = self.admission(slot, index) else {
            return Err(self.pass_over(slot, index, FaultKind::Tripped));
        };
        let number = hook.number();
        let started = Instant::now();
        let mut instance = match self.checkout(instances, index, &hook) {
            Ok(instance) => instance,
            Err(fault) => return Err(self.report(slot, index, &fault, number, admission)),
        };
        let result = if slot.attachment.plugin.waits {
            let places = if matches!(hook, Hook::Finish(_)) { &slot.finishing } else { &slot.waiting };
            let Some(_waiting) = Waiting::begin(places, slot.attachment.spec.limits.waiting_calls) else {
                self.checkin(slot, index, instance);
                return Err(self.pass_over(slot, index, FaultKind::Busy));
            };
            let result;
            (instance, result) = instance.call_waiting(hook, exchange).await;
            result
        } else {
            instance.call(hook, exchange)
        };
        slot.metrics.called(started.elapsed());
        match result {
            Ok(verdict) => {
                slot.attachment.trip.succeeded(number, admission);
                self.checkin(slot, index, instance);
                Ok(verdict)
            }
            Err(fault) => Err(self.report(slot, index, &fault, number, admission)),
        }
    }

    /// Whether the attachment may be called. A request that tries one after a pause tries all of its hooks.
    fn admission(&mut self, slot: &Slot, index: usize) -> Option<Admission> {
        if self.probes.contains(&index) {
            return Some(Admission::Probe);
        }
        let admission = slot.attachment.trip.admits()?;
        if admission == Admission::Probe {
            self.probes.push(index);
        }
        Some(admission)
    }

    fn checkout(&mut self, instances: &Instances, index: usize, hook: &Hook) -> Result<Instance, Fault> {
        let slot = &instances.slots[index];
        let spec = &slot.attachment.spec;
        let is_first = slot.attachment.plugin.hooks.begins_with(hook);
        let own = self.own.iter().position(|(owner, _)| *owner == index);
        let own = own.map(|position| self.own.swap_remove(position).1);
        let held = match spec.isolation {
            Isolation::Reuse => own.or_else(|| {
                let warm = slot.warm.borrow_mut().pop();
                warm.filter(|instance| !is_first || instance.served < spec.limits.requests)
            }),
            Isolation::Request => own,
        };
        let mut instance = held.map_or_else(|| instances.start(slot), Ok)?;
        instance.served += u64::from(is_first);
        Ok(instance)
    }

    fn checkin(&mut self, slot: &Slot, index: usize, mut instance: Instance) {
        let hooks = &slot.attachment.plugin.hooks;
        match slot.attachment.spec.isolation {
            Isolation::Reuse => {
                if instance.place.is_none() {
                    instance.place = slot.attachment.plugin.warm_places.take();
                }
                let mut warm = slot.warm.borrow_mut();
                if instance.place.is_some() && warm.len() < MOST_WARM {
                    warm.push(instance);
                } else {
                    // It serves this request to its end, and the next one gets another.
                    self.own.push((index, instance));
                }
            }
            Isolation::Request if hooks.on_response.is_some() || hooks.on_finish.is_some() => {
                self.own.push((index, instance));
            }
            Isolation::Request => {}
        }
    }

    fn report(
        &mut self,
        slot: &Slot,
        index: usize,
        fault: &Fault,
        hook: usize,
        admission: Admission,
    ) -> FaultKind {
        let plugin = slot.attachment.plugin.name.as_str();
        if let Some(dropped) = slot.attachment.admit_fault_line() {
            warn!(plugin, code = fault.kind.code(), dropped, "plugin fault: {}", fault.detail);
        }
        if fault.kind != FaultKind::Busy
            && let Some(pause) =
                slot.attachment.trip.failed(hook, admission, fault.kind == FaultKind::Deadline)
        {
            warn!(plugin, seconds = pause.as_secs(), "plugin tripped: it is not called for a while");
        }
        self.pass_over(slot, index, fault.kind)
    }

    fn pass_over(&mut self, slot: &Slot, index: usize, kind: FaultKind) -> FaultKind {
        slot.metrics.faulted(kind.code());
        self.verdicts.push((index, kind.code()));
        kind
    }
}

fn holds(condition: &Condition, exchange: &mut Place) -> bool {
    let exchange = exchange.as_mut().expect("it lies in its place between calls");
    exchange.complete_headers();
    condition.holds(&subject(exchange))
}

/// What conditions see of an exchange.
pub fn subject(exchange: &Exchange) -> Subject<'_> {
    Subject {
        method: &exchange.method,
        host: exchange.host_name(),
        path: exchange.path(),
        query: exchange.uri.query(),
        headers: &exchange.headers,
        attributes: &exchange.attributes,
    }
}

impl Link {
    /// Whether its plugin sees a request as it is, with all its headers.
    pub fn sees(&self, exchange: &Exchange) -> bool {
        self.when.as_ref().is_none_or(|when| when.holds(&subject(exchange)))
    }
}

/// A call that may wait, counted.
struct Waiting<'a>(&'a Cell<u32>);

impl<'a> Waiting<'a> {
    fn begin(places: &'a Cell<u32>, most: u32) -> Option<Self> {
        let taken = places.get();
        if taken >= most {
            return None;
        }
        places.set(taken + 1);
        Some(Self(places))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
