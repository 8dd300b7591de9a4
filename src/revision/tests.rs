//! A folder that is opened again after everything that can happen to it.

mod model;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, UNIX_EPOCH};

use tempfile::TempDir;

use super::default::base;
use super::folder::Point;
use super::*;

const POINTS: [Point; 7] =
    [Point::Mark, Point::Create, Point::Write, Point::Sync, Point::Rename, Point::SyncFolder, Point::Prune];

fn revision(number: u64, document: &str) -> Revision {
    Revision {
        number,
        hash: hash(document),
        applied: UNIX_EPOCH + Duration::from_millis(1_776_000_000_123 + number % 1000),
        author: "someone".into(),
        source: Source::Api,
        message: "for \"this\" reason".into(),
    }
}

/// In memory where that can be had: every append waits for the disk several times.
fn tempdir() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn open(folder: &Path) -> Store {
    Store::open(folder, 3).map_err(|error| error.to_string()).unwrap().0
}

fn warnings(folder: &Path) -> Vec<String> {
    Store::open(folder, 3).map_err(|error| error.to_string()).unwrap().1
}

fn append(store: &mut Store, document: &str) -> u64 {
    let number = store.next_number();
    store.append(&revision(number, document), document).unwrap();
    number
}

/// A closed store with revisions `first` and `second`.
fn two() -> TempDir {
    let folder = tempdir();
    let mut store = open(folder.path());
    append(&mut store, "first");
    append(&mut store, "second");
    folder
}

/// Numbers, newest first, each of a revision that can be read.
fn numbers(store: &Store) -> Vec<u64> {
    let list = store.list();
    for revision in &list {
        let (read, document) = store.get(revision.number).unwrap().unwrap();
        assert_eq!(read, *revision);
        assert_eq!(read.hash, hash(&document));
    }
    list.iter().map(|revision| revision.number).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

/// Appends until the gateway dies before a step.
fn die(store: Store, point: Point, revision: &Revision, document: &str) {
    let mut store = store;
    let fault = |reached| if reached == point { resume_unwind(Box::new("died")) } else { Ok(()) };
    drop(catch_unwind(AssertUnwindSafe(|| store.append_with(revision, document, &fault))));
}

#[test]
fn revisions_come_back_as_they_were() {
    let folder = tempdir();
    let documents = ["", "{\"a\": \"\\u0000\"}\n", "\u{0}\u{7f}\u{1f980}é\r\n\t\"\\"];
    let mut expected = Vec::new();
    for (number, document) in (5..).zip(documents) {
        let mut store = open(folder.path());
        expected.insert(0, revision(number, document));
        store.append(&expected[0], document).unwrap();
        assert_eq!(store.list(), expected);
    }
    let store = open(folder.path());
    assert_eq!(store.list(), expected);
    assert_eq!(store.latest(), expected.first());
    assert_eq!(store.next_number(), 8);
    for (number, document) in (5..).zip(documents) {
        let found = store.get(number).unwrap().unwrap();
        assert_eq!(found, (revision(number, document), document.to_owned()));
    }
    assert_eq!(store.get(4).unwrap(), None);
}

#[test]
fn revision_is_json_that_people_can_read() {
    let json = serde_json::to_string(&revision(7, "{}")).unwrap();
    assert_eq!(
        json,
        r#"{"number":7,"hash":"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","#
            .to_owned()
            + r#""applied":"2026-04-12T13:20:00.130Z","author":"someone","source":"api","#
            + r#""message":"for \"this\" reason"}"#
    );
    assert_eq!(serde_json::from_str::<Revision>(&json).unwrap(), revision(7, "{}"));
    assert_eq!(serde_json::from_str::<Source>("\"carrier-pigeon\"").unwrap(), Source::Other);
}

#[test]
fn clock_may_stand_anywhere() {
    let far = Duration::from_secs(1 << 40);
    for (applied, expected) in [
        (UNIX_EPOCH - far, UNIX_EPOCH),
        (UNIX_EPOCH + far, UNIX_EPOCH + Duration::from_secs(253_402_300_799)),
        (UNIX_EPOCH + Duration::from_nanos(1_999_999_999), UNIX_EPOCH + Duration::from_millis(1999)),
    ] {
        let folder = tempdir();
        let mut store = open(folder.path());
        store.append(&Revision { applied, ..revision(1, "") }, "").unwrap();
        assert_eq!(store.latest().unwrap().applied, expected);
        drop(store);
        assert_eq!(open(folder.path()).latest().unwrap().applied, expected);
    }
}

#[test]
fn only_the_owner_reads_them() {
    let parent = tempdir();
    let folder = parent.path().join("made/on/the/way");
    append(&mut open(&folder), "secret");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&parent.path().join("made")), 0o700);
    assert_eq!(mode(&folder.join("0000000001.json")), 0o600);
    assert_eq!(mode(&folder.join("lock")), 0o600);
    assert!(warnings(&folder).is_empty());
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o770)).unwrap();
    assert!(warnings(&folder)[0].starts_with("others than the gateway may write to"));
}

