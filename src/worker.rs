//! Workers: one thread and one runtime per core, which share nothing but what is read-only or atomic.
//!
//! The control side speaks to a worker through a bounded queue of commands, so a worker picks a new snapshot up between
//! two steps of its own and the request path never looks for one.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};
use tracing::error;

use crate::listener::{Accept, Bound, ListenerKey, ListenerSpec};
use crate::observe::metrics::WorkerMetrics;
use crate::proxy::{Prepared, Proxy, Snapshot};
use crate::upstream::Health;

/// Commands that may wait. The one sender waits for room.
const QUEUE: usize = 64;
/// How often gathered log lines are handed over, and how many such rounds lie between two sweeps of the pools.
const HOUSEKEEPING: Duration = Duration::from_millis(100);
const ROUNDS_TO_SWEEP: u32 = 20;

/// The control side's end of a worker.
#[derive(Debug)]
pub struct Worker {
    commands: mpsc::Sender<Command>,
    thread: Option<JoinHandle<()>>,
    serving: Prepared,
    /// What requests in flight may be served by still.
    retired: Vec<Prepared>,
    health: Health,
    /// What it counts.
    pub metrics: Arc<WorkerMetrics>,
}

#[derive(Debug)]
enum Command {
    Publish(Prepared, oneshot::Sender<()>),
    Listen(Bound, ListenerSpec, oneshot::Sender<io::Result<()>>),
    Reconfigure(ListenerSpec),
    Unlisten(ListenerKey, Duration),
    Stop(Instant, oneshot::Sender<usize>),
}

impl Worker {
    /// Starts a worker that serves by `snapshot`.
    pub fn start(index: usize, snapshot: Arc<Snapshot>, health: Health) -> io::Result<Self> {
        let (commands, waiting) = mpsc::channel(QUEUE);
        let metrics = Arc::new(WorkerMetrics::default());
        let serving = Prepared::new(snapshot, &metrics);
        let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn({
            let (metrics, prepared, health) = (Arc::clone(&metrics), serving.clone(), health.clone());
            move || {
                let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
                match runtime {
                    Ok(runtime) => runtime.block_on(run(waiting, prepared, health, metrics)),
                    Err(error) => error!(worker = index, %error, "cannot start the worker's runtime"),
                }
            }
        })?;
        Ok(Self { commands, thread: Some(thread), serving, retired: Vec::new(), health, metrics })
    }

    /// Serves what begins from now on by `snapshot`. Returns when the worker does.
    pub async fn publish(&mut self, snapshot: Arc<Snapshot>) {
        let next = Prepared::new(snapshot, &self.metrics);
        self.retired.push(std::mem::replace(&mut self.serving, next.clone()));
        let (done, told) = oneshot::channel();
        self.tell(Command::Publish(next, done)).await;
        // A worker that is gone serves nobody by anything.
        let _ = told.await;
        self.health.published();
    }

    /// Drops what no request is served by any more. True when there is more of it.
    pub fn forget_retired(&mut self) -> bool {
        self.retired.retain(Prepared::is_shared);
        self.metrics.forget_unused();
        !self.retired.is_empty()
    }

    /// Accepts on `socket` from now on.
    pub async fn listen(&self, socket: Bound, spec: ListenerSpec) -> io::Result<()> {
        let (done, told) = oneshot::channel();
        self.tell(Command::Listen(socket, spec, done)).await;
        told.await.unwrap_or_else(|_| Err(io::Error::other("the worker has stopped")))
    }

    /// Serves new connections on a listener's address by this specification.
    pub async fn reconfigure(&self, spec: ListenerSpec) {
        self.tell(Command::Reconfigure(spec)).await;
    }

    /// Accepts no more on a listener, and ends its connections within `drain`.
    pub async fn unlisten(&self, listener: ListenerKey, drain: Duration) {
        self.tell(Command::Unlisten(listener, drain)).await;
    }

    /// Finishes what is in flight, at most until `deadline`, and ends. Returns the number of connections cut off.
    pub async fn stop(&mut self, deadline: Instant) -> usize {
        let (done, told) = oneshot::channel();
        self.tell(Command::Stop(deadline, done)).await;
        let cut_off = told.await.unwrap_or_default();
        if let Some(thread) = self.thread.take() {
            // A worker that panicked was reported by the panic.
            let _ = tokio::task::spawn_blocking(|| thread.join()).await;
        }
        cut_off
    }

    async fn tell(&self, command: Command) {
        if self.commands.send(command).await.is_err() {
            error!("a worker has stopped on its own");
        }
    }
}

async fn run(
    mut commands: mpsc::Receiver<Command>,
    prepared: Prepared,
    health: Health,
    metrics: Arc<WorkerMetrics>,
) {
    let proxy = Proxy::new(prepared, health, metrics);
    let mut listeners = HashMap::new();
    let mut housekeeping = interval(HOUSEKEEPING);
    housekeeping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut round = 0u32;
    loop {
        let command = tokio::select! {
            command = commands.recv() => command,
            _ = housekeeping.tick() => {
                round = round.wrapping_add(1);
                keep_house(&proxy, round);
                continue;
            }
        };
        match command {
            // Whoever asked need not be there any more for it to be done.
            Some(Command::Publish(prepared, done)) => {
                proxy.publish(prepared);
                let _ = done.send(());
            }
            Some(Command::Listen(socket, spec, done)) => {
                let accept = Accept::start(socket, spec.clone(), proxy.clone());
                let _ = done.send(accept.map(|accept| drop(listeners.insert(spec.key(), accept))));
            }
            Some(Command::Reconfigure(spec)) => {
                if let Some(accept) = listeners.get(&spec.key()) {
                    accept.reconfigure(spec);
                }
            }
            Some(Command::Unlisten(listener, drain)) => {
                if let Some(accept) = listeners.remove(&listener) {
                    tokio::task::spawn_local(async move { end(accept, Instant::now() + drain).await });
                }
            }
            Some(Command::Stop(deadline, done)) => {
                let cut_off = stop(listeners, deadline).await;
                let _ = done.send(cut_off);
                return;
            }
            None => return,
        }
    }
}

fn keep_house(proxy: &Proxy, round: u32) {
    if let Some(log) = &proxy.view().access_log {
        log.flush();
    }
    if round.is_multiple_of(ROUNDS_TO_SWEEP) {
        proxy.sweep();
    }
}

async fn stop(listeners: HashMap<ListenerKey, Accept>, deadline: Instant) -> usize {
    listeners.values().for_each(Accept::stop);
    let mut cut_off = 0;
    for accept in listeners.into_values() {
        cut_off += end(accept, deadline).await;
    }
    cut_off
}

/// Ends a listener and its connections; those that are left at `deadline` are cut off and counted.
async fn end(accept: Accept, deadline: Instant) -> usize {
    accept.stop();
    if timeout_at(deadline, accept.finished()).await.is_ok() {
        return 0;
    }
    accept.drain.abort()
}
