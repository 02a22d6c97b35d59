//! The SHA-256 of a whole image, computed from the bytes that are transferred.
//!
//! Workers hold several chunks at a time and the digest needs them in order, so each worker waits for its
//! turn, digests its chunk and goes on. Chunks are taken from one queue in order, so some worker always holds
//! the chunk whose turn it is.

use crate::digest::hex;
use sha2::{Digest as _, Sha256};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A digest that takes chunks from any thread and orders them.
#[derive(Debug, Default)]
pub struct Tap {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct State {
    sha: Sha256,
    /// The index of the chunk whose turn it is.
    next: u64,
    /// Whether a chunk will never come, so that there is no digest.
    broken: bool,
}

impl Tap {
    /// Digests a chunk, after all chunks before it.
    pub fn update(&self, index: u64, bytes: &[u8]) {
        self.in_turn(index, |sha| sha.update(bytes));
    }

    /// Digests a chunk of `len` zeros in its turn.
    pub fn update_zeros(&self, index: u64, len: u64) {
        self.in_turn(index, |sha| zeros(sha, len));
    }

    /// Notes that a chunk will never come, so that no thread waits for it.
    pub fn give_up(&self) {
        self.lock().broken = true;
        self.moved.notify_all();
    }

    /// Returns the digest as `sha256sum` prints it, if all of `chunks` chunks were digested.
    pub fn finish(&self, chunks: u64) -> Option<String> {
        let state = self.lock();
        (!state.broken && state.next == chunks).then(|| hex(&state.sha.clone().finalize()))
    }

    fn in_turn(&self, index: u64, digest: impl FnOnce(&mut Sha256)) {
        let mut state = self.lock();
        while state.next != index {
            if state.broken {
                return;
            }
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        // No other thread uses it until the turn passes on, and none has to wait for the lock meanwhile.
        let mut sha = std::mem::take(&mut state.sha);
        drop(state);
        digest(&mut sha);
        let mut state = self.lock();
        state.sha = sha;
        state.next = index + 1;
        drop(state);
        self.moved.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Digests `len` zeros.
pub fn zeros(sha: &mut Sha256, mut len: u64) {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    while len > 0 {
        let step = len.min(ZEROS.len() as u64);
        sha.update(&ZEROS[..usize::try_from(step).unwrap_or(0)]);
        len -= step;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The long example of FIPS 180-4: one million times `a`.
    const MILLION: &str = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

    #[test]
    fn chunks_from_several_threads_are_digested_in_order() {
        let digest = Tap::default();
        std::thread::scope(|scope| {
            for index in [3, 1, 2, 0] {
                let digest = &digest;
                scope.spawn(move || digest.update(index, &vec![b'a'; 250_000]));
            }
        });
        assert_eq!(digest.finish(4).as_deref(), Some(MILLION));
        assert_eq!(digest.finish(5), None);
        digest.update_zeros(4, 100_000);
        let mut all = vec![b'a'; 1_000_000];
        all.resize(1_100_000, 0);
        assert_eq!(digest.finish(5), Some(hex(&Sha256::digest(&all))));
    }

    #[test]
    fn who_waits_for_a_chunk_that_never_comes_is_let_go() {
        let digest = Tap::default();
        std::thread::scope(|scope| {
            scope.spawn(|| digest.update(1, b"b"));
            digest.give_up();
        });
        assert_eq!(digest.finish(0), None);
    }
}
