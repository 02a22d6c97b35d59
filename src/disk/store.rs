//! Where the disks of a remote are: what there is to know of one, how it is opened, how a new one is made.
//!
//! A job talks to a [`Store`] and never to a provider. Unlike a disk's own attempts, what is asked for here is repeated as far
//! as that helps.

use super::{Evidence, Identity, ReadAt, WriteAt};
use crate::error::{Error, Result};
use futures_util::future::LocalBoxFuture;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Something that is being asked for, on the thread of the job.
pub type Asking<'a, T, E = Error> = LocalBoxFuture<'a, Result<T, E>>;

/// What the disks of a remote have in common.
#[expect(clippy::struct_excessive_bools, reason = "each is a property of its own")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreInfo {
    /// What one of them is called in messages, as in `drive`.
    pub noun: &'static str,
    /// Whether every run leaves its mark on the disk that it writes to.
    pub marks: bool,
    /// Whether chunks may go gzipped.
    pub gzip: bool,
    /// Whether what is in use there are fixed VHDs, so that one that ends with a VHD's footer is an image without it.
    pub vhd: bool,
    /// Whether the API has a call that destroys one of them.
    pub destroys: bool,
}

/// What there is to know of a disk without reading it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// What it is asked for by, and known by in a journal: no secret.
    pub disk: String,
    /// What people call it; empty if it has no name of its own.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Why it cannot be read or written now, if it cannot: something else is being done to it.
    pub busy: Option<String>,
    /// Who uses it, if anybody does.
    pub in_use: Option<Users>,
    /// The id of the transfer that wrote to it last, where disks carry one.
    pub mark: Option<String>,
    /// What tells whether it was written to.
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
    /// To be written.
    pub to: Arc<dyn WriteAt>,
    /// The same one, to be read.
    pub back: Arc<dyn ReadAt>,
}

/// The disks of one remote.
pub trait Store: Send + Sync {
    /// What they have in common.
    fn info(&self) -> StoreInfo;

    /// What there is to know of a disk.
    fn facts<'a>(&'a self, disk: &'a str) -> Asking<'a, Facts>;

    /// Opens a disk as it was found to be, to be read; it is known as `identity`.
    fn read<'a>(&'a self, facts: &'a Facts, identity: Option<Identity>) -> Asking<'a, Arc<dyn ReadAt>>;

    /// Opens a disk as it was found to be, to be written by the transfer of this id.
    ///
    /// # Errors
    /// One that can only be read is refused.
    fn write<'a>(&'a self, facts: &'a Facts, transfer: &'a str) -> Asking<'a, Writable>;

    /// Leaves the id of a transfer on a disk, where that can be done.
    fn mark<'a>(&'a self, disk: &'a str, transfer: &'a str) -> Asking<'a, ()>;

    /// The digest, over the digests of its parts of `block` bytes, that the far end itself computes of all that a disk holds,
    /// by SHA-256 both times; `None` where it does not, or not of parts of that size.
    fn checksum<'a>(&'a self, disk: &'a str, block: u64) -> Asking<'a, Option<String>>;

    /// The ranges of a disk that were written to since its dirty bitmap began, in order; `None` where the far end has none. `bitmap`
    /// names it where there may be several.
    fn written_since<'a>(
        &'a self,
        disk: &'a str,
        bitmap: Option<&'a str>,
    ) -> Asking<'a, Option<Vec<Range<u64>>>>;

    /// What the far end can do, in words, each under a name: what a person wants to know before a transfer.
    fn describe<'a>(&'a self, disk: &'a str) -> Asking<'a, Vec<(&'static str, String)>>;

    /// How a new disk is made, if that can be done at all.
    fn create(&self) -> Option<&dyn Create>;
}

/// The dirty bitmap of a far end that has none.
pub(super) fn no_bitmap<'a>() -> Asking<'a, Option<Vec<Range<u64>>>> {
    Box::pin(async { Ok(None) })
}

/// The checksum of a far end that computes none.
pub(crate) fn no_checksum<'a>() -> Asking<'a, Option<String>> {
    Box::pin(async { Ok(None) })
}

/// Making disks. A create may not be repeated blindly: a disk that nobody knows of costs money.
pub trait Create: Send + Sync {
    /// The disks that are there already and could be taken for one of this name that is about to be made: to be noted
    /// before it is. None where disks are marked.
    fn like<'a>(&'a self, name: &'a str) -> Asking<'a, Vec<String>>;

    /// The disk that a transfer has made, if it has and the far end says so.
    fn find_made<'a>(&'a self, new: &'a DiskToMake<'a>) -> Asking<'a, Option<Facts>>;

    /// Makes a disk, once. After an attempt of unknown fate the far end is asked whether the disk is there before another is
    /// made.
    fn make<'a>(&'a self, new: &'a DiskToMake<'a>) -> Asking<'a, Facts, CreateError>;

    /// How a disk is made as a copy of another, if the far end copies by itself.
    fn copies(&self) -> Option<&dyn MakeCopy>;
}

/// Making disks that are copies of others. The far end goes on copying after its answer: as long as it does, the [`Facts`] of
/// the copy say that it is busy.
pub trait MakeCopy: Send + Sync {
    /// The same as [`Create::make`], of a disk for a copy of `base`. It may be copied to at once, or only by
    /// [`MakeCopy::fill`].
    fn make_copy<'a>(&'a self, new: &'a DiskToMake<'a>, base: &'a str) -> Asking<'a, Facts, CreateError>;

    /// Has `base` copied into a disk that was made for it, where making it has not done so already. May be repeated.
    fn fill<'a>(&'a self, disk: &'a str, base: &'a str) -> Asking<'a, ()>;
}

/// A disk to be made.
#[derive(Clone, Debug)]
pub struct DiskToMake<'a> {
    /// Its name.
    pub name: &'a str,
    /// Bytes.
    pub size: u64,
    /// More keys.
    pub keys: &'a [(String, String)],
    /// The id of the transfer that makes it.
    pub transfer: &'a str,
    /// Disks of the same name that were there before.
    pub before: &'a [String],
}

/// Why a disk was not made.
#[derive(Debug)]
pub enum CreateError {
    /// The far end refused every attempt: nothing was made.
    Refused(Error),
    /// At least one attempt ended without an answer that says what became of it.
    Unknown(Error),
}
