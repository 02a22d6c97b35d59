//! Records on disk which chunks a destination has acknowledged, so that a transfer can resume after any
//! interruption.
//!
//! A journal is a line that names the format, followed by records: a length, a type, a payload and a checksum
//! over type and payload. It is created with its header in it, under a temporary name, and then renamed.
//! After that it is appended to. Reading stops at the first incomplete record and the rest is cut off, so a
//! damaged journal costs work but never data. Acknowledgements are taken back by replacing the journal with
//! one that lacks them, because a record at the end is what a damaged file loses first. Only an
//! [`AckedChunk`] can be recorded.
//!
//! A journal is a claim, to be checked before a later run builds on it (`engine/resume.rs`). It holds what
//! the check needs: the generation of the [destination](destinations), the evidence of both ends when the run
//! ended, the inode of a download's temporary file, and which of its chunks were synced.

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

/// The prefix of the first line of every journal, whatever its version.
const MAGIC_PREFIX: &[u8] = b"diskferry journal ";

/// The first line of a journal of this version.
const MAGIC: &[u8] = b"diskferry journal 2\n";

/// How often opening a journal is retried while another process replaces it.
const LOCK_TRIES: usize = 8;

/// An open journal, locked against other processes.
#[derive(Debug)]
pub struct Journal {
    file: Arc<File>,
    path: PathBuf,
    known: Known,
    dirty: Arc<AtomicBool>,
}

/// The contents of a journal besides the chunks.
#[derive(Debug)]
struct Known {
    header: Header,
    drive: Option<DriveRecord>,
    part: Option<PartRecord>,
    source: Option<Evidence>,
    generation: Option<String>,
}

impl Journal {
    /// Creates a journal and replaces an existing one.
    ///
    /// # Errors
    /// [`Kind::Locked`] if another process holds the existing journal.
    pub fn create(path: &Path, header: Header) -> Result<Self> {
        // Held until the new journal has replaced it.
        let _old = open_locked(path)?;
        let known = Known { header, drive: None, part: None, source: None, generation: None };
        let file = known.store(path, &[])?;
        Ok(Self { file: Arc::new(file), path: path.to_owned(), known, dirty: Arc::default() })
    }

    /// Opens and reads a journal. Returns `None` if there is none. An incomplete record at the end is cut
    /// off.
    ///
    /// # Errors
    /// [`Kind::Locked`] if another process holds it, [`Kind::Journal`] if it cannot be read (see [`peek`]).
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

    /// Returns the description of the transfer.
    pub fn header(&self) -> &Header {
        &self.known.header
    }

    /// Returns the drive, once known.
    pub fn drive(&self) -> Option<&DriveRecord> {
        self.known.drive.as_ref()
    }

    /// Returns the path of the journal.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Records the drive and syncs.
    pub fn set_drive(&mut self, drive: DriveRecord) -> Result<()> {
        self.append_safely(&Record::Drive(drive.clone()))?;
        self.known.drive = Some(drive);
        Ok(())
    }

    /// Records the temporary file of a download and syncs.
    pub fn set_part(&mut self, part: PartRecord) -> Result<()> {
        self.append_safely(&Record::Part(part))?;
        self.known.part = Some(part);
        Ok(())
    }

    /// Records the evidence of the source drive at the start of the transfer and syncs.
    pub fn set_source(&mut self, source: Evidence) -> Result<()> {
        self.append_safely(&Record::Source(source.clone()))?;
        self.known.source = Some(source);
        Ok(())
    }

    /// Records that a run begins to write with the destination at `generation`, and syncs.
    pub fn claim(&mut self, generation: String) -> Result<()> {
        self.append_safely(&Record::Claim(generation.clone()))?;
        self.known.generation = Some(generation);
        Ok(())
    }

    /// Records the evidence of the destination at the end of an incomplete run and syncs.
    pub fn settle(&self, evidence: Evidence) -> Result<()> {
        self.append_safely(&Record::Evidence(evidence))
    }

    /// Records an acknowledged chunk. The record survives a crash of the process at once, and one of the
    /// machine after the next sync.
    pub fn acknowledge(&self, chunk: &AckedChunk) -> Result<()> {
        self.append(&Record::Chunk(*chunk))
    }

    /// Replaces the journal with one that holds only `chunks` and syncs. All other acknowledgements are taken
    /// back. No [`Syncer`] of the old journal may be running.
    pub fn replace(&mut self, chunks: &[AckedChunk]) -> Result<()> {
        self.file = Arc::new(self.known.store(&self.path, chunks)?);
        self.dirty = Arc::default();
        Ok(())
    }

