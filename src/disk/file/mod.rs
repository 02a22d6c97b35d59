//! A file or block device, read at offsets into private buffers. Holes are not read.
//!
//! Bytes are copied before anything uses them, so the digest, the body on the wire and the journal agree even
//! if somebody writes to the file meanwhile. Positioned reads cost no more than a copy out of a mapping, and
//! a truncated file or a failing disk gives an error with an offset instead of a signal.

mod device;
mod extents;
mod in_use;
mod part;
mod part_copy;
mod part_disk;
mod qcow2;
mod ranges;

pub use part::{PartFile, in_the_way};
pub use part_disk::PartDisk;

use super::{Attempt, Buffer, DiskInfo, Extent, Identity, LocalRead, ReadAt};
use crate::error::{Error, Kind, Result};
use device::{Counters, Device};
use std::fs::{File, Metadata};
use std::io::{ErrorKind, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The size of a read call, small enough that the bytes are still in the processor's cache when they are
/// used.
const STEP: usize = 256 << 10;

/// An image in a file or on a block device. Clones share the open file.
#[derive(Clone, Debug)]
pub struct FileDisk {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    file: File,
    identity: Identity,
    info: DiskInfo,
    /// The device and its counters when it was opened, if it is a block device.
    device: Option<(Device, Counters)>,
}

impl FileDisk {
    /// Opens a file or block device. An empty file, a directory or a pipe is refused.
    ///
    /// Dirty pages of a block device are written back first, so that afterwards its counter changes only if
    /// somebody writes.
    pub fn open(path: &Path) -> Result<Self> {
        let what = |e: std::io::Error| {
            let hint = match e.kind() {
                std::io::ErrorKind::NotFound => Some("look at the spelling, and at the directory you are in"),
                std::io::ErrorKind::PermissionDenied => Some("run it as somebody who may read the image"),
                _ => None,
            };
            let mut error = Error::new(Kind::Source, format!("cannot read the image {}", path.display()));
            if let Some(hint) = hint {
                error = error.hint(hint);
            }
            error.source(e)
        };
        let file = File::open(path).map_err(what)?;
        let path = path.canonicalize().map_err(what)?;
        Self::of(file, path)
    }

    /// Wraps an open file; `path` is its absolute path.
    pub(in crate::disk) fn of(mut file: File, path: PathBuf) -> Result<Self> {
        let what =
            |e| Error::new(Kind::Source, format!("cannot read the image {}", path.display())).source(e);
        let meta = file.metadata().map_err(what)?;
        let is_device = meta.file_type().is_block_device();
        if meta.is_dir() {
            return Err(Error::new(Kind::Source, format!("the image {} is a directory", path.display()))
                .hint("name the image in it"));
        }
        if !meta.is_file() && !is_device {
            return Err(Error::new(
                Kind::Source,
                format!("the image {} is neither a file nor a block device", path.display()),
            )
            .hint("pipe it in, as in `diskferry upload - --size 10G`"));
        }
        // The metadata of a block device has no length; seek to its end.
        let size = file.seek(SeekFrom::End(0)).map_err(what)?;
        if size == 0 {
            return Err(Error::new(Kind::Source, format!("the image {} is empty", path.display()))
                .hint("look at what writes it; `diskferry drive create` makes a drive without contents"));
        }
        let device = if is_device {
            file.sync_data().map_err(what)?;
            let device = Device::of(meta.rdev());
            let counters = device.counters();
            Some((device, counters))
        } else {
            None
        };
        let identity = identity(&path, &meta, size);
        let info = DiskInfo {
            identity: Some(identity.clone()),
            stable: !is_device,
            ..DiskInfo::new(path.display().to_string(), size)
        };
        Ok(Self { inner: Arc::new(Inner { path, file, identity, info, device }) })
    }

    /// Returns the size in bytes.
    pub fn size(&self) -> u64 {
        self.inner.info.size
    }

    /// Returns the identity of the image.
    pub fn identity(&self) -> &Identity {
        &self.inner.identity
    }

    /// Returns the absolute path.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    fn is_device(&self) -> bool {
        self.inner.device.is_some()
    }

    /// Replaces the contents of `into` by `len` bytes at `offset`. The bytes are a private copy.
    ///
    /// # Errors
    /// Fails if the file was truncated; any other failure carries its offset.
    fn read_range(&self, offset: u64, len: u64, into: &mut Vec<u8>) -> Result<()> {
        let len = usize::try_from(len).map_err(|_| outside(offset))?;
        if offset.checked_add(len as u64).is_none_or(|end| end > self.inner.info.size) {
            return Err(outside(offset));
        }
        // A reused buffer already has its length; only the first use clears it.
        into.resize(len, 0);
        self.fill(offset, into)
    }

    /// Fills `into` with the bytes from `offset` on, with the same errors.
    pub(in crate::disk) fn fill(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        let inner = &*self.inner;
        let len = into.len();
        let end = offset.checked_add(len as u64).filter(|end| *end <= inner.info.size);
        let end = end.ok_or_else(|| outside(offset))?;
        let mut at = 0;
        while at < len {
            let place = offset + at as u64;
            match inner.file.read_at(&mut into[at..len.min(at + STEP)], place) {
                Ok(0) => {
                    let (was, now) =
                        (inner.info.size, inner.file.metadata().map_or(place, |meta| meta.len()));
                    let now = if self.is_device() { place } else { now };
                    return Err(changed(&inner.path, &format!("it was truncated from {was} to {now} bytes"))
                        .offset(place.min(end)));
                }
                Ok(got) => at += got,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => {
                    let what = format!("cannot read the image {}", inner.path.display());
                    return Err(Error::new(Kind::Source, what).source(e).offset(place));
                }
            }
        }
        Ok(())
    }

    /// Reads a few bytes at an offset.
    pub fn read_small(&self, offset: u64, len: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.read_range(offset, len, &mut bytes)?;
        Ok(bytes)
    }

    /// Returns the extents of `range` as reported by the file system.
    pub(in crate::disk) fn holes(&self, range: Range<u64>) -> Result<Vec<Extent>> {
        extents::cover(&self.inner.file, range)
    }

    /// Returns whether the file occupies less space than its length.
    pub(in crate::disk) fn is_sparse(&self) -> bool {
        self.inner.file.metadata().is_ok_and(|meta| meta.is_file() && meta.blocks() * 512 < meta.len())
    }

    /// Returns the device and inode of the file.
    pub(in crate::disk) fn inode(&self) -> Result<(u64, u64)> {
        let meta = self.inner.file.metadata().map_err(|e| Error::io("cannot read the file's inode", e))?;
        Ok((meta.dev(), meta.ino()))
    }

    /// Returns an error if the image changed since it was opened.
    fn check(&self) -> Result<()> {
        let inner = &*self.inner;
        let unreadable =
            |e| Error::new(Kind::Source, format!("cannot read the image {}", inner.path.display())).source(e);
        let meta = inner.file.metadata().map_err(unreadable)?;
        let size = match inner.device {
            Some(_) => (&inner.file).seek(SeekFrom::End(0)).map_err(unreadable)?,
            None => meta.len(),
        };
        if size < inner.info.size {
            return Err(changed(
                &inner.path,
                &format!("it was truncated from {} to {size} bytes", inner.info.size),
            ));
        }
        if let Some(how) = identity(&inner.path, &meta, size).difference(&inner.identity) {
            return Err(changed(&inner.path, &how));
        }
        match &inner.device {
            Some((device, was)) => match device.counters().difference(was) {
                Some(how) => Err(changed(&inner.path, how)),
                None => Ok(()),
            },
            None => Ok(()),
        }
    }

    /// The final check. Writes to a block device that are still in memory are flushed first, so that they are
    /// counted. May block on the disk.
    fn check_last(&self) -> Result<()> {
        if self.is_device() {
            let what = || format!("syncing {}", self.inner.path.display());
            self.inner.file.sync_data().map_err(|e| Error::new(Kind::Source, what()).source(e))?;
        }
        self.check()
    }
}

