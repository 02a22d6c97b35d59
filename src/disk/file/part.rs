//! A file that gets its final name only when it is complete.
//!
//! `FILE.part` is created exclusively, locked, and identified by its inode. An existing file with another
//! inode belongs to somebody else: it is neither continued nor removed. Only an empty one is taken over,
//! since it contains nothing; a run that was killed before it recorded the inode leaves such a file.

use super::extents;
use super::ranges::{self, WrittenRanges};
use crate::disk::zero::data_runs;
use crate::disk::{Evidence, Extent, PartRecord};
use crate::error::{Error, Kind, Result};
use rustix::fs::{AtFlags, CWD, OFlags, RenameFlags, renameat_with};
use std::fs::{File, Metadata, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// The alignment and smallest size of a hole: the page and allocation unit of every common file system.
/// Images have holes this small; a coarser grain made a downloaded ext4 image a tenth larger than its source.
const GRAIN: usize = 4096;

/// `FILE.part`, which becomes `FILE`.
#[derive(Clone, Debug)]
pub struct PartFile {
    pub(super) file: Arc<File>,
    part: PathBuf,
    target: PathBuf,
    /// The ranges written in this run if the file reads as zero everywhere else; otherwise `None`.
    pub(super) written: Option<Arc<Mutex<WrittenRanges>>>,
    /// Whether it already has its final name, because an earlier run ended right after the rename.
    named: bool,
}

impl PartFile {
    /// Returns the path of the temporary file for `target`.
    pub fn path_of(target: &Path) -> PathBuf {
        let mut name = target.as_os_str().to_owned();
        name.push(".part");
        PathBuf::from(name)
    }

    /// Creates an empty `FILE.part`. `owner` returns the owner of an existing one, for the error.
    ///
    /// # Errors
    /// [`Kind::Exists`] if one exists that is not empty, or that another program has locked.
    pub fn create(target: &Path, owner: impl Fn(PartRecord) -> Option<String>) -> Result<Self> {
        let part = Self::path_of(target);
        let failed = |e| Error::io(format!("making {}", part.display()), e);
        let made = OpenOptions::new().read(true).write(true).create_new(true).open(&part);
        let file = match made {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                open(&part).map_err(failed)?.ok_or_else(|| stray(&part, None))?
            }
            Err(e) => return Err(failed(e)),
        };
        lock(&file, &part)?;
        let meta = file.metadata().map_err(failed)?;
        if meta.len() > 0 || meta.nlink() != 1 {
            return Err(stray(&part, owner(record_of(&meta))));
        }
        Ok(Self {
            file: Arc::new(file),
            part,
            target: target.to_owned(),
            written: Some(Arc::default()),
            named: false,
        })
    }

    /// Opens the file of an earlier run under its temporary or final name. Returns `None` if no file with
    /// that inode is there.
    ///
    /// # Errors
    /// [`Kind::Exists`] if another program has locked it.
    pub fn resume(target: &Path, known: PartRecord) -> Result<Option<Self>> {
        let part = Self::path_of(target);
        for (path, named) in [(part.as_path(), false), (target, true)] {
            let failed = |e| Error::io(format!("opening {}", path.display()), e);
            let Some(file) = open(path).map_err(failed)? else { continue };
            if record_of(&file.metadata().map_err(failed)?) != known {
                continue;
            }
            lock(&file, path)?;
            let file = Arc::new(file);
            let target = target.to_owned();
            return Ok(Some(Self { file, part: Self::path_of(&target), target, written: None, named }));
        }
        Ok(None)
    }

    /// Returns whether the file of an earlier run already has its final name.
    pub fn is_at(target: &Path, known: PartRecord) -> bool {
        std::fs::symlink_metadata(target).is_ok_and(|meta| record_of(&meta) == known)
    }

    /// Removes the `FILE.part` of an earlier run, if it still has that name.
    pub fn discard(target: &Path, known: PartRecord) -> Result<()> {
        match Self::resume(target, known)? {
            Some(old) if !old.named => std::fs::remove_file(&old.part)
                .map_err(|e| Error::io(format!("removing {}", old.part.display()), e)),
            _ => Ok(()),
        }
    }

    /// Returns the inode that identifies the file.
    pub fn record(&self) -> Result<PartRecord> {
        Ok(record_of(&self.metadata()?))
    }

    /// Returns the modification time. As long as it is the same, nobody wrote to the file.
    pub fn evidence(&self) -> Result<Evidence> {
        let meta = self.metadata()?;
        let modified = meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec());
        Ok(Evidence { modified: Some(modified), ..Evidence::default() })
    }

    /// Returns the length of the file in bytes.
    pub fn size(&self) -> Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn metadata(&self) -> Result<Metadata> {
        self.file
            .metadata()
            .map_err(|e| Error::io(format!("cannot read the metadata of {}", self.path().display()), e))
    }

    /// Reads bytes back, replacing the contents of `into`.
    pub fn read_into(&self, offset: u64, len: u64, into: &mut Vec<u8>) -> Result<()> {
        let failed = |e| Error::io(format!("reading {}", self.path().display()), e).offset(offset);
        into.resize(usize::try_from(len).unwrap_or(usize::MAX), 0);
        self.file.read_exact_at(into, offset).map_err(failed)
    }

    /// Returns the extents of data and holes as reported by the file system.
    pub(super) fn extents(&self, window: Range<u64>) -> Result<Vec<Extent>> {
        extents::cover(&self.file, window)
    }

    /// Reads bytes back into all of `into`. Beyond the end of the file they are zeros.
    pub(super) fn read_over(&self, mut offset: u64, mut into: &mut [u8]) -> Result<()> {
        let failed = |e, at| Error::io(format!("reading {}", self.path().display()), e).offset(at);
        while !into.is_empty() {
            match self.file.read_at(into, offset) {
                Ok(0) => {
                    into.fill(0);
                    break;
                }
                Ok(read) => {
                    into = &mut into[read..];
                    offset += read as u64;
                }
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(failed(e, offset)),
            }
        }
        Ok(())
    }

    /// Writes bytes that are not part of the image.
    pub(super) fn put(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let failed = |e| Error::io(format!("writing {}", self.part.display()), e).offset(offset);
        self.file.write_all_at(bytes, offset).map_err(failed)
    }

    /// Makes a range read as zero, whoever wrote to it.
    pub(super) fn punch(&self, range: Range<u64>) -> Result<()> {
        let failed = |e| Error::io(format!("writing {}", self.part.display()), e).offset(range.start);
        self.clear(range.start, range.end - range.start).map_err(failed)
    }

    /// Makes all writes safe.
    pub(super) fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|e| Error::io("cannot sync the file", e))
    }

    /// Returns the current path.
    pub fn path(&self) -> &Path {
        if self.named { &self.target } else { &self.part }
    }

    /// Returns whether the file already has its final name.
    pub fn is_named(&self) -> bool {
        self.named
    }

    /// Sets the length of the file. Fails if the file system cannot hold it, before anything is fetched.
    pub fn set_len(&self, size: u64) -> Result<()> {
        self.file.set_len(size).map_err(|e| Error::io(format!("writing {}", self.part.display()), e))
    }

    /// Writes a chunk and leaves holes for its zeros. Returns whether it was all zeros.
    pub fn write(&self, offset: u64, bytes: &[u8]) -> Result<bool> {
        let failed = |e| Error::io(format!("writing {}", self.part.display()), e).offset(offset);
        let range = offset..offset + bytes.len() as u64;
        self.zero(range.clone())?;
        let runs = data_runs(bytes, GRAIN);
        if let (Some(written), false) = (&self.written, runs.is_empty()) {
            ranges::lock(written).add(range);
        }
        for run in &runs {
            self.file.write_all_at(&bytes[run.clone()], offset + run.start as u64).map_err(failed)?;
        }
        Ok(runs.is_empty())
    }

    /// Makes a range read as zero.
    pub fn zero(&self, range: Range<u64>) -> Result<()> {
        let failed = |e| Error::io(format!("writing {}", self.part.display()), e).offset(range.start);
        if self.written.as_ref().is_some_and(|written| !ranges::lock(written).touches(&range)) {
            return Ok(());
        }
        self.clear(range.start, range.end - range.start).map_err(failed)
    }

    /// Makes a range read as zero. An earlier run may have written here without a record in the journal.
    fn clear(&self, offset: u64, len: u64) -> std::io::Result<()> {
        use rustix::fs::{FallocateFlags, fallocate};
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match fallocate(&self.file, flags, offset, len) {
            Ok(()) => Ok(()),
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
                let zeros = vec![0; 64 << 10];
                let mut at = offset;
                while at < offset + len {
                    let step = (offset + len - at).min(zeros.len() as u64);
                    self.file.write_all_at(&zeros[..usize::try_from(step).unwrap_or(0)], at)?;
                    at += step;
                }
                Ok(())
            }
            Err(e) => Err(e.into()),
        }
    }

    /// Syncs the file and renames it. Without `replace` an existing file is not overwritten.
    pub fn finish(self, replace: bool) -> Result<()> {
        let failed = |e| Error::io(format!("finishing {}", self.target.display()), e);
        self.file.sync_all().map_err(failed)?;
        if !self.named {
            self.check_name()?;
            if replace {
                std::fs::rename(&self.part, &self.target).map_err(failed)?;
            } else {
                self.rename_to_free_name()?;
            }
        }
        let dir = self.target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // The name is safe once its directory is synced; a file system that cannot sync a directory does not
        // need it.
        if let Ok(dir) = File::open(dir) {
            let _ = dir.sync_all();
        }
        Ok(())
    }

    /// Returns an error if `FILE.part` is no longer the file that was written.
    fn check_name(&self) -> Result<()> {
        let named = std::fs::symlink_metadata(&self.part).map(|meta| record_of(&meta));
        if named.ok() == Some(self.record()?) {
            return Ok(());
        }
        Err(Error::new(
            Kind::Io,
            format!("{} was moved or replaced during the transfer", self.part.display()),
        )
        .hint("run the same command again"))
    }

    fn rename_to_free_name(&self) -> Result<()> {
        let failed = |e: std::io::Error| match e.kind() {
            std::io::ErrorKind::AlreadyExists => in_the_way(&self.target),
            _ => Error::io(format!("finishing {}", self.target.display()), e),
        };
        match renameat_with(CWD, &self.part, CWD, &self.target, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(()),
            // The file system lacks that call. A link refuses to replace as well, but leaves two names if the
            // process is killed in between; the journal has the inode, so the next run finds the final name.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                rustix::fs::linkat(CWD, &self.part, CWD, &self.target, AtFlags::empty())
                    .map_err(|e| failed(e.into()))?;
                std::fs::remove_file(&self.part).map_err(failed)
            }
            Err(e) => Err(failed(e.into())),
        }
    }
}

