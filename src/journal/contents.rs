//! Records of what remote disks hold, chunk by chunk, as the last transfer left them.
//!
//! The state directory has one record for each disk, under the disk's [destination](Destination). A record is
//! always replaced as a whole. It is a claim: it names the generation of the destination for which it was
//! true, and the disk's evidence (counters, marks) at that time. Whoever builds on a record checks it first.
//! A damaged record, or one of another version, is ignored.
//!
//! A chunk may have two known digests: that of the transfer that wrote it, and the one under which a store
//! keeps it.

use super::destinations::Destination;
use super::sync_directory;
use crate::chunk::Geometry;
use crate::digest::{Algorithm, Digest};
use crate::disk::Evidence;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The first line of every record.
const MAGIC: &[u8] = b"diskferry contents 1\n";

/// The length of the checksum at the end, in bytes.
const CHECKSUM: usize = 32;

const BLAKE3: u8 = 1;
const SHA256: u8 = 2;

/// The directory of records.
#[derive(Clone, Debug)]
pub struct ContentsDirectory(PathBuf);

/// When a record was true.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The generation of the destination, or `None` if nobody on this machine had written there.
    pub generation: Option<String>,
    /// The id of the transfer that marked the disk.
    pub mark: Option<String>,
    /// What the disk reported about its writes.
    pub evidence: Evidence,
    /// The id of a transfer that is changing the disk. Only that transfer may still build on the record.
    pub changing: Option<String>,
}

/// The contents of a disk.
#[derive(Clone, Debug)]
pub struct Contents {
    /// When they were observed.
    pub seen: Seen,
    geometry: Geometry,
    blake3: Vec<Option<Digest>>,
    sha256: Vec<Option<Digest>>,
}

/// The first part of a record, as JSON.
#[derive(Serialize, Deserialize)]
struct Head {
    #[serde(flatten)]
    seen: Seen,
    size: u64,
    chunk_size: u64,
}

impl Contents {
    /// Creates the contents of a disk of which nothing is known.
    pub fn new(geometry: Geometry, seen: Seen) -> Self {
        let none = || vec![None; usize::try_from(geometry.chunks()).unwrap_or(0)];
        Self { seen, geometry, blake3: none(), sha256: none() }
    }

    /// Returns how the disk is cut into chunks.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Returns the digests of one algorithm, by chunk index.
    pub fn digests(&self, algorithm: Algorithm) -> &[Option<Digest>] {
        match algorithm {
            Algorithm::Blake3 => &self.blake3,
            Algorithm::Sha256 => &self.sha256,
        }
    }

    /// Notes the digest of a chunk. If the digest changed, the chunk's other digest is dropped.
    pub fn learn(&mut self, index: u64, algorithm: Algorithm, digest: Digest) {
        let Ok(at) = usize::try_from(index) else { return };
        let (this, other) = match algorithm {
            Algorithm::Blake3 => (&mut self.blake3, &mut self.sha256),
            Algorithm::Sha256 => (&mut self.sha256, &mut self.blake3),
        };
        let (Some(this), Some(other)) = (this.get_mut(at), other.get_mut(at)) else { return };
        if this.is_some_and(|was| was != digest) {
            *other = None;
        }
        *this = Some(digest);
    }

    /// Drops what is known of a chunk.
    pub fn forget(&mut self, index: u64) {
        let Ok(at) = usize::try_from(index) else { return };
        for column in [&mut self.blake3, &mut self.sha256] {
            if let Some(digest) = column.get_mut(at) {
                *digest = None;
            }
        }
    }

    /// Writes the record piece by piece, since that of a drive of 1 TiB takes at least 8 MiB.
    fn write(&self, out: impl Write) -> std::io::Result<()> {
        let (size, chunk_size) = (self.geometry.image_size(), self.geometry.chunk_size());
        let head = serde_json::to_vec(&Head { seen: self.seen.clone(), size, chunk_size })?;
        let mut out = Summed { out, sum: blake3::Hasher::new() };
        out.write_all(MAGIC)?;
        out.write_all(&(head.len() as u64).to_le_bytes())?;
        out.write_all(&head)?;
        for (blake3, sha256) in self.blake3.iter().zip(&self.sha256) {
            let known = |digest: &Option<Digest>, bit| if digest.is_some() { bit } else { 0 };
            out.write_all(&[known(blake3, BLAKE3) | known(sha256, SHA256)])?;
            for digest in blake3.iter().chain(sha256) {
                out.write_all(&digest.0)?;
            }
        }
        let Summed { mut out, sum } = out;
        out.write_all(sum.finalize().as_bytes())?;
        out.flush()
    }

