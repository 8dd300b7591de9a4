//! One instance of a plugin, and calls into it.

use std::sync::Arc;

use wasmtime::component::{Resource, TypedFunc};
use wasmtime::{PoolConcurrencyLimitError, Store};

use super::attachment::Attachment;
use super::bindings::{self, Outcome};
use super::chain::Place;
use super::engine::WarmPlace;
use super::fault::{Fault, FaultKind, fault};
use super::host::{Host, RequestHandle, ResponseHandle, clip};
use super::load::{Plugin, chain};
use super::opened::Opened;
use super::reply::{Reply, ReplyError};
use crate::base::immediate::immediate;

/// Bytes that a guest hands to the host in one call at most, and never more than it has memory: a list may name the same
/// bytes again and again, and the host copies them each time.
const LARGEST_CALL: usize = 16 << 20;

/// What is called.
#[derive(Debug)]
pub(super) enum Hook {
    Request,
    Response,
    Finish(Outcome),
}

impl Hook {
    /// Which it is, in the order in which they are called.
    pub fn number(&self) -> usize {
        match self {
            Self::Request => 0,
            Self::Response => 1,
            Self::Finish(_) => 2,
        }
    }
}

/// What a hook decided.
#[derive(Debug)]
pub enum Verdict {
    /// Go on.
    Next,
    /// Answer with this.
    Reply(Reply),
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
    waits: bool,
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

impl Instance {
    /// Instantiates and configures. Nothing in there waits for anything: what a plugin could wait for it gets only with a
    /// request.
    pub fn new(attachment: &Arc<Attachment>) -> Result<Self, StartError> {
        Self::start(attachment, None).map(|(instance, _)| instance)
    }

    /// The first instance of an attachment, and what it has opened.
    pub fn first(attachment: &Arc<Attachment>) -> Result<Opened, StartError> {
        Self::start(attachment, Some(Opened::default())).map(|(_, opened)| opened)
    }

    fn start(attachment: &Arc<Attachment>, opening: Option<Opened>) -> Result<(Self, Opened), StartError> {
        let plugin = &attachment.plugin;
        let mut store = Store::new(plugin.pre.engine(), Host::new(attachment, opening));
        store.limiter(|host| &mut host.limiter);
        store.set_hostcall_fuel(attachment.spec.limits.memory.min(LARGEST_CALL));
        if plugin.waits {
            store.epoch_deadline_callback(|mut context| Ok(context.data_mut().spend_tick()));
        }
        let mut instance = Self {
            store,
            hooks: Functions::default(),
            ticks: attachment.ticks,
            waits: plugin.waits,
            served: 0,
            place: None,
        };
        instance.wind_up_to_configure();
        immediate(instance.configure(plugin)).unwrap_or_else(|| {
            let detail = "it waited while it was configured".to_owned();
            Err(StartError::Fault(Fault { kind: FaultKind::Misuse, detail }))
        })?;
        let opened = instance.store.data_mut().take_opened();
        Ok((instance, opened))
    }

    async fn configure(&mut self, plugin: &Plugin) -> Result<(), StartError> {
        let Self { store, .. } = self;
        let instance = match plugin.waits {
            true => plugin.pre.instantiate_async(&mut *store).await,
            false => plugin.pre.instantiate(&mut *store),
        };
        let instance = instance.map_err(|error| {
            let kind = match () {
                () if store.data().limiter.denied => FaultKind::Memory,
                () if error.is::<PoolConcurrencyLimitError>() => FaultKind::Busy,
                () => FaultKind::Start,
            };
            StartError::Fault(Fault { kind, detail: chain(&error) })
        })?;
        let contract = |error: wasmtime::Error| StartError::Contract(chain(&error));
        let hooks = &plugin.hooks;
        let on_request = hooks.on_request.map(|index| instance.get_typed_func(&mut *store, index));
        let on_response = hooks.on_response.map(|index| instance.get_typed_func(&mut *store, index));
        let on_finish = hooks.on_finish.map(|index| instance.get_typed_func(&mut *store, index));
        self.hooks = Functions {
            on_request: on_request.transpose().map_err(contract)?,
            on_response: on_response.transpose().map_err(contract)?,
            on_finish: on_finish.transpose().map_err(contract)?,
        };
        let Some(index) = hooks.configure else { return Ok(()) };
        let configure =
            instance.get_typed_func::<(), (Result<(), String>,)>(&mut *store, index).map_err(contract)?;
        let called = match plugin.waits {
            true => configure.call_async(&mut *store, ()).await,
            false => configure.call(&mut *store, ()),
        };
        let (outcome,) = called.map_err(|error| StartError::Fault(fault(&error, store.data_mut())))?;
        outcome.map_err(|words| StartError::Refused(clip(&words)))
    }

