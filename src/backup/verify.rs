//! Whether every backup is whole.

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

/// The most bytes of chunks that are read at a time, packed and unpacked ones together; one always is.
const AT_A_TIME: u64 = 64 << 20;

/// How closely to look.
#[derive(Clone, Debug, Default)]
pub struct VerifyOptions {
    /// Which backups; all if there is none.
    pub ids: Vec<SnapshotId>,
    /// Which chunks are read and compared with their digests.
    pub read: ReadData,
}

/// Which chunks are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadData {
    /// None: they have to be there.
    #[default]
    None,
    /// One of so many, by digest.
    OneOf(u32),
    /// All.
    All,
}

/// What is wrong.
#[derive(Debug)]
pub enum Fault {
    /// An index cannot be read.
    Index {
        /// Where it is in the store.
        key: String,
        /// Why.
        error: Error,
    },
    /// A chunk is missing or does not hold what its name says.
    Chunk {
        /// Which.
        digest: Digest,
        /// Backups that need it.
        of: Vec<String>,
        /// Why.
        error: Error,
    },
}

/// What was found.
#[derive(Debug, Default)]
pub struct VerifyReport {
    /// Backups that were looked at.
    pub backups: u64,
    /// Different chunks of these.
    pub chunks: u64,
    /// Of these, chunks that were read.
    pub read: u64,
    /// Bytes of chunks that were read, as they are in images.
    pub bytes: u64,
    /// What is wrong; nothing was repaired.
    pub faults: Vec<Fault>,
}

/// A chunk that backups need.
struct Wanted {
    chunk: ChunkRef,
    hash: ChunkHash,
    /// The indexes that have it, by their places in the list of keys.
    of: Vec<u32>,
}

/// Looks at backups; what it looks at stays as it is meanwhile.
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

/// Whether an error is what was looked for, rather than one in looking.
fn is_of_the_store(error: &Error) -> bool {
    matches!(error.kind(), Kind::Source | Kind::NotFound)
}

async fn find(store: &BackupStore, wanted: &Wanted) -> Result<()> {
    let key = chunk_key(&wanted.chunk.digest);
    let head = async || store.place().head(&key).await;
    match store.retry().run("looking for a chunk in the store", None, head).await? {
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
        if hash.digest(&bytes) == chunk.digest {
            Ok(())
        } else {
            Err(damaged("its bytes have another digest"))
        }
    });
    store.retry().stop.unless_asked(check).await
}

impl ReadData {
    /// Whether a chunk is read. A digest is as good as a random number.
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
    /// Indexes come first.
    fn place(&self) -> (bool, String) {
        match self {
            Self::Index { key, .. } => (false, key.clone()),
            Self::Chunk { digest, .. } => (true, digest.to_string()),
        }
    }

    /// What is wrong, and why.
    pub fn error(&self) -> &Error {
        match self {
            Self::Index { error, .. } | Self::Chunk { error, .. } => error,
        }
    }
}
