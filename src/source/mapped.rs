//! A file or block device as a source: mapped, holes never touched.

use super::map::Map;
use super::{Identity, changed, extents};
use crate::chunk::{Chunk, ChunkData, Geometry};
use crate::error::{Error, Kind, Result};
use crossbeam_channel::Sender;
use std::fs::{File, Metadata};
use std::io::{Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A mapped image. Clones share the mapping.
#[derive(Clone, Debug)]
pub struct MappedSource {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    file: File,
    map: Arc<Map>,
    identity: Identity,
    size: u64,
}

impl MappedSource {
    /// Opens and maps a file or block device. An empty one, a directory or a pipe is refused.
    pub fn open(path: &Path) -> Result<Self> {
        let what =
            |e| Error::new(Kind::Source, format!("the image {} cannot be read", path.display())).source(e);
        let mut file = File::open(path).map_err(what)?;
        let meta = file.metadata().map_err(what)?;
        if !meta.is_file() && !meta.file_type().is_block_device() {
            return Err(Error::new(
                Kind::Source,
                format!("the image {} is neither a file nor a block device", path.display()),
            )
            .hint("pipe it in: diskferry upload - --size BYTES"));
        }
        // A block device has no length of its own; its end is where a seek takes us.
        let size = file.seek(SeekFrom::End(0)).map_err(what)?;
        if size == 0 {
            return Err(Error::new(Kind::Source, format!("the image {} is empty", path.display())));
        }
        let path = path.canonicalize().map_err(what)?;
        let map = Map::new(&file, size).map_err(|e| e.context(path.display()))?;
        let identity = identity(&path, &meta, size);
        Ok(Self { inner: Arc::new(Inner { path, file, map, identity, size }) })
    }

    /// The size in bytes.
    pub fn size(&self) -> u64 {
        self.inner.size
    }

    /// What tells this image from another.
    pub fn identity(&self) -> &Identity {
        &self.inner.identity
    }

    /// The absolute path.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// The ranges that hold data, in order.
    pub fn extents(&self) -> extents::Extents<'_> {
        extents::extents(&self.inner.file, self.inner.size)
    }

    /// The runs of chunks that lie wholly in holes, in order.
    pub fn holes(&self, geometry: Geometry) -> Result<Vec<Range<u64>>> {
        let mut runs = Vec::new();
        let mut next = 0;
        for extent in self.extents() {
            let touched = geometry.touching(extent?);
            if touched.start > next {
                runs.push(next..touched.start);
            }
            next = next.max(touched.end);
        }
        if next < geometry.chunks() {
            runs.push(next..geometry.chunks());
        }
        Ok(runs)
    }

    /// The bytes of a chunk; pages are given back when the range is dropped.
    pub fn range(&self, offset: u64, len: u64) -> Result<super::map::MappedRange> {
        let outside = || Error::new(Kind::Source, "a range outside the image was asked for").offset(offset);
        let start = usize::try_from(offset).map_err(|_| outside())?;
        let len = usize::try_from(len).map_err(|_| outside())?;
        let end = start.checked_add(len).filter(|end| *end <= self.inner.map.len()).ok_or_else(outside)?;
        Ok(self.inner.map.range(start..end))
    }

    /// Reads a few bytes at a place.
    pub fn read_small(&self, offset: u64, len: u64) -> Result<Vec<u8>> {
        let range = self.range(offset, len)?;
        let bytes = range.as_ref().to_vec();
        range.check()?;
        Ok(bytes)
    }

    /// Whether it is a regular file.
    pub fn is_regular(&self) -> bool {
        self.inner.file.metadata().is_ok_and(|meta| meta.is_file())
    }

    /// Fails if the file is no longer what it was when it was opened.
    pub fn check(&self) -> Result<()> {
        let inner = &*self.inner;
        let meta = inner.file.metadata().map_err(|e| {
            Error::new(Kind::Source, format!("the image {} cannot be read", inner.path.display())).source(e)
        })?;
        // A block device keeps its size while it is open.
        let size = if meta.file_type().is_block_device() { inner.size } else { meta.len() };
        if size < inner.size {
            return Err(changed(&inner.path, &format!("it was cut from {} to {size} bytes", inner.size)));
        }
        if let Some(how) = identity(&inner.path, &meta, size).difference(&inner.identity) {
            return Err(changed(&inner.path, &how));
        }
        inner.map.check().map_err(|e| e.context(inner.path.display()))
    }

    /// Sends the chunks for which `wanted` holds, in order. Returns when all are sent, when the receiver is gone, or with an
    /// error of the file.
    pub fn feed(
        &self,
        geometry: Geometry,
        wanted: &dyn Fn(u64) -> bool,
        out: &Sender<Result<Chunk>>,
    ) -> Result<()> {
        let mut next = 0;
        for extent in self.extents() {
            let touched = geometry.touching(extent?);
            if !send_holes(geometry, next..touched.start, wanted, out) {
                return Ok(());
            }
            for index in touched.start.max(next)..touched.end {
                if !wanted(index) {
                    continue;
                }
                let offset = geometry.offset(index);
                let data = ChunkData::Mapped(self.range(offset, geometry.len(index))?);
                if out.send(Ok(Chunk { index, offset, data })).is_err() {
                    return Ok(());
                }
            }
            next = next.max(touched.end);
        }
        send_holes(geometry, next..geometry.chunks(), wanted, out);
        Ok(())
    }
}

