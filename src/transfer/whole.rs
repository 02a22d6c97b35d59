//! The SHA-256 of a whole file, in order, beside a transfer that is not.

use super::ledger::Bits;
use super::threads::{self, Outcome};
use crate::chunk::Geometry;
use crate::encode::digest::hex;
use crate::encode::ordered::zeros;
use crate::error::{Error, Kind, Result};
use crate::source::FileSource;
use crate::stop::Stop;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// How much is read at a time: it stays in the processor's cache between the reading and the hashing.
const STEP: u64 = 256 << 10;

/// A digest in the making on another thread.
pub struct Whole {
    outcome: Outcome<String>,
    frontier: Arc<Frontier>,
}

impl Whole {
    /// Starts to digest a file, front to back. Holes count as zeros and are not read.
    pub fn of_source(source: FileSource) -> Result<Self> {
        let frontier = Arc::<Frontier>::default();
        let wanted = Wanted(Arc::clone(&frontier));
        let outcome = threads::spawn("digest", move || {
            let mut sha = Sha256::new();
            let mut buffer = Vec::new();
            let mut at = 0;
            for extent in source.extents() {
                let extent = extent?;
                wanted.zeros(&mut sha, extent.start - at)?;
                at = extent.start;
                while at < extent.end {
                    wanted.check()?;
                    let step = STEP.min(extent.end - at);
                    source.read_into(at, step, &mut buffer)?;
                    sha.update(&buffer);
                    at += step;
                }
            }
            wanted.zeros(&mut sha, source.size() - at)?;
            source.check()?;
            Ok(hex(&sha.finalize()))
        })?;
        Ok(Self { outcome, frontier })
    }

    /// Starts to digest a file that is being filled out of order: each chunk is read as soon as all before it have
    /// landed ([`Whole::landed`]).
    pub fn of_file(file: Arc<File>, geometry: Geometry, landed: Bits) -> Result<Self> {
        let frontier = Arc::<Frontier>::default();
        frontier.lock().landed = Some(landed);
        let wanted = Wanted(Arc::clone(&frontier));
        let outcome = threads::spawn("digest", move || {
            let mut sha = Sha256::new();
            let mut buffer = vec![0; usize::try_from(STEP).unwrap_or(1 << 18)];
            for index in 0..geometry.chunks() {
                if !wanted.0.wait_for(index) {
                    return Err(Error::new(Kind::Incomplete, "the image is not whole"));
                }
                let (mut at, end) = (geometry.offset(index), geometry.offset(index) + geometry.len(index));
                while at < end {
                    let step = usize::try_from(STEP.min(end - at)).unwrap_or(buffer.len());
                    file.read_exact_at(&mut buffer[..step], at)
                        .map_err(|e| Error::io("reading the file back", e).offset(at))?;
                    sha.update(&buffer[..step]);
                    at += step as u64;
                }
            }
            Ok(hex(&sha.finalize()))
        })?;
        Ok(Self { outcome, frontier })
    }

    /// Notes that a chunk has landed in the file.
    pub fn landed(&self, index: u64) {
        if let Some(landed) = &mut self.frontier.lock().landed {
            landed.set(index, true);
        }
        self.frontier.moved.notify_one();
    }

    /// Waits for the digest, as `sha256sum` prints it. Of a file that is not whole there is none. A stop ends the wait at
    /// once.
    pub async fn finish(mut self, stop: &Stop) -> Result<String> {
        self.frontier.lock().over = true;
        self.frontier.moved.notify_one();
        stop.unless_asked(self.outcome.wait()).await
    }
}

/// Nobody waits any more: the thread ends.
impl Drop for Whole {
    fn drop(&mut self) {
        let mut state = self.frontier.lock();
        (state.over, state.dropped) = (true, true);
        drop(state);
        self.frontier.moved.notify_one();
    }
}

/// Tells the thread whether its work is still wanted.
struct Wanted(Arc<Frontier>);

impl Wanted {
    fn check(&self) -> Result<()> {
        if self.0.lock().dropped { Err(crate::stop::stopped()) } else { Ok(()) }
    }

    fn zeros(&self, sha: &mut Sha256, mut len: u64) -> Result<()> {
        while len > 0 {
            self.check()?;
            let step = len.min(STEP);
            zeros(sha, step);
            len -= step;
        }
        Ok(())
    }
}

#[derive(Default)]
struct Frontier {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Default)]
struct State {
    /// The chunks that have landed, of a file that is being filled.
    landed: Option<Bits>,
    /// No more will land.
    over: bool,
    /// Nobody wants the digest any more.
    dropped: bool,
}

impl Frontier {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a chunk has landed; false if it never will.
    fn wait_for(&self, index: u64) -> bool {
        let mut state = self.lock();
        loop {
            if state.dropped {
                return false;
            }
            if state.landed.as_ref().is_some_and(|landed| landed.get(index)) {
                return true;
            }
            if state.over {
                return false;
            }
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-4's long example: a million times `a`.
    const MILLION: &str = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

    #[tokio::test]
    async fn a_file_filled_out_of_order_has_the_right_digest() {
        let stop = Stop::never();
        let file = Arc::new(tempfile::tempfile().unwrap());
        file.set_len(1_000_000).unwrap();
        let geometry = Geometry::new(1_000_000, 300_000);
        let whole = Whole::of_file(Arc::clone(&file), geometry, Bits::new(4)).unwrap();
        for index in [3, 0, 2, 1] {
            let len = usize::try_from(geometry.len(index)).unwrap();
            file.write_all_at(&vec![b'a'; len], geometry.offset(index)).unwrap();
            whole.landed(index);
        }
        assert_eq!(whole.finish(&stop).await.unwrap(), MILLION);
        let file = Arc::new(tempfile::tempfile().unwrap());
        assert!(Whole::of_file(file, geometry, Bits::new(4)).unwrap().finish(&stop).await.is_err());
    }

    #[tokio::test]
    async fn a_sparse_image_has_the_digest_of_its_bytes() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(3 << 20).unwrap();
        file.as_file().write_all_at(b"x", 2 << 20).unwrap();
        let bytes = std::fs::read(file.path()).unwrap();
        let expected = hex(&Sha256::digest(&bytes));
        let source = FileSource::open(file.path()).unwrap();
        let whole = Whole::of_source(source).unwrap();
        assert_eq!(whole.finish(&Stop::never()).await.unwrap(), expected);
    }

    /// Ten hours of zeros: the stop is heard in the middle of them.
    #[tokio::test]
    async fn a_stop_is_heard_while_holes_are_digested() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(8 << 40).unwrap();
        let source = FileSource::open(file.path()).unwrap();
        let whole = Whole::of_source(source.clone()).unwrap();
        let frontier = Arc::downgrade(&whole.frontier);
        let (stopper, stop) = crate::stop::pair();
        let (ended, ()) = tokio::join!(whole.finish(&stop), async { stopper.stop() });
        assert_eq!(ended.unwrap_err().kind(), Kind::Interrupted);
        // The thread ends too: it holds the last reference.
        while frontier.strong_count() > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
}