    /// Returns `None` if the bytes are not a complete record.
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (bytes, sum) = bytes.split_at_checked(bytes.len().checked_sub(CHECKSUM)?)?;
        if blake3::hash(bytes).as_bytes() != sum {
            return None;
        }
        let rest = bytes.strip_prefix(MAGIC)?;
        let (len, rest) = rest.split_first_chunk::<8>()?;
        let (head, mut rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*len)).ok()?)?;
        let Head { seen, size, chunk_size } = serde_json::from_slice(head).ok()?;
        let geometry = Geometry::checked(size, chunk_size).ok()?;
        // Every chunk takes at least a byte, so the data bounds the count that the head claims.
        if geometry.chunks() > rest.len() as u64 {
            return None;
        }
        let mut contents = Self::new(geometry, seen);
        for (blake3, sha256) in contents.blake3.iter_mut().zip(&mut contents.sha256) {
            let (known, after) = rest.split_first()?;
            rest = after;
            for (digest, bit) in [(blake3, BLAKE3), (sha256, SHA256)] {
                if known & bit != 0 {
                    let (bytes, after) = rest.split_first_chunk::<32>()?;
                    (*digest, rest) = (Some(Digest(*bytes)), after);
                }
            }
        }
        rest.is_empty().then_some(contents)
    }
}

impl ContentsDirectory {
    /// Creates a handle. The directory itself is created with the first record.
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Returns the record of a disk, if there is a complete one.
    pub fn load(&self, destination: &Destination) -> Option<Contents> {
        Contents::from_bytes(&std::fs::read(self.path(destination)).ok()?)
    }

    /// Replaces the record of a disk and syncs it.
    pub fn store(&self, destination: &Destination, contents: &Contents) -> Result<()> {
        let path = self.path(destination);
        let what = |e| Error::io(format!("writing {}", path.display()), e);
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0).map_err(what)?;
        let temporary = path.with_extension(std::process::id().to_string());
        let stored = write_synced(&temporary, contents)
            .and_then(|()| std::fs::rename(&temporary, &path))
            .map_err(what);
        if stored.is_err() {
            let _ = std::fs::remove_file(&temporary);
        }
        stored?;
        sync_directory(&path);
        Ok(())
    }

    /// Removes the record of a disk.
    pub fn forget(&self, destination: &Destination) {
        let _ = std::fs::remove_file(self.path(destination));
    }

    fn path(&self, destination: &Destination) -> PathBuf {
        self.0.join(destination.file_name())
    }
}

fn write_synced(path: &Path, contents: &Contents) -> std::io::Result<()> {
    let file: File = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    contents.write(BufWriter::new(&file))?;
    file.sync_all()
}

/// A writer that digests what passes through it.
struct Summed<W> {
    out: W,
    sum: blake3::Hasher,
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.sum.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(n: u8) -> Digest {
        Digest([n; 32])
    }

    fn some() -> Contents {
        let seen = Seen { generation: Some("g".into()), mark: Some("m".into()), ..Seen::default() };
        let mut contents = Contents::new(Geometry::new(10, 4), seen);
        contents.learn(0, Algorithm::Blake3, digest(1));
        contents.learn(0, Algorithm::Sha256, digest(2));
        contents.learn(2, Algorithm::Sha256, digest(3));
        contents
    }

    #[test]
    fn what_is_stored_is_loaded_and_what_is_torn_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let all = ContentsDirectory::new(dir.path().join("contents"));
        let disk = Destination::disk("a", "x", "drive");
        assert!(all.load(&disk).is_none());
        all.store(&disk, &some()).unwrap();
        let back = all.load(&disk).unwrap();
        assert_eq!((&back.seen, back.geometry()), (&some().seen, Geometry::new(10, 4)));
        assert_eq!(back.digests(Algorithm::Blake3), [Some(digest(1)), None, None]);
        assert_eq!(back.digests(Algorithm::Sha256), [Some(digest(2)), None, Some(digest(3))]);
        assert!(all.load(&Destination::disk("b", "x", "drive")).is_none());
        let whole = std::fs::read(all.path(&disk)).unwrap();
        for cut in 0..whole.len() {
            assert!(Contents::from_bytes(&whole[..cut]).is_none(), "cut at {cut}");
        }
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            assert!(Contents::from_bytes(&bytes).is_none(), "changed at {at}");
        }
        all.forget(&disk);
        assert!(all.load(&disk).is_none());
    }

    #[test]
    fn a_chunk_that_changed_has_no_other_digest() {
        let mut contents = some();
        contents.learn(0, Algorithm::Blake3, digest(1));
        assert_eq!(contents.digests(Algorithm::Sha256)[0], Some(digest(2)));
        contents.learn(0, Algorithm::Blake3, digest(9));
        assert_eq!(contents.digests(Algorithm::Sha256)[0], None);
        contents.forget(2);
        assert_eq!(contents.digests(Algorithm::Sha256)[2], None);
        // Out of range this does nothing.
        contents.learn(3, Algorithm::Blake3, digest(1));
        contents.forget(u64::MAX);
    }
}