    /// Gives `configure` its time. Nobody else has a turn meanwhile, so all of its ticks are one: were it to yield at each,
    /// that would be taken for waiting.
    fn wind_up_to_configure(&mut self) {
        self.store.data_mut().ticks_left = 1;
        self.store.set_epoch_deadline(self.ticks);
    }

    /// Gives the next call its time. A call that may wait looks at every tick whether it is used up, and lets others have
    /// their turn; the ticks of its waiting count as one.
    fn wind_up(&mut self) {
        self.store.data_mut().ticks_left = self.ticks;
        self.store.set_epoch_deadline(if self.waits { 1 } else { self.ticks });
    }

    /// Runs a hook on the exchange in its place, where it is again when this returns. A hook that the component does not
    /// have goes on.
    pub fn call(&mut self, hook: Hook, place: &mut Place) -> Result<Verdict, Fault> {
        self.begin(place);
        let store = &mut self.store;
        let result = match (hook, &self.hooks) {
            (Hook::Request, Functions { on_request: Some(hook), .. }) => {
                hook.call(store, (Resource::new_borrow(0),)).map(|(verdict,)| verdict)
            }
            (Hook::Response, Functions { on_response: Some(hook), .. }) => {
                hook.call(store, both_handles()).map(|(verdict,)| verdict)
            }
            (Hook::Finish(outcome), Functions { on_finish: Some(hook), .. }) => {
                hook.call(store, (outcome,)).map(|()| bindings::Verdict::Next)
            }
            _ => Ok(bindings::Verdict::Next),
        };
        *place = self.store.data_mut().end();
        self.accept(result)
    }

    /// The same for a component that may wait. Dropping the future ends the instance and puts the exchange back.
    pub async fn call_waiting(self, hook: Hook, place: &mut Place) -> (Self, Result<Verdict, Fault>) {
        let mut lent = Lent { instance: Some(self), place };
        let instance = lent.begin();
        let store = &mut instance.store;
        let result = match (hook, &instance.hooks) {
            (Hook::Request, Functions { on_request: Some(hook), .. }) => {
                hook.call_async(store, (Resource::new_borrow(0),)).await.map(|(verdict,)| verdict)
            }
            (Hook::Response, Functions { on_response: Some(hook), .. }) => {
                hook.call_async(store, both_handles()).await.map(|(verdict,)| verdict)
            }
            (Hook::Finish(outcome), Functions { on_finish: Some(hook), .. }) => {
                hook.call_async(store, (outcome,)).await.map(|()| bindings::Verdict::Next)
            }
            _ => Ok(bindings::Verdict::Next),
        };
        let mut instance = lent.end();
        let verdict = instance.accept(result);
        (instance, verdict)
    }

    /// Bytes of linear memory that it has.
    pub fn memory(&self) -> usize {
        self.store.data().limiter.memory
    }

    fn begin(&mut self, place: &mut Place) {
        self.wind_up();
        self.store.data_mut().begin(place.take());
    }

    fn accept(&mut self, result: wasmtime::Result<bindings::Verdict>) -> Result<Verdict, Fault> {
        let host = self.store.data_mut();
        match result.map_err(|error| fault(&error, host))? {
            bindings::Verdict::Next => Ok(Verdict::Next),
            bindings::Verdict::Reply(reply) => {
                Reply::accept(reply, host.reply_size()).map(Verdict::Reply).map_err(|error: ReplyError| {
                    Fault { kind: FaultKind::Reply, detail: clip(&error.to_string()) }
                })
            }
        }
    }
}

fn both_handles() -> BothHandles {
    (Resource::new_borrow(0), Resource::new_borrow(0))
}

/// An instance that holds an exchange over an await.
struct Lent<'a> {
    instance: Option<Instance>,
    place: &'a mut Place,
}

impl Lent<'_> {
    fn begin(&mut self) -> &mut Instance {
        let instance = self.instance.as_mut().expect("it ends only once");
        instance.begin(self.place);
        instance
    }

    fn end(mut self) -> Instance {
        self.give_back();
        self.instance.take().expect("it ends only once")
    }

    fn give_back(&mut self) {
        if let Some(instance) = &mut self.instance {
            *self.place = instance.store.data_mut().end();
        }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.give_back();
    }
}
