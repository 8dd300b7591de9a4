//! Read and write buffers, lent to connections only while they have something to read or write.
//!
//! A worker has thousands of connections and works on one at a time. An idle connection that kept its buffers would
//! cost several times what the rest of it does, and one that gave them back to the allocator for every request would
//! spend more time there than on parsing; so a worker keeps a few and lends them out.

use std::cell::RefCell;

use bytes::BytesMut;

/// Large enough for most heads and small bodies.
pub const SIZE: usize = 8 << 10;
/// Buffers that a thread keeps.
const KEPT: usize = 128;

thread_local! {
    static SPARE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer of at least [`SIZE`].
pub fn borrow() -> BytesMut {
    SPARE.with_borrow_mut(Vec::pop).unwrap_or_else(|| BytesMut::with_capacity(SIZE))
}

/// Takes the memory of `buffer`, which must be empty, back. What parts of it others still hold is freed by them.
pub fn give_back(buffer: &mut BytesMut) {
    if buffer.capacity() == 0 {
        return;
    }
    let mut buffer = std::mem::take(buffer);
    buffer.clear();
    // Grown ones are not kept: one large body must not make every connection large.
    if buffer.try_reclaim(SIZE) && buffer.capacity() <= 2 * SIZE {
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < KEPT {
                spare.push(buffer);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lends_the_same_memory_again_once_nobody_holds_it() {
        let mut buffer = borrow();
        buffer.extend_from_slice(b"head");
        let memory = buffer.as_ptr();
        let held = buffer.split().freeze();
        drop(held);
        give_back(&mut buffer);
        assert_eq!(borrow().as_ptr(), memory);
    }

    #[test]
    fn leaves_alone_what_somebody_holds() {
        let mut buffer = borrow();
        buffer.extend_from_slice(b"head");
        let held = buffer.split().freeze();
        give_back(&mut buffer);
        borrow().extend_from_slice(b"else");
        assert_eq!(&held[..], b"head");
    }
}
