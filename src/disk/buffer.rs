//! Reusable buffers, and the window that bounds their memory.
//!
//! Each buffer carries a permit, counted in bytes, from before its read until the destination acknowledged
//! the write. All transfers of a process share one window, so the memory depends neither on the image nor on
//! the number of processors, workers or requests.

use bytes::Bytes;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The unit of permits in bytes. With it, the 32-bit count of a semaphore covers 16 TiB.
const UNIT: u64 = 4096;

/// Bounds the bytes in all buffers.
#[derive(Clone, Debug)]
pub struct Window {
    units: Arc<Semaphore>,
    capacity: u32,
    /// The number of chunks in progress in all pipelines that share the window.
    under_way: Arc<AtomicUsize>,
}

impl Window {
    /// Creates a window of this many bytes.
    pub fn new(bytes: u64) -> Self {
        let capacity = units(bytes);
        Self { units: Arc::new(Semaphore::new(capacity as usize)), capacity, under_way: Arc::default() }
    }

    /// Waits for room. More than the whole window counts as the whole, so one chunk always fits.
    pub async fn acquire(self, bytes: u64) -> Permit {
        let units = units(bytes).min(self.capacity);
        Permit(self.units.acquire_many_owned(units).await.ok())
    }

    /// Returns a permit if there is room now.
    pub fn try_acquire(&self, bytes: u64) -> Option<Permit> {
        let units = units(bytes).min(self.capacity);
        Arc::clone(&self.units).try_acquire_many_owned(units).ok().map(|permit| Permit(Some(permit)))
    }

    /// Returns the counter of one pipeline's chunks in progress.
    pub(crate) fn busy(&self) -> Busy {
        Busy { all: Arc::clone(&self.under_way), mine: 0 }
    }

    /// Returns whether no pipeline has a chunk in progress.
    pub(crate) fn is_idle(&self) -> bool {
        self.under_way.load(Relaxed) == 0
    }

    /// Returns whether there is room for this many bytes now.
    pub fn has_room(&self, bytes: u64) -> bool {
        self.units.available_permits() >= units(bytes).min(self.capacity) as usize
    }

    /// Returns the capacity in bytes.
    pub fn capacity(&self) -> u64 {
        u64::from(self.capacity) * UNIT
    }
}

/// The number of a pipeline's chunks in progress; 0 once it is dropped.
#[derive(Debug)]
pub(crate) struct Busy {
    all: Arc<AtomicUsize>,
    mine: usize,
}

impl Busy {
    /// Sets the number.
    pub(crate) fn set(&mut self, now: usize) {
        let before = std::mem::replace(&mut self.mine, now);
        if now >= before {
            self.all.fetch_add(now - before, Relaxed);
        } else {
            self.all.fetch_sub(before - now, Relaxed);
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.set(0);
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX >> 1).clamp(1, u32::MAX >> 1)
}

/// Room in a [`Window`], returned when dropped.
#[derive(Debug, Default)]
pub struct Permit(Option<OwnedSemaphorePermit>);

impl Permit {
    /// Returns all but `bytes` to the window.
    pub fn shrink(&mut self, bytes: u64) {
        if let Some(permit) = &mut self.0 {
            let surplus = permit.num_permits().saturating_sub(units(bytes) as usize);
            drop(permit.split(surplus));
        }
    }
}

/// A pool of buffers.
#[derive(Clone, Debug)]
pub struct Buffers {
    free: Arc<Mutex<Vec<Vec<u8>>>>,
    kept: usize,
}

impl Buffers {
    /// Creates an empty pool that keeps up to `kept` spare buffers. That should be as many as are in use at a
    /// time, and no more, because the window does not count spare buffers.
    pub fn new(kept: usize) -> Self {
        Self { free: Arc::default(), kept }
    }

    /// Returns an empty buffer with a capacity of `capacity` bytes.
    pub fn take(&self, capacity: usize) -> Buffer {
        let mut buffer = self.take_any(capacity);
        buffer.clear();
        buffer
    }

