//! Buffers that are used again, and the window that bounds how much they hold.
//!
//! A permit in bytes goes with a buffer from before its read until the far end has acknowledged what became of it. All
//! transfers of a process share one window, so memory depends neither on the image nor on the number of processors,
//! workers or requests.

use bytes::Bytes;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What permits are counted in: bytes. A semaphore's count has 32 bits, which this makes into 16 TiB.
const UNIT: u64 = 4096;

/// How many bytes all buffers may hold.
#[derive(Clone, Debug)]
pub struct Window {
    units: Arc<Semaphore>,
    capacity: u32,
    /// What is under way in the pipelines that share it.
    under_way: Arc<AtomicUsize>,
}

impl Window {
    /// A window of so many bytes.
    pub fn new(bytes: u64) -> Self {
        let capacity = units(bytes);
        Self { units: Arc::new(Semaphore::new(capacity as usize)), capacity, under_way: Arc::default() }
    }

    /// Waits for room for so many bytes. More than the whole window count as the whole: one chunk always fits.
    pub async fn acquire(self, bytes: u64) -> Permit {
        let units = units(bytes).min(self.capacity);
        Permit(self.units.acquire_many_owned(units).await.ok())
    }

    /// The same, for units that fit now.
    pub fn try_acquire(&self, bytes: u64) -> Option<Permit> {
        let units = units(bytes).min(self.capacity);
        Arc::clone(&self.units).try_acquire_many_owned(units).ok().map(|permit| Permit(Some(permit)))
    }

    /// Counts what one pipeline has under way among all that share the window.
    pub(crate) fn busy(&self) -> Busy {
        Busy { all: Arc::clone(&self.under_way), mine: 0 }
    }

    /// Whether no pipeline has anything under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.under_way.load(Relaxed) == 0
    }

    /// Whether there is room for so many bytes now.
    pub fn has_room(&self, bytes: u64) -> bool {
        self.units.available_permits() >= units(bytes).min(self.capacity) as usize
    }

    /// The window in bytes.
    pub fn capacity(&self) -> u64 {
        u64::from(self.capacity) * UNIT
    }
}

/// What one pipeline has under way; nothing once it is dropped.
#[derive(Debug)]
pub(crate) struct Busy {
    all: Arc<AtomicUsize>,
    mine: usize,
}

impl Busy {
    /// Sets how much it is.
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

/// Room in a [`Window`]; given back when dropped.
#[derive(Debug, Default)]
pub struct Permit(Option<OwnedSemaphorePermit>);

impl Permit {
    /// Gives back all but `bytes`.
    pub fn shrink(&mut self, bytes: u64) {
        if let Some(permit) = &mut self.0 {
            let surplus = permit.num_permits().saturating_sub(units(bytes) as usize);
            drop(permit.split(surplus));
        }
    }
}

/// A stock of buffers.
#[derive(Clone, Debug)]
pub struct Buffers {
    free: Arc<Mutex<Vec<Vec<u8>>>>,
    kept: usize,
}

impl Buffers {
    /// An empty stock that keeps up to `kept` buffers for later: enough that none is made anew while as many are in use as
    /// before, and no more than that, since no window counts them.
    pub fn new(kept: usize) -> Self {
        Self { free: Arc::default(), kept }
    }

    /// An empty buffer with room for `capacity` bytes.
    pub fn take(&self, capacity: usize) -> Buffer {
        let mut buffer = self.take_any(capacity);
        buffer.clear();
        buffer
    }

    /// A buffer with whatever its last use left in it, and room for `capacity` bytes: for who overwrites it all, so that
    /// nothing has to be cleared.
    pub fn take_any(&self, capacity: usize) -> Buffer {
        let mut free = self.lock();
        // The smallest that will do: what is in use holds no more than it needs, or little more.
        let fits = |bytes: &Vec<u8>| bytes.capacity() >= capacity && bytes.capacity() / 2 <= capacity;
        // Of those the one that came back last, which the processor's cache may still have.
        let best = (0..free.len()).rev().filter(|at| fits(&free[*at])).min_by_key(|at| free[*at].capacity());
        let bytes = if let Some(at) = best {
            free.swap_remove(at)
        } else {
            // Of no use for a buffer like this one.
            if free.len() >= self.kept {
                free.pop();
            }
            Vec::with_capacity(capacity)
        };
        drop(free);
        Buffer { bytes, home: self.clone(), permit: Permit::default() }
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
    /// Only kept, and given back with the bytes.
    permit: Permit,
}

impl Buffer {
    /// Keeps a permit as long as the bytes are anywhere.
    #[must_use]
    pub fn under(mut self, permit: Permit) -> Self {
        self.permit = permit;
        self
    }

    /// Takes the permit away, for what the bytes are made into.
    pub fn take_permit(&mut self) -> Permit {
        std::mem::take(&mut self.permit)
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
