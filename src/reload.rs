//! Changing what is served: the only place that publishes.
//!
//! load -> check -> build -> warm -> bind -> persist -> publish -> drain -> report. Until `publish` nothing that serves
//! has been touched, so whatever fails before it leaves the running snapshot as it was. From there on nothing can fail.

mod change;
mod expiry;
mod files;
mod ledger;
mod outcome;
mod persist;
mod plan;
mod source;
mod start;
mod trial;
mod wanted;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use tracing::{error, info, warn};

use crate::base::background::in_background;
use crate::config::{self, Checked, Diagnostic, Leader, Problem};
use crate::listener::tls::Tls;
use crate::listener::{Bound, ListenerSpec, bind};
use crate::plugin::PluginEngine;
use crate::proxy::Snapshot;
use crate::revision::{Revision, Source, hash};
use crate::snapshot::{self, Built, Running};
use crate::worker::Worker;
use persist::Staged;
use trial::{Answers, Trial};
use wanted::{Next, Wanted};

pub use crate::listener::{Inherited, bind_alone};
pub use change::{Ask, Change, Edit, Request, Requests, Waiting};
pub use expiry::warn_of_expiry;
pub use files::{Watch, files};
pub use ledger::{Ledger, Served};
pub use outcome::{Outcome, Report};
pub use plan::Plan;
pub use source::{Loaded, SourceError, check, load};
pub use start::{Start, start};

/// What is served now, for whoever wants to look.
pub type Current = Arc<ArcSwap<Snapshot>>;

