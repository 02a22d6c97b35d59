//! Which chunks a destination has acknowledged, on disk, so that the same command goes on after any end.
//!
//! A journal is a line that names the format, then records: a length, a type, a payload and a checksum over the last
//! two. It comes into being whole, under its name by a rename, with its header in it. From then on it is appended to.
//! Reading stops at the first record that is not whole; what comes after it is cut off, so a torn or damaged journal
//! costs work and never data. What has to be taken back is left out of a journal that replaces the old one as a whole,
//! since a record at the end is what a damaged file loses first. A chunk enters only as an [`AckedChunk`].
//!
//! What an earlier run noted is a claim, to be proved before a later run builds on it (`engine/resume.rs`). The
//! journal holds what that takes: the generation of the [destination](destinations), what both ends looked like when
//! the run ended, the inode of a download's temporary file, and which of its chunks were synced to the disk.

pub mod contents;
pub mod destinations;
pub mod directory;
mod header;
mod record;
mod replay;

pub use contents::{Contents, ContentsDirectory, Seen};
pub use destinations::{Claim, Destination, Destinations};
pub use directory::Directory;
pub use header::{DriveRecord, Header, NewDrive};
pub use replay::{Replay, peek};

use crate::chunk::AckedChunk;
use crate::disk::{Evidence, PartRecord};
use crate::error::{Error, Kind, Result};
use record::Record;
use replay::read;
use std::fs::{File, OpenOptions};
use std::io::{Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How the first line of every journal begins, whatever its version.
const MAGIC_PREFIX: &[u8] = b"diskferry journal ";

/// The first line of every journal of this version.
const MAGIC: &[u8] = b"diskferry journal 2\n";

/// How often a journal that is being replaced is looked for again before that is given up.
const LOCK_TRIES: usize = 8;

/// An open journal, locked against other processes.
#[derive(Debug)]
pub struct Journal {
    file: Arc<File>,
    path: PathBuf,
    known: Known,
    dirty: Arc<AtomicBool>,
}

/// What a journal says beside the chunks.
#[derive(Debug)]
struct Known {
    header: Header,
    drive: Option<DriveRecord>,
    part: Option<PartRecord>,
    source: Option<Evidence>,
    generation: Option<String>,
}

impl Journal {
    /// Starts a journal; one that exists is replaced.
    ///
    /// # Errors
    /// [`Kind::Locked`] if another process has the one that exists.
    pub fn create(path: &Path, header: Header) -> Result<Self> {
        // Held until the new one stands in its place.
        let _old = open_locked(path)?;
        let known = Known { header, drive: None, part: None, source: None, generation: None };
        let file = known.store(path, &[])?;
        Ok(Self { file: Arc::new(file), path: path.to_owned(), known, dirty: Arc::default() })
    }

    /// Opens a journal and reads it; `None` if there is none. What is torn at the end is cut off.
    ///
    /// # Errors
    /// [`Kind::Locked`] if another process has it, [`Kind::Journal`] if it cannot be read (see [`peek`]).
    pub fn open(path: &Path) -> Result<Option<(Self, Replay)>> {
        let Some(mut file) = open_locked(path)? else { return Ok(None) };
        let replay = read(&mut file, path)?;
        let whole = file.stream_position().map_err(|e| unwritable(path, e))?;
        file.set_len(whole).map_err(|e| unwritable(path, e))?;
        let known = Known {
            header: replay.header.clone(),
            drive: replay.drive.clone(),
            part: replay.part,
            source: replay.source.clone(),
            generation: replay.generation.clone(),
        };
        let journal =
            Self { file: Arc::new(file), path: path.to_owned(), known, dirty: Arc::new(true.into()) };
        Ok(Some((journal, replay)))
    }

    /// Returns what the transfer is.
    pub fn header(&self) -> &Header {
        &self.known.header
    }

    /// Returns the drive, once known.
    pub fn drive(&self) -> Option<&DriveRecord> {
        self.known.drive.as_ref()
    }

    /// Returns where the journal is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Notes the drive, safely on disk when this returns.
    pub fn set_drive(&mut self, drive: DriveRecord) -> Result<()> {
        self.append_safely(&Record::Drive(drive.clone()))?;
        self.known.drive = Some(drive);
        Ok(())
    }

    /// Notes the temporary file of a download, safely on disk when this returns.
    pub fn set_part(&mut self, part: PartRecord) -> Result<()> {
        self.append_safely(&Record::Part(part))?;
        self.known.part = Some(part);
        Ok(())
    }

    /// Notes what the drive that is read looks like as the transfer begins, safely on disk when this returns.
    pub fn set_source(&mut self, source: Evidence) -> Result<()> {
        self.append_safely(&Record::Source(source.clone()))?;
        self.known.source = Some(source);
        Ok(())
    }

    /// Notes that a run begins to write, with the destination at `generation`; safely on disk when this returns.
    pub fn claim(&mut self, generation: String) -> Result<()> {
        self.append_safely(&Record::Claim(generation.clone()))?;
        self.known.generation = Some(generation);
        Ok(())
    }

    /// Notes what the destination looks like at the end of a run that another will go on from, and syncs.
    pub fn settle(&self, evidence: Evidence) -> Result<()> {
        self.append_safely(&Record::Evidence(evidence))
    }

    /// Notes an acknowledged chunk. It survives the process at once, and the machine after the next sync.
    pub fn acknowledge(&self, chunk: &AckedChunk) -> Result<()> {
        self.append(&Record::Chunk(*chunk))
    }

    /// Replaces the journal as a whole by one that knows only `chunks`: everything else that was acknowledged is taken
    /// back. Safely on disk when this returns. No [`Syncer`] of the old one may be at work.
    pub fn replace(&mut self, chunks: &[AckedChunk]) -> Result<()> {
        self.file = Arc::new(self.known.store(&self.path, chunks)?);
        self.dirty = Arc::default();
        Ok(())
    }

    /// The same, for a transfer in which a comparison found a difference: zeros are written from now on, and the next
    /// run compares everything.
    pub fn distrust(&mut self, chunks: &[AckedChunk]) -> Result<()> {
        self.known.header.compare_all = true;
        self.write_zeros(chunks)
    }

    /// The same, for a drive that turned out not to read as zero where nothing was written.
    pub fn write_zeros(&mut self, chunks: &[AckedChunk]) -> Result<()> {
        if let Some(drive) = &mut self.known.drive {
            drive.skip_zeros = false;
        }
        self.replace(chunks)
    }

    /// Notes that everything that the journal speaks of now is safe at the destination; safely on disk when this returns.
    pub fn mark_safe(&self) -> Result<()> {
        let upto = self.file.metadata().map_err(|e| unwritable(&self.path, e))?.len();
        self.append_safely(&Record::Synced(upto))
    }

    /// Returns a handle that makes safe what was appended. `marks`: whether a record counts only once what it speaks of
    /// is safe, too, as for a download.
    pub fn syncer(&self, marks: bool) -> Syncer {
        Syncer {
            journal: Arc::clone(&self.file),
            marks,
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
        (&*self.file).write_all(&record.to_bytes()?).map_err(|e| unwritable(&self.path, e))
    }

    fn append_safely(&self, record: &Record) -> Result<()> {
        self.append(record)?;
        self.file.sync_data().map_err(|e| unwritable(&self.path, e))
    }
}

impl Known {
    /// Writes everything that is known, and `chunks`, into a new file and puts it under the journal's name.
    fn store(&self, path: &Path, chunks: &[AckedChunk]) -> Result<File> {
        let mut bytes = MAGIC.to_vec();
        let mut put = |record: Record| record.to_bytes().map(|record| bytes.extend(record));
        put(Record::Header(Box::new(self.header.clone())))?;
        self.drive.clone().map(Record::Drive).map_or(Ok(()), &mut put)?;
        self.part.map(Record::Part).map_or(Ok(()), &mut put)?;
        self.source.clone().map(Record::Source).map_or(Ok(()), &mut put)?;
        self.generation.clone().map(Record::Claim).map_or(Ok(()), &mut put)?;
        chunks.iter().try_for_each(|chunk| put(Record::Chunk(*chunk)))?;
        let (mut file, temporary) = new_file(path)?;
        let stored = file
            .write_all(&bytes)
            .and_then(|()| file.sync_all())
            .and_then(|()| std::fs::rename(&temporary, path));
        if let Err(error) = stored {
            // The old journal stands; a half-written one beside it would only be litter.
            let _ = std::fs::remove_file(&temporary);
            return Err(unwritable(path, error));
        }
        sync_directory(path);
        Ok(file)
    }
}

/// Makes safe what was appended to a journal, from another thread.
#[derive(Clone, Debug)]
pub struct Syncer {
    journal: Arc<File>,
    marks: bool,
    dirty: Arc<AtomicBool>,
    path: PathBuf,
}

impl Syncer {
    /// Returns how far the journal reaches now; `None` if there is nothing new since the last time. What it speaks of is to
    /// be made safe next, then [`Syncer::sync`] is called.
    pub fn begin(&self) -> Result<Option<u64>> {
        if !self.dirty.swap(false, Ordering::AcqRel) {
            return Ok(None);
        }
        let meta = self.journal.metadata();
        meta.map(|meta| Some(meta.len())).map_err(|e| self.failed(e))
    }

    /// Syncs the journal. Everything before byte `upto` speaks of what is safe; a mark says so. What was appended since
    /// [`Syncer::begin`] comes after that place, and counts with the next mark.
    pub fn sync(&self, upto: u64) -> Result<()> {
        if self.marks {
            let mark = Record::Synced(upto).to_bytes()?;
            (&*self.journal).write_all(&mark).map_err(|e| self.failed(e))?;
        }
        self.journal.sync_data().map_err(|e| self.failed(e))
    }

    fn failed(&self, error: std::io::Error) -> Error {
        Error::io(format!("syncing the journal {}", self.path.display()), error)
    }
}

/// Opens and locks a journal; `None` if there is none.
fn open_locked(path: &Path) -> Result<Option<File>> {
    let what = |e| Error::io(format!("opening the journal {}", path.display()), e);
    for _ in 0..LOCK_TRIES {
        let file = match OpenOptions::new().read(true).append(true).open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(what(e)),
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(busy(path)),
            Err(std::fs::TryLockError::Error(e)) => return Err(what(e)),
        }
        // The lock belongs to the inode, and whoever had it may have put another in its place or have removed it.
        let (held, named) = (file.metadata().map_err(what)?, std::fs::metadata(path));
        if named.is_ok_and(|named| (named.dev(), named.ino()) == (held.dev(), held.ino())) {
            return Ok(Some(file));
        }
    }
    Err(busy(path))
}

fn busy(path: &Path) -> Error {
    Error::new(
        Kind::Locked,
        format!("another diskferry is busy with this transfer (it holds {})", path.display()),
    )
    .hint("wait for it to end, or stop it")
}

/// A new file beside a journal, locked, to be renamed to its name once it is whole.
fn new_file(path: &Path) -> Result<(File, PathBuf)> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let temporary = PathBuf::from(name);
    let what = |e| Error::io(format!("writing the journal {}", path.display()), e);
    // One of this name was left by a process that had the same number and was killed.
    if let Err(e) = std::fs::remove_file(&temporary)
        && e.kind() != std::io::ErrorKind::NotFound
    {
        return Err(what(e));
    }
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .map_err(what)?;
    file.try_lock().map_err(|e| match e {
        std::fs::TryLockError::WouldBlock => busy(path),
        std::fs::TryLockError::Error(e) => what(e),
    })?;
    Ok((file, temporary))
}

fn unwritable(path: &Path, error: std::io::Error) -> Error {
    Error::io(format!("writing the journal {}", path.display()), error)
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
