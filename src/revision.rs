//! The revisions of the document that were applied, on disk: what each said, who applied it, when and why.
//!
//! The admin API shows them and goes back to one; `reload` appends what it publishes. A revision is a file
//! of its own in a folder that one gateway has alone: it is there whole or not at all, whatever happens meanwhile.

mod default;
mod folder;
mod record;
#[cfg(test)]
mod tests;
mod timestamp;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use folder::{Fault, Folder};

pub use default::default_folder;
pub use record::hash;

/// Bytes of a document.
const LARGEST_DOCUMENT: usize = 64 << 20;
/// Bytes of an author's name, and of a message.
const LARGEST_NOTE: usize = 64 << 10;

/// A document that was applied, without its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// Rises from revision to revision, with gaps; never used twice in a folder.
    pub number: u64,
    /// Of the document's bytes, as [`hash`] makes it.
    pub hash: String,
    /// When. In JSON as RFC 3339 in UTC, to the millisecond.
    #[serde(with = "timestamp")]
    pub applied: SystemTime,
    /// Who; empty when nobody is known.
    pub author: String,
    /// What made the gateway apply it.
    pub source: Source,
    /// Why, in the author's words; empty when there are none.
    pub message: String,
}

/// Where a revision came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The file has changed.
    File,
    /// It was sent to the admin API.
    Api,
    /// It was sent to the admin API, to be taken back unless somebody confirms it.
    Trial,
    /// An earlier revision was asked for again.
    Rollback,
    /// The gateway has started.
    Start,
    /// A discovery of services has changed it.
    Discovery,
    /// One that this version has no word for. A newer one may have written it.
    #[serde(other)]
    Other,
}

impl Revision {
    /// A revision that is applied now.
    pub fn new(number: u64, document: &str, source: Source, author: String, message: String) -> Self {
        #[expect(clippy::disallowed_methods, reason = "people ask by the wall clock when it was")]
        let applied = SystemTime::now();
        Self { number, hash: hash(document), applied, author, source, message }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::File => "file",
            Self::Api => "api",
            Self::Trial => "trial",
            Self::Rollback => "rollback",
            Self::Start => "start",
            Self::Discovery => "discovery",
            Self::Other => "other",
        })
    }
}

