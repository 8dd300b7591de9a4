use super::*;
use proptest::prelude::*;
use std::collections::HashMap;
use std::thread;
use tokio::time::advance;

const SECOND: Duration = Duration::from_secs(1);
const AMPLE: Quota = Quota { entries: 1000, bytes: 10 << 20 };

fn store(entries: usize, bytes: usize) -> Store {
    Store::new(Quota { entries, bytes })
}

fn usage(store: &Store) -> (usize, usize) {
    (store.entries(), store.bytes())
}

#[test]
fn values_are_replaced_and_removed() {
    let store = Store::new(AMPLE);
    assert_eq!(store.get("key"), None);
    store.set("key", b"one".to_vec(), None).unwrap();
    store.set("key", b"other".to_vec(), None).unwrap();
    assert_eq!(store.get("key"), Some(b"other".to_vec()));
    assert_eq!(usage(&store), (1, 8));
    assert!(store.delete("key"));
    assert!(!store.delete("key"));
    assert_eq!(usage(&store), (0, 0));
}

#[test]
fn keys_and_values_have_a_size() {
    let store = Store::new(AMPLE);
    let (key, value) = ("k".repeat(512), vec![0; 64 << 10]);
    assert_eq!(store.set(&key, value.clone(), None), Ok(()));
    let (long, large) = ("k".repeat(513), [value, vec![0]].concat());
    assert_eq!(store.set("key", large.clone(), None), Err(StateError::TooLarge));
    assert_eq!(store.compare_and_swap("key", None, Some(large), None), Err(StateError::TooLarge));
    assert_eq!(store.set(&long, vec![], None), Err(StateError::TooLarge));
    assert_eq!(store.add(&long, 1, None), Err(StateError::TooLarge));
    assert_eq!((store.get(&long), store.delete(&long)), (None, false));
}

#[test]
fn adds_only_to_numbers() {
    #[track_caller]
    fn check(value: &str, delta: i64, expected: Result<i64, StateError>) {
        let store = Store::new(AMPLE);
        store.set("key", value.into(), None).unwrap();
        assert_eq!(store.add("key", delta, None), expected);
        let after = expected.map_or(value.to_owned(), |sum| sum.to_string());
        assert_eq!(store.get("key"), Some(after.into_bytes()));
    }
    check("41", 1, Ok(42));
    check("-1", 1, Ok(0));
    check("9223372036854775807", i64::MIN, Ok(-1));
    check("9223372036854775807", 1, Err(StateError::NotANumber));
    check("-9223372036854775808", -1, Err(StateError::NotANumber));
    for other in ["", "x", "+1", "01", "-0", "1 ", "9223372036854775808"] {
        check(other, 0, Err(StateError::NotANumber));
    }
    assert_eq!(Store::new(AMPLE).add("new", -5, None), Ok(-5));
}

