//! Things that are shared by name for as long as anybody holds them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// What was opened, by what it was opened with. Looked at while plugins are configured and by the operator, never by a
/// request.
pub struct Registry<K, V> {
    entries: Mutex<HashMap<K, Weak<V>>>,
}

impl<K, V> Default for Registry<K, V> {
    fn default() -> Self {
        Self { entries: Mutex::default() }
    }
}

impl<K: Eq + Hash + Clone, V> Registry<K, V> {
    /// What was opened with this key and is still held, or a new one.
    pub fn open<E>(&self, key: &K, make: impl FnOnce() -> Result<Arc<V>, E>) -> Result<Arc<V>, E> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(live) = entries.get(key).and_then(Weak::upgrade) {
            return Ok(live);
        }
        let made = make()?;
        entries.retain(|_, value| value.strong_count() > 0);
        entries.insert(key.clone(), Arc::downgrade(&made));
        Ok(made)
    }

    /// All that is held.
    pub fn all(&self) -> Vec<(K, Arc<V>)> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.iter().filter_map(|(key, value)| Some((key.clone(), value.upgrade()?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_is_held_and_forgets_the_rest() {
        let registry = Registry::<&str, u32>::default();
        let open = |value: u32| registry.open(&"a", || Ok::<_, ()>(Arc::new(value))).unwrap();
        let first = open(1);
        assert_eq!(*open(2), 1);
        drop(first);
        assert_eq!(*open(3), 3);
        assert!(registry.all().is_empty());
        assert_eq!(registry.open(&"b", || Err("no")), Err("no"));
    }
}