/// Why a revision cannot be kept or read.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another gateway has the folder.
    #[error(
        "another gateway keeps its revisions in {0}: stop it, or give this one a folder of its own by `history`"
    )]
    InUse(PathBuf),
    /// The folder cannot be used.
    #[error(
        "cannot keep revisions in {folder}: {source}; make it writable for the gateway, or give another one by `history`"
    )]
    Folder {
        /// Which.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The disk or the quota is full. What was kept before is as it was.
    #[error(
        "no space is left for revision {number} in {folder}: free some; the revisions before it are kept as they were"
    )]
    Full {
        /// The revision that is not kept.
        number: u64,
        /// Where.
        folder: PathBuf,
    },
    /// The file of the revision cannot be written. What was kept before is as it was.
    #[error(
        "cannot write revision {number} to {path}: {source}; see to the disk; the revisions before it are kept as they were"
    )]
    Write {
        /// The revision that is not kept.
        number: u64,
        /// Where it would be.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A revision that was kept cannot be read any more, or is not what was written.
    #[error("cannot use revision {number} in {path}: {reason}; take another revision")]
    Unusable {
        /// Which.
        number: u64,
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The number was used before.
    #[error("revision {number} comes too late, the next one is {next}: take the number from the store")]
    NumberUsed {
        /// The one that was given.
        number: u64,
        /// The least that is free.
        next: u64,
    },
    /// The hash of the revision is not that of the document.
    #[error("the hash of revision {0} is that of another document: take it from the document's bytes")]
    HashDiffers(u64),
    /// More than the store would read again.
    #[error("the {part} of revision {number} has {bytes} bytes, the most is {limit}: shorten it")]
    TooLarge {
        /// Which revision.
        number: u64,
        /// Of what there is too much.
        part: &'static str,
        /// How much.
        bytes: usize,
        /// How much there may be.
        limit: usize,
    },
}

/// The newest revisions. Everything but looking at what is in memory blocks on the disk.
pub struct Store {
    place: Place,
    /// Oldest first.
    kept: VecDeque<Revision>,
    /// At least 1.
    keep: usize,
    /// No number up to here is free.
    highest: u64,
}

/// Where the documents are.
enum Place {
    Folder(Folder),
    Memory(BTreeMap<u64, String>),
}

impl fmt::Debug for Store {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Store").field("kept", &self.kept.len()).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store in a folder, which is made if need be, and takes it for this gateway alone until it is dropped.
    /// The newest `keep` revisions are kept, and at least one. Also says what was found wrong: files that are not what
    /// was once written are set aside as `*.broken`, those that this version cannot read are left alone, and neither is
    /// listed.
    pub fn open(folder: &Path, keep: usize) -> Result<(Self, Vec<String>), StoreError> {
        let keep = keep.max(1);
        let (folder, found) = Folder::open(folder, keep)?;
        let (kept, highest) = (found.kept, found.highest);
        Ok((Self { place: Place::Folder(folder), kept, keep, highest }, found.warnings))
    }

    /// A store that forgets everything when it is dropped, for a gateway that has no folder to write to. The documents
    /// stay in memory.
    pub fn in_memory(keep: usize) -> Self {
        let place = Place::Memory(BTreeMap::new());
        Self { place, kept: VecDeque::new(), keep: keep.max(1), highest: 0 }
    }

    /// Keeps a revision, and forgets the oldest ones for it. When this returns, the revision outlasts a loss of power;
    /// when it fails, the revisions are those that there were, but the number is used up: somebody may have seen it.
    pub fn append(&mut self, revision: &Revision, document: &str) -> Result<(), StoreError> {
        self.append_with(revision, document, &|_| Ok(()))
    }

    fn append_with(&mut self, revision: &Revision, document: &str, fault: Fault) -> Result<(), StoreError> {
        self.check(revision, document)?;
        let applied = timestamp::writable(revision.applied);
        let revision = Revision { applied, ..revision.clone() };
        self.highest = revision.number;
        match &mut self.place {
            Place::Folder(folder) => folder.write(&revision, document, fault)?,
            Place::Memory(documents) => drop(documents.insert(revision.number, document.to_owned())),
        }
        self.kept.push_back(revision);
        while self.kept.len() > self.keep
            && let Some(oldest) = self.kept.pop_front()
        {
            match &mut self.place {
                Place::Folder(folder) => folder.prune(oldest.number, fault),
                Place::Memory(documents) => drop(documents.remove(&oldest.number)),
            }
        }
        Ok(())
    }

    /// Forgets the newest revision again, if it is this one: it was not served after all. Its number is used up.
    pub fn take_back(&mut self, number: u64) {
        if self.kept.pop_back_if(|newest| newest.number == number).is_none() {
            return;
        }
        match &mut self.place {
            Place::Folder(folder) => folder.prune(number, &|_| Ok(())),
            Place::Memory(documents) => drop(documents.remove(&number)),
        }
    }

    fn check(&self, revision: &Revision, document: &str) -> Result<(), StoreError> {
        let number = revision.number;
        if number <= self.highest {
            return Err(StoreError::NumberUsed { number, next: self.next_number() });
        }
        for (part, bytes, limit) in [
            ("document", document.len(), LARGEST_DOCUMENT),
            ("author", revision.author.len(), LARGEST_NOTE),
            ("message", revision.message.len(), LARGEST_NOTE),
        ] {
            if bytes > limit {
                return Err(StoreError::TooLarge { number, part, bytes, limit });
            }
        }
        if revision.hash != hash(document) {
            return Err(StoreError::HashDiffers(number));
        }
        Ok(())
    }

    /// What is kept, newest first.
    pub fn list(&self) -> Vec<Revision> {
        self.kept.iter().rev().cloned().collect()
    }

    /// A revision and its document; none when it is not kept. Reads the file, and checks it as when the store was opened.
    pub fn get(&self, number: u64) -> Result<Option<(Revision, String)>, StoreError> {
        let Some(revision) = self.kept.iter().find(|revision| revision.number == number) else {
            return Ok(None);
        };
        match &self.place {
            Place::Folder(folder) => folder.read(number).map(Some),
            Place::Memory(documents) => {
                Ok(documents.get(&number).map(|document| (revision.clone(), document.clone())))
            }
        }
    }

    /// The newest of those that are kept.
    pub fn latest(&self) -> Option<&Revision> {
        self.kept.back()
    }

    /// The least number that is free; 1 in a new store.
    pub fn next_number(&self) -> u64 {
        self.highest.saturating_add(1)
    }
}