#[test]
fn swaps_only_what_is_expected() {
    let store = Store::new(AMPLE);
    let swap = |expected: Option<&str>, value: Option<&str>| {
        store.compare_and_swap("key", expected.map(str::as_bytes), value.map(|value| value.into()), None)
    };
    assert_eq!(swap(None, None), Ok(true));
    assert_eq!(swap(Some("a"), Some("b")), Ok(false));
    assert_eq!(swap(None, Some("a")), Ok(true));
    assert_eq!(swap(None, Some("b")), Ok(false));
    assert_eq!(swap(Some("a"), Some("b")), Ok(true));
    assert_eq!(swap(Some("a"), None), Ok(false));
    assert_eq!(swap(Some("b"), None), Ok(true));
    assert_eq!(usage(&store), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_has_expired_is_as_if_absent() {
    let store = Store::new(AMPLE);
    for key in ["got", "added", "swapped", "deleted", "swept"] {
        store.set(key, b"7".to_vec(), Some(SECOND)).unwrap();
    }
    store.set("forever", vec![], Some(Duration::MAX)).unwrap();
    advance(SECOND - Duration::from_nanos(1)).await;
    assert_eq!(store.get("got"), Some(b"7".to_vec()));
    advance(Duration::from_nanos(1)).await;
    assert_eq!(store.get("got"), None);
    assert_eq!(store.add("added", 1, None), Ok(1));
    assert_eq!(store.compare_and_swap("swapped", Some(b"7"), None, None), Ok(false));
    assert_eq!(store.compare_and_swap("swapped", None, Some(vec![]), None), Ok(true));
    assert!(!store.delete("deleted"));
    assert_eq!(store.entries(), 5);
    store.sweep();
    assert_eq!(usage(&store), (3, "forever".len() + "added1".len() + "swapped".len()));
}

#[tokio::test(start_paused = true)]
async fn a_number_keeps_its_time() {
    let store = Store::new(AMPLE);
    assert_eq!(store.add("key", 1, Some(SECOND)), Ok(1));
    advance(SECOND / 2).await;
    assert_eq!(store.add("key", 1, Some(SECOND)), Ok(2));
    advance(SECOND / 2).await;
    assert_eq!(store.add("key", 1, None), Ok(1));
}

#[tokio::test(start_paused = true)]
async fn a_full_store_drops_what_has_expired_at_most_once_a_second() {
    let store = store(1, 100);
    let half = Some(SECOND / 2);
    assert_eq!(store.set("one", vec![], half), Ok(()));
    assert_eq!(store.set("two", vec![], half), Err(StateError::Full));
    advance(SECOND / 2).await;
    assert_eq!(store.set("two", vec![], half), Err(StateError::Full));
    advance(SECOND / 2).await;
    assert_eq!(store.set("two", vec![], half), Ok(()));
    assert_eq!(store.set("two", vec![0; 97], None), Ok(()));
    assert_eq!(store.set("two", vec![0; 98], None), Err(StateError::Full));
    assert_eq!(usage(&store), (1, 100));
}

#[derive(Clone, Debug)]
enum Step {
    Get,
    Set(Vec<u8>, Option<u64>),
    Delete,
    Add(i64, Option<u64>),
    Swap(Option<Vec<u8>>, Option<Vec<u8>>, Option<u64>),
    Sweep,
}

fn step() -> impl Strategy<Value = Step> {
    let value = || {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..6),
            (-3i64..3).prop_map(|n| n.to_string().into_bytes())
        ]
    };
    let maybe = || prop::option::of(prop_oneof![Just(b"1".to_vec()), Just(b"x".to_vec()), value()]);
    let ttl = || prop::option::of(0u64..4);
    prop_oneof![
        Just(Step::Get),
        (value(), ttl()).prop_map(|(value, ttl)| Step::Set(value, ttl)),
        Just(Step::Delete),
        (prop_oneof![-2i64..3, any::<i64>()], ttl()).prop_map(|(delta, ttl)| Step::Add(delta, ttl)),
        (maybe(), maybe(), ttl()).prop_map(|(old, new, ttl)| Step::Swap(old, new, ttl)),
        Just(Step::Sweep),
    ]
}

/// The same store as a map that one thread has for itself. A second passes with every step, so that the real one may
/// sweep whenever it is full.
#[derive(Default)]
struct Model {
    values: HashMap<String, (Vec<u8>, Option<u64>)>,
    now: u64,
}

impl Model {
    fn pass_second(&mut self) {
        self.now += 1;
        self.values.retain(|_, (_, expires)| expires.is_none_or(|expires| self.now < expires));
    }

    fn put(
        &mut self,
        quota: Quota,
        key: &str,
        value: Vec<u8>,
        expires: Option<u64>,
    ) -> Result<(), StateError> {
        let mut values = self.values.clone();
        values.insert(key.to_owned(), (value, expires));
        let bytes: usize = values.iter().map(|(key, (value, _))| key.len() + value.len()).sum();
        let old = self.values.get(key).map_or(0, |(value, _)| value.len());
        let shrinks = self.values.contains_key(key) && values[key].0.len() <= old;
        if !shrinks && (values.len() > quota.entries || bytes > quota.bytes) {
            return Err(StateError::Full);
        }
        if expires.is_some_and(|expires| expires <= self.now) {
            values.remove(key);
        }
        self.values = values;
        Ok(())
    }
}

