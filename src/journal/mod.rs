//! Which chunks the far end has acknowledged, on disk, so that the same command goes on after any end.
//!
//! A journal is a line that names the format, then records: a length, a type, a payload and a checksum over the last
//! two. It is only ever appended to. Reading stops at the first record that is not whole; what comes after it is cut
//! off, so a torn or damaged journal costs work and never data. A chunk enters it only as an [`AckedChunk`].
//!
//! The records of a download say that bytes were written to a file, but not that they have reached the disk. A killed
//! process loses none of them; a machine that loses power may. So each run notes the kernel's boot id, each sync of the
//! file is followed by a mark, and after a reboot only the records before the last mark count.

pub mod directory;
mod header;
mod record;
mod replay;

pub use directory::Directory;
pub use header::{DriveRecord, Header, NewDrive};
pub use replay::{Replay, peek};

use crate::chunk::AckedChunk;
use crate::error::{Error, Kind, Result};
use record::Record;
use replay::read;
use std::fs::{File, OpenOptions};
use std::io::{Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The first line of every journal.
const MAGIC: &[u8] = b"diskferry journal 1\n";

/// An open journal, locked against other processes.
#[derive(Debug)]
pub struct Journal {
    file: Arc<File>,
    path: PathBuf,
    header: Header,
    drive: Option<DriveRecord>,
    dirty: Arc<AtomicBool>,
}

impl Journal {
    /// Starts a journal; one that exists is overwritten, unless another process has it.
    pub fn create(path: &Path, header: Header) -> Result<Self> {
        let mut file = open_locked(path, true)?;
        let what = || format!("writing the journal {}", path.display());
        file.set_len(0).map_err(|e| Error::io(what(), e))?;
        file.rewind().map_err(|e| Error::io(what(), e))?;
        let mut start = MAGIC.to_vec();
        start.extend(Record::Header(Box::new(header.clone())).to_bytes()?);
        start.extend(Record::Boot(boot_id()).to_bytes()?);
        file.write_all(&start).and_then(|()| file.sync_all()).map_err(|e| Error::io(what(), e))?;
        sync_directory(path);
        Ok(Self {
            file: Arc::new(file),
            path: path.to_owned(),
            header,
            drive: None,
            dirty: Arc::new(AtomicBool::new(false)),
        })
    }

    /// Opens a journal and reads it; `None` if there is none, or if a run was killed while it began one. What is torn at
    /// the end is cut off.
    pub fn open(path: &Path) -> Result<Option<(Self, Replay)>> {
        if !path.exists() {
            return Ok(None);
        }
        let mut file = open_locked(path, false)?;
        let Some(replay) = read(&mut file, path)? else { return Ok(None) };
        let what = || format!("writing the journal {}", path.display());
        let whole = file.stream_position().map_err(|e| Error::io(what(), e))?;
        file.set_len(whole).map_err(|e| Error::io(what(), e))?;
        let journal = Self {
            file: Arc::new(file),
            path: path.to_owned(),
            header: replay.header.clone(),
            drive: replay.drive.clone(),
            dirty: Arc::new(AtomicBool::new(false)),
        };
        journal.append(&Record::Boot(boot_id()))?;
        // Or the next mark would vouch for them.
        for index in &replay.unsafe_chunks {
            journal.revoke(*index)?;
        }
        Ok(Some((journal, replay)))
    }

    /// What the transfer is.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The drive, once known.
    pub fn drive(&self) -> Option<&DriveRecord> {
        self.drive.as_ref()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Notes the drive, safely on disk when this returns.
    pub fn set_drive(&mut self, drive: DriveRecord) -> Result<()> {
        self.note_drive(&drive)?;
        self.drive = Some(drive);
        Ok(())
    }

    /// Notes for the next run what has turned out about the drive, safely on disk when this returns.
    pub fn note_drive(&self, drive: &DriveRecord) -> Result<()> {
        self.append(&Record::Drive(drive.clone()))?;
        self.sync()
    }

    /// Notes an acknowledged chunk. It survives the process at once, and the machine after the next sync.
    pub fn acknowledge(&self, chunk: &AckedChunk) -> Result<()> {
        self.append(&Record::Chunk(*chunk))
    }

    /// Takes a chunk back: it was found different when it was read back.
    pub fn revoke(&self, index: u64) -> Result<()> {
        self.append(&Record::Revoked(index))
    }

    /// Syncs what was appended.
    pub fn sync(&self) -> Result<()> {
        self.syncer(None).sync()
    }

    /// A handle that syncs from another thread: first `file`, the download's, then the journal with a mark.
    pub fn syncer(&self, file: Option<Arc<File>>) -> Syncer {
        Syncer {
            journal: Arc::clone(&self.file),
            file,
            dirty: Arc::clone(&self.dirty),
            path: self.path.clone(),
        }
    }

    /// Removes the journal: the transfer is done, or given up.
    pub fn remove(self) -> Result<()> {
        std::fs::remove_file(&self.path)
            .map_err(|e| Error::io(format!("removing the journal {}", self.path.display()), e))
    }

    fn append(&self, record: &Record) -> Result<()> {
        self.dirty.store(true, Ordering::Release);
        (&*self.file)
            .write_all(&record.to_bytes()?)
            .map_err(|e| Error::io(format!("writing the journal {}", self.path.display()), e))
    }
}

/// Syncs a journal, and the file that it speaks of, from another thread.
#[derive(Clone, Debug)]
pub struct Syncer {
    journal: Arc<File>,
    file: Option<Arc<File>>,
    dirty: Arc<AtomicBool>,
    path: PathBuf,
}

impl Syncer {
    /// Makes everything appended so far safe; costs nothing if there is nothing new.
    pub fn sync(&self) -> Result<()> {
        if !self.dirty.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let what = || format!("syncing the journal {}", self.path.display());
        if let Some(file) = &self.file {
            // The mark counts for the records before it, so its place is taken before the file is synced: what is
            // appended meanwhile comes after the place and counts with the next mark.
            let upto = self.journal.metadata().map_err(|e| Error::io(what(), e))?.len();
            file.sync_data().map_err(|e| Error::io("syncing the file", e))?;
            (&*self.journal)
                .write_all(&Record::Synced(upto).to_bytes()?)
                .map_err(|e| Error::io(what(), e))?;
        }
        self.journal.sync_data().map_err(|e| Error::io(what(), e))
    }
}

fn open_locked(path: &Path, create: bool) -> Result<File> {
    let what = || format!("opening the journal {}", path.display());
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(create)
        .mode(0o600)
        .open(path)
        .map_err(|e| Error::io(what(), e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(Error::new(
            Kind::Journal,
            format!("another diskferry is busy with this transfer (it holds {})", path.display()),
        )
        .hint("wait for it to end, or stop it")),
        Err(std::fs::TryLockError::Error(e)) => Err(Error::io(what(), e)),
    }
}

/// The kernel's id of this boot; empty where it is not to be had, and then nothing unsynced is trusted.
fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|s| s.trim().to_owned())
        .unwrap_or_default()
}

/// Makes a new name in a directory last; where that is not possible the file system is past helping.
fn sync_directory(path: &Path) {
    if let Some(dir) = path.parent()
        && let Ok(dir) = File::open(dir)
    {
        let _ = dir.sync_all();
    }
}

#[cfg(test)]
mod tests;
