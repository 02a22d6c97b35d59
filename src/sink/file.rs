//! A file that bears its own name only once it is whole.

use crate::encode::zero::data_runs;
use crate::error::{Error, Kind, Result};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a hole is aligned to and the least it takes: the page and allocation unit of every common file system. Images
/// are made of holes this small; a coarser grain made a downloaded ext4 image a tenth larger than its source.
const GRAIN: usize = 4096;

/// `FILE.part`, on its way to becoming `FILE`.
#[derive(Clone, Debug)]
pub struct PartFile {
    file: Arc<File>,
    part: PathBuf,
    target: PathBuf,
    /// Whether the file is known to read as zero wherever nothing was written in this run.
    fresh: bool,
}

impl PartFile {
    /// Where the bytes of `target` are kept until it is whole.
    pub fn path_of(target: &Path) -> PathBuf {
        let mut name = target.as_os_str().to_owned();
        name.push(".part");
        PathBuf::from(name)
    }

    /// Starts anew, with `size` bytes of hole; what was in `FILE.part` is gone.
    pub fn create(target: &Path, size: u64) -> Result<Self> {
        Self::open(target, size, true)
    }

    /// Takes up what an earlier run has left; `None` if it is not there or not of that size.
    pub fn resume(target: &Path, size: u64) -> Result<Option<Self>> {
        match std::fs::metadata(Self::path_of(target)) {
            Ok(meta) if meta.is_file() && meta.len() == size => Self::open(target, size, false).map(Some),
            _ => Ok(None),
        }
    }

    fn open(target: &Path, size: u64, fresh: bool) -> Result<Self> {
        let part = Self::path_of(target);
        let what = || format!("writing {}", part.display());
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(fresh)
            .open(&part)
            .map_err(|e| Error::io(what(), e))?;
        // A file of a size that the file system cannot hold is refused here, before anything is fetched.
        file.set_len(size).map_err(|e| Error::io(what(), e))?;
        Ok(Self { file: Arc::new(file), part, target: target.to_owned(), fresh })
    }

    /// The file itself, for syncing from another thread.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Where the bytes are now.
    pub fn part(&self) -> &Path {
        &self.part
    }

    /// Gives the file its length, once that is known.
    pub fn set_len(&self, size: u64) -> Result<()> {
        self.file.set_len(size).map_err(|e| Error::io(format!("writing {}", self.part.display()), e))
    }

    /// Writes a chunk; its zeros become holes. Returns whether it was nothing but zeros.
    pub fn write(&self, offset: u64, bytes: &[u8]) -> Result<bool> {
        let failed = |e| Error::io(format!("writing {}", self.part.display()), e).offset(offset);
        if !self.fresh {
            self.clear(offset, bytes.len() as u64).map_err(failed)?;
        }
        let runs = data_runs(bytes, GRAIN);
        for run in &runs {
            self.file.write_all_at(&bytes[run.clone()], offset + run.start as u64).map_err(failed)?;
        }
        Ok(runs.is_empty())
    }

    /// Makes a range read as zero. An earlier run may have written something here that the journal does not know of.
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

    /// Syncs the file and gives it its name. Without `replace` a file that stands there by now is not touched.
    pub fn finish(self, replace: bool) -> Result<()> {
        let what = || format!("finishing {}", self.target.display());
        self.file.sync_all().map_err(|e| Error::io(what(), e))?;
        if replace {
            std::fs::rename(&self.part, &self.target).map_err(|e| Error::io(what(), e))?;
        } else {
            // A hard link refuses to replace, where a rename would.
            match std::fs::hard_link(&self.part, &self.target) {
                Ok(()) => std::fs::remove_file(&self.part).map_err(|e| Error::io(what(), e))?,
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                    return Err(in_the_way(&self.target));
                }
                // A file system without hard links.
                Err(_) => std::fs::rename(&self.part, &self.target).map_err(|e| Error::io(what(), e))?,
            }
        }
        let dir = self.target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // The name is safe once its directory is; a file system that cannot sync a directory needs no sync.
        if let Ok(dir) = File::open(dir) {
            let _ = dir.sync_all();
        }
        Ok(())
    }
}

/// The error for a file that stands where the download should go.
pub fn in_the_way(path: &Path) -> Error {
    Error::new(Kind::Exists, format!("{} is in the way", path.display()))
        .hint("--force replaces it once the download is whole")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn zeros_become_holes_and_the_name_comes_last() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("image");
        let part = PartFile::create(&target, 4 << 20).unwrap();
        assert!(part.write(0, &vec![0; 1 << 20]).unwrap());
        let mut bytes = vec![0; 1 << 20];
        bytes[500_000] = 1;
        assert!(!part.write(1 << 20, &bytes).unwrap());
        assert!(!target.exists());
        part.finish(false).unwrap();
        let meta = target.metadata().unwrap();
        assert_eq!(meta.len(), 4 << 20);
        assert!(meta.blocks() * 512 <= 64 << 10, "{} bytes on disk", meta.blocks() * 512);
        assert!(!PartFile::path_of(&target).exists());
        assert_eq!(std::fs::read(&target).unwrap()[(1 << 20) + 500_000], 1);
    }

    #[test]
    fn what_an_earlier_run_left_does_not_shine_through() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("image");
        PartFile::create(&target, 100_000).unwrap().write(0, &vec![7; 100_000]).unwrap();
        assert!(PartFile::resume(&target, 99).unwrap().is_none());
        let part = PartFile::resume(&target, 100_000).unwrap().unwrap();
        assert!(part.write(10_000, &vec![0; 50_000]).unwrap());
        part.finish(false).unwrap();
        let bytes = std::fs::read(&target).unwrap();
        assert!(bytes[..10_000].iter().all(|b| *b == 7) && bytes[60_000..].iter().all(|b| *b == 7));
        assert!(bytes[10_000..60_000].iter().all(|b| *b == 0));
    }

    #[test]
    fn a_file_that_came_meanwhile_is_not_replaced_unasked() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("image");
        let part = PartFile::create(&target, 10).unwrap();
        std::fs::write(&target, "mine").unwrap();
        assert_eq!(part.clone().finish(false).unwrap_err().kind(), Kind::Exists);
        assert_eq!(std::fs::read(&target).unwrap(), b"mine");
        part.finish(true).unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), [0; 10]);
    }
}