/// Owns the workers and everything that a change concerns.
pub struct Reloader {
    path: PathBuf,
    engine: Arc<PluginEngine>,
    running: Arc<Checked>,
    listeners: Vec<ListenerSpec>,
    /// A document whose plugins or addresses were refused: what it names may appear later.
    refused: Option<Arc<Checked>>,
    current: Current,
    ledger: Arc<Ledger>,
    trial: Option<Trial>,
    /// What the workers had answered when the running document was published.
    answered: Answers,
    workers: Vec<Worker>,
    has_retired: bool,
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

/// A document that can be published, with the sockets that it needs beside those that are open.
struct Ready {
    loaded: Loaded,
    snapshot: Snapshot,
    listeners: Vec<ListenerSpec>,
    admin_tls: Option<Arc<Tls>>,
    sockets: Vec<(ListenerSpec, Vec<Bound>)>,
}

impl Reloader {
    /// A reloader for workers that serve `current` already, but listen nowhere yet.
    pub fn new(
        engine: Arc<PluginEngine>,
        running: Arc<Checked>,
        current: Current,
        ledger: Arc<Ledger>,
        workers: Vec<Worker>,
        counts: Arc<Counts>,
        inherited: Inherited,
    ) -> Self {
        Self {
            path: ledger.path().to_owned(),
            engine,
            running,
            listeners: Vec::new(),
            refused: None,
            current,
            ledger,
            trial: None,
            answered: Answers::default(),
            workers,
            has_retired: false,
            counts,
            inherited,
        }
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

    /// Changes what is served, or leaves everything as it was. Not to be dropped half-way: it would leave workers with
    /// different snapshots.
    pub async fn change(&mut self, ask: Ask) -> Outcome {
        use std::sync::atomic::Ordering::Relaxed;
        let started = Instant::now();
        match self.try_change(ask).await {
            Ok(Some((revision, warnings))) => {
                self.counts.applied.fetch_add(1, Relaxed);
                let milliseconds = started.elapsed().as_millis() as u64;
                info!(revision, milliseconds, "change applied");
                Outcome::Applied { revision, milliseconds, warnings }
            }
            Ok(None) => {
                let revision = self.current.load().revision;
                info!(revision, "nothing has changed");
                Outcome::Unchanged { revision }
            }
            Err(refused) => {
                self.counts.rejected.fetch_add(1, Relaxed);
                for diagnostic in refused.diagnostics() {
                    error!(document = %self.path.display(), "{diagnostic}");
                }
                warn!(revision = self.current.load().revision, "change rejected, the running snapshot stays");
                refused
            }
        }
    }

    /// Ends a trial that has to end.
    pub async fn look_after_trial(&mut self) {
        let now = self.answered();
        let Some(reason) = self.trial.as_ref().and_then(|trial| trial.ended(now)) else { return };
        let revision = self.current.load().revision;
        warn!(revision, %reason, "the change on trial is taken back");
        let mut ask = Ask::new(Change::Rollback { revision: None }, "cloud-cup");
        ask.message = format!("revision {revision} is taken back: {reason}");
        self.change(ask).await;
        // What was served a moment ago can hardly fail to be served again. If it does, once is enough.
        self.trial = None;
    }

    /// Whether something is on trial.
    pub fn is_on_trial(&self) -> bool {
        self.trial.is_some()
    }

    /// The number of the new revision, or none when nothing has changed.
    async fn try_change(&mut self, ask: Ask) -> Result<Option<(u64, Vec<Diagnostic>)>, Outcome> {
        if self.ledger.has_let_go() {
            return Err(Outcome::failed("another process is about to replace this one: ask that".to_owned()));
        }
        self.expect_revision(ask.if_match)?;
        let Wanted { text, source, trial } = self.wanted(ask.change).await?;
        let ready = self.prepare(text).await?;
        // What is on trial can be kept, or be on trial for longer, although nothing that serves changes.
        let concerns_trial = self.trial.is_some() && !matches!(trial, Next::Stays);
        if self.is_running(&ready) && !concerns_trial {
            return Ok(None);
        }
        let mut warnings = ready.loaded.warnings.clone();
        warnings.extend(self.needs_restart(&ready.loaded));
        let revision =
            Revision::new(ready.snapshot.revision, &ready.loaded.text, source, ask.author, ask.message);
        self.persist(&revision, &ready.loaded).await?;
        let now = self.answered();
        match trial {
            Next::Begins(allowed) => {
                let before = match self.trial.take() {
                    Some(trial) => trial.previous,
                    None => Arc::clone(&self.ledger.served().text),
                };
                self.trial = Some(Trial::new(before, allowed, self.answered, now));
            }
            Next::Ends => self.trial = None,
            Next::Stays => {}
        }
        self.answered = now;
        self.publish(ready).await;
        Ok(Some((revision.number, warnings)))
    }

    async fn prepare(&mut self, text: Arc<str>) -> Result<Ready, Outcome> {
        self.prepare_with(text, |_| ()).await
    }

    /// Everything that can fail but for the disk.
    async fn prepare_with(
        &mut self,
        text: Arc<str>,
        adapt: impl FnOnce(&mut Checked) + Send + 'static,
    ) -> Result<Ready, Outcome> {
        let (path, engine, current) = (self.path.clone(), Arc::clone(&self.engine), self.current.load_full());
        let (open, number) = (self.listeners.clone(), self.ledger.next_number());
        let admin_tls = self.ledger.served().admin_tls.clone();
        let building = blocking(move || {
            let mut loaded = check(&text, &path)?;
            adapt(Arc::make_mut(&mut loaded.checked));
            let running =
                Running { snapshot: Some(&current), listeners: &open, admin_tls: admin_tls.as_ref() };
            let built = snapshot::build(&loaded.checked, &engine, running, number);
            let built = built.map_err(|problems| loaded.reject(&problems));
            Ok::<_, SourceError>((loaded, built))
        });
        let (loaded, built) = building.await??;
        self.refused = built.is_err().then(|| Arc::clone(&loaded.checked));
        let Built { snapshot, listeners, admin_tls } = built?;
        let sockets = self.bind_new(&loaded, &listeners)?;
        Ok(Ready { loaded, snapshot, listeners, admin_tls, sockets })
    }

    fn is_running(&self, ready: &Ready) -> bool {
        let running = self.current.load();
        *ready.loaded.checked == *self.running
            && ready.listeners == self.listeners
            && same_tls(self.ledger.served().admin_tls.as_ref(), ready.admin_tls.as_ref())
            && are_same(&running.attachments, &ready.snapshot.attachments)
            && are_same(&running.clusters, &ready.snapshot.clusters)
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
        let (new, old) = (&loaded.checked, &self.running);
        let changes = [
            (new.workers != old.workers, "/workers", "the number of workers changes at the next start"),
            (!new.admin.has_places_of(&old.admin), "/admin", "the admin addresses change at the next start"),
            (
                new.plugin_cache != old.plugin_cache,
                "/plugin_cache",
                "the cache of plugins changes at the next start",
            ),
            (new.history != old.history, "/history", "the history moves at the next start"),
        ];
        let problems = changes.iter().filter(|(has_changed, ..)| *has_changed);
        let problems = problems.map(|(_, pointer, message)| Problem::warning(*pointer, *message));
        config::locate(&loaded.text, problems.collect())
    }

    /// Remembers the revision and, where the file leads and what is served no longer stands there, writes that. Either
    /// both happens or nothing.
    async fn persist(&self, revision: &Revision, loaded: &Loaded) -> Result<(), Outcome> {
        let writes_file =
            loaded.checked.leader == Leader::File && !matches!(revision.source, Source::File | Source::Trial);
        let (ledger, revision, text) = (Arc::clone(&self.ledger), revision.clone(), Arc::clone(&loaded.text));
        let persisting = blocking(move || {
            let staged = writes_file.then(|| Staged::write(ledger.path(), &text)).transpose();
            let staged = staged.map_err(|error| unwritable(&ledger, &error))?;
            ledger.append(&revision, &text).map_err(|error| error.to_string())?;
            let committed = staged.map_or(Ok(()), Staged::commit);
            committed.map_err(|error| {
                ledger.forget(revision.number);
                unwritable(&ledger, &error)
            })
        });
        persisting.await?.map_err(Outcome::failed)
    }

    /// Everything from the point of no return. New listeners open before old ones close.
    async fn publish(&mut self, ready: Ready) {
        let snapshot = Arc::new(ready.snapshot);
        self.current.store(Arc::clone(&snapshot));
        for worker in &mut self.workers {
            worker.publish(Arc::clone(&snapshot)).await;
        }
        self.forget_retired();
        // Health may have changed between the building of a cluster and its publication.
        snapshot.clusters.iter().for_each(|cluster| cluster.refresh());
        if let Err(error) = self.listen(ready.sockets).await {
            error!(%error, "a worker does not listen on a new address");
        }
        let (open, wanted) = (&self.listeners, &ready.listeners);
        let drain = snapshot.settings.timeouts.drain;
        for worker in &self.workers {
            for spec in wanted.iter().filter(|spec| !open.contains(spec)) {
                worker.reconfigure(spec.clone()).await;
            }
            for gone in open.iter().filter(|open| !wanted.iter().any(|spec| spec.key() == open.key())) {
                worker.unlisten(gone.key(), drain).await;
            }
        }
        self.ledger.serve(Served {
            revision: snapshot.revision,
            hash: hash(&ready.loaded.text),
            text: ready.loaded.text,
            leader: ready.loaded.checked.leader,
            token: ready.loaded.checked.admin.token,
            admin_tls: ready.admin_tls,
            is_on_trial: self.trial.is_some(),
            listeners: ready.listeners.clone(),
        });
        self.running = ready.loaded.checked;
        self.listeners = ready.listeners;
    }

    /// Drops what no request is served by any more.
    pub fn forget_retired(&mut self) {
        let left = self.workers.iter_mut().map(Worker::forget_retired);
        self.has_retired = left.fold(false, |some, is_left| some | is_left);
    }

    /// Whether requests are served by what was published before.
    pub fn has_retired(&self) -> bool {
        self.has_retired
    }

    fn answered(&self) -> Answers {
        Answers::of(self.workers.iter().map(|worker| &worker.metrics))
    }
}

/// Work that may block, elsewhere.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Outcome> {
    let done = in_background(work).await;
    done.map_err(|error| Outcome::failed(format!("the change could not be tried: {error}")))
}

fn unwritable(ledger: &Ledger, error: &std::io::Error) -> String {
    format!(
        "the document's file {} cannot be written: {error}; let it be written to, or let the API lead: `\"source\": \"api\"`",
        ledger.path().display()
    )
}

/// Whether they are the same object.
fn same_tls(one: Option<&Arc<Tls>>, other: Option<&Arc<Tls>>) -> bool {
    one.map(Arc::as_ptr) == other.map(Arc::as_ptr)
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
