//! The composition root: builds every part in order, owns it, and stops it in reverse.

mod upgrade;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

pub use crate::admin::Wish;
use crate::admin::{Admin, SocketError, Sources, default_socket, open_socket};
use crate::base::address::ListenAddress;
use crate::base::background::in_background;
use crate::config::Checked;
use crate::plugin::PluginEngine;
use crate::reload::{
    Ask, Change, Counts, Current, Inherited, Ledger, Outcome, Reloader, Request, Requests, SourceError,
    Start, Waiting, Watch, bind_all, bind_alone, files, start, warn_of_expiry,
};
use crate::snapshot::{self, Built, Running};
use crate::upstream::{Cluster, Health, Live};
use crate::worker::Worker;

/// How often a change on trial is looked after.
const TRIAL: Duration = Duration::from_millis(250);
/// How often to look whether requests are done with what was published before.
const RETIRED: Duration = Duration::from_secs(1);

/// A gateway that serves.
pub struct App {
    /// Where it listens, with the ports that it really has.
    pub addresses: Vec<(String, ListenAddress)>,
    /// The admin socket.
    pub socket: PathBuf,
    /// Where metrics and probes are served, where the document asks for that.
    pub admin: Option<SocketAddr>,
    /// What the document's author may have meant otherwise.
    pub warnings: Vec<String>,
    current: Current,
    ledger: Arc<Ledger>,
    reloads: Requests,
    is_ready: Arc<AtomicBool>,
    wishes: mpsc::Receiver<Wish>,
    stop: oneshot::Sender<()>,
    reloader: JoinHandle<Reloader>,
    // Ends its tasks when it is dropped.
    services: JoinSet<()>,
}

/// Why a gateway did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The document cannot be read, or is wrong.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The admin socket or address cannot be opened.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// Something of the system's is missing.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
}

