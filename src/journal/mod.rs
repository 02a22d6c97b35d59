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
mod record;

pub use directory::Directory;

use crate::chunk::AckedChunk;
use crate::error::{Error, Kind, Result};
use crate::source::Identity;
use crate::transfer::ledger::Ledger;
use record::Record;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The first line of every journal.
const MAGIC: &[u8] = b"diskferry journal 1\n";

/// What a transfer is; written once, first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// `upload` or `download`.
    pub action: String,
    /// A UUID of this transfer's own; a drive that it creates carries it as `user:diskferry`.
    pub transfer: String,
    /// The remote's name.
    pub remote: String,
    /// The remote's address and user: another account under the same name is another remote.
    pub account: String,
    /// The drive that the command named, if it did.
    pub drive: Option<String>,
    /// The image of an upload.
    pub image: Option<Identity>,
    /// The file of a download, absolute.
    pub file: Option<PathBuf>,
    /// Image bytes.
    pub size: u64,
    /// Bytes.
    pub chunk_size: u64,
    /// The algorithm of the chunk digests.
    pub digest: String,
    /// The name, size and keys of a drive to be created.
    pub new_drive: Option<NewDrive>,
    /// The working directory and the arguments of the command, to be shown.
    pub command: String,
}

/// A drive to be created, as the command asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewDrive {
    /// Its name.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// More keys, in order.
    pub keys: Vec<(String, String)>,
}

impl Header {
    /// Why a transfer that was begun under `self` cannot go on under `now`; `None` if it can.
    pub fn difference(&self, now: &Header) -> Option<String> {
        if let (Some(was), Some(is)) = (&self.image, &now.image)
            && let Some(how) = is.difference(was)
        {
            return Some(format!("the image is not what it was: {how}"));
        }
        let differs = |what: &str, was: &str, is: &str| {
            (was != is).then(|| format!("the {what} was {was} and is {is}"))
        };
        differs("remote", &self.account, &now.account)
            .or_else(|| differs("drive's size", &self.size.to_string(), &now.size.to_string()))
            .or_else(|| differs("chunk size", &self.chunk_size.to_string(), &now.chunk_size.to_string()))
            .or_else(|| differs("digest", &self.digest, &now.digest))
            .or_else(|| {
                (self.new_drive != now.new_drive)
                    .then(|| "the drive to create had another name, size or keys".to_owned())
            })
    }
}

/// The drive that a transfer writes to or reads from, as soon as it is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriveRecord {
    /// Its UUID.
    pub drive: String,
    /// Whether this transfer made it.
    pub created: bool,
    /// Whether chunks of zeros are skipped.
    pub skip_zeros: bool,
}

/// An open journal, locked against other processes.
#[derive(Debug)]
pub struct Journal {
    file: Arc<File>,
    path: PathBuf,
    header: Header,
    drive: Option<DriveRecord>,
    dirty: Arc<AtomicBool>,
}

/// What a journal said when it was opened.
#[derive(Debug)]
pub struct Replay {
    /// What the transfer is.
    pub header: Header,
    /// Its drive, if that was known.
    pub drive: Option<DriveRecord>,
    /// The chunks that count as acknowledged.
    pub acked: Vec<AckedChunk>,
    /// Bytes at the end that were not whole and do not count.
    pub torn_bytes: u64,
    /// Chunks that do not count because the machine went down before they were safe.
    pub unsafe_chunks: Vec<u64>,
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

/// Reads a journal without opening it for writing: for lists.
///
/// A journal whose very beginning is torn has nothing to tell, and is as good as none.
pub fn peek(path: &Path) -> Result<Option<Replay>> {
    let mut file = File::open(path).map_err(|e| {
        Error::new(Kind::Journal, format!("reading the journal {}", path.display())).source(e)
    })?;
    read(&mut file, path)
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

/// Reads all whole records and leaves the position at the end of the last.
fn read(file: &mut File, path: &Path) -> Result<Option<Replay>> {
    let damaged = |why: &str| {
        Error::new(Kind::Journal, format!("the journal {} is damaged: {why}", path.display()))
            .hint("start over with --restart; nothing at the far end is lost by that")
    };
    let mut bytes = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut bytes)).map_err(|e| {
        Error::new(Kind::Journal, format!("reading the journal {}", path.display())).source(e)
    })?;
    if MAGIC.starts_with(&bytes) {
        return Ok(None);
    }
    let Some(mut rest) = bytes.strip_prefix(MAGIC) else {
        return Err(damaged("it does not begin as one"));
    };
    if Record::is_torn(rest) {
        return Ok(None);
    }
    let mut at = MAGIC.len() as u64;
    let mut header = None;
    let mut drive = None;
    let mut boots = Vec::new();
    let mut synced = 0;
    let mut chunks = Vec::new();
    while let Some((record, len)) = Record::from_bytes(rest) {
        match record {
            Record::Header(h) if header.is_none() => header = Some(*h),
            Record::Header(_) => return Err(damaged("it has two headers")),
            Record::Drive(d) => drive = Some(d),
            Record::Boot(id) => boots.push((at, id)),
            Record::Synced(upto) => synced = synced.max(upto),
            Record::Chunk(chunk) => chunks.push((at, Ok(chunk))),
            Record::Revoked(index) => chunks.push((at, Err(index))),
        }
        rest = &rest[len..];
        at += len as u64;
    }
    file.seek(SeekFrom::Start(at)).map_err(|e| {
        Error::new(Kind::Journal, format!("reading the journal {}", path.display())).source(e)
    })?;
    let header = header.ok_or_else(|| damaged("it has no header"))?;

    // Of a download only what was synced counts, unless the machine has been up ever since it was written.
    let now = boot_id();
    let up_since = boots
        .iter()
        .rev()
        .take_while(|(_, id)| !id.is_empty() && *id == now)
        .last()
        .map_or(u64::MAX, |(at, _)| *at);
    let counts = |at: u64| header.action != "download" || at < synced || at >= up_since;
    let mut acked: Vec<AckedChunk> = Vec::new();
    let mut unsafe_chunks = std::collections::BTreeSet::new();
    let mut places = std::collections::HashMap::new();
    for (at, what) in chunks {
        match what {
            Ok(chunk) if !counts(at) => drop(unsafe_chunks.insert(chunk.index)),
            Ok(chunk) => {
                unsafe_chunks.remove(&chunk.index);
                places.insert(chunk.index, acked.len());
                acked.push(chunk);
            }
            Err(index) => {
                unsafe_chunks.remove(&index);
                if let Some(place) = places.remove(&index) {
                    acked[place].len = 0;
                }
            }
        }
    }
    acked.retain(|chunk| chunk.len > 0);
    let unsafe_chunks = unsafe_chunks.into_iter().collect();
    Ok(Some(Replay { header, drive, acked, torn_bytes: rest.len() as u64, unsafe_chunks }))
}

impl Replay {
    /// Notes the acknowledged chunks in a ledger; records that do not fit its geometry are left out.
    pub fn fill(&self, ledger: &mut Ledger) {
        let geometry = ledger.geometry();
        for chunk in &self.acked {
            if chunk.index < geometry.chunks() && chunk.len == geometry.len(chunk.index) {
                ledger.settle(chunk);
            }
        }
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
