//! A [`PartFile`] that begins as a copy of a file. Blocks are shared if the file system supports it;
//! otherwise data is copied and holes are left out.

use super::part::PartFile;
use super::{extents, ranges};
use crate::error::{Error, Kind, Result};
use crate::stop::{Stop, stopped};
use rustix::fs::{copy_file_range, ioctl_ficlone};
use std::fs::{File, Permissions};
use std::ops::Range;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

/// How much is copied between checks for a stop, in bytes.
const PIECE: u64 = 16 << 20;

/// The size of a copy step in bytes, if the kernel does not copy.
const BUFFER: usize = 1 << 20;

/// An incomplete file is always writable for its owner, whatever the mode of the original.
const OWNER: u32 = 0o600;

/// The bits of a mode that are copied.
const MODE: u32 = 0o7777;

impl PartFile {
    /// Makes the file a copy of `original` with `size` bytes and the same mode. A longer original is cut off,
    /// a shorter one is extended by zeros. Previous contents are lost.
    ///
    /// # Errors
    /// [`Kind::Exists`] if the original is not a file.
    pub fn copy_from(&self, original: &Path, size: u64, stop: &Stop) -> Result<()> {
        let failed =
            |e| Error::io(format!("cannot copy {} to {}", original.display(), self.path().display()), e);
        let from = File::open(original).map_err(failed)?;
        let meta = from.metadata().map_err(failed)?;
        if !meta.is_file() {
            return Err(Error::new(Kind::Exists, format!("{} is not a file", original.display())));
        }
        // Set the mode before the file has contents that not everybody may read.
        self.set_mode(meta.permissions().mode() | OWNER).map_err(failed)?;
        self.set_len(0)?;
        if let Some(written) = &self.written {
            ranges::lock(written).add(0..size);
        }
        if ioctl_ficlone(&*self.file, &from).is_err() {
            // Another file system, or one without shared blocks.
            self.set_len(size)?;
            let len = meta.len().min(size);
            for extent in extents::cover(&from, 0..len)? {
                if !extent.zero {
                    self.copy_range(&from, extent.range, stop)
                        .map_err(|e| e.context(failed_to_copy(original)))?;
                }
            }
        }
        self.set_len(size)?;
        self.sync()
    }

    /// Sets the mode to that of the file to be replaced.
    pub fn keep_mode_of(&self, original: &Path) -> Result<()> {
        let failed = |e| Error::io(format!("cannot copy the mode of {}", original.display()), e);
        match std::fs::metadata(original) {
            Ok(meta) => self.set_mode(meta.permissions().mode()).map_err(failed),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(failed(e)),
        }
    }

    fn set_mode(&self, mode: u32) -> std::io::Result<()> {
        self.file.set_permissions(Permissions::from_mode(mode & MODE))
    }

    fn copy_range(&self, from: &File, range: Range<u64>, stop: &Stop) -> Result<()> {
        let mut at = range.start;
        let mut buffer = Vec::new();
        while at < range.end {
            if stop.is_asked() {
                return Err(stopped());
            }
            let wanted = PIECE.min(range.end - at);
            let copied = self
                .copy_piece(from, at, wanted, &mut buffer)
                .map_err(|e| Error::io("copying", e).offset(at))?;
            if copied == 0 {
                // The original was truncated meanwhile; the missing part reads as zero and is found to
                // differ.
                return Ok(());
            }
            at += copied;
        }
        Ok(())
    }

    /// Copies some bytes, in the kernel if possible. Returns 0 at the end of `from`.
    fn copy_piece(&self, from: &File, at: u64, wanted: u64, buffer: &mut Vec<u8>) -> std::io::Result<u64> {
        let (mut source, mut target) = (at, at);
        let len = usize::try_from(wanted).unwrap_or(BUFFER);
        if buffer.is_empty()
            && let Ok(copied) = copy_file_range(from, Some(&mut source), &*self.file, Some(&mut target), len)
            && copied > 0
        {
            return Ok(copied as u64);
        }
        buffer.resize(BUFFER, 0);
        let read = from.read_at(&mut buffer[..len.min(BUFFER)], at)?;
        self.file.write_all_at(&buffer[..read], at)?;
        Ok(read as u64)
    }
}