    /// Returns a buffer with a capacity of `capacity` bytes and arbitrary contents, for a caller that
    /// overwrites it completely. Nothing has to be cleared.
    pub fn take_any(&self, capacity: usize) -> Buffer {
        let mut free = self.lock();
        // Choose the smallest buffer that fits and wastes at most half.
        let fits = |bytes: &Vec<u8>| bytes.capacity() >= capacity && bytes.capacity() / 2 <= capacity;
        // Of those the one that came back last, which the processor's cache may still have.
        let best = (0..free.len()).rev().filter(|at| fits(&free[*at])).min_by_key(|at| free[*at].capacity());
        let bytes = if let Some(at) = best {
            free.swap_remove(at)
        } else {
            // Too small or too large for a buffer of this kind.
            if free.len() >= self.kept {
                free.pop();
            }
            Vec::with_capacity(capacity)
        };
        drop(free);
        Buffer { bytes, home: self.clone(), permit: Permit::default() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        // A panic elsewhere cannot leave the list in a bad state.
        self.free.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A buffer that returns to its pool when dropped.
#[derive(Debug)]
pub struct Buffer {
    bytes: Vec<u8>,
    home: Buffers,
    /// Held until the bytes are dropped.
    permit: Permit,
}

impl Buffer {
    /// Attaches a permit for as long as the bytes exist.
    #[must_use]
    pub fn under(mut self, permit: Permit) -> Self {
        self.permit = permit;
        self
    }

    /// Takes the permit, for the result that the bytes are encoded into.
    pub fn take_permit(&mut self) -> Permit {
        std::mem::take(&mut self.permit)
    }

    /// Converts the buffer into shared bytes. It returns to its pool when the last reference is dropped.
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
        let mut free = self.home.lock();
        if free.len() < self.home.kept && self.bytes.capacity() > 0 {
            free.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_buffer_is_used_again() {
        let stock = Buffers::new(4);
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

    #[test]
    fn a_stock_neither_grows_nor_hands_out_more_than_is_needed() {
        let stock = Buffers::new(4);
        drop((0..20).map(|_| stock.take(5000)).collect::<Vec<_>>());
        assert_eq!(stock.lock().len(), 4);
        assert!(stock.take(100).capacity() < 1000);
        assert!(stock.take(9000).capacity() >= 9000);
        assert!(stock.lock().len() <= 4);
        let none = Buffers::new(0);
        drop(none.take(10));
        assert!(none.take(10).capacity() >= 10);
        assert!(none.lock().is_empty());
    }

    #[tokio::test]
    async fn a_permit_goes_with_the_bytes_and_shrinks() {
        let window = Window::new(40 * UNIT);
        let mut permit = window.clone().acquire(32 * UNIT).await;
        assert!(window.try_acquire(9 * UNIT).is_none());
        permit.shrink(4 * UNIT);
        let room = window.try_acquire(36 * UNIT).unwrap();
        drop(room);
        let bytes = Buffers::new(1).take(10).under(permit).freeze();
        assert!(window.try_acquire(37 * UNIT).is_none());
        let part = bytes.slice(0..0);
        drop(bytes);
        drop(part);
        // An empty slice of bytes shares nothing.
        assert!(window.try_acquire(40 * UNIT).is_some());
    }

    #[tokio::test]
    async fn what_is_larger_than_the_window_takes_all_of_it() {
        let window = Window::new(10 * UNIT);
        let all = window.clone().acquire(u64::MAX).await;
        assert!(window.try_acquire(1).is_none());
        drop(all);
        assert!(window.try_acquire(1).is_some());
        assert_eq!(window.capacity(), 10 * UNIT);
    }

    #[test]
    fn a_window_knows_whether_anything_is_under_way_and_whether_there_is_room() {
        let window = Window::new(10 * UNIT);
        let (mut one, mut other) = (window.busy(), window.clone().busy());
        one.set(3);
        other.set(2);
        one.set(0);
        assert!(!window.is_idle());
        drop(other);
        assert!(window.is_idle());
        let permit = window.try_acquire(8 * UNIT);
        assert!(window.has_room(2 * UNIT) && !window.has_room(3 * UNIT));
        drop(permit);
        assert!(window.has_room(u64::MAX));
    }
}