fn check_step(store: &Store, model: &mut Model, key: &str, step: Step) {
    let (quota, old) = (store.quota, model.values.get(key).cloned());
    let expiry = |ttl: Option<u64>| ttl.map(|ttl| model.now + ttl);
    let seconds = |ttl: Option<u64>| ttl.map(Duration::from_secs);
    match step {
        Step::Get => assert_eq!(store.get(key), old.map(|(value, _)| value)),
        Step::Set(value, ttl) => {
            let expected = model.put(quota, key, value.clone(), expiry(ttl));
            assert_eq!(store.set(key, value, seconds(ttl)), expected);
        }
        Step::Delete => assert_eq!(store.delete(key), model.values.remove(key).is_some()),
        Step::Add(delta, ttl) => {
            let canonical = |value: Vec<u8>| {
                Some(String::from_utf8(value).ok()?)
                    .filter(|text| text.parse::<i64>().is_ok_and(|n| n.to_string() == *text))
            };
            let number = old.as_ref().map_or(Some(0), |(value, _)| canonical(value.clone())?.parse().ok());
            let expires = old.map_or_else(|| expiry(ttl), |(_, expires)| expires);
            let expected =
                number.and_then(|number: i64| number.checked_add(delta)).ok_or(StateError::NotANumber);
            let expected =
                expected.and_then(|sum| model.put(quota, key, sum.to_string().into(), expires).map(|()| sum));
            assert_eq!(store.add(key, delta, seconds(ttl)), expected);
        }
        Step::Swap(expected, value, ttl) => {
            let fits = old.map(|(value, _)| value) == expected;
            let swapped = match value.clone().filter(|_| fits) {
                Some(value) => model.put(quota, key, value, expiry(ttl)).map(|()| true),
                None => Ok(fits),
            };
            if fits && value.is_none() {
                model.values.remove(key);
            }
            assert_eq!(store.compare_and_swap(key, expected.as_deref(), value, seconds(ttl)), swapped);
        }
        Step::Sweep => {
            store.sweep();
            let bytes = model.values.iter().map(|(key, (value, _))| key.len() + value.len()).sum();
            assert_eq!(usage(store), (model.values.len(), bytes));
        }
    }
}

proptest! {
    #[test]
    fn does_what_a_plain_map_does(
        entries in 1usize..6,
        bytes in 4usize..30,
        steps in prop::collection::vec((0u8..6, step()), 1..80),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (store, mut model) = (store(entries, bytes), Model::default());
            for (key, step) in steps {
                check_step(&store, &mut model, &format!("k{key}"), step);
                assert!(store.entries() <= entries && store.bytes() <= bytes);
                advance(SECOND).await;
                model.pass_second();
            }
        });
    }
}

#[test]
fn sums_of_many_threads_are_exact() {
    let store = Store::new(AMPLE);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..5000).for_each(|_| _ = store.add("sum", 3, None).unwrap()));
        }
    });
    assert_eq!(store.get("sum"), Some(b"120000".to_vec()));
    assert_eq!(usage(&store), (1, 9));
}

#[test]
fn quotas_hold_while_many_threads_change_the_store() {
    let store = store(10, 500);
    thread::scope(|scope| {
        for thread in 0..8usize {
            let store = &store;
            scope.spawn(move || {
                for round in 0..5000 {
                    let key = format!("{}", (thread * 7 + round * 13) % 24);
                    let _ = match round % 4 {
                        0 | 1 => store.set(&key, vec![0; (round * 31 + thread) % 100], None),
                        2 => store.compare_and_swap(&key, None, Some(vec![1; 40]), None).map(|_| ()),
                        _ => Ok(_ = store.delete(&key)),
                    };
                    // Not the map's own count: it is a sum over counters that move while they are read.
                    assert!(store.entries() <= 10 && store.bytes() <= 500);
                }
            });
        }
    });
    let values = store.values.pin();
    let bytes = values.iter().map(|(key, entry)| key.len() + entry.value.len()).sum();
    assert_eq!(usage(&store), (values.len(), bytes));
    (0..24).for_each(|key| _ = store.delete(&key.to_string()));
    assert_eq!(usage(&store), (0, 0));
}
