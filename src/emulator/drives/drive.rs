//! One drive: its record as last read, the operations that occupy it, and the traffic since the record was
//! written.

use super::contents::Contents;
use super::record::{Record, Traffic};
use crate::emulator::answer::Refusal;
use crate::emulator::store::Stamp;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A drive of the account.
#[derive(Debug)]
pub(crate) struct Drive {
    raw: PathBuf,
    known: Mutex<(Record, Stamp)>,
    /// Locked for reading by every write, so that imaging and changes wait for writes in flight.
    busy: RwLock<Busy>,
    /// Serializes writes to a drive with noise, which fill a page before they write into it.
    noisy: Mutex<()>,
    read: Counter,
    written: Counter,
}

/// The operations that keep a drive from being written, changed or destroyed.
#[derive(Debug, Default)]
pub(crate) struct Busy {
    /// The progress of filling this drive.
    imaging: Option<Arc<Progress>>,
    /// The number of other drives that are being filled from this one.
    feeding: u32,
}

impl Busy {
    /// Sets the progress of filling this drive, or `None` when it ends.
    pub(super) fn set_imaging(&mut self, progress: Option<Arc<Progress>>) {
        self.imaging = progress;
    }

    /// Counts one more drive that is filled from this one; returns false if this one is being filled itself.
    pub(super) fn feed(&mut self) -> bool {
        let free = self.imaging.is_none();
        self.feeding += u32::from(free);
        free
    }

    /// Counts one drive less that is filled from this one.
    pub(super) fn fed(&mut self) {
        self.feeding = self.feeding.saturating_sub(1);
    }
}

#[derive(Debug, Default)]
struct Counter {
    bytes: AtomicU64,
    requests: AtomicU64,
}

impl Counter {
    fn add(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Relaxed);
        self.requests.fetch_add(1, Relaxed);
    }
}

/// The progress of imaging: a percentage, or queued.
#[derive(Debug)]
pub(super) struct Progress(AtomicU8);

impl Progress {
    const QUEUED: u8 = u8::MAX;

    pub(super) fn queued() -> Self {
        Progress(AtomicU8::new(Self::QUEUED))
    }

    pub(super) fn set(&self, percent: u8) {
        self.0.store(percent.min(100), Relaxed);
    }

    fn text(&self) -> String {
        match self.0.load(Relaxed) {
            Self::QUEUED => "queued".to_owned(),
            percent => format!("{percent}%"),
        }
    }
}

impl Drive {
    pub(super) fn new(raw: PathBuf, record: Record, stamp: Stamp) -> Self {
        Drive {
            raw,
            known: Mutex::new((record, stamp)),
            busy: RwLock::default(),
            noisy: Mutex::default(),
            read: Counter::default(),
            written: Counter::default(),
        }
    }

    /// Returns the record, as of the lookup that returned this drive.
    pub(crate) fn record(&self) -> Record {
        self.known().0.clone()
    }

    pub(super) fn is_current(&self, stamp: Stamp) -> bool {
        self.known().1 == stamp
    }

    pub(super) fn update(&self, record: Record, stamp: Stamp) {
        *self.known() = (record, stamp);
    }

    /// Returns the traffic of the drive's lifetime, including what the record does not have yet.
    pub(crate) fn traffic(&self) -> Traffic {
        let mut traffic = self.known().0.traffic;
        traffic += Traffic {
            read_bytes: self.read.bytes.load(Relaxed),
            read_requests: self.read.requests.load(Relaxed),
            write_bytes: self.written.bytes.load(Relaxed),
            write_requests: self.written.requests.load(Relaxed),
        };
        traffic
    }

    pub(super) fn take_traffic(&self) -> Traffic {
        Traffic {
            read_bytes: self.read.bytes.swap(0, Relaxed),
            read_requests: self.read.requests.swap(0, Relaxed),
            write_bytes: self.written.bytes.swap(0, Relaxed),
            write_requests: self.written.requests.swap(0, Relaxed),
        }
    }

    /// Counts a read of this many bytes.
    pub(crate) fn count_read(&self, bytes: u64) {
        self.read.add(bytes);
    }

    /// Counts a write of this many bytes.
    pub(crate) fn count_write(&self, bytes: u64) {
        self.written.add(bytes);
    }

    /// Returns the text of the key `imaging`, if the drive is being imaged.
    pub(crate) fn imaging(&self) -> Option<String> {
        let busy = self.busy.read().unwrap_or_else(PoisonError::into_inner);
        busy.imaging.as_deref().map(Progress::text)
    }

    /// Blocks imaging and changes while bytes are written, or fails with 409 if imaging is in progress.
    pub(crate) fn writing(&self) -> Result<RwLockReadGuard<'_, Busy>, Refusal> {
        let busy = self.busy.read().unwrap_or_else(PoisonError::into_inner);
        self.check(&busy)?;
        Ok(busy)
    }

    /// Waits for writes to end and blocks all other operations, or fails with 409 if imaging is in progress.
    pub(super) fn alone(&self) -> Result<RwLockWriteGuard<'_, Busy>, Refusal> {
        let busy = self.busy();
        self.check(&busy)?;
        Ok(busy)
    }

    /// Locks the drive's busy state for a change.
    pub(super) fn busy(&self) -> RwLockWriteGuard<'_, Busy> {
        self.busy.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, busy: &Busy) -> Result<(), Refusal> {
        if busy.imaging.is_some() || busy.feeding > 0 {
            return Err(Refusal::busy(format!("Drive {} is busy: it is being imaged", self.known().0.drive)));
        }
        Ok(())
    }

    /// Opens the drive's bytes for one use: descriptors are not kept, and opening costs microseconds.
    pub(crate) fn open(&self) -> Result<Contents, Refusal> {
        let file = File::options().read(true).write(true).open(&self.raw)?;
        let known = self.known();
        Ok(Contents::new(file, known.0.size, known.0.noise))
    }

    /// Locks a drive with noise for a write.
    pub(crate) fn noisy(&self) -> MutexGuard<'_, ()> {
        self.noisy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn resize(&self, size: u64) -> io::Result<()> {
        File::options().write(true).open(&self.raw)?.set_len(size)
    }

    fn known(&self) -> MutexGuard<'_, (Record, Stamp)> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
