//! The SHA-256 of a whole image, in order, beside a transfer that is not.

use super::ledger::Bits;
use crate::chunk::Geometry;
use crate::encode::digest::hex;
use crate::error::{Error, Kind, Result};
use crate::source::MappedSource;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// How much is read at a time: it stays in the processor's cache between the reading and the hashing.
const STEP: u64 = 256 << 10;

/// A digest in the making on another thread.
pub struct Whole {
    thread: JoinHandle<Result<String>>,
    frontier: Option<Arc<Frontier>>,
}

impl Whole {
    /// Starts to digest a mapped image, front to back. Holes count as zeros and are not read.
    pub fn of_source(source: MappedSource) -> Result<Self> {
        let thread = spawn(move || {
            let mut sha = Sha256::new();
            let mut at = 0;
            for extent in source.extents() {
                let extent = extent?;
                zeros(&mut sha, extent.start - at);
                at = extent.start;
                while at < extent.end {
                    let step = STEP.min(extent.end - at);
                    sha.update(source.range(at, step)?.as_ref());
                    at += step;
                }
            }
            zeros(&mut sha, source.size() - at);
            source.check()?;
            Ok(hex(&sha.finalize()))
        })?;
        Ok(Self { thread, frontier: None })
    }

    /// Starts to digest a file that is being filled out of order: each chunk is read as soon as all before it have
    /// landed ([`Whole::landed`]).
    pub fn of_file(file: Arc<File>, geometry: Geometry, landed: Bits) -> Result<Self> {
        let frontier =
            Arc::new(Frontier { state: Mutex::new(State { landed, over: false }), moved: Condvar::new() });
        let waiting = Arc::clone(&frontier);
        let thread = spawn(move || {
            let mut sha = Sha256::new();
            let mut buffer = vec![0; usize::try_from(STEP).unwrap_or(1 << 18)];
            for index in 0..geometry.chunks() {
                if !waiting.wait_for(index) {
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
        Ok(Self { thread, frontier: Some(frontier) })
    }

    /// Notes that a chunk has landed in the file.
    pub fn landed(&self, index: u64) {
        if let Some(frontier) = &self.frontier {
            frontier.lock().landed.set(index, true);
            frontier.moved.notify_one();
        }
    }

    /// Waits for the digest, as `sha256sum` prints it. Of a file that is not whole there is none.
    pub fn finish(self) -> Result<String> {
        if let Some(frontier) = &self.frontier {
            frontier.lock().over = true;
            frontier.moved.notify_one();
        }
        self.thread.join().unwrap_or_else(|_| Err(Error::new(Kind::Io, "the digest thread has died")))
    }
}

fn spawn(work: impl FnOnce() -> Result<String> + Send + 'static) -> Result<JoinHandle<Result<String>>> {
    std::thread::Builder::new()
        .name("sha256".into())
        .spawn(work)
        .map_err(|e| Error::io("starting a thread", e))
}

fn zeros(sha: &mut Sha256, mut len: u64) {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    while len > 0 {
        let step = len.min(ZEROS.len() as u64);
        sha.update(&ZEROS[..usize::try_from(step).unwrap_or(0)]);
        len -= step;
    }
}

struct Frontier {
    state: Mutex<State>,
    moved: Condvar,
}

struct State {
    landed: Bits,
    over: bool,
}

impl Frontier {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a chunk has landed; false if it never will.
    fn wait_for(&self, index: u64) -> bool {
        let mut state = self.lock();
        loop {
            if state.landed.get(index) {
                return true;
            }
            if state.over {
                return false;
            }
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A reader that digests what passes through it, for streams.
pub struct Hashing<R> {
    inner: R,
    passed: Passed,
}

/// The digest of what has passed by.
#[derive(Clone, Default)]
pub struct Passed(Arc<Mutex<Sha256>>);

impl<R: Read> Hashing<R> {
    /// Wraps a reader.
    pub fn new(inner: R) -> (Self, Passed) {
        let passed = Passed::default();
        (Self { inner, passed: passed.clone() }, passed)
    }
}

impl Passed {
    /// Bytes pass, in their order.
    pub fn update(&self, bytes: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).update(bytes);
    }

    /// The digest so far, as `sha256sum` prints it.
    pub fn hex(&self) -> String {
        hex(&self.0.lock().unwrap_or_else(PoisonError::into_inner).clone().finalize())
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let got = self.inner.read(buffer)?;
        self.passed.update(&buffer[..got]);
        Ok(got)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-4's long example: a million times `a`.
    const MILLION: &str = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

    #[test]
    fn a_file_filled_out_of_order_has_the_right_digest() {
        let file = Arc::new(tempfile::tempfile().unwrap());
        file.set_len(1_000_000).unwrap();
        let geometry = Geometry::new(1_000_000, 300_000);
        let whole = Whole::of_file(Arc::clone(&file), geometry, Bits::new(4)).unwrap();
        for index in [3, 0, 2, 1] {
            let len = usize::try_from(geometry.len(index)).unwrap();
            file.write_all_at(&vec![b'a'; len], geometry.offset(index)).unwrap();
            whole.landed(index);
        }
        assert_eq!(whole.finish().unwrap(), MILLION);
        let file = Arc::new(tempfile::tempfile().unwrap());
        assert!(Whole::of_file(file, geometry, Bits::new(4)).unwrap().finish().is_err());
    }

    #[test]
    fn a_sparse_image_and_a_stream_have_the_digest_of_their_bytes() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(3 << 20).unwrap();
        file.as_file().write_all_at(b"x", 2 << 20).unwrap();
        let bytes = std::fs::read(file.path()).unwrap();
        let expected = hex(&Sha256::digest(&bytes));
        let source = MappedSource::open(file.path()).unwrap();
        assert_eq!(Whole::of_source(source).unwrap().finish().unwrap(), expected);
        let (mut hashing, passed) = Hashing::new(&bytes[..]);
        std::io::copy(&mut hashing, &mut std::io::sink()).unwrap();
        assert_eq!(passed.hex(), expected);
    }
}