impl ReadAt for FileDisk {
    fn info(&self) -> &DiskInfo {
        &self.inner.info
    }

    fn read_at(&self, offset: u64, len: u64, into: Buffer) -> Attempt<Buffer> {
        let this = self.clone();
        fill_on_a_thread(into, move |bytes| this.read_range(offset, len, bytes))
    }

    fn extents(&self, window: Range<u64>) -> Attempt<Vec<Extent>> {
        let this = self.clone();
        on_a_thread(move || extents::cover(&this.inner.file, window))
    }

    fn changed(&self) -> Attempt<Option<Error>> {
        let this = self.clone();
        on_a_thread(move || Ok(this.check_last().err()))
    }

    fn local(&self) -> Option<&dyn LocalRead> {
        Some(self)
    }
}

impl LocalRead for FileDisk {
    fn read_into(&self, offset: u64, len: u64, into: &mut Vec<u8>) -> Result<()> {
        self.read_range(offset, len, into)
    }

    fn check_unchanged(&self) -> Result<()> {
        self.check()
    }

    fn unwatched(&self) -> Option<String> {
        let (_, counters) = self.inner.device.as_ref()?;
        (!counters.known()).then(|| {
            format!(
                "the system does not count writes to {}, so a write during the transfer would go unnoticed",
                self.inner.path.display()
            )
        })
    }

    fn users(&self) -> Option<String> {
        let (device, _) = self.inner.device.as_ref()?;
        in_use::users_of(device.number())
    }
}

/// Runs a blocking operation on another thread, which is not joined.
pub(crate) fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Attempt<T> {
    Box::pin(async {
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| {
            Err(Error::new(Kind::Io, "the thread that reads the file panicked; this is a bug in diskferry"))
        })
    })
}

/// Fills `into` by a blocking read on another thread.
pub(in crate::disk) fn fill_on_a_thread(
    mut into: Buffer,
    read: impl FnOnce(&mut Vec<u8>) -> Result<()> + Send + 'static,
) -> Attempt<Buffer> {
    on_a_thread(move || {
        let mut bytes = Vec::new();
        read(&mut bytes)?;
        into.extend_from_slice(&bytes);
        Ok(into)
    })
}

fn outside(offset: u64) -> Error {
    Error::new(Kind::Source, "the requested range is outside the image").offset(offset)
}

/// Returns the error for an image that changed.
fn changed(path: &Path, how: &str) -> Error {
    Error::new(Kind::Source, format!("the image {} changed during the transfer: {how}", path.display()))
        .hint("stop whatever writes to it (or use a snapshot), then start over with `--restart`")
}

fn identity(path: &Path, meta: &Metadata, size: u64) -> Identity {
    let path = path.to_owned();
    if meta.file_type().is_block_device() {
        return Identity::Device { path, size };
    }
    let nanoseconds = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
    Identity::File {
        path,
        size,
        mtime_ns: nanoseconds(meta.mtime(), meta.mtime_nsec()),
        ctime_ns: nanoseconds(meta.ctime(), meta.ctime_nsec()),
        inode: meta.ino(),
        device: meta.dev(),
    }
}

#[cfg(test)]
mod tests;
