//! Whether every backup is whole.

use super::name::SnapshotId;
use super::store::BackupStore;
use crate::digest::Digest;
use crate::error::{Error, Result};

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
        /// How many bytes of images it stands for.
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

pub(super) async fn run(store: &BackupStore, options: &VerifyOptions) -> Result<VerifyReport> {
    let _ = (store, options);
    todo!()
}
