//! `base::sync` as loom has it.

use loom::sync::Mutex;

pub use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

/// 16 bytes that change as a whole. Loom has no word of this size and does not tell sequential consistency from less; a
/// lock around each access is exactly that, so nothing less may be asked for. Boxed, since loom's stacks are small.
#[derive(Debug, Default)]
pub struct AtomicU128(Box<Mutex<u128>>);

impl AtomicU128 {
    /// As `portable_atomic` has it.
    pub fn load(&self, order: Ordering) -> u128 {
        assert_eq!(order, Ordering::SeqCst);
        *self.0.lock().expect("nobody panics in there")
    }

    /// As `portable_atomic` has it.
    pub fn compare_exchange(
        &self,
        current: u128,
        new: u128,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u128, u128> {
        assert_eq!([success, failure], [Ordering::SeqCst; 2]);
        let mut word = self.0.lock().expect("nobody panics in there");
        if *word != current {
            return Err(*word);
        }
        *word = new;
        Ok(current)
    }
}
