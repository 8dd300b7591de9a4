//! Revisions in a folder.
//!
//! `0000000042.json` holds revision 42, `0000000042.tmp` is one that is being written, and `0000000042.broken` one that
//! was set aside. `lock` is locked by the gateway that has the folder and holds the highest number that was ever used,
//! which outlasts the files. Everything else is somebody else's and is left alone.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::record::{self, Unusable};
use super::{Revision, StoreError};

const RECORD: &str = "json";
const TEMPORARY: &str = "tmp";
const BROKEN: &str = "broken";

/// How many that were set aside are kept, for whoever wants to know what happened.
const BROKEN_KEPT: usize = 3;

/// A step of keeping a revision, as it is about to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Point {
    Mark,
    Create,
    Write,
    Sync,
    Rename,
    SyncFolder,
    Prune,
}

/// Makes a step fail, in tests.
pub(super) type Fault<'a> = &'a dyn Fn(Point) -> io::Result<()>;

/// The folder, while this gateway has it.
pub(super) struct Folder {
    path: PathBuf,
    /// Its entries, to be synced.
    entries: File,
    lock: File,
}

/// What was in the folder.
#[derive(Default)]
pub(super) struct Found {
    /// Oldest first.
    pub(super) kept: VecDeque<Revision>,
    pub(super) highest: u64,
    pub(super) warnings: Vec<String>,
}

impl Folder {
    /// Takes the folder, puts it in order and reads the newest `keep` revisions.
    pub(super) fn open(path: &Path, keep: usize) -> Result<(Self, Found), StoreError> {
        let failed = |source| StoreError::Folder { folder: path.into(), source };
        let entries = make(path).map_err(failed)?;
        let lock = options().read(true).create(true).open(path.join("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::InUse(path.into())),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let folder = Self { path: path.into(), entries, lock };
        let found = folder.find(keep).map_err(failed)?;
        // What a dying gateway renamed and could not sync is shown from now on, so it has to stay.
        folder.sync().map_err(failed)?;
        Ok((folder, found))
    }

    fn find(&self, keep: usize) -> io::Result<Found> {
        let mut found = Found { highest: self.mark(), ..Found::default() };
        let (mut records, mut broken) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&self.path)? {
            match parse(&entry?.file_name()) {
                Some((number, RECORD)) => records.push(number),
                Some((number, BROKEN)) => broken.push(number),
                Some((number, TEMPORARY)) => self.delete(number, TEMPORARY),
                _ => {}
            }
        }
        found.highest = records.iter().chain(&broken).copied().fold(found.highest, u64::max);
        records.sort_unstable_by(|one, other| other.cmp(one));
        for number in records {
            if found.kept.len() == keep {
                self.delete(number, RECORD);
                continue;
            }
            match record::read(&self.file(number, RECORD), number) {
                Ok((revision, _)) => found.kept.push_front(revision),
                Err(unusable) => {
                    found.warnings.push(self.set_aside(number, &unusable));
                    broken.extend(matches!(unusable, Unusable::Broken(_)).then_some(number));
                }
            }
        }
        broken.sort_unstable_by(|one, other| other.cmp(one));
        broken.dedup();
        broken.iter().skip(BROKEN_KEPT).for_each(|number| self.delete(*number, BROKEN));
        if fs::metadata(&self.path)?.mode() & 0o022 != 0 {
            let path = self.path.display();
            found.warnings.push(format!("others than the gateway may write to {path}: `chmod 700 {path}`"));
        }
        Ok(found)
    }

    /// Only what is broken for good is renamed: a disk that fails for a moment must not cost the good ones.
    fn set_aside(&self, number: u64, unusable: &Unusable) -> String {
        let (path, broken) = (self.file(number, RECORD), self.file(number, BROKEN));
        let done = match unusable {
            Unusable::Unreadable(_) => "it is left where it is".to_owned(),
            Unusable::Broken(_) => match fs::rename(&path, &broken) {
                Ok(()) => format!("it is set aside as {}", broken.display()),
                Err(error) => format!("it cannot be set aside: {error}"),
            },
        };
        format!("cannot use revision {number} in {}: {}; {done}", path.display(), unusable.reason())
    }

    /// Writes a revision whose number is new. Each step leaves a folder that can be opened: with the revision from the
    /// renaming on, without it until then.
    pub(super) fn write(&self, revision: &Revision, document: &str, fault: Fault) -> Result<(), StoreError> {
        let number = revision.number;
        self.try_write(revision, document, fault).map_err(|source| {
            self.delete(number, TEMPORARY);
            self.delete(number, RECORD);
            match source.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                    StoreError::Full { number, folder: self.path.clone() }
                }
                _ => StoreError::Write { number, path: self.file(number, RECORD), source },
            }
        })
    }

    fn try_write(&self, revision: &Revision, document: &str, fault: Fault) -> io::Result<()> {
        let number = revision.number;
        let temporary = self.file(number, TEMPORARY);
        fault(Point::Mark)?;
        // Always of the same length, so that it is overwritten in place.
        self.lock.write_all_at(format!("{number:020}\n").as_bytes(), 0)?;
        self.lock.sync_data()?;
        fault(Point::Create)?;
        let file = options().create_new(true).open(&temporary)?;
        fault(Point::Write)?;
        record::write(&file, revision, document)?;
        fault(Point::Sync)?;
        file.sync_all()?;
        fault(Point::Rename)?;
        fs::rename(&temporary, self.file(number, RECORD))?;
        fault(Point::SyncFolder)?;
        self.sync()
    }

    /// Reads a revision again.
    pub(super) fn read(&self, number: u64) -> Result<(Revision, String), StoreError> {
        let path = self.file(number, RECORD);
        record::read(&path, number).map_err(|unusable| {
            let reason = unusable.reason().to_owned();
            StoreError::Unusable { number, path, reason }
        })
    }

    /// Deletes a revision. One that stays is met again when the folder is opened.
    pub(super) fn prune(&self, number: u64, fault: Fault) {
        if fault(Point::Prune).is_ok() {
            self.delete(number, RECORD);
        }
    }

    fn delete(&self, number: u64, kind: &str) {
        drop(fs::remove_file(self.file(number, kind)));
    }

    fn file(&self, number: u64, kind: &str) -> PathBuf {
        self.path.join(format!("{number:010}.{kind}"))
    }

    /// The highest number that was used, as far as it can be read; the names of the files say most of it too.
    fn mark(&self) -> u64 {
        let mut text = String::new();
        match (&self.lock).take(32).read_to_string(&mut text) {
            Ok(_) => text.trim_end().parse().unwrap_or(0),
            Err(_) => 0,
        }
    }

    /// Some file systems sync their entries by themselves and refuse to be asked.
    fn sync(&self) -> io::Result<()> {
        match self.entries.sync_all() {
            Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
            synced => synced,
        }
    }
}

/// Makes the folder where there is none, so that it outlasts a loss of power.
fn make(path: &Path) -> io::Result<File> {
    if !path.exists() {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        for parent in path.ancestors().skip(1) {
            drop(File::open(parent).and_then(|parent| parent.sync_all()));
        }
    }
    File::open(path)
}

/// For files that only the gateway may read.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

/// The number and the ending of a name that this module gives.
fn parse(name: &OsStr) -> Option<(u64, &str)> {
    let (digits, kind) = name.to_str()?.split_once('.')?;
    let number = digits.parse().ok().filter(|number: &u64| format!("{number:010}") == digits)?;
    Some((number, kind))
}
