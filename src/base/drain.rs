//! Asking connections to come to an end.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use slab::Slab;
use tokio::task::{AbortHandle, JoinHandle};

/// A set of connections, one worker's of one listener. Costs a request nothing: a connection registers once.
#[derive(Debug, Default)]
pub struct Drain {
    is_draining: Cell<bool>,
    connections: RefCell<Slab<Place>>,
    watchers: RefCell<Vec<Waker>>,
    /// Those on other tasks than a connection's own who have to hear of it.
    told: RefCell<Slab<Waker>>,
}

/// Waits for a drain to begin.
#[derive(Debug)]
pub struct Watcher {
    drain: Rc<Drain>,
    key: Option<usize>,
}

#[derive(Debug, Default)]
struct Place {
    waker: Option<Waker>,
    task: Option<AbortHandle>,
}

/// A connection's place in a [`Drain`], given up by dropping it.
#[derive(Debug)]
struct Occupied {
    drain: Rc<Drain>,
    key: usize,
}

impl Drain {
    /// Whether connections should end as soon as they can.
    pub fn is_draining(&self) -> bool {
        self.is_draining.get()
    }

    /// Asks all of them.
    pub fn begin(&self) {
        self.is_draining.set(true);
        for (_, place) in self.connections.borrow().iter() {
            place.waker.iter().for_each(Waker::wake_by_ref);
        }
        self.told.borrow().iter().for_each(|(_, waker)| waker.wake_by_ref());
    }

    /// Serves a connection on a task of its own.
    pub fn spawn(self: &Rc<Self>, serving: impl Future<Output = ()> + 'static) {
        let key = self.connections.borrow_mut().insert(Place::default());
        let occupied = Occupied { drain: Rc::clone(self), key };
        let task: JoinHandle<()> = tokio::task::spawn_local(async move {
            let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
            occupied.drain.connections.borrow_mut()[key].waker = Some(waker);
            serving.await;
            drop(occupied);
        });
        self.connections.borrow_mut()[key].task = Some(task.abort_handle());
    }

    /// Cuts off those that are left, and counts them.
    pub fn abort(&self) -> usize {
        let connections = self.connections.borrow();
        connections.iter().filter_map(|(_, place)| place.task.as_ref()).for_each(AbortHandle::abort);
        connections.len()
    }

    /// Waits until there are none.
    pub async fn finished(&self) {
        poll_fn(|cx| {
            if self.connections.borrow().is_empty() {
                return Poll::Ready(());
            }
            self.watchers.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Watcher {
    /// One of this drain.
    pub fn new(drain: &Rc<Drain>) -> Self {
        Self { drain: Rc::clone(drain), key: None }
    }

    /// Ready once it has begun.
    pub fn poll_begun(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.drain.is_draining() {
            return Poll::Ready(());
        }
        let mut told = self.drain.told.borrow_mut();
        match self.key {
            Some(key) => told[key].clone_from(cx.waker()),
            None => self.key = Some(told.insert(cx.waker().clone())),
        }
        Poll::Pending
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.drain.told.borrow_mut().remove(key);
        }
    }
}

impl Drop for Occupied {
    fn drop(&mut self) {
        let mut connections = self.drain.connections.borrow_mut();
        connections.remove(self.key);
        if connections.is_empty() {
            self.drain.watchers.take().into_iter().for_each(Waker::wake);
        }
    }
}
