//! The drives of the account: sparse files, `drives/UUID.raw` with the bytes and `drives/UUID.json` with the
//! record.
//!
//! Several processes may use one directory at the same time, so the files are authoritative. A drive is
//! looked up on disk at every use (one `stat`), and a record is changed under a file lock. A drive exists if
//! its record does: the record is written last and removed first.

mod contents;
mod drive;
mod imaging;
mod payload;
mod record;
mod standard;

pub(super) use contents::{Contents, PIECE};
pub(super) use drive::Drive;
pub(super) use imaging::{Conversion, Job};
pub(super) use payload::Payload;
pub(super) use record::{Record, Traffic};
pub(super) use standard::{Holds, Offer};

use super::answer::Refusal;
use super::store::{Lock, Stamp, load, lock, make_dir, store};
use imaging::Imager;
use standard::Standard;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All drives of the account.
#[derive(Debug)]
pub(super) struct Drives {
    dir: PathBuf,
    known: Mutex<HashMap<String, Arc<Drive>>>,
    standard: Standard,
    imager: Imager,
}

/// A drive that can be read: one of the account, or a standard drive.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Own(Arc<Drive>),
    Standard(Offer, Contents),
}

impl Source {
    /// Opens the bytes.
    pub(super) fn open(&self) -> Result<Contents, Refusal> {
        match self {
            Source::Own(drive) => drive.open(),
            Source::Standard(_, contents) => Ok(contents.clone()),
        }
    }

    /// Counts a read of this many bytes, if the source counts reads.
    pub(super) fn count_read(&self, bytes: u64) {
        if let Source::Own(drive) = self {
            drive.count_read(bytes);
        }
    }

    /// Returns an imaging job that reads from this source.
    pub(super) fn job(&self, conversion: Conversion) -> Result<Job, Refusal> {
        let drive = match self {
            Source::Own(drive) => Some(Arc::clone(drive)),
            Source::Standard(..) => None,
        };
        Ok(Job { source: self.open()?, drive, conversion })
    }
}

impl Drives {
    /// Opens the drives under a data directory, which is created if needed, and the standard drives in
    /// `offers`.
    pub(super) fn open(data: &Path, offers: Vec<Offer>) -> io::Result<Self> {
        let dir = data.join("drives");
        make_dir(&dir)?;
        let standard = Standard::new(data.join("standard"), offers);
        Ok(Drives { dir, known: Mutex::default(), standard, imager: Imager::default() })
    }

    /// Returns where large bodies are spooled until they are applied: the drives' own file system, which has
    /// space for them.
    pub(super) fn spool(&self) -> &Path {
        &self.dir
    }

    /// Returns a drive by its UUID, or fails with 404.
    pub(super) fn get(&self, uuid: &str) -> Result<Arc<Drive>, Refusal> {
        let missing = || Refusal::missing(format!("Drive {uuid} does not exist"));
        // The UUID becomes a file name: nothing else may get through.
        if !is_uuid(uuid) {
            return Err(missing());
        }
        let uuid = uuid.to_ascii_lowercase();
        let path = self.record_path(&uuid);
        let found = Stamp::now(&path).and_then(|stamp| {
            if let Some(drive) = self.known().get(&uuid)
                && drive.is_current(stamp)
            {
                return Ok(Arc::clone(drive));
            }
            let (record, stamp) = load(&path)?;
            let mut known = self.known();
            if let Some(drive) = known.get(&uuid) {
                drive.update(record, stamp);
                return Ok(Arc::clone(drive));
            }
            let drive = Arc::new(Drive::new(self.raw_path(&uuid), record, stamp));
            known.insert(uuid.clone(), Arc::clone(&drive));
            Ok(drive)
        });
        found.map_err(|error| {
            if error.kind() == ErrorKind::NotFound {
                self.known().remove(&uuid);
                return missing();
            }
            error.into()
        })
    }

    /// Returns a drive for reading: one of the account or a standard drive.
    pub(super) fn find(&self, uuid: &str) -> Result<Source, Refusal> {
        match self.standard.find(uuid) {
            Some(offer) => Ok(Source::Standard(offer, self.standard.open(offer)?)),
            None => self.get(uuid).map(Source::Own),
        }
    }

    /// Returns whether a drive exists that can be attached to a server.
    pub(super) fn exists(&self, uuid: &str) -> bool {
        self.standard.find(uuid).is_some() || self.get(uuid).is_ok()
    }

