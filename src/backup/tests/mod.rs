//! Complete backups over directories and object stores, checked with casync.

mod casync;
mod directory;
mod hostile;
mod interleaved;
mod memory;
mod names;
mod objects;
mod pruning;
mod resolving;
mod sessions;

use super::index::Index;
use super::place::{Directory, Place};
use super::{BackupStore, Properties, Session, SnapshotId, SnapshotName, When};
use crate::chunk::Geometry;
use crate::digest::Algorithm;
use crate::disk::memory::MemoryDisk;
use crate::disk::{Buffers, ReadAt};
use crate::engine::Context;
use crate::engine::copy::{Copied, Copy};
use crate::engine::encode::codec::Compression;
use crate::engine::ledger::Ledger;
use crate::engine::pipeline::Source;
use crate::error::Result;
use crate::event;
use crate::stop::Stop;
use crate::transport::retry::Retry;
use std::path::Path;
use std::sync::Arc;

#[path = "../../../tests/support/casync.rs"]
pub(crate) mod casync_program;

/// Small, so that images have many chunks.
pub(crate) const CHUNK: u64 = 64 << 10;

pub(crate) fn retry() -> Retry {
    Retry { retries: 2, observer: event::no_observer(), meters: Arc::default(), stop: Stop::never() }
}

pub(crate) fn store_in(path: &Path) -> BackupStore {
    BackupStore::new(Arc::new(Directory::create(path).unwrap()), retry())
}

pub(crate) fn store_at(place: impl Place + 'static) -> BackupStore {
    BackupStore::new(Arc::new(place), retry())
}

/// An image with zeros, a repeated chunk, and a short last chunk. Images with different seeds are mostly
/// equal.
pub(crate) fn image(seed: u8) -> Vec<u8> {
    let chunk = usize::try_from(CHUNK).unwrap();
    let noise = |n: u32| (n.wrapping_mul(0x9e37_79b9).rotate_left(n % 29) >> 9).to_le_bytes()[0];
    let mut bytes: Vec<u8> = (0..u32::try_from(12 * chunk).unwrap() + 4321).map(noise).collect();
    bytes[2 * chunk..5 * chunk].fill(0);
    bytes.copy_within(6 * chunk..7 * chunk, 8 * chunk);
    bytes[10 * chunk] = seed;
    bytes
}

pub(crate) fn name(name: &str) -> SnapshotName {
    name.parse().unwrap()
}

pub(crate) fn id(text: &str) -> SnapshotId {
    let (name, when) = text.split_once('@').unwrap();
    SnapshotId { name: name.parse().unwrap(), when: when.parse().unwrap() }
}

pub(crate) fn properties() -> Properties {
    let keys = [("tier".to_owned(), "disk".to_owned())].into();
    Properties { remote: "oh".into(), drive: "d-1".into(), name: "web".into(), keys, ..Properties::default() }
}

/// Copies an image into the store as a job does, without writing an index.
pub(crate) async fn send(session: &Session, of: &str, bytes: &[u8]) -> Result<(Ledger, Copied)> {
    let geometry = Geometry::new(bytes.len() as u64, CHUNK);
    let mut ledger = Ledger::new(geometry, Algorithm::Sha256);
    let copy = Copy {
        from: Source::At(Arc::new(MemoryDisk::new(bytes.to_vec()))),
        to: session.disk(&name(of), bytes.len() as u64, CHUNK),
        kept: None,
        there: None,
        held: Some(session.held()),
        compression: Compression::Auto,
        skip_holes: false,
        skip_zeros: false,
        sha256: false,
    };
    let context = Context::new(Arc::default(), event::no_observer(), Stop::never(), 2, Some(4));
    let copied = copy.run_once(&mut ledger, &context).await?;
    Ok((ledger, copied))
}

/// Makes a backup.
pub(crate) async fn back_up(store: &BackupStore, of: &SnapshotId, bytes: &[u8]) -> Result<Copied> {
    let session = store.begin().await?;
    let (ledger, copied) = send(&session, of.name.as_str(), bytes).await?;
    let made = session.commit(&of.name, of.when, &ledger, &properties()).await?;
    assert_eq!(made, *of);
    session.end().await?;
    Ok(copied)
}

/// Reads a disk by reads of an odd length.
pub(crate) async fn contents(disk: &dyn ReadAt) -> Result<Vec<u8>> {
    let (size, mut bytes) = (disk.info().size, Buffers::new(1).take(0));
    while (bytes.len() as u64) < size {
        let at = bytes.len() as u64;
        bytes = disk.read_at(at, 100_003.min(size - at), bytes).await?;
    }
    Ok(bytes.to_vec())
}

/// Returns the chunks that a backup needs and the store lacks, found without the code under test.
pub(crate) fn missing_in(root: &Path, index: &Index) -> Vec<String> {
    let path = |digest: &crate::digest::Digest| format!("{}/{digest}.cacnk", &digest.to_string()[..4]);
    let keys = index.chunks().map(|chunk| path(&chunk.digest));
    keys.filter(|key| !root.join(key).is_file()).collect()
}

pub(crate) fn when(text: &str) -> When {
    text.parse().unwrap()
}
