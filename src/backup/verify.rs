//! Verifies that every backup is complete.

use super::index::{ChunkHash, ChunkRef, chunk_key};
use super::lease::Lease;
use super::name::SnapshotId;
use super::store::BackupStore;
use crate::digest::Digest;
use crate::disk::Window;
use crate::disk::chunks::decode::{most_packed, unpack};
use crate::disk::file::on_a_thread;
use crate::error::{Error, Kind, Result};
use futures_util::StreamExt;
use std::collections::HashMap;

/// The most bytes of chunks in memory at a time, compressed and decompressed together. One chunk is always
/// admitted.
const AT_A_TIME: u64 = 64 << 20;

/// What to verify.
#[derive(Clone, Debug, Default)]
pub struct VerifyOptions {
    /// The backups to verify; all if empty.
    pub ids: Vec<SnapshotId>,
    /// Which chunks to read and compare with their digests.
    pub read: ReadData,
}

/// Which chunks to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadData {
    /// None; chunks only have to exist.
    #[default]
    None,
    /// One in this many, chosen by digest.
    OneOf(u32),
    /// All chunks.
    All,
}

/// A fault in a store.
#[derive(Debug)]
pub enum Fault {
    /// An index that cannot be read.
    Index {
        /// The key of the index.
        key: String,
        /// The reason.
        error: Error,
    },
    /// A chunk that is missing or does not match its name.
    Chunk {
        /// The digest of the chunk.
        digest: Digest,
        /// The backups that need the chunk.
        of: Vec<String>,
        /// The reason.
        error: Error,
    },
}

/// The result of a verification.
#[derive(Debug, Default)]
pub struct VerifyReport {
    /// The number of backups verified.
    pub backups: u64,
    /// The number of distinct chunks in them.
    pub chunks: u64,
    /// The number of chunks that were read.
    pub read: u64,
    /// The bytes of chunks that were read, decompressed.
    pub bytes: u64,
    /// The faults. Nothing is repaired.
    pub faults: Vec<Fault>,
}

/// A chunk that backups need.
struct Wanted {
    chunk: ChunkRef,
    hash: ChunkHash,
    /// The indexes that contain it, by their positions in the list of keys.
    of: Vec<u32>,
}

/// Verifies backups under a lease, so that nothing is deleted meanwhile.
pub(super) async fn run(store: &BackupStore, options: &VerifyOptions) -> Result<VerifyReport> {
    let lease = Lease::for_reading(store).await?;
    let report = look(&lease.over(store), options).await;
    let ended = lease.end().await;
    let report = report?;
    ended.map(|()| report)
}

async fn look(store: &BackupStore, options: &VerifyOptions) -> Result<VerifyReport> {
    let ids = if options.ids.is_empty() { store.snapshots().await? } else { options.ids.clone() };
    let mut report = VerifyReport { backups: ids.len() as u64, ..VerifyReport::default() };
    let mut wanted = HashMap::<Digest, Wanted>::new();
    for (n, id) in (0..).zip(&ids) {
        let listed = options.ids.is_empty();
        let loaded =
            if listed { store.load_listed(&id.index_key()).await } else { store.load(id).await.map(Some) };
        let index = match loaded {
            Ok(Some(index)) => index,
            Ok(None) => {
                report.backups -= 1;
                continue;
            }
            Err(error) if is_of_the_store(&error) => {
                report.faults.push(Fault::Index { key: id.index_key(), error });
                continue;
            }
            Err(error) => return Err(error),
        };
        for chunk in index.chunks() {
            let new = || Wanted { chunk, hash: index.hash(), of: Vec::new() };
            let of = &mut wanted.entry(chunk.digest).or_insert_with(new).of;
            if of.last() != Some(&n) {
                of.push(n);
            }
        }
    }
    report.chunks = wanted.len() as u64;
    let window = Window::new(AT_A_TIME);
    let mut looks = futures_util::stream::iter(wanted.into_values())
        .map(|wanted| async {
            let read = options.read.reads(&wanted.chunk.digest);
            let found =
                if read { read_chunk(store, &wanted, &window).await } else { find(store, &wanted).await };
            (wanted, read, found)
        })
        .buffer_unordered(store.place().requests());
    while let Some((wanted, read, found)) = looks.next().await {
        if read {
            report.read += 1;
            report.bytes += wanted.chunk.len;
        }
        match found {
            Ok(()) => {}
            Err(error) if is_of_the_store(&error) => {
                let name = |n: &u32| Some(ids.get(usize::try_from(*n).ok()?)?.to_string());
                let of = wanted.of.iter().filter_map(name).collect();
                report.faults.push(Fault::Chunk { digest: wanted.chunk.digest, of, error });
            }
            Err(error) => return Err(error),
        }
    }
    drop(looks);
    report.faults.sort_by_key(Fault::place);
    Ok(report)
}

/// Returns whether an error is a fault of the store rather than a failure of the verification.
fn is_of_the_store(error: &Error) -> bool {
    matches!(error.kind(), Kind::Source | Kind::NotFound)
}

async fn find(store: &BackupStore, wanted: &Wanted) -> Result<()> {
    let key = chunk_key(&wanted.chunk.digest);
    let head = async || store.place().head(&key).await;
    match store.retry().run("looking up a chunk in the store", None, head).await? {
        Some(_) => Ok(()),
        None => Err(Error::new(Kind::NotFound, format!("chunk {} is missing", wanted.chunk.digest))),
    }
}

async fn read_chunk(store: &BackupStore, wanted: &Wanted, window: &Window) -> Result<()> {
    let (chunk, hash, key) = (wanted.chunk, wanted.hash, chunk_key(&wanted.chunk.digest));
    let _permit = window.clone().acquire(chunk.len.saturating_mul(2)).await;
    let get = async || store.place().get(&key, most_packed(chunk.len)).await;
    let packed = store.retry().run("reading a chunk from the store", None, get).await.map_err(|error| {
        if error.kind() == Kind::NotFound {
            Error::new(Kind::NotFound, format!("chunk {} is missing", chunk.digest))
        } else {
            error
        }
    })?;
    let check = on_a_thread(move || {
        let damaged =
            |how: &str| Error::new(Kind::Source, format!("chunk {} is damaged: {how}", chunk.digest));
        let len = usize::try_from(chunk.len).map_err(|_| damaged("it is too large"))?;
        let mut bytes = vec![0; len];
        unpack(&packed, &mut bytes).map_err(|how| damaged(&how))?;
        if hash.digest(&bytes) == chunk.digest { Ok(()) } else { Err(damaged("its digest does not match")) }
    });
    store.retry().stop.unless_asked(check).await
}

impl ReadData {
    /// Returns whether to read a chunk. A digest is as good as a random number.
    fn reads(self, digest: &Digest) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::OneOf(n) => {
                digest.0.first_chunk().is_some_and(|four| u32::from_le_bytes(*four).is_multiple_of(n.max(1)))
            }
        }
    }
}

impl Fault {
    /// Sorts indexes first.
    fn place(&self) -> (bool, String) {
        match self {
            Self::Index { key, .. } => (false, key.clone()),
            Self::Chunk { digest, .. } => (true, digest.to_string()),
        }
    }

    /// Returns the reason of the fault.
    pub fn error(&self) -> &Error {
        match self {
            Self::Index { error, .. } | Self::Chunk { error, .. } => error,
        }
    }
}