#[test]
fn oldest_are_forgotten_and_never_the_newest() {
    for keep in [0, 1, 2, 5] {
        let kept = keep.max(1);
        let folder = tempdir();
        let mut stores = [Store::open(folder.path(), keep).ok().unwrap().0, Store::in_memory(keep)];
        for number in 1..=7 {
            let expected: Vec<_> = (1..=number).rev().take(kept).collect();
            for store in &mut stores {
                assert_eq!(append(store, &format!("document {number}")), number);
                assert_eq!(numbers(store), expected);
            }
            assert_eq!(names(folder.path()).len(), expected.len() + 1);
        }
        assert_eq!(stores[0].list(), stores[1].list());
        assert_eq!(stores[0].get(7).unwrap(), stores[1].get(7).unwrap());
        assert_eq!(stores[1].get(7 - kept as u64).unwrap(), None);
    }
}

#[test]
fn fewer_are_kept_when_asked_at_the_next_start() {
    let folder = two();
    assert_eq!(numbers(&Store::open(folder.path(), 1).ok().unwrap().0), [2]);
    assert_eq!(names(folder.path()), ["0000000002.json", "lock"]);
}

#[test]
fn gateway_may_die_at_every_step() {
    for point in POINTS {
        for torn in [false, true] {
            let folder = two();
            let mut store = open(folder.path());
            append(&mut store, "third");
            die(store, point, &revision(4, "fourth"), "fourth");
            if torn
                && let Ok(file) = fs::File::options().write(true).open(folder.path().join("0000000004.tmp"))
            {
                file.set_len(100).unwrap();
            }
            let expected = match point {
                Point::SyncFolder | Point::Prune => [4, 3, 2],
                _ => [3, 2, 1],
            };
            let (mut store, warnings) = Store::open(folder.path(), 3).ok().unwrap();
            assert_eq!(numbers(&store), expected, "{point:?}");
            assert!(warnings.is_empty(), "{warnings:?}");
            assert_eq!(names(folder.path()).len(), 4, "{point:?}");
            // The number is used up from the moment that it is written down.
            let next = if point == Point::Mark { 4 } else { 5 };
            assert_eq!(append(&mut store, "another"), next);
            assert_eq!(numbers(&store)[0], next);
        }
    }
}

#[test]
fn failure_at_every_step_leaves_the_revisions_as_they_were() {
    for point in POINTS {
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::Other] {
            let folder = two();
            let mut store = open(folder.path());
            append(&mut store, "third");
            let before = names(folder.path());
            let fault = |reached| if reached == point { Err(kind.into()) } else { Ok(()) };
            let result = store.append_with(&revision(4, "fourth"), "fourth", &fault);
            if point == Point::Prune {
                assert!(result.is_ok());
                assert_eq!(numbers(&store), [4, 3, 2]);
                continue;
            }
            assert_eq!(
                matches!(result.unwrap_err(), StoreError::Full { .. }),
                kind == io::ErrorKind::StorageFull
            );
            assert_eq!(numbers(&store), [3, 2, 1]);
            assert_eq!(names(folder.path()), before, "{point:?}");
            assert_eq!(append(&mut store, "fifth"), 5);
            drop(store);
            assert_eq!(numbers(&open(folder.path())), [5, 3, 2]);
        }
    }
}

#[test]
fn what_was_not_served_after_all_is_forgotten() {
    let folder = two();
    let check = |mut store: Store| {
        let third = append(&mut store, "third");
        store.take_back(third);
        assert_eq!((numbers(&store), store.get(third).unwrap()), (vec![2, 1], None));
        store.take_back(1);
        assert_eq!(numbers(&store), [2, 1], "only the newest can be");
        assert_eq!(append(&mut store, "fourth"), 4, "its number is used up");
    };
    check(open(folder.path()));
    assert_eq!(numbers(&open(folder.path())), [4, 2, 1]);
    let mut memory = Store::in_memory(3);
    for document in ["first", "second"] {
        append(&mut memory, document);
    }
    check(memory);
}