/// Opens a file for reading and writing. Returns `None` if there is none of that name, or it is not a regular
/// file.
fn open(path: &Path) -> std::io::Result<Option<File>> {
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or(0);
    match OpenOptions::new().read(true).write(true).custom_flags(flags).open(path) {
        Ok(file) => Ok(file.metadata()?.is_file().then_some(file)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

fn record_of(meta: &Metadata) -> PartRecord {
    let born = meta.created().ok().and_then(|born| born.duration_since(std::time::UNIX_EPOCH).ok());
    let born = born.and_then(|born| i64::try_from(born.as_nanos()).ok());
    PartRecord { device: meta.dev(), inode: meta.ino(), born }
}

fn lock(file: &File, path: &Path) -> Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(Error::new(Kind::Exists, format!("another program is writing to {}", path.display()))
                .hint("wait until it ends, or stop it"))
        }
        Err(std::fs::TryLockError::Error(e)) => Err(Error::io(format!("locking {}", path.display()), e)),
    }
}

/// Returns the error for a `FILE.part` of somebody else; `owner` is the transfer that created it.
fn stray(part: &Path, owner: Option<String>) -> Error {
    let error = Error::new(Kind::Exists, format!("{} is in the way", part.display()));
    error.hint(match owner {
        Some(id) => format!(
            "it belongs to another transfer: finish that one (see `diskferry transfers show {id}`), or discard it with \
             `diskferry transfers discard --part {id}`"
        ),
        None => "it belongs to no known transfer; move or remove it".to_owned(),
    })
}

/// Returns the error for an existing file at the destination of a download.
pub fn in_the_way(path: &Path) -> Error {
    Error::new(Kind::Exists, format!("{} is in the way", path.display()))
        .hint("to replace it when the download is complete, add `--force`")
}

#[cfg(test)]
#[path = "part_tests.rs"]
mod tests;
