//! A cache of chunks of which several reads want a part, so that they are fetched and decompressed once.

use crate::error::Result;
use bytes::Bytes;
use std::sync::{Arc, Mutex, PoisonError};

/// The most bytes that are kept; one chunk always is.
const MOST: u64 = 16 << 20;

/// A chunk that is being fetched or was fetched.
type Slot = Arc<tokio::sync::Mutex<Option<Bytes>>>;

/// The most recently used chunks.
#[derive(Default)]
pub(super) struct Cache {
    /// Number, length and bytes; the most recently used one is last.
    slots: Mutex<Vec<(usize, u64, Slot)>>,
}

impl Cache {
    /// Returns the bytes of a chunk of `len` bytes, calling `fetch` unless another caller is fetching it. If
    /// that caller is dropped or fails, the next one fetches itself.
    pub(super) async fn get_or(
        &self,
        number: usize,
        len: u64,
        fetch: impl Future<Output = Result<Bytes>>,
    ) -> Result<Bytes> {
        let slot = self.slot(number, len);
        let mut bytes = slot.lock().await;
        if let Some(bytes) = &*bytes {
            return Ok(bytes.clone());
        }
        let fetched = fetch.await?;
        *bytes = Some(fetched.clone());
        Ok(fetched)
    }

    fn slot(&self, number: usize, len: u64) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let found = slots.iter().position(|(n, ..)| *n == number);
        let wanted = found.map_or_else(|| (number, len, Slot::default()), |at| slots.remove(at));
        let slot = Arc::clone(&wanted.2);
        slots.push(wanted);
        let mut held: u64 = slots.iter().map(|(_, len, _)| len).sum();
        while held > MOST && slots.len() > 1 {
            held -= slots.remove(0).1;
        }
        slot
    }
}