#[test]
fn torn_file_of_every_length_is_set_aside() {
    let folder = two();
    let path = folder.path().join("0000000002.json");
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let (store, warnings) = Store::open(folder.path(), 3).ok().unwrap();
        assert_eq!(numbers(&store), [1], "{length}");
        assert_eq!(warnings.len(), 1);
        assert_eq!(names(folder.path()), ["0000000001.json", "0000000002.broken", "lock"]);
        assert_eq!(store.next_number(), 3);
    }
    fs::write(&path, &whole).unwrap();
    assert_eq!(numbers(&open(folder.path())), [2, 1]);
}

#[test]
fn altered_byte_is_noticed_wherever_it_is() {
    let folder = two();
    let whole = fs::read(folder.path().join("0000000002.json")).unwrap();
    assert_eq!(record::parse(&whole, 2).unwrap(), (revision(2, "second"), "second".to_owned()));
    for place in 0..whole.len() {
        for mask in 1..=255 {
            let mut altered = whole.clone();
            altered[place] ^= mask;
            assert!(record::parse(&altered, 2).is_err(), "{}", String::from_utf8_lossy(&altered));
        }
    }
    assert!(record::parse(&whole, 3).is_err(), "it is under a wrong name");
}

#[test]
fn file_that_is_altered_meanwhile_is_not_given_out() {
    let folder = two();
    let store = open(folder.path());
    let path = folder.path().join("0000000002.json");
    fs::write(&path, fs::read_to_string(&path).unwrap().replace("second", "sECOND")).unwrap();
    let text = store.get(2).unwrap_err().to_string();
    assert!(
        text.ends_with("0000000002.json: the document is not what was written; take another revision"),
        "{text}"
    );
    fs::remove_file(&path).unwrap();
    assert!(matches!(store.get(2), Err(StoreError::Unusable { number: 2, .. })));
}

#[test]
fn few_that_are_broken_are_kept() {
    let folder = two();
    for number in 3..=9 {
        fs::write(folder.path().join(format!("{number:010}.json")), "{}").unwrap();
        open(folder.path());
    }
    let kept = ["0000000007.broken", "0000000008.broken", "0000000009.broken"];
    assert_eq!(
        names(folder.path()),
        [&["0000000001.json", "0000000002.json"], &kept[..], &["lock"]].concat()
    );
    assert_eq!(open(folder.path()).next_number(), 10);
}