/// Sends chunks that are holes; false if nobody takes them any more.
fn send_holes(
    geometry: Geometry,
    indices: Range<u64>,
    wanted: &dyn Fn(u64) -> bool,
    out: &Sender<Result<Chunk>>,
) -> bool {
    indices.filter(|i| wanted(*i)).all(|index| {
        let data = ChunkData::Hole(geometry.len(index));
        out.send(Ok(Chunk { index, offset: geometry.offset(index), data })).is_ok()
    })
}

fn identity(path: &Path, meta: &Metadata, size: u64) -> Identity {
    let device = meta.file_type().is_block_device();
    Identity::File {
        path: path.to_owned(),
        size,
        mtime_ns: if device {
            0
        } else {
            meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec())
        },
        inode: meta.ino(),
        device: if device { meta.rdev() } else { meta.dev() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::FileExt;

    fn chunks(
        source: &MappedSource,
        geometry: Geometry,
        wanted: &dyn Fn(u64) -> bool,
    ) -> Vec<(u64, bool, u64)> {
        let (tx, rx) = crossbeam_channel::unbounded();
        source.feed(geometry, wanted, &tx).unwrap();
        drop(tx);
        rx.into_iter()
            .map(|c| c.map(|c| (c.index, matches!(c.data, ChunkData::Hole(_)), c.len())).unwrap())
            .collect()
    }

    #[test]
    fn holes_come_as_holes_and_every_chunk_comes_once() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len((10 << 20) + 5).unwrap();
        file.as_file().write_all_at(b"x", 3 << 20).unwrap();
        file.flush().unwrap();
        let source = MappedSource::open(file.path()).unwrap();
        let geometry = Geometry::new(source.size(), 2 << 20);
        let all = chunks(&source, geometry, &|_| true);
        assert_eq!(
            all,
            [
                (0, true, 2 << 20),
                (1, false, 2 << 20),
                (2, true, 2 << 20),
                (3, true, 2 << 20),
                (4, true, 2 << 20),
                (5, true, 5)
            ]
        );
        assert_eq!(chunks(&source, geometry, &|i| i == 1 || i == 4).len(), 2);
        assert_eq!(source.holes(geometry).unwrap(), [0..1, 2..6]);
    }

    #[test]
    fn a_change_is_named() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&[1; 100]).unwrap();
        let source = MappedSource::open(file.path()).unwrap();
        source.check().unwrap();
        file.as_file().set_len(50).unwrap();
        let said = source.check().unwrap_err().to_string();
        assert!(said.contains("cut from 100 to 50"), "{said}");
        file.as_file().set_len(200).unwrap();
        let said = source.check().unwrap_err().to_string();
        assert!(said.contains("its size was 100 and is 200"), "{said}");
        let empty = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(MappedSource::open(empty.path()).unwrap_err().kind(), Kind::Source);
    }
}
