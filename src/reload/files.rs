//! Noticing that the document or a plugin's file has changed.
//!
//! Folders are watched, not files: editors write a new file and rename it into place, and a watch on the old one would
//! see nothing more. What has really changed is then found by looking, so that an unrelated file in the same folder, an
//! access log for one, causes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tracing::warn;

use crate::config::{Checked, KeySource, PluginSource, Tls};

/// How long files must be left alone before they count as changed.
const SETTLE: Duration = Duration::from_millis(100);
/// A file that is written to for longer is read as it is then.
const ROUNDS_TO_SETTLE: u32 = 20;

/// Watches the document and the files that it names.
pub struct Watch {
    document: PathBuf,
    watcher: Option<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
    seen: BTreeMap<PathBuf, Option<Stamp>>,
    events: mpsc::Receiver<()>,
    /// Files were added that may have changed since they were read.
    is_behind: bool,
}

/// Tells one content of a file from another without reading it.
type Stamp = (u64, u64, i64, i64, u64);

impl Watch {
    /// Watches the document. To be called before it is read, so that nothing is missed.
    pub fn new(document: PathBuf) -> Self {
        let (told, events) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |_| {
            // One event that waits says as much as many.
            let _ = told.try_send(());
        });
        let watcher = watcher
            .map_err(|error| warn!(%error, "files cannot be watched: reload with SIGHUP or `cupctl reload`"))
            .ok();
        let seen = BTreeMap::from([(document.clone(), stamp(&document))]);
        let mut watch = Self { document, watcher, folders: BTreeSet::new(), seen, events, is_behind: false };
        watch.follow(BTreeSet::new());
        watch
    }

    /// Watches these files too, and no others than these and the document.
    pub fn follow(&mut self, mut files: BTreeSet<PathBuf>) {
        files.insert(self.document.clone());
        self.seen.retain(|path, _| files.contains(path));
        for path in &files {
            self.is_behind |= !self.seen.contains_key(path);
            // Not its stamp: it was read a while ago, and may have changed since.
            self.seen.entry(path.clone()).or_insert(None);
        }
        self.watch(files.iter().flat_map(|path| folders(path)).collect());
    }

    /// Waits until a file has changed and has settled. May be dropped and called again.
    pub async fn changed(&mut self) {
        loop {
            if !self.is_behind && self.events.recv().await.is_none() {
                return std::future::pending().await;
            }
            if !self.has_changed() {
                // A busy neighbour of a watched file, a log for one, is looked past this often and no more.
                tokio::time::sleep(SETTLE).await;
                continue;
            }
            self.is_behind = true;
            for _ in 0..ROUNDS_TO_SETTLE {
                self.look();
                tokio::time::sleep(SETTLE).await;
                if !self.has_changed() {
                    break;
                }
            }
            self.is_behind = false;
            self.look();
            return;
        }
    }

    fn watch(&mut self, wanted: BTreeSet<PathBuf>) {
        let Some(watcher) = &mut self.watcher else { return };
        for gone in self.folders.difference(&wanted) {
            // A folder that is no longer there is not watched either.
            let _ = watcher.unwatch(gone);
        }
        for new in wanted.difference(&self.folders) {
            if let Err(error) = watcher.watch(new, RecursiveMode::NonRecursive) {
                warn!(folder = %new.display(), %error, "folder cannot be watched");
            }
        }
        self.folders = wanted;
    }

    fn has_changed(&mut self) -> bool {
        self.is_behind = false;
        self.seen.iter().any(|(path, seen)| stamp(path) != *seen)
    }

    fn look(&mut self) {
        for (path, seen) in &mut self.seen {
            *seen = stamp(path);
        }
    }
}

/// The files that a document names and that a change of which is a change of what is served.
pub fn files(checked: &Checked) -> impl Iterator<Item = PathBuf> {
    let plugins = checked.plugins.iter().filter_map(|plugin| match &plugin.source {
        PluginSource::File(path) => Some(path.clone()),
        PluginSource::Shipped => None,
    });
    let key_sets = checked.key_sets.iter().filter_map(|key_set| match &key_set.source {
        KeySource::JwksFile { path, .. } => Some(path.clone()),
        _ => None,
    });
    let tls = checked.listeners.iter().filter_map(|listener| listener.tls.as_ref()).chain(&checked.admin.tls);
    let to_backends = checked.upstreams.iter().filter_map(|upstream| upstream.dial.tls.as_ref());
    let to_backends = to_backends.flat_map(|tls| tls.files().map(|(path, _)| path.clone()));
    let replies = checked.reply_files.iter().cloned();
    plugins.chain(key_sets).chain(replies).chain(tls.flat_map(tls_files)).chain(to_backends)
}

fn tls_files(tls: &Tls) -> impl Iterator<Item = PathBuf> {
    let certificates = tls.certificates.iter();
    let certificates = certificates
        .flat_map(|certificate| [&certificate.chain, &certificate.key].into_iter().chain(&certificate.ocsp));
    let authorities = tls.clients.iter().map(|clients| &clients.ca);
    certificates.chain(authorities).map(|(path, _)| path.clone())
}

/// The folder of a file, and that of what it links to.
fn folders(path: &Path) -> Vec<PathBuf> {
    let named =
        path.parent().map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    let linked = fs::canonicalize(path).ok().and_then(|path| path.parent().map(Path::to_path_buf));
    named.map(Path::to_path_buf).into_iter().chain(linked).collect()
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.len()))
}