fn failed_to_copy(original: &Path) -> String {
    format!("cannot begin with a copy of {}", original.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::ReadAt;
    use crate::disk::file::PartDisk;
    use std::os::unix::fs::MetadataExt;

    const MIB: u64 = 1 << 20;

    /// An original of 4 MiB: data, a hole of 2 MiB, data.
    fn original(dir: &Path, mode: u32) -> std::path::PathBuf {
        let path = dir.join("image");
        let file = File::create(&path).unwrap();
        file.set_len(4 * MIB).unwrap();
        file.write_all_at(&vec![1; 1 << 20], 0).unwrap();
        file.write_all_at(&vec![2; 1 << 20], 3 * MIB).unwrap();
        file.set_permissions(Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn a_copy_has_the_bytes_the_holes_and_the_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = original(dir.path(), 0o440);
        let bytes = std::fs::read(&path).unwrap();
        for size in [4 * MIB, 3 * MIB + 100, 6 * MIB] {
            let part = PartFile::create(&path, |_| None).unwrap();
            // Previous contents are gone.
            part.set_len(8 * MIB).unwrap();
            part.write(MIB, &vec![9; 1 << 20]).unwrap();
            part.copy_from(&path, size, &Stop::never()).unwrap();
            let there = PartFile::path_of(&path);
            assert_eq!(there.metadata().unwrap().mode() & 0o777, 0o640, "its owner may write to it");
            let copy = std::fs::read(&there).unwrap();
            let common = usize::try_from(size.min(4 * MIB)).unwrap();
            assert_eq!(copy.len() as u64, size);
            assert!(copy[..common] == bytes[..common] && copy[common..].iter().all(|byte| *byte == 0));
            assert!(there.metadata().unwrap().blocks() * 512 <= 2 * MIB + (64 << 10));
            // Zeroed ranges do not show the original.
            part.zero(0..MIB).unwrap();
            assert!(std::fs::read(&there).unwrap()[..1 << 20].iter().all(|byte| *byte == 0));
            assert!(std::fs::read(&path).unwrap() == bytes, "the original stays as it is");
            std::fs::remove_file(there).unwrap();
        }
        let part = PartFile::create(&path, |_| None).unwrap();
        part.copy_from(&path, 4 * MIB, &Stop::never()).unwrap();
        part.keep_mode_of(&path).unwrap();
        part.finish(true).unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o440);
        assert!(std::fs::read(&path).unwrap() == bytes);
    }

    /// If the kernel refuses to copy, as between some file systems, bytes are read and written.
    #[test]
    fn what_the_kernel_does_not_copy_is_copied_here() {
        let dir = tempfile::tempdir().unwrap();
        let path = original(dir.path(), 0o644);
        let part = PartFile::create(&path, |_| None).unwrap();
        part.set_len(4 * MIB).unwrap();
        let from = File::open(&path).unwrap();
        let (mut at, mut buffer) = (0, vec![0]);
        loop {
            match part.copy_piece(&from, at, 3 * MIB, &mut buffer).unwrap() {
                0 => break,
                copied => at += copied,
            }
        }
        assert_eq!(at, 4 * MIB);
        assert!(std::fs::read(PartFile::path_of(&path)).unwrap() == std::fs::read(&path).unwrap());
    }

    #[tokio::test]
    async fn a_copy_ends_when_the_stop_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = original(dir.path(), 0o644);
        let (stopper, stop) = crate::stop::pair();
        let part = PartFile::create(&path, |_| None).unwrap();
        part.set_len(4 * MIB).unwrap();
        let disk = PartDisk::new(part, 4 * MIB);
        disk.copy_from(&path, &stop).await.unwrap();
        let told = disk.extents(0..4 * MIB).await.unwrap();
        assert!(told.iter().any(|extent| extent.zero), "{told:?}");
        stopper.stop();
        let from = File::open(&path).unwrap();
        let ended = disk.part().copy_range(&from, 0..MIB, &stop).unwrap_err();
        assert_eq!(ended.kind(), Kind::Interrupted, "{ended}");
    }
}
