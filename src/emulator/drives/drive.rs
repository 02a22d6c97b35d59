//! One drive: its record as last read, what it is busy with, and what was moved since the record was written.

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
    /// Read-held by every write, so that imaging and changes wait for those under way.
    busy: RwLock<Busy>,
    /// Serialises writes to a drive with noise, which fill pages before they write into them.
    noisy: Mutex<()>,
    read: Counter,
    written: Counter,
}

/// What keeps a drive from being written, changed or destroyed.
#[derive(Debug, Default)]
pub(crate) struct Busy {
    /// It is being filled; how far.
    imaging: Option<Arc<Progress>>,
    /// So many other drives are being filled from it.
    feeding: u32,
}

impl Busy {
    /// The drive is being filled, or no longer.
    pub(super) fn set_imaging(&mut self, progress: Option<Arc<Progress>>) {
        self.imaging = progress;
    }

    /// One more drive is filled from this one; false if this one is being filled itself.
    pub(super) fn feed(&mut self) -> bool {
        let free = self.imaging.is_none();
        self.feeding += u32::from(free);
        free
    }

    /// One of the drives filled from this one is done.
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

/// How far imaging is: percent, or not yet begun.
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

    /// Returns the record, as of the lookup that gave this drive.
    pub(crate) fn record(&self) -> Record {
        self.known().0.clone()
    }

    pub(super) fn is_current(&self, stamp: Stamp) -> bool {
        self.known().1 == stamp
    }

    pub(super) fn update(&self, record: Record, stamp: Stamp) {
        *self.known() = (record, stamp);
    }

    /// Everything ever moved, with what the record does not have yet.
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

    /// Counts a read of so many bytes.
    pub(crate) fn count_read(&self, bytes: u64) {
        self.read.add(bytes);
    }

    /// Counts a write of so many bytes.
    pub(crate) fn count_write(&self, bytes: u64) {
        self.written.add(bytes);
    }

    /// Returns the text of the key `imaging`, while there is one.
    pub(crate) fn imaging(&self) -> Option<String> {
        let busy = self.busy.read().unwrap_or_else(PoisonError::into_inner);
        busy.imaging.as_deref().map(Progress::text)
    }

    /// Keeps imaging and changes away while bytes are written; 409 if one is under way.
    pub(crate) fn writing(&self) -> Result<RwLockReadGuard<'_, Busy>, Refusal> {
        let busy = self.busy.read().unwrap_or_else(PoisonError::into_inner);
        self.check(&busy)?;
        Ok(busy)
    }

    /// Waits for writes to end and keeps everything else away; 409 if imaging is under way.
    pub(super) fn alone(&self) -> Result<RwLockWriteGuard<'_, Busy>, Refusal> {
        let busy = self.busy();
        self.check(&busy)?;
        Ok(busy)
    }

    /// What the drive is busy with, to change it.
    pub(super) fn busy(&self) -> RwLockWriteGuard<'_, Busy> {
        self.busy.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, busy: &Busy) -> Result<(), Refusal> {
        if busy.imaging.is_some() || busy.feeding > 0 {
            return Err(Refusal::busy(format!("Drive {} is busy: it is being imaged", self.known().0.drive)));
        }
        Ok(())
    }

    /// The drive's bytes, opened for this use: descriptors are not hoarded, and opening costs microseconds.
    pub(crate) fn open(&self) -> Result<Contents, Refusal> {
        let file = File::options().read(true).write(true).open(&self.raw)?;
        let known = self.known();
        Ok(Contents::new(file, known.0.size, known.0.noise))
    }

    /// Held while a drive with noise is written.
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
