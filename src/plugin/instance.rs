//! One instance of a plugin, and calls into it.

use std::sync::Arc;

use thiserror::Error;
use wasmtime::component::{ComponentNamedList, Lift, Lower, Resource, TypedFunc};
use wasmtime::{Store, Trap, WasmBacktrace};

use super::attachment::Attachment;
use super::bindings::{self, Outcome};
use super::engine::WarmPlace;
use super::host::{Host, RequestHandle, ResponseHandle};
use super::load::chain;
use super::reply::{Reply, ReplyError};
use crate::message::Exchange;

/// Frames of a guest's stack that are worth a place in a log line.
const SHOWN_FRAMES: usize = 12;

/// What a hook decided.
#[derive(Debug)]
pub enum Verdict {
    /// Go on.
    Next,
    /// Answer with this.
    Reply(Reply),
}

/// What kind of failure ended a call. The code of each is stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// A panic or another trap.
    Trap,
    /// It ran out of time.
    Deadline,
    /// It was denied memory and could not go on.
    Memory,
    /// It ran out of stack.
    Stack,
    /// Its reply is invalid or too large.
    Reply,
    /// It asked a capability for what that does not give.
    Misuse,
    /// No instance could be made.
    Start,
}

/// A failed call.
#[derive(Debug, Clone, Error)]
#[error("{}: {detail}", kind.code())]
pub struct Fault {
    /// What kind.
    pub kind: FaultKind,
    /// For the log: the trap with the guest's backtrace.
    pub detail: String,
}

/// Why no instance could be put into service.
#[derive(Debug)]
pub(super) enum StartError {
    Contract(String),
    Refused(String),
    Fault(Fault),
}

/// A component's own world. Serves one call at a time; after a fault it must not be called again.
pub(super) struct Instance {
    store: Store<Host>,
    hooks: Functions,
    ticks: u64,
    /// Requests that it has served.
    pub served: u64,
    /// Lets it wait for its next request.
    pub place: Option<WarmPlace>,
}

type BothHandles = (Resource<RequestHandle>, Resource<ResponseHandle>);

#[derive(Default)]
struct Functions {
    on_request: Option<TypedFunc<(Resource<RequestHandle>,), (bindings::Verdict,)>>,
    on_response: Option<TypedFunc<BothHandles, (bindings::Verdict,)>>,
    on_finish: Option<TypedFunc<(Outcome,), ()>>,
}

impl FaultKind {
    /// All there are.
    pub const ALL: [Self; 7] =
        [Self::Trap, Self::Deadline, Self::Memory, Self::Stack, Self::Reply, Self::Misuse, Self::Start];

    /// As it stands in bodies, logs and metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::Trap => "plugin-trap",
            Self::Deadline => "plugin-deadline",
            Self::Memory => "plugin-memory",
            Self::Stack => "plugin-stack",
            Self::Reply => "plugin-reply",
            Self::Misuse => "plugin-misuse",
            Self::Start => "plugin-start",
        }
    }
}

impl Instance {
    /// Instantiates and configures.
    pub fn new(attachment: &Arc<Attachment>) -> Result<Self, StartError> {
        let plugin = &attachment.plugin;
        let mut store = Store::new(plugin.pre.engine(), Host::new(attachment));
        store.limiter(|host| &mut host.limiter);
        store.set_epoch_deadline(attachment.ticks);
        let instance = plugin.pre.instantiate(&mut store).map_err(|error| {
            let kind = if store.data().limiter.denied { FaultKind::Memory } else { FaultKind::Start };
            StartError::Fault(Fault { kind, detail: chain(&error) })
        })?;
        let contract = |error: wasmtime::Error| StartError::Contract(chain(&error));
        let hooks = &plugin.hooks;
        let on_request = hooks.on_request.map(|index| instance.get_typed_func(&mut store, index));
        let on_response = hooks.on_response.map(|index| instance.get_typed_func(&mut store, index));
        let on_finish = hooks.on_finish.map(|index| instance.get_typed_func(&mut store, index));
        let functions = Functions {
            on_request: on_request.transpose().map_err(contract)?,
            on_response: on_response.transpose().map_err(contract)?,
            on_finish: on_finish.transpose().map_err(contract)?,
        };
        if let Some(index) = hooks.configure {
            let configure =
                instance.get_typed_func::<(), (Result<(), String>,)>(&mut store, index).map_err(contract)?;
            let (outcome,) = configure
                .call(&mut store, ())
                .map_err(|error| StartError::Fault(fault(&error, store.data())))?;
            outcome.map_err(StartError::Refused)?;
        }
        Ok(Self { store, hooks: functions, ticks: attachment.ticks, served: 0, place: None })
    }

