//! A route's attachments, run in order on requests and in reverse on responses.

use std::cell::RefCell;
use std::sync::Arc;

use tokio::time::Instant;
use tracing::warn;

use super::attachment::{Attachment, Isolation, OnError};
use super::bindings::Outcome;
use super::instance::{Fault, FaultKind, Instance, StartError, Verdict};
use super::load::Hooks;
use super::reply::Reply;
use crate::message::Exchange;
use crate::observe::metrics::PluginMetrics;

/// One worker's instances: a slot per attachment of its snapshot.
#[derive(Default)]
pub struct Instances {
    slots: Vec<Slot>,
}

struct Slot {
    attachment: Arc<Attachment>,
    warm: RefCell<Option<Instance>>,
    metrics: Arc<PluginMetrics>,
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
}

/// Why a chain ended before its last plugin.
#[derive(Debug)]
pub enum ChainEnd {
    /// A plugin answered.
    Reply(Reply),
    /// A plugin failed, and its failures are not to be passed over.
    Fault(FaultKind),
}

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
            metrics: metrics(&attachment.plugin.name),
        });
        Self { slots: slots.collect() }
    }

    fn take(&self, attachment: &Arc<Attachment>) -> Option<Instance> {
        let mut slots = self.slots.iter();
        slots.find(|slot| Arc::ptr_eq(&slot.attachment, attachment))?.warm.take()
    }

    /// Gives all warm instances back to the engine.
    fn cool(&self) {
        self.slots.iter().for_each(|slot| drop(slot.warm.take()));
    }

    fn start(&self, slot: &Slot) -> Result<Instance, Fault> {
        let started = match Instance::new(&slot.attachment) {
            // The engine's pool may be empty because other attachments hold on to instances that they hardly use.
            Err(StartError::Fault(Fault { kind: FaultKind::Start, .. })) => {
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
}

impl Chain {
    /// Runs the request hooks of the attachments in `slots`.
    pub fn on_request(
        &mut self,
        instances: &Instances,
        slots: &[usize],
        mut exchange: Box<Exchange>,
    ) -> (Box<Exchange>, Result<(), ChainEnd>) {
        for &index in slots {
            if instances.hooks(index).on_request.is_none() {
                self.reached.push(index);
                continue;
            }
            let verdict;
            (exchange, verdict) = self.call(instances, index, exchange, Instance::on_request);
            match verdict {
                Ok(Verdict::Next) => self.reached.push(index),
                Ok(Verdict::Reply(reply)) => {
                    self.reached.push(index);
                    self.verdicts.push((index, "reply"));
                    return (exchange, Err(ChainEnd::Reply(reply)));
                }
                Err(kind) if instances.fails_closed(index) => return (exchange, Err(ChainEnd::Fault(kind))),
                Err(_) => {}
            }
        }
        (exchange, Ok(()))
    }

    /// Whether any hook wants the response.
    pub fn wants_response(&self, instances: &Instances) -> bool {
        self.reached.iter().any(|&index| instances.hooks(index).on_response.is_some())
    }

    /// Runs the response hooks of what was reached, in reverse. An end replaces the response, and the hooks that are
    /// still to come see what it was replaced by: `replace` puts it into the exchange.
    pub fn on_response(
        &mut self,
        instances: &Instances,
        mut exchange: Box<Exchange>,
        mut replace: impl FnMut(&mut Exchange, ChainEnd),
    ) -> Box<Exchange> {
        for position in (0..self.reached.len()).rev() {
            let index = self.reached[position];
            if instances.hooks(index).on_response.is_none() {
                continue;
            }
            let verdict;
            (exchange, verdict) = self.call(instances, index, exchange, Instance::on_response);
            match verdict {
                Ok(Verdict::Reply(reply)) => {
                    self.verdicts.push((index, "reply"));
                    replace(&mut exchange, ChainEnd::Reply(reply));
                }
                Err(kind) if instances.fails_closed(index) => replace(&mut exchange, ChainEnd::Fault(kind)),
                _ => {}
            }
        }
        exchange
    }

    /// Whether any hook wants to know how the exchange ended.
    pub fn wants_finish(&self, instances: &Instances) -> bool {
        self.reached.iter().any(|&index| instances.hooks(index).on_finish.is_some())
    }

    /// Runs the finish hooks of what was reached. Their faults concern nobody but the log.
    pub fn on_finish(&mut self, instances: &Instances, mut exchange: Box<Exchange>, outcome: &Outcome) {
        for position in 0..self.reached.len() {
            let index = self.reached[position];
            if instances.hooks(index).on_finish.is_some() {
                (exchange, _) = self.call(instances, index, exchange, |instance, exchange| {
                    instance.on_finish(exchange, outcome.clone())
                });
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
    fn call<T>(
        &mut self,
        instances: &Instances,
        index: usize,
        exchange: Box<Exchange>,
        hook: impl FnOnce(&mut Instance, Box<Exchange>) -> (Box<Exchange>, Result<T, Fault>),
    ) -> (Box<Exchange>, Result<T, FaultKind>) {
        let slot = &instances.slots[index];
        let started = Instant::now();
        let mut instance = match self.checkout(instances, index) {
            Ok(instance) => instance,
            Err(fault) => return (exchange, Err(self.report(slot, index, fault))),
        };
        let (exchange, result) = hook(&mut instance, exchange);
        slot.metrics.called(started.elapsed());
        match result {
            Ok(value) => {
                self.checkin(slot, index, instance);
                (exchange, Ok(value))
            }
            Err(fault) => (exchange, Err(self.report(slot, index, fault))),
        }
    }

    fn checkout(&mut self, instances: &Instances, index: usize) -> Result<Instance, Fault> {
        let slot = &instances.slots[index];
        let spec = &slot.attachment.spec;
        // What was reached has been called for this request before, unless it has no request hook.
        let is_first = !self.reached.contains(&index) || instances.hooks(index).on_request.is_none();
        let own = self.own.iter().position(|(owner, _)| *owner == index);
        let own = own.map(|position| self.own.swap_remove(position).1);
        let held = match spec.isolation {
            Isolation::Reuse => own.or_else(|| {
                slot.warm.take().filter(|instance| !is_first || instance.served < spec.limits.requests)
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
                match instance.place {
                    Some(_) => drop(slot.warm.replace(Some(instance))),
                    // It serves this request to its end, and the next one gets another.
                    None => self.own.push((index, instance)),
                }
            }
            Isolation::Request if hooks.on_response.is_some() || hooks.on_finish.is_some() => {
                self.own.push((index, instance));
            }
            Isolation::Request => {}
        }
    }

    fn report(&mut self, slot: &Slot, index: usize, fault: Fault) -> FaultKind {
        slot.metrics.faulted(fault.kind.code());
        self.verdicts.push((index, fault.kind.code()));
        warn!(
            plugin = slot.attachment.plugin.name,
            code = fault.kind.code(),
            "plugin fault: {}",
            fault.detail
        );
        fault.kind
    }
}

impl Instances {
    fn hooks(&self, index: usize) -> &Hooks {
        &self.slots[index].attachment.plugin.hooks
    }

    fn fails_closed(&self, index: usize) -> bool {
        self.slots[index].attachment.spec.on_error == OnError::Closed
    }
}
