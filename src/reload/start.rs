//! Which document a gateway begins with.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{env, fs};

use serde_json::Value;

use super::{Ledger, Loaded, Served, SourceError, check, load};
use crate::config::{KeptIn, Leader};
use crate::listener::ListenerSpec;
use crate::listener::tls::Tls;
use crate::revision::{Revision, Source, Store, StoreError, default_folder, hash};

/// How many revisions are remembered.
const KEPT: usize = 100;

/// What a gateway begins with.
#[derive(Debug)]
pub struct Start {
    /// The document.
    pub loaded: Loaded,
    /// The revisions before.
    pub history: Store,
    /// Where those are; none in memory.
    pub folder: Option<PathBuf>,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

/// Chooses what to begin with: the file, or where that leaves the lead to the API, what was applied last. Blocks.
pub fn start(path: &Path) -> Result<Start, SourceError> {
    let filed = load(path);
    let place = filed.as_ref().map_or_else(|_| said(path), |loaded| loaded.checked.history.clone());
    let (history, folder, mut warnings) = history(path, &place);
    if filed.as_ref().is_ok_and(|loaded| loaded.checked.leader == Leader::File) {
        return Ok(Start { loaded: filed?, history, folder, warnings });
    }
    match applied(&history, path) {
        Some(Ok(applied)) => {
            if let Err(error) = filed {
                warnings
                    .push(format!("the document's file is passed over for what was applied last: {error}"));
            }
            Ok(Start { loaded: applied, history, folder, warnings })
        }
        Some(Err(error)) => {
            warnings.push(format!("what was applied last cannot be served: {error}"));
            Ok(Start { loaded: filed?, history, folder, warnings })
        }
        None => Ok(Start { loaded: filed?, history, folder, warnings }),
    }
}

impl Start {
    /// The number that this beginning has: that of the last revision, where that is the same document.
    pub fn number(&self) -> u64 {
        match self.history.latest() {
            Some(latest) if latest.hash == hash(&self.loaded.text) => latest.number,
            _ => self.history.next_number(),
        }
    }

    /// Opens the ledger, with this beginning in it.
    pub fn into_ledger(
        mut self,
        path: &Path,
        listeners: Vec<ListenerSpec>,
        admin_tls: Option<Arc<Tls>>,
    ) -> (Ledger, Vec<String>) {
        let number = self.number();
        if self.history.latest().is_none_or(|latest| latest.number != number) {
            let revision =
                Revision::new(number, &self.loaded.text, Source::Start, String::new(), String::new());
            if let Err(error) = self.history.append(&revision, &self.loaded.text) {
                self.warnings.push(format!("this revision is not remembered: {error}"));
            }
        }
        let served = Served {
            revision: number,
            hash: hash(&self.loaded.text),
            text: Arc::clone(&self.loaded.text),
            leader: self.loaded.checked.leader,
            token: self.loaded.checked.admin.token,
            admin_tls,
            is_on_trial: false,
            listeners,
        };
        (
            Ledger::new(path.to_owned(), served, self.history, self.folder.map(|folder| (folder, KEPT))),
            self.warnings,
        )
    }
}

/// Where a document that is refused keeps its history, as far as it can be understood.
fn said(path: &Path) -> KeptIn {
    let document = fs::read(path).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    match document.as_ref().and_then(|document| document["history"].as_str()) {
        None => KeptIn::Default,
        Some("off") => KeptIn::Off,
        Some(folder) => KeptIn::Folder(path.parent().unwrap_or(Path::new("/")).join(folder)),
    }
}

/// The last document that was kept, where it leaves the lead to the API.
fn applied(history: &Store, path: &Path) -> Option<Result<Loaded, String>> {
    let last = history.list().into_iter().find(|revision| revision.source != Source::Trial)?;
    let (_, text) = match history.get(last.number) {
        Ok(found) => found?,
        Err(error) => return Some(Err(error.to_string())),
    };
    match check(&text, path) {
        Ok(loaded) => (loaded.checked.leader == Leader::Api).then_some(Ok(loaded)),
        Err(error) => Some(Err(error.to_string())),
    }
}

/// The history in its place, or where that cannot be had, in memory.
fn history(path: &Path, place: &KeptIn) -> (Store, Option<PathBuf>, Vec<String>) {
    let folder = match place {
        KeptIn::Off => None,
        KeptIn::Folder(folder) => Some(folder.clone()),
        KeptIn::Default => default_folder(path, &|name| env::var_os(name)),
    };
    let Some(folder) = folder else { return (Store::in_memory(KEPT), None, Vec::new()) };
    match Store::open(&folder, KEPT) {
        Ok((store, warnings)) => (store, Some(folder), warnings),
        Err(error) => (Store::in_memory(KEPT), None, vec![forgetful(&error)]),
    }
}

fn forgetful(error: &StoreError) -> String {
    format!("revisions are remembered until the gateway ends, and no longer: {error}")
}
