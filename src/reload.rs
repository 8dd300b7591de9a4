//! Changing what is served: the only place that publishes.
//!
//! load -> check -> build -> warm -> bind -> publish -> drain -> report. Until `publish` nothing that serves has been
//! touched, so whatever fails before it leaves the running snapshot as it was. From there on nothing can fail.

mod expiry;
mod files;
mod outcome;
mod source;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};

use crate::config::{self, Checked, Diagnostic, Problem};
use crate::listener::{Bound, ListenerSpec, bind};
use crate::plugin::PluginEngine;
use crate::proxy::Snapshot;
use crate::snapshot::{self, Built, Running};
use crate::worker::Worker;

pub use crate::listener::Inherited;
pub use expiry::warn_of_expiry;
pub use files::{Watch, files};
pub use outcome::{Outcome, Report};
pub use source::{Loaded, SourceError, load};

/// What is served now, for whoever wants to look.
pub type Current = Arc<ArcSwap<Snapshot>>;

/// Requests for a reload that may wait. More of them are one.
const QUEUE: usize = 16;

/// Owns the workers and everything that a change concerns.
pub struct Reloader {
    path: PathBuf,
    engine: Arc<PluginEngine>,
    running: Arc<Checked>,
    listeners: Vec<ListenerSpec>,
    /// A document whose plugins or addresses were refused: what it names may appear later.
    refused: Option<Arc<Checked>>,
    current: Current,
    workers: Vec<Worker>,
    counts: Arc<Counts>,
    inherited: Inherited,
}

/// How reloads have ended.
#[derive(Debug, Default)]
pub struct Counts {
    /// Published.
    pub applied: std::sync::atomic::AtomicU64,
    /// Refused.
    pub rejected: std::sync::atomic::AtomicU64,
}

/// Asks the reloader.
#[derive(Debug, Clone)]
pub struct Requests(mpsc::Sender<oneshot::Sender<Outcome>>);

/// The reloader's end of [`Requests`].
pub type Waiting = mpsc::Receiver<oneshot::Sender<Outcome>>;

impl Requests {
    /// Both ends.
    pub fn new() -> (Self, Waiting) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self(sender), receiver)
    }

    /// Reloads and waits for the outcome; none when the gateway stops meanwhile.
    pub async fn reload(&self) -> Option<Outcome> {
        let (answer, outcome) = oneshot::channel();
        self.0.send(answer).await.ok()?;
        outcome.await.ok()
    }
}

/// A document that can be published, with the sockets that it needs beside those that are open.
struct Ready {
    checked: Arc<Checked>,
    snapshot: Arc<Snapshot>,
    listeners: Vec<ListenerSpec>,
    sockets: Vec<(ListenerSpec, Vec<Bound>)>,
    warnings: Vec<Diagnostic>,
}

impl Reloader {
    /// A reloader for workers that serve `current` already, but listen nowhere yet.
    pub fn new(
        path: PathBuf,
        engine: Arc<PluginEngine>,
        running: Arc<Checked>,
        current: Current,
        workers: Vec<Worker>,
        counts: Arc<Counts>,
        inherited: Inherited,
    ) -> Self {
        let (listeners, refused) = (Vec::new(), None);
        Self { path, engine, running, listeners, refused, current, workers, counts, inherited }
    }

    /// Begins to listen, by one socket per worker for each listener.
    pub async fn begin(&mut self, sockets: Vec<(ListenerSpec, Vec<Bound>)>) -> std::io::Result<()> {
        self.listeners = sockets.iter().map(|(spec, _)| spec.clone()).collect();
        self.listen(sockets).await
    }

    async fn listen(&self, sockets: Vec<(ListenerSpec, Vec<Bound>)>) -> std::io::Result<()> {
        for (spec, sockets) in sockets {
            for (worker, socket) in self.workers.iter().zip(sockets) {
                worker.listen(socket, spec.clone()).await?;
            }
        }
        Ok(())
    }

    /// The files of the document that is served, and of the last one that was refused.
    pub fn files(&self) -> BTreeSet<PathBuf> {
        files(&self.running).chain(self.refused.iter().flat_map(|refused| files(refused))).collect()
    }

    /// How long what is in flight may take.
    pub fn drain(&self) -> std::time::Duration {
        self.running.http.timeouts.drain
    }

    /// The workers, to be stopped.
    pub fn into_workers(self) -> Vec<Worker> {
        self.workers
    }

    /// Reloads the document. Not to be dropped half-way: it would leave workers with different snapshots.
    pub async fn reload(&mut self) -> Outcome {
        use std::sync::atomic::Ordering::Relaxed;
        let started = Instant::now();
        let ready = match self.prepare().await {
            Ok(Some(ready)) => ready,
            Ok(None) => {
                let revision = self.current.load().revision;
                info!(revision, "nothing has changed");
                return Outcome::Unchanged { revision };
            }
            Err(rejected) => {
                self.counts.rejected.fetch_add(1, Relaxed);
                for diagnostic in rejected.diagnostics() {
                    error!(document = %self.path.display(), "{diagnostic}");
                }
                warn!(revision = self.current.load().revision, "change rejected, the running snapshot stays");
                return rejected;
            }
        };
        let warnings = ready.warnings.clone();
        let revision = ready.snapshot.revision;
        self.publish(ready).await;
        self.counts.applied.fetch_add(1, Relaxed);
        let took = started.elapsed();
        info!(revision, milliseconds = took.as_millis() as u64, "change applied");
        Outcome::Applied { revision, milliseconds: took.as_millis() as u64, warnings }
    }

