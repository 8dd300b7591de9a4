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

use crate::config::{Checked, PluginSource};

/// How long files must be left alone before they count as changed.
const SETTLE: Duration = Duration::from_millis(100);

/// Watches the files of the running document.
pub struct Watch {
    document: PathBuf,
    watcher: Option<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
    seen: BTreeMap<PathBuf, Option<Stamp>>,
    events: mpsc::Receiver<()>,
}

/// Tells one content of a file from another without reading it.
type Stamp = (u64, u64, i64, i64, u64);

impl Watch {
    /// Watches the document and the files that it names.
    pub fn new(document: PathBuf, checked: &Checked) -> Self {
        let (told, events) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |_| {
            // One event that waits says as much as many.
            let _ = told.try_send(());
        });
        let watcher = watcher
            .map_err(|error| warn!(%error, "files cannot be watched: reload with SIGHUP or `cupctl reload`"))
            .ok();
        let mut watch =
            Self { document, watcher, folders: BTreeSet::new(), seen: BTreeMap::new(), events };
        watch.follow(checked);
        watch
    }

    /// Watches the files of this document.
    pub fn follow(&mut self, checked: &Checked) {
        let files = checked.plugins.iter().filter_map(|plugin| match &plugin.source {
            PluginSource::File(path) => Some(path.clone()),
            PluginSource::Shipped => None,
        });
        self.set_files(files.collect());
    }

    /// Waits until a file has changed and has settled. May be dropped and called again.
    pub async fn changed(&mut self) {
        loop {
            if self.events.recv().await.is_none() {
                return std::future::pending().await;
            }
            while tokio::time::timeout(SETTLE, self.events.recv()).await.is_ok_and(|event| event.is_some()) {}
            if self.look() {
                return;
            }
        }
    }

    fn set_files(&mut self, mut files: BTreeSet<PathBuf>) {
        files.insert(self.document.clone());
        self.seen = files.iter().map(|path| (path.clone(), stamp(path))).collect();
        let wanted: BTreeSet<_> = files.iter().flat_map(|path| folders(path)).collect();
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

    fn look(&mut self) -> bool {
        let mut changed = false;
        for (path, seen) in &mut self.seen {
            let now = stamp(path);
            changed |= now != *seen;
            *seen = now;
        }
        changed
    }
}

/// The folder of a file, and that of what it links to.
fn folders(path: &Path) -> Vec<PathBuf> {
    let named = path.parent().map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    let linked = fs::canonicalize(path).ok().and_then(|path| path.parent().map(Path::to_path_buf));
    named.map(Path::to_path_buf).into_iter().chain(linked).collect()
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.len()))
}