    /// Runs `on-request`. The exchange comes back whatever happens.
    pub fn on_request(&mut self, exchange: Box<Exchange>) -> (Box<Exchange>, Result<Verdict, Fault>) {
        let Some(hook) = self.hooks.on_request else { return (exchange, Ok(Verdict::Next)) };
        let (exchange, verdict) = self.call(hook, (Resource::new_borrow(0),), exchange);
        (exchange, verdict.and_then(|(verdict,)| self.accept(verdict)))
    }

    /// Runs `on-response` on an exchange that has a response.
    pub fn on_response(&mut self, exchange: Box<Exchange>) -> (Box<Exchange>, Result<Verdict, Fault>) {
        let Some(hook) = self.hooks.on_response else { return (exchange, Ok(Verdict::Next)) };
        let handles = (Resource::new_borrow(0), Resource::new_borrow(0));
        let (exchange, verdict) = self.call(hook, handles, exchange);
        (exchange, verdict.and_then(|(verdict,)| self.accept(verdict)))
    }

    /// Runs `on-finish`.
    pub fn on_finish(
        &mut self,
        exchange: Box<Exchange>,
        outcome: Outcome,
    ) -> (Box<Exchange>, Result<(), Fault>) {
        let Some(hook) = self.hooks.on_finish else { return (exchange, Ok(())) };
        self.call(hook, (outcome,), exchange)
    }

    fn call<P, R>(
        &mut self,
        hook: TypedFunc<P, R>,
        parameters: P,
        exchange: Box<Exchange>,
    ) -> (Box<Exchange>, Result<R, Fault>)
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift + 'static,
    {
        self.store.data_mut().begin(exchange);
        self.store.set_epoch_deadline(self.ticks);
        let result = hook.call(&mut self.store, parameters);
        let exchange = self.store.data_mut().end();
        (exchange, result.map_err(|error| fault(&error, self.store.data())))
    }

    fn accept(&self, verdict: bindings::Verdict) -> Result<Verdict, Fault> {
        match verdict {
            bindings::Verdict::Next => Ok(Verdict::Next),
            bindings::Verdict::Reply(reply) => Reply::accept(reply, self.store.data().reply_size())
                .map(Verdict::Reply)
                .map_err(|error: ReplyError| Fault { kind: FaultKind::Reply, detail: error.to_string() }),
        }
    }
}

/// Sorts what ended a call.
fn fault(error: &wasmtime::Error, host: &Host) -> Fault {
    let kind = match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => FaultKind::Deadline,
        Some(Trap::StackOverflow) => FaultKind::Stack,
        _ if host.limiter.denied => FaultKind::Memory,
        Some(_) => FaultKind::Trap,
        None => FaultKind::Misuse,
    };
    Fault { kind, detail: describe(error) }
}

/// The cause and where in the guest it came about, on one line.
fn describe(error: &wasmtime::Error) -> String {
    let cause = error.chain().last().map_or_else(|| chain(error), ToString::to_string);
    let frames = error.downcast_ref::<WasmBacktrace>().map_or(&[][..], WasmBacktrace::frames);
    let names: Vec<_> = frames.iter().filter_map(|frame| frame.func_name()).take(SHOWN_FRAMES).collect();
    if names.is_empty() { cause } else { format!("{cause}, in {}", names.join(" < ")) }
}
