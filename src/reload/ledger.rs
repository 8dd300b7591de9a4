//! What is served by which document, and what was before: the writer writes it, everybody may look.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use crate::config::{Leader, Token};
use crate::listener::ListenerSpec;
use crate::listener::tls::Tls;
use crate::revision::{Revision, Store, StoreError, hash};

/// See the module.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    served: ArcSwap<Served>,
    history: Mutex<Store>,
    /// Where the history is, and how many revisions there are at most; none in memory.
    place: Option<(PathBuf, usize)>,
    has_let_go: AtomicBool,
}

/// The document that is served.
#[derive(Debug, Clone)]
pub struct Served {
    /// The number of its revision.
    pub revision: u64,
    /// As it was written.
    pub text: Arc<str>,
    /// SHA-256 of the text.
    pub hash: String,
    /// Who leads when the file differs.
    pub leader: Leader,
    /// What opens the admin address to who shows it.
    pub token: Option<Token>,
    /// The TLS of the admin address; none in the clear.
    pub admin_tls: Option<Arc<Tls>>,
    /// Whether it is taken back unless it is confirmed.
    pub is_on_trial: bool,
    /// Where it is served.
    pub listeners: Vec<ListenerSpec>,
}

impl Ledger {
    /// A ledger of a document's file and its history.
    pub fn new(path: PathBuf, served: Served, history: Store, place: Option<(PathBuf, usize)>) -> Self {
        let (served, history) = (ArcSwap::from_pointee(served), Mutex::new(history));
        Self { path, served, history, place, has_let_go: AtomicBool::new(false) }
    }

    /// The document's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The document that is served.
    pub fn served(&self) -> Arc<Served> {
        self.served.load_full()
    }

    /// Whether the document's file says something else than what is served, or nothing. Blocks.
    pub fn has_drifted(&self) -> bool {
        let served = self.served();
        fs::read_to_string(&self.path).map_or(true, |text| hash(&text) != served.hash)
    }

    /// Leaves the history to the process that replaces this one. Nothing is changed from here on.
    pub fn let_go(&self) {
        *self.history() = Store::in_memory(1);
        self.has_let_go.store(true, Relaxed);
    }

    /// Takes the history back from a process that did not replace this one.
    pub fn take_back(&self) -> Result<(), StoreError> {
        self.has_let_go.store(false, Relaxed);
        let Some((folder, kept)) = &self.place else { return Ok(()) };
        let (history, _) = Store::open(folder, *kept)?;
        *self.history() = history;
        Ok(())
    }

    /// Whether another process makes the changes now.
    pub fn has_let_go(&self) -> bool {
        self.has_let_go.load(Relaxed)
    }

    /// The revisions that are remembered, newest first.
    pub fn revisions(&self) -> Vec<Revision> {
        self.history().list()
    }

    /// A revision with its document, where it is remembered. Blocks.
    pub fn revision(&self, number: u64) -> Result<Option<(Revision, String)>, StoreError> {
        self.history().get(number)
    }

    pub(super) fn next_number(&self) -> u64 {
        self.history().next_number()
    }

    pub(super) fn append(&self, revision: &Revision, document: &str) -> Result<(), StoreError> {
        self.history().append(revision, document)
    }

    /// Forgets a revision that was appended and is not served after all.
    pub(super) fn forget(&self, number: u64) {
        self.history().take_back(number);
    }

    pub(super) fn serve(&self, served: Served) {
        self.served.store(Arc::new(served));
    }

    /// What a panicking holder leaves behind is still a store: it writes its files whole.
    fn history(&self) -> MutexGuard<'_, Store> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