fn system(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> StartError {
    move |source| StartError::System { what: what.into(), source }
}

impl App {
    /// Starts a gateway for a document. Returns when it accepts connections.
    pub async fn start(document: PathBuf) -> Result<Self, StartError> {
        let engine = Arc::new(PluginEngine::default());
        let mut watch = Watch::new(document.clone());
        let (begun, Built { snapshot, listeners, admin_tls }) =
            build(document.clone(), Arc::clone(&engine)).await?;
        let loaded = begun.loaded.clone();
        let checked = Arc::clone(&loaded.checked);
        let count = worker_count(&checked);
        let takes_over = upgrade::takes_over();
        let inherited = Inherited::take(takes_over);
        let specs = listeners.clone();
        let sockets =
            bind_all(listeners, &[], count, &inherited).map_err(|problems| loaded.reject(&problems))?;
        let addresses = sockets.iter().map(|(spec, sockets)| {
            let bound = sockets.first().and_then(|socket| socket.address().ok());
            let bound = bound.filter(|bound| bound.tcp().is_some());
            (spec.name().to_string(), bound.unwrap_or_else(|| spec.address.clone()))
        });
        let addresses = addresses.collect();
        let listener = open_admin_address(&checked, takes_over)?;
        let path = checked.admin.socket.clone().unwrap_or_else(default_socket);
        let socket = open_socket(&path, takes_over)?;
        let admin = listener.as_ref().and_then(|listener| listener.local_addr().ok());

        let current = Arc::new(ArcSwap::from_pointee(snapshot));
        let (health, keeper) = Health::new();
        let workers = (0..count)
            .map(|index| Worker::start(index, current.load_full(), health.clone()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(system("cannot start a worker's thread"))?;
        let (ledger, remarks) = begun.into_ledger(&document, specs, admin_tls);
        let ledger = Arc::new(ledger);
        let counts = Arc::new(Counts::default());
        let capabilities = Arc::clone(&engine.capabilities);
        let sources = Sources {
            current: Arc::clone(&current),
            ledger: Arc::clone(&ledger),
            workers: workers.iter().map(|worker| Arc::clone(&worker.metrics)).collect(),
            counts: Arc::clone(&counts),
            capabilities: Arc::clone(&capabilities),
        };
        let mut reloader = Reloader::new(
            engine,
            Arc::clone(&checked),
            Arc::clone(&current),
            Arc::clone(&ledger),
            workers,
            counts,
            inherited,
        );
        reloader.begin(sockets).await.map_err(system("cannot listen"))?;

        let (reloads, waiting) = Requests::new();
        let is_ready = Arc::new(AtomicBool::new(true));
        let mut services = JoinSet::new();
        let (wishing, wishes) = mpsc::channel(1);
        let api = Admin::new(sources, reloads.clone(), Arc::clone(&is_ready), wishing);
        services.spawn(api.clone().serve_socket(socket));
        if let Some(listener) = listener {
            services.spawn(api.serve_address(listener));
        }
        services.spawn(Arc::clone(&capabilities).keep_swept());
        services.spawn(warn_of_expiry(Arc::clone(&current)));
        services.spawn(keeper.run(LiveClusters(Arc::clone(&current))));
        let (stop, stopped) = oneshot::channel();
        watch.follow(files(&checked).collect());
        #[expect(clippy::disallowed_methods, reason = "`stop` waits for it")]
        let reloader = tokio::spawn(keep_reloading(reloader, waiting, watch, stopped));
        let warnings = loaded.warnings.iter().map(ToString::to_string).chain(remarks).collect();
        Ok(Self {
            addresses,
            socket: path,
            admin,
            warnings,
            current,
            ledger,
            reloads,
            is_ready,
            wishes,
            stop,
            reloader,
            services,
        })
    }

    /// Reloads the document, as `cupctl reload` does.
    pub async fn reload(&self) -> Option<Outcome> {
        self.reloads.change(Ask::new(Change::Reload, "")).await
    }

    /// Asks for changes from elsewhere.
    pub fn reloads(&self) -> Requests {
        self.reloads.clone()
    }

    /// Waits until the operator wants something of the process.
    pub async fn wish(&mut self) -> Wish {
        match self.wishes.recv().await {
            Some(wish) => wish,
            None => std::future::pending().await,
        }
    }

    /// Stops: no more connections, what is in flight finishes within the document's `drain`, and then everything ends.
    /// Returns the number of connections that were cut off.
    pub async fn stop(self) -> usize {
        self.is_ready.store(false, Relaxed);
        // A reloader that has ended already hands its workers over all the same.
        let _ = self.stop.send(());
        let Ok(reloader) = self.reloader.await else { return 0 };
        let deadline = Instant::now() + reloader.drain();
        let stopping =
            reloader.into_workers().into_iter().map(|mut worker| async move { worker.stop(deadline).await });
        let cut_off = stopping.collect::<JoinSet<_>>().join_all().await.into_iter().sum();
        if let Some(sink) = self.current.load_full().access_log.clone() {
            // Of a writer that cannot write the log has told already.
            let _ = tokio::task::spawn_blocking(move || sink.flush()).await;
        }
        drop(self.services);
        if self.ledger.has_let_go() {
            return cut_off;
        }
        if let Err(error) = std::fs::remove_file(&self.socket) {
            warn!(socket = %self.socket.display(), %error, "admin socket is left behind");
        }
        cut_off
    }
}

/// What the keeper of backends' health watches over.
struct LiveClusters(Current);

impl Live for LiveClusters {
    fn find(&self, name: &str) -> Option<Arc<Cluster>> {
        self.0.load().cluster(name).cloned()
    }

    fn all(&self) -> Vec<Arc<Cluster>> {
        self.0.load().clusters.clone()
    }
}

/// Reads, checks and builds, on a thread where that may block.
async fn build(document: PathBuf, engine: Arc<PluginEngine>) -> Result<(Start, Built), StartError> {
    let building = in_background(move || {
        let begun = start(&document)?;
        let built = snapshot::build(&begun.loaded.checked, &engine, Running::default(), begun.number())
            .map_err(|problems| begun.loaded.reject(&problems))?;
        Ok::<_, SourceError>((begun, built))
    });
    let built =
        building.await.map_err(|error| system("cannot build the first snapshot")(io::Error::other(error)))?;
    Ok(built?)
}

/// The one writer: makes one change after another, until it is told to stop.
async fn keep_reloading(
    mut reloader: Reloader,
    mut waiting: Waiting,
    mut watch: Watch,
    mut stopped: oneshot::Receiver<()>,
) -> Reloader {
    loop {
        let asked = tokio::select! {
            _ = &mut stopped => return reloader,
            asked = waiting.recv() => asked,
            () = watch.changed() => None,
            () = sleep(TRIAL), if reloader.is_on_trial() => {
                reloader.look_after_trial().await;
                continue;
            }
            () = sleep(RETIRED), if reloader.has_retired() => {
                reloader.forget_retired();
                continue;
            }
        };
        // Whoever asked may have gone; the outcome of a change is in the log as well.
        match asked {
            Some(Request::Plan(text, answer)) => drop(answer.send(reloader.plan(text).await)),
            Some(Request::Change(ask, answer)) => drop(answer.send(reloader.change(ask).await)),
            None => drop(reloader.change(Ask::new(Change::Reload, "")).await),
        }
        watch.follow(reloader.files());
    }
}

fn open_admin_address(checked: &Checked, takes_over: bool) -> Result<Option<TcpListener>, StartError> {
    let Some(address) = checked.admin.listen else { return Ok(None) };
    let listener = bind_alone(address, takes_over)
        .and_then(TcpListener::from_std)
        .map_err(system(format!("cannot listen on the admin address {address} (`admin.listen`)")))?;
    Ok(Some(listener))
}

fn worker_count(checked: &Checked) -> usize {
    let machine = || thread::available_parallelism().map_or(1, usize::from);
    checked.workers.map_or_else(machine, usize::from)
}

/// Says where it listens.
pub fn announce(app: &App) {
    for warning in &app.warnings {
        warn!("{warning}");
    }
    for (name, address) in &app.addresses {
        info!(listener = name, %address, "listening");
    }
    info!(socket = %app.socket.display(), address = app.admin.map(tracing::field::display), "admin");
}
