//! The plugin's own key-value store.

use std::time::Duration;

use wasmtime::format_err;

use super::Host;
use crate::capability::state::{self as live, Store};
use crate::plugin::bindings::state::{self, StateError};

impl state::Host for Host {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<Vec<u8>>> {
        Ok(self.store()?.get(&key))
    }

    fn set(
        &mut self,
        key: String,
        value: Vec<u8>,
        ttl: Option<u64>,
    ) -> wasmtime::Result<Result<(), StateError>> {
        Ok(self.store()?.set(&key, value, ttl.map(Duration::from_nanos)).map_err(error))
    }

    fn delete(&mut self, key: String) -> wasmtime::Result<bool> {
        Ok(self.store()?.delete(&key))
    }

    fn add(
        &mut self,
        key: String,
        delta: i64,
        ttl: Option<u64>,
    ) -> wasmtime::Result<Result<i64, StateError>> {
        Ok(self.store()?.add(&key, delta, ttl.map(Duration::from_nanos)).map_err(error))
    }

    fn compare_and_swap(
        &mut self,
        key: String,
        expected: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
        ttl: Option<u64>,
    ) -> wasmtime::Result<Result<bool, StateError>> {
        let ttl = ttl.map(Duration::from_nanos);
        Ok(self.store()?.compare_and_swap(&key, expected.as_deref(), value, ttl).map_err(error))
    }
}

impl Host {
    fn store(&self) -> wasmtime::Result<&Store> {
        let store = self.attachment.plugin.granted.store.as_deref();
        store.ok_or_else(|| format_err!("the permission `state` is not granted"))
    }
}

fn error(error: live::StateError) -> StateError {
    match error {
        live::StateError::Full => StateError::Full,
        live::StateError::TooLarge => StateError::TooLarge,
        live::StateError::NotANumber => StateError::NotANumber,
    }
}