    /// Like [`Journal::replace`], for a transfer in which a comparison found a difference. From now on zeros
    /// are written, and the next run compares everything.
    pub fn distrust(&mut self, chunks: &[AckedChunk]) -> Result<()> {
        self.known.header.compare_all = true;
        self.write_zeros(chunks)
    }

    /// Like [`Journal::replace`], for a drive that does not read as zero where nothing was written.
    pub fn write_zeros(&mut self, chunks: &[AckedChunk]) -> Result<()> {
        if let Some(drive) = &mut self.known.drive {
            drive.skip_zeros = false;
        }
        self.replace(chunks)
    }

    /// Records that everything recorded so far is safe at the destination, and syncs.
    pub fn mark_safe(&self) -> Result<()> {
        let upto = self.file.metadata().map_err(|e| unwritable(&self.path, e))?.len();
        self.append_safely(&Record::Synced(upto))
    }

    /// Returns a handle that syncs what was appended.
    ///
    /// With `marks`, records count only once the data they describe is safe as well, as in a download.
    pub fn syncer(&self, marks: bool) -> Syncer {
        Syncer {
            journal: Arc::clone(&self.file),
            marks,
            dirty: Arc::clone(&self.dirty),
            path: self.path.clone(),
        }
    }

    /// Removes the journal of a finished or abandoned transfer.
    pub fn remove(self) -> Result<()> {
        std::fs::remove_file(&self.path)
            .map_err(|e| Error::io(format!("cannot remove the journal {}", self.path.display()), e))
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
    /// Writes the known state and `chunks` to a new file and renames it to the journal's path.
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
            // The old journal remains; remove the incomplete new one.
            let _ = std::fs::remove_file(&temporary);
            return Err(unwritable(path, error));
        }
        sync_directory(path);
        Ok(file)
    }
}

/// Syncs a journal from another thread.
#[derive(Clone, Debug)]
pub struct Syncer {
    journal: Arc<File>,
    marks: bool,
    dirty: Arc<AtomicBool>,
    path: PathBuf,
}

impl Syncer {
    /// Returns the length of the journal, or `None` if nothing was appended since the last call.
    ///
    /// The caller makes the data safe that the records up to there describe, then calls [`Syncer::sync`].
    pub fn begin(&self) -> Result<Option<u64>> {
        if !self.dirty.swap(false, Ordering::AcqRel) {
            return Ok(None);
        }
        let meta = self.journal.metadata();
        meta.map(|meta| Some(meta.len())).map_err(|e| self.failed(e))
    }

    /// Syncs the journal. Records before byte `upto` describe data that is safe, and with marks a mark says
    /// so. Records appended since [`Syncer::begin`] lie after `upto` and count with the next mark.
    pub fn sync(&self, upto: u64) -> Result<()> {
        if self.marks {
            let mark = Record::Synced(upto).to_bytes()?;
            (&*self.journal).write_all(&mark).map_err(|e| self.failed(e))?;
        }
        self.journal.sync_data().map_err(|e| self.failed(e))
    }

    fn failed(&self, error: std::io::Error) -> Error {
        Error::io(format!("cannot sync the journal {}", self.path.display()), error)
    }
}

/// Opens and locks a journal. Returns `None` if there is none.
fn open_locked(path: &Path) -> Result<Option<File>> {
    let what = |e| Error::io(format!("cannot open the journal {}", path.display()), e);
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
        // The lock belongs to the inode. Its previous holder may have replaced or removed the file.
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
        format!("another diskferry process is running this transfer (it holds {})", path.display()),
    )
    .hint("wait until it ends, or stop it")
}

/// Creates a locked file beside a journal, to be renamed once it is complete.
fn new_file(path: &Path) -> Result<(File, PathBuf)> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let temporary = PathBuf::from(name);
    let what = |e| Error::io(format!("cannot write the journal {}", path.display()), e);
    // A file of this name was left by a killed process with the same id.
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
    Error::io(format!("cannot write the journal {}", path.display()), error)
}

/// Syncs the directory of a new name. An error is ignored, because some file systems do not support it.
fn sync_directory(path: &Path) {
    if let Some(dir) = path.parent()
        && let Ok(dir) = File::open(dir)
    {
        let _ = dir.sync_all();
    }
}

#[cfg(test)]
mod tests;