    /// Everything that can fail. None when nothing has changed.
    async fn prepare(&mut self) -> Result<Option<Ready>, Outcome> {
        let (path, engine, current) = (self.path.clone(), Arc::clone(&self.engine), self.current.load_full());
        let open = self.listeners.clone();
        let building = tokio::task::spawn_blocking(move || {
            let loaded = load(&path)?;
            let running = Running { snapshot: Some(&current), listeners: &open };
            let built = snapshot::build(&loaded.checked, &engine, running, current.revision + 1);
            let built = built.map_err(|problems| loaded.reject(&problems));
            Ok::<_, SourceError>((loaded, built))
        });
        let (loaded, built) = match building.await {
            Ok(loaded) => loaded?,
            Err(panic) => return Err(Outcome::failed(format!("the change could not be built: {panic}"))),
        };
        self.refused = built.is_err().then(|| Arc::clone(&loaded.checked));
        let Built { snapshot, listeners } = built?;
        if self.is_running(&loaded.checked, &snapshot, &listeners) {
            return Ok(None);
        }
        let sockets = self.bind_new(&loaded, &listeners)?;
        let mut warnings = loaded.warnings.clone();
        warnings.extend(self.needs_restart(&loaded));
        Ok(Some(Ready {
            checked: loaded.checked,
            snapshot: Arc::new(snapshot),
            listeners,
            sockets,
            warnings,
        }))
    }

    fn is_running(&self, checked: &Checked, snapshot: &Snapshot, listeners: &[ListenerSpec]) -> bool {
        let running = self.current.load();
        *checked == *self.running
            && *listeners == *self.listeners
            && are_same(&running.attachments, &snapshot.attachments)
            && are_same(&running.clusters, &snapshot.clusters)
    }

    fn bind_new(
        &self,
        loaded: &Loaded,
        wanted: &[ListenerSpec],
    ) -> Result<Vec<(ListenerSpec, Vec<Bound>)>, Outcome> {
        let open = &self.listeners;
        let new = wanted.iter().filter(|spec| !open.iter().any(|open| open.key() == spec.key()));
        bind_all(new.cloned().collect(), open, self.workers.len(), &self.inherited)
            .map_err(|problems| loaded.reject(&problems).into())
    }

    fn needs_restart(&self, loaded: &Loaded) -> Vec<Diagnostic> {
        let mut problems = Vec::new();
        if loaded.checked.workers != self.running.workers {
            problems.push(Problem::warning("/workers", "the number of workers changes at the next start"));
        }
        if loaded.checked.admin != self.running.admin {
            problems.push(Problem::warning("/admin", "the admin addresses change at the next start"));
        }
        if loaded.checked.plugin_cache != self.running.plugin_cache {
            problems
                .push(Problem::warning("/plugin_cache", "the cache of plugins changes at the next start"));
        }
        config::locate(&loaded.text, problems)
    }

    /// Everything from the point of no return. New listeners open before old ones close.
    async fn publish(&mut self, ready: Ready) {
        self.current.store(Arc::clone(&ready.snapshot));
        for worker in &self.workers {
            worker.publish(Arc::clone(&ready.snapshot)).await;
        }
        // Health may have changed between the building of a cluster and its publication.
        ready.snapshot.clusters.iter().for_each(|cluster| cluster.refresh());
        if let Err(error) = self.listen(ready.sockets).await {
            error!(%error, "a worker does not listen on a new address");
        }
        let (open, wanted) = (&self.listeners, &ready.listeners);
        let drain = ready.snapshot.settings.timeouts.drain;
        for worker in &self.workers {
            for spec in wanted.iter().filter(|spec| !open.contains(spec)) {
                worker.reconfigure(spec.clone()).await;
            }
            for gone in open.iter().filter(|open| !wanted.iter().any(|spec| spec.key() == open.key())) {
                worker.unlisten(gone.key(), drain).await;
            }
        }
        self.running = ready.checked;
        self.listeners = ready.listeners;
    }
}

/// Whether they are the same objects.
fn are_same<T>(some: &[Arc<T>], others: &[Arc<T>]) -> bool {
    some.len() == others.len() && some.iter().zip(others).all(|(one, other)| Arc::ptr_eq(one, other))
}

/// Opens all of them or none. `open` are those that this gateway has already.
pub fn bind_all(
    specs: Vec<ListenerSpec>,
    open: &[ListenerSpec],
    workers: usize,
    inherited: &Inherited,
) -> Result<Vec<(ListenerSpec, Vec<Bound>)>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut sockets = Vec::new();
    for spec in specs {
        let port = |spec: &ListenerSpec| spec.address.tcp().map(|address| address.port());
        let is_shared = port(&spec).is_some() && open.iter().any(|open| port(open) == port(&spec));
        match bind(&spec.address, spec.protocols.h3, workers, is_shared, inherited) {
            Ok(bound) => sockets.push((spec, bound)),
            Err(error) => {
                let pointer = match &**spec.name() {
                    "root" => "/root".to_owned(),
                    name => format!("/listeners/{}", name.replace('~', "~0").replace('/', "~1")),
                };
                let problem = Problem::error(pointer, error.to_string());
                problems.push(match error.hint() {
                    Some(hint) => problem.hint(hint),
                    None => problem,
                });
            }
        }
    }
    if problems.is_empty() { Ok(sockets) } else { Err(problems) }
}