    /// Returns the standard drives.
    pub(super) fn offers(&self) -> &[Offer] {
        self.standard.all()
    }

    /// Returns all drives, oldest first.
    pub(super) fn all(&self) -> io::Result<Vec<Arc<Drive>>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            let Some(uuid) = name.to_str().and_then(|name| name.strip_suffix(".json")) else { continue };
            // A drive that was destroyed meanwhile, or whose record is damaged, must not hide the others.
            match self.get(uuid) {
                Ok(drive) => found.push(drive),
                Err(refusal) => tracing::debug!("drive {uuid} is left out: {refusal:?}"),
            }
        }
        found.sort_by_key(|drive| {
            let record = drive.record();
            (record.created, record.drive)
        });
        Ok(found)
    }

    /// Creates a drive. The record's UUID must be new.
    pub(super) fn create(&self, record: Record) -> Result<Arc<Drive>, Refusal> {
        let uuid = record.drive.clone();
        let raw = self.raw_path(&uuid);
        let made = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&raw)
            .and_then(|file| file.set_len(record.size))
            .and_then(|()| store(&self.record_path(&uuid), &record));
        let stamp = made.inspect_err(|_| {
            // Without a record it is not a drive, and if it cannot be removed it takes no space.
            let _ = std::fs::remove_file(&raw);
        })?;
        let drive = Arc::new(Drive::new(raw, record, stamp));
        self.known().insert(uuid, Arc::clone(&drive));
        Ok(drive)
    }

    /// Changes a drive's record, and its size if that changes.
    pub(super) fn change(
        &self,
        uuid: &str,
        change: impl FnOnce(&mut Record) -> Result<(), Refusal>,
    ) -> Result<Arc<Drive>, Refusal> {
        let _changing = self.changing()?;
        let drive = self.get(uuid)?;
        let alone = drive.alone()?;
        let mut record = drive.record();
        let size = record.size;
        change(&mut record)?;
        if record.size != size {
            drive.resize(record.size)?;
        }
        let stamp = store(&self.record_path(&record.drive), &record)?;
        drive.update(record, stamp);
        drop(alone);
        Ok(drive)
    }

    /// Destroys a drive.
    pub(super) fn destroy(&self, uuid: &str) -> Result<(), Refusal> {
        let _changing = self.changing()?;
        let drive = self.get(uuid)?;
        let _alone = drive.alone()?;
        let uuid = drive.record().drive;
        std::fs::remove_file(self.record_path(&uuid))?;
        self.known().remove(&uuid);
        std::fs::remove_file(self.raw_path(&uuid))?;
        Ok(())
    }

    /// Starts to fill a drive from a source. Both are busy until it ends.
    pub(super) fn image(&self, target: &Arc<Drive>, job: Job) -> Result<(), Refusal> {
        self.imager.begin(target, job)
    }

    /// Waits for imaging to end and writes the counters to the records, before the emulator ends.
    pub(super) fn finish(&self) {
        self.imager.finish();
        for drive in self.known().values() {
            if let Err(error) = self.save_traffic(drive) {
                tracing::warn!("the counters of a drive are lost: {error}");
            }
        }
    }

    /// Writes the counters to the records.
    pub(super) fn save_counters(&self) -> io::Result<()> {
        let drives: Vec<_> = self.known().values().cloned().collect();
        drives.iter().try_for_each(|drive| self.save_traffic(drive))
    }

    fn save_traffic(&self, drive: &Drive) -> io::Result<()> {
        let more = drive.take_traffic();
        if more == record::Traffic::default() {
            return Ok(());
        }
        let _changing = self.changing()?;
        let path = self.record_path(&drive.record().drive);
        // Another process may have changed the record or destroyed the drive.
        let mut record: Record = match load(&path) {
            Ok((record, _)) => record,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        record.traffic += more;
        let stamp = store(&path, &record)?;
        drive.update(record, stamp);
        Ok(())
    }

    fn changing(&self) -> io::Result<Lock> {
        lock(&self.dir.join("lock"))
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Arc<Drive>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record_path(&self, uuid: &str) -> PathBuf {
        self.dir.join(format!("{uuid}.json"))
    }

    fn raw_path(&self, uuid: &str) -> PathBuf {
        self.dir.join(format!("{uuid}.raw"))
    }
}

/// Returns whether a text is a UUID as these APIs write it: 8-4-4-4-12 hexadecimal digits.
pub(super) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}
