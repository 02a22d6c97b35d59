//! Buffers that are used again.
//!
//! How many there are is bounded by the stages that hold them (workers, queue, requests in flight), not here; this only
//! keeps the kernel from having to clear the same pages for every chunk.

use bytes::Bytes;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex};
use tokio::sync::OwnedSemaphorePermit;

/// A stock of buffers.
#[derive(Clone, Debug, Default)]
pub struct Buffers {
    free: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Buffers {
    /// An empty stock.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty buffer with room for `capacity` bytes.
    pub fn take(&self, capacity: usize) -> Buffer {
        let mut bytes = self.lock().pop().unwrap_or_default();
        bytes.clear();
        bytes.reserve(capacity);
        Buffer { bytes, home: self.clone(), permit: None }
    }

    /// A buffer with whatever its last use left in it, and room for `capacity` bytes: for who overwrites it all, so that
    /// nothing has to be cleared.
    pub fn take_any(&self, capacity: usize) -> Buffer {
        let mut bytes = self.lock().pop().unwrap_or_default();
        bytes.reserve(capacity.saturating_sub(bytes.len()));
        Buffer { bytes, home: self.clone(), permit: None }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        // A panic elsewhere cannot leave a list of buffers in a bad state.
        self.free.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A buffer that goes back to its stock when dropped.
#[derive(Debug)]
pub struct Buffer {
    bytes: Vec<u8>,
    home: Buffers,
    /// Only kept.
    permit: Option<OwnedSemaphorePermit>,
}

impl Buffer {
    /// Keeps a permit as long as the bytes are anywhere: who hands out so many bounds the buffers in use.
    #[must_use]
    pub fn under(mut self, permit: OwnedSemaphorePermit) -> Self {
        self.permit = Some(permit);
        self
    }

    /// Freezes the buffer into shared bytes; it goes back to its stock when the last of them is dropped.
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl Deref for Buffer {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.home.lock().push(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_buffer_is_used_again() {
        let stock = Buffers::new();
        let mut first = stock.take(1000);
        first.extend_from_slice(b"abc");
        let at = first.as_ptr();
        let frozen = first.freeze();
        drop(frozen.slice(1..2));
        drop(frozen);
        let second = stock.take(1000);
        assert_eq!(second.as_ptr(), at);
        assert!(second.is_empty());
    }
}