#[test]
fn record_of_a_later_version_is_left_alone() {
    let folder = two();
    let later = folder.path().join("0000000008.json");
    fs::write(&later, r#"{"format":2,"parts":["unknown"]}"#).unwrap();
    let (mut store, warnings) = Store::open(folder.path(), 3).ok().unwrap();
    assert!(warnings[0].contains("reads format 1; it is left where it is"), "{warnings:?}");
    assert_eq!(numbers(&store), [2, 1]);
    assert_eq!(append(&mut store, "ninth"), 9);
    assert!(later.exists());
}

#[test]
fn what_is_not_a_file_or_not_ours_does_no_harm() {
    let folder = two();
    for name in ["0000000003.json", "0000000004.tmp", "0000000005.broken"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    for name in ["1.json", "+000000001.json", "0000000001.json.old", "99999999999999999999.json", "notes"] {
        fs::write(folder.path().join(name), "").unwrap();
    }
    let (store, warnings) = Store::open(folder.path(), 3).ok().unwrap();
    assert!(warnings[0].contains("it is not a file; it is set aside as"), "{warnings:?}");
    assert_eq!(numbers(&store), [2, 1]);
    assert_eq!(store.next_number(), 6);
    assert!(folder.path().join("notes").exists());
}

#[test]
fn number_is_not_used_again_when_its_file_is_gone() {
    let folder = two();
    for name in ["0000000001.json", "0000000002.json"] {
        fs::remove_file(folder.path().join(name)).unwrap();
    }
    let mut store = open(folder.path());
    assert_eq!((numbers(&store), store.next_number()), (vec![], 3));
    let refused = store.append(&revision(2, "again"), "again").unwrap_err().to_string();
    assert_eq!(refused, "revision 2 comes too late, the next one is 3: take the number from the store");
    append(&mut store, "third");
    drop(store);
    // The names say it as well.
    fs::write(folder.path().join("lock"), "what?").unwrap();
    assert_eq!(open(folder.path()).next_number(), 4);
}

#[test]
fn last_number_is_the_last() {
    for mut store in [Store::in_memory(3), open(tempdir().path())] {
        store.append(&revision(u64::MAX, ""), "").unwrap();
        assert!(matches!(store.append(&revision(u64::MAX, ""), ""), Err(StoreError::NumberUsed { .. })));
    }
}

#[test]
fn two_gateways_do_not_share_a_folder() {
    let folder = tempdir();
    let first = open(folder.path());
    let refused = Store::open(folder.path(), 3).err().unwrap();
    assert!(matches!(refused, StoreError::InUse(_)));
    assert!(refused.to_string().contains(&format!("{}: stop it", folder.path().display())));
    drop(first);
    open(folder.path());
}

#[test]
fn folder_that_cannot_be_made_is_named() {
    let parent = tempdir();
    fs::write(parent.path().join("file"), "").unwrap();
    for path in ["file", "file/below"] {
        let path = parent.path().join(path);
        let refused = Store::open(&path, 3).err().unwrap().to_string();
        assert!(refused.starts_with(&format!("cannot keep revisions in {}: ", path.display())), "{refused}");
    }
}

#[test]
fn what_could_not_be_read_again_is_refused() {
    let folder = tempdir();
    for mut store in [open(folder.path()), Store::in_memory(3)] {
        let wrong = Revision { hash: hash("other"), ..revision(1, "") };
        assert!(matches!(store.append(&wrong, ""), Err(StoreError::HashDiffers(1))));
        let large = " ".repeat(LARGEST_DOCUMENT + 1);
        let refused = store.append(&revision(1, ""), &large).unwrap_err().to_string();
        assert_eq!(
            refused,
            "the document of revision 1 has 67108865 bytes, the most is 67108864: shorten it"
        );
        let message = "m".repeat(LARGEST_NOTE + 1);
        let talkative = Revision { message, ..revision(1, "") };
        assert!(matches!(store.append(&talkative, ""), Err(StoreError::TooLarge { part: "message", .. })));
        assert_eq!(store.next_number(), 1);
    }
}

#[test]
fn largest_record_may_be_read() {
    let (document, note) = ("\0".repeat(1 << 20), "\0".repeat(LARGEST_NOTE));
    let revision = Revision { author: note.clone(), message: note, ..revision(u64::MAX, &document) };
    let folder = tempdir();
    open(folder.path()).append(&revision, &document).unwrap();
    assert!(open(folder.path()).get(u64::MAX).unwrap().unwrap() == (revision, document));
    let path = folder.path().join(format!("{}.json", u64::MAX));
    let missing = 6 * (LARGEST_DOCUMENT - (1 << 20)) as u64;
    assert!(fs::metadata(path).unwrap().len() + missing < record::LARGEST);
}

#[test]
fn folder_follows_the_environment() {
    let check = |variables: &[(&str, &str)], is_root, expected: Option<&str>| {
        let variable = |name: &str| variables.iter().find(|it| it.0 == name).map(|it| it.1.into());
        assert_eq!(base(&variable, is_root), expected.map(PathBuf::from), "{variables:?}");
    };
    let home = ("HOME", "/home/cup");
    let xdg = ("XDG_STATE_HOME", "/state");
    check(&[("STATE_DIRECTORY", "/run/one:/run/two"), xdg, home], true, Some("/run/one"));
    check(&[("STATE_DIRECTORY", ""), xdg, home], true, Some("/state/cloud-cup"));
    check(&[("XDG_STATE_HOME", "relative"), home], true, Some("/var/lib/cloud-cup"));
    check(&[home], false, Some("/home/cup/.local/state/cloud-cup"));
    check(&[("HOME", "")], false, None);
    check(&[], false, None);
}

#[test]
fn folder_belongs_to_one_document() {
    let folder = tempdir();
    let at = |path: &str| {
        let state = |name: &str| (name == "STATE_DIRECTORY").then(|| "/state".into());
        let folder = default_folder(&folder.path().join(path), &state).unwrap();
        folder.to_str().unwrap().strip_prefix("/state/").unwrap().to_owned()
    };
    fs::create_dir(folder.path().join("a")).unwrap();
    std::os::unix::fs::symlink(folder.path().join("a"), folder.path().join("b")).unwrap();
    fs::write(folder.path().join("a/gate way.v1.json"), "").unwrap();
    std::os::unix::fs::symlink("gate way.v1.json", folder.path().join("a/link.json")).unwrap();
    let name = at("a/gate way.v1.json");
    assert_eq!(name.len(), "gate-way-v1-".len() + 12);
    assert!(name.starts_with("gate-way-v1-"));
    assert_eq!(at("b/../b/./gate way.v1.json"), name);
    assert!(at("a/link.json").starts_with("link-"));
    assert_ne!(at("a/gate way.v2.json"), name);
    assert!(at(&format!("{}/../é.json", "a")).starts_with("--"));
    assert_eq!(at(&"x".repeat(200)).len(), 40 + 1 + 12);
}
