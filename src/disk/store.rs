//! The disks of a remote: how to look one up, open it and create a new one.
//!
//! A job uses a [`Store`] and never a provider. Unlike the attempts of a disk, the operations here are
//! retried.

use super::{Evidence, Identity, ReadAt, WriteAt};
use crate::error::{Error, Result};
use futures_util::future::LocalBoxFuture;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// The future of an operation, on the thread of the job.
pub type StoreFuture<'a, T, E = Error> = LocalBoxFuture<'a, Result<T, E>>;

/// The common properties of a remote's disks.
#[expect(clippy::struct_excessive_bools, reason = "each is a property of its own")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreInfo {
    /// The kind of disk in messages, such as `drive`.
    pub noun: &'static str,
    /// Whether each run marks the disk that it writes to.
    pub marks: bool,
    /// Whether chunks may be compressed with gzip.
    pub gzip: bool,
    /// Whether disks there are fixed VHDs, so that a disk that ends with a VHD footer is an image without it.
    pub vhd: bool,
    /// Whether the API has a call that destroys one of them.
    pub destroys: bool,
}

/// The properties of a disk that are known without reading it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The id of the disk in requests and journals. It is not secret.
    pub disk: String,
    /// The name of the disk; empty if it has none.
    pub name: String,
    /// The size in bytes.
    pub size: u64,
    /// Why the disk cannot be read or written now, if another operation is running on it.
    pub busy: Option<String>,
    /// Who uses it, if anybody does.
    pub in_use: Option<Users>,
    /// The id of the transfer that wrote to it last, where disks carry one.
    pub mark: Option<String>,
    /// Evidence of writes.
    pub evidence: Evidence,
}

/// Who uses a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Users {
    /// Servers of the same account, by their ids.
    Servers(Vec<String>),
    /// Somebody else, in words.
    Other(String),
}

impl Users {
    /// The servers that use it; none if it is somebody else.
    pub fn servers(&self) -> &[String] {
        match self {
            Users::Servers(servers) => servers,
            Users::Other(_) => &[],
        }
    }
}

impl fmt::Display for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Users::Servers(servers) if servers.len() == 1 => write!(f, "server {}", servers[0]),
            Users::Servers(servers) => write!(f, "servers {}", servers.join(", ")),
            Users::Other(who) => f.write_str(who),
        }
    }
}

/// A disk that is open for writing, and what was written to it for reading.
#[derive(Clone)]
pub struct Writable {
    /// The disk for writing.
    pub to: Arc<dyn WriteAt>,
    /// The same disk for reading.
    pub back: Arc<dyn ReadAt>,
}

/// The disks of a remote.
pub trait Store: Send + Sync {
    /// Returns the common properties of the disks.
    fn info(&self) -> StoreInfo;

    /// Returns the properties of a disk.
    fn facts<'a>(&'a self, disk: &'a str) -> StoreFuture<'a, Facts>;

    /// Opens a disk for reading. `facts` are its properties as looked up; `identity` becomes the disk's
    /// identity.
    fn read<'a>(&'a self, facts: &'a Facts, identity: Option<Identity>) -> StoreFuture<'a, Arc<dyn ReadAt>>;

    /// Opens a disk for writing by a transfer.
    ///
    /// # Errors
    /// Fails if the disk is read-only.
    fn write<'a>(&'a self, facts: &'a Facts, transfer: &'a str) -> StoreFuture<'a, Writable>;

    /// Marks a disk with the id of a transfer, if disks can be marked.
    fn mark<'a>(&'a self, disk: &'a str, transfer: &'a str) -> StoreFuture<'a, ()>;

    /// Returns a SHA-256 of a disk's contents that the remote computes: over the SHA-256 digests of its
    /// blocks of `block` bytes. Returns `None` if the remote cannot, or not with this block size.
    fn checksum<'a>(&'a self, disk: &'a str, block: u64) -> StoreFuture<'a, Option<String>>;

    /// Returns the ranges of a disk that were written since its dirty bitmap began, in order. Returns `None`
    /// if there is no bitmap. `bitmap` selects one of several.
    fn written_since<'a>(
        &'a self,
        disk: &'a str,
        bitmap: Option<&'a str>,
    ) -> StoreFuture<'a, Option<Vec<Range<u64>>>>;

    /// Returns what the remote can do, as names and values for display before a transfer.
    fn describe<'a>(&'a self, disk: &'a str) -> StoreFuture<'a, Vec<(&'static str, String)>>;

    /// Returns how to create a disk, if the store can.
    fn create(&self) -> Option<&dyn Create>;
}

/// Returns the dirty bitmap of a remote that has none.
pub(super) fn no_bitmap<'a>() -> StoreFuture<'a, Option<Vec<Range<u64>>>> {
    Box::pin(async { Ok(None) })
}

/// Returns the checksum of a remote that computes none.
pub(crate) fn no_checksum<'a>() -> StoreFuture<'a, Option<String>> {
    Box::pin(async { Ok(None) })
}

/// Creates disks. A create must not be repeated blindly, because an unknown disk costs money.
pub trait Create: Send + Sync {
    /// Returns the existing disks that could be mistaken for a new one of this name, to be recorded before it
    /// is created. Empty if disks are marked.
    fn similar<'a>(&'a self, name: &'a str) -> StoreFuture<'a, Vec<String>>;

    /// Returns the disk that a transfer created, if the remote can tell.
    fn find_made<'a>(&'a self, new: &'a DiskToMake<'a>) -> StoreFuture<'a, Option<Facts>>;

    /// Creates a disk, once. If the outcome of an attempt is unknown, the store checks whether the disk
    /// exists before it creates another.
    fn make<'a>(&'a self, new: &'a DiskToMake<'a>) -> StoreFuture<'a, Facts, CreateError>;

    /// Returns how to create a disk as a copy, if the remote can copy.
    fn copies(&self) -> Option<&dyn MakeCopy>;
}

/// Creates disks as copies of others. The remote goes on copying after its reply; meanwhile the [`Facts`] of
/// the copy say that it is busy.
pub trait MakeCopy: Send + Sync {
    /// Like [`Create::make`], for a copy of `base`. The remote may start copying at once, or only with
    /// [`MakeCopy::fill`].
    fn make_copy<'a>(&'a self, new: &'a DiskToMake<'a>, base: &'a str)
    -> StoreFuture<'a, Facts, CreateError>;

    /// Starts copying `base` into a disk created for it, unless creating it has already done so. May be
    /// repeated.
    fn fill<'a>(&'a self, disk: &'a str, base: &'a str) -> StoreFuture<'a, ()>;
}

/// A disk to create.
#[derive(Clone, Debug)]
pub struct DiskToMake<'a> {
    /// The name of the disk.
    pub name: &'a str,
    /// The size in bytes.
    pub size: u64,
    /// Further keys.
    pub keys: &'a [(String, String)],
    /// The id of the transfer that creates it.
    pub transfer: &'a str,
    /// The disks of the same name that existed before.
    pub before: &'a [String],
}

/// Why a disk was not created.
#[derive(Debug)]
pub enum CreateError {
    /// The remote refused every attempt, so nothing was created.
    Refused(Error),
    /// The outcome of at least one attempt is unknown.
    Unknown(Error),
}
