//! The folder against a list of what it ought to hold.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Event {
    Append(String),
    Fail(Point),
    /// The gateway dies in the middle of an append and starts again.
    Die(Point),
    Restart,
    /// While no gateway runs, something happens to the file that is so far from the newest.
    Damage(usize, Damage),
}

#[derive(Debug, Clone)]
enum Damage {
    Cut(prop::sample::Index),
    Alter(prop::sample::Index, u8),
    Delete,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let point = || prop::sample::select(&POINTS[..]);
    let index = any::<prop::sample::Index>;
    let damage = prop_oneof![
        index().prop_map(Damage::Cut),
        (index(), 1u8..).prop_map(|(place, mask)| Damage::Alter(place, mask)),
        Just(Damage::Delete),
    ];
    let event = prop_oneof![
        4 => "[ -~\n]{0,40}".prop_map(Event::Append),
        1 => point().prop_map(Event::Fail),
        2 => point().prop_map(Event::Die),
        1 => Just(Event::Restart),
        2 => (0..4usize, damage).prop_map(|(which, damage)| Event::Damage(which, damage)),
    ];
    prop::collection::vec(event, 1..25)
}

/// Numbers and documents, oldest first.
#[derive(Default)]
struct Model {
    listed: Vec<(u64, String)>,
    /// Good files, with those that could not be deleted.
    files: Vec<(u64, String)>,
    /// No number up to here may come again.
    used: u64,
}

impl Model {
    fn append(&mut self, number: u64, document: &str, is_pruned: bool) {
        self.used = number;
        self.files.push((number, document.to_owned()));
        self.listed.push((number, document.to_owned()));
        if self.listed.len() > 3 {
            let oldest = self.listed.remove(0);
            self.files.retain(|file| !is_pruned || *file != oldest);
        }
    }

    fn restart(&mut self) {
        self.files.drain(..self.files.len().saturating_sub(3));
        self.listed.clone_from(&self.files);
    }
}

fn damage(path: &Path, damage: &Damage) {
    let mut content = fs::read(path).unwrap();
    match damage {
        Damage::Cut(length) => content.truncate(length.index(content.len())),
        Damage::Alter(place, mask) => *place.get_mut(&mut content) ^= mask,
        Damage::Delete => return fs::remove_file(path).unwrap(),
    }
    fs::write(path, content).unwrap();
}

fn compare(events: Vec<Event>) -> Result<(), TestCaseError> {
    let folder = tempdir();
    let (mut store, mut model) = (open(folder.path()), Model::default());
    for event in events {
        let number = store.next_number();
        prop_assert!(number > model.used);
        match event {
            Event::Append(document) => {
                append(&mut store, &document);
                model.append(number, &document, true);
            }
            Event::Fail(point) => {
                let fault = |reached| if reached == point { Err(io::Error::other("failed")) } else { Ok(()) };
                let result = store.append_with(&revision(number, "failed"), "failed", &fault);
                prop_assert_eq!(result.is_ok(), point == Point::Prune);
                match point {
                    Point::Prune => model.append(number, "failed", false),
                    Point::Mark => {}
                    _ => model.used = number,
                }
            }
            Event::Die(point) => {
                die(store, point, &revision(number, "died"), "died");
                match point {
                    Point::SyncFolder | Point::Prune => model.append(number, "died", false),
                    Point::Mark => {}
                    _ => model.used = number,
                }
                store = open(folder.path());
                model.restart();
            }
            Event::Restart => {
                drop(store);
                store = open(folder.path());
                model.restart();
            }
            Event::Damage(which, how) => {
                drop(store);
                if let Some(index) = model.files.len().checked_sub(1 + which) {
                    let (number, _) = model.files.remove(index);
                    damage(&folder.path().join(format!("{number:010}.json")), &how);
                }
                store = open(folder.path());
                model.restart();
            }
        }
        let listed: Vec<_> =
            store.list().iter().rev().map(|it| store.get(it.number).unwrap().unwrap()).collect();
        let expected: Vec<_> =
            model.listed.iter().map(|(number, text)| (revision(*number, text), text.clone())).collect();
        prop_assert_eq!(listed, expected);
        prop_assert_eq!(store.latest().map(|latest| latest.number), model.listed.last().map(|last| last.0));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn store_holds_what_was_appended_and_nothing_else(events in events()) {
        compare(events)?;
    }
}
