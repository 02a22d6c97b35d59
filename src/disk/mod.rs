//! Disks: everything that holds an image, such as a file, a block device, a stream, a drive, an appliance or
//! standard output.
//!
//! The engine moves chunks from a [`ReadAt`] or a [`ReadStream`] to a [`WriteAt`] and knows nothing else
//! about either; a disk describes its limits and abilities in its [`DiskInfo`]. The module `conformance`
//! tests every disk with random access.
//!
//! Every method makes exactly one attempt. Methods take their arguments by value, so a future can be dropped
//! at any time: a buffer is owned by whoever may still write to it. Only
//! [`Retry`](crate::transport::retry::Retry) decides whether to try again.

pub mod appliance;
pub mod azure;
mod buffer;
pub mod chunks;
#[cfg(test)]
mod conformance;
pub mod elastic;
pub mod file;
pub mod format;
mod identity;
pub mod image;
pub mod imageio;
pub mod memory;
pub mod nbd;
pub mod stdout;
pub mod store;
pub mod stream;
pub mod vhd;
pub mod zero;

pub use buffer::{Buffer, Buffers, Permit, Window};
pub use identity::{Evidence, Identity, PartRecord};

use crate::digest::Digest;
use crate::error::{Error, Kind, Result};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::ops::Range;

/// An attempt at an operation, which may be dropped at any time.
pub type Attempt<T> = BoxFuture<'static, Result<T>>;

/// The properties of a disk when it was opened.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "the properties are independent")]
pub struct DiskInfo {
    /// The name in messages.
    pub name: String,
    /// The size in bytes; 0 if unknown.
    pub size: u64,
    /// The largest read, in bytes.
    pub read_limit: u64,
    /// The largest write, in bytes before encoding.
    pub write_limit: u64,
    /// The most concurrent reads.
    pub readers: usize,
    /// The most concurrent writes.
    pub writers: usize,
    /// Whether writes must be in order of offset.
    pub in_order: bool,
    /// The encoding of writes.
    pub wire: Wire,
    /// Whether a write may be lost until a [`WriteAt::flush`].
    pub volatile: bool,
    /// Whether a new disk is documented to read as zero wherever nothing was written.
    pub fresh_is_zero: bool,
    /// Distinguishes the image from others.
    pub identity: Option<Identity>,
    /// Shows whether the disk was written to; empty if it cannot be told.
    pub evidence: Evidence,
    /// Whether the contents are unchanged as long as the identity is. If so, chunks that an earlier run sent
    /// need not be read again.
    pub stable: bool,
}

/// The encoding of a disk's writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// Plain bytes.
    Plain,
    /// Plain bytes or one gzip member.
    Gzip,
    /// One zstd frame with a complete chunk, and its digest, for disks that store chunks by digest.
    Chunks,
}

impl DiskInfo {
    /// Creates the properties of a disk without limits.
    pub fn new(name: impl Into<String>, size: u64) -> Self {
        Self {
            name: name.into(),
            size,
            read_limit: u64::MAX,
            write_limit: u64::MAX,
            readers: usize::MAX,
            writers: usize::MAX,
            in_order: false,
            wire: Wire::Plain,
            volatile: false,
            fresh_is_zero: false,
            identity: None,
            evidence: Evidence::default(),
            stable: true,
        }
    }
}

impl DiskInfo {
    /// Returns an error if a range is outside the disk, for which a server's behaviour is undefined.
    fn check_range(&self, offset: u64, len: u64) -> Result<()> {
        match offset.checked_add(len) {
            Some(end) if end <= self.size => Ok(()),
            _ => {
                let what = format!("the requested range is outside {}", self.name);
                Err(Error::new(Kind::Refused, what).offset(offset))
            }
        }
    }
}

/// A range of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The byte range.
    pub range: Range<u64>,
    /// Whether it is known to be all zeros without reading it.
    pub zero: bool,
}

/// Returns the extents of a disk without information about holes.
fn data_everywhere(window: Range<u64>) -> Attempt<Vec<Extent>> {
    Box::pin(async move { Ok(vec![Extent { range: window, zero: false }]) })
}

/// Returns the evidence of a disk that has none.
fn no_evidence() -> Attempt<Evidence> {
    Box::pin(async { Ok(Evidence::default()) })
}

/// A disk with random read access.
///
/// # Contract
/// Reads may be made in any order and concurrently.
///
/// # Errors
/// A read outside the disk is refused. The kind of an error tells whether a retry may help.
///
/// # Cancellation
/// Dropping a read has no effect on the disk.
pub trait ReadAt: Send + Sync {
    /// Returns the properties of the disk.
    fn info(&self) -> &DiskInfo;

    /// Reads exactly `len` bytes at `offset` and appends them to `into`. `len` is at most
    /// [`DiskInfo::read_limit`].
    fn read_at(&self, offset: u64, len: u64, into: Buffer) -> Attempt<Buffer>;

    /// Returns what is known about `window` without reading it, as contiguous extents that cover it
    /// completely.
    fn extents(&self, window: Range<u64>) -> Attempt<Vec<Extent>>;

    /// Returns how the disk changed since it was opened, or `None` if no change is detected. May wait for a
    /// disk or a server.
    fn changed(&self) -> Attempt<Option<Error>>;

    /// Returns the disk's local interface, if it is on this machine.
    fn local(&self) -> Option<&dyn LocalRead>;
}

/// A disk on this machine, read by the worker threads. Calls block.
pub trait LocalRead: Send + Sync {
    /// Replaces the contents of `into` by `len` bytes at `offset`. The bytes are a private copy.
    fn read_into(&self, offset: u64, len: u64, into: &mut Vec<u8>) -> Result<()>;

    /// Returns an error if the disk is known to have changed. Cheap enough to be called for every chunk.
    fn check_unchanged(&self) -> Result<()>;

    /// Returns why changes to the disk cannot be detected, if that is so.
    fn unwatched(&self) -> Option<String>;

    /// Returns who on this machine may be writing to the disk, in words; `None` if nobody is known to.
    fn users(&self) -> Option<String>;
}

/// An image that is read once, in order.
///
/// # Errors
/// A stream that is shorter or longer than its declared size is an error.
///
/// # Cancellation
/// The bytes of a dropped attempt are lost, so nothing can be read after it.
pub trait ReadStream: Send {
    /// Returns the properties of the stream.
    fn info(&self) -> &DiskInfo;

    /// Appends the next `len` bytes to `into`, or fewer at the end of a stream of unknown size. May be called
    /// again before an earlier attempt has ended; the attempts are served in order.
    fn next(&mut self, len: u64, into: Buffer) -> Attempt<Buffer>;
}

/// A disk with random write access, or with writes in order only ([`DiskInfo::in_order`]).
///
/// # Contract
/// A write may be repeated with the same bytes at the same offset. It has at most [`DiskInfo::write_limit`]
/// bytes.
///
/// # Cancellation
/// A dropped write may have happened completely, partly, or not at all.
pub trait WriteAt: Send + Sync {
    /// Returns the properties of the disk.
    fn info(&self) -> &DiskInfo;

    /// Writes at `offset`. Succeeds only if the remote sends the reply that is documented for a write.
    fn write_at(&self, offset: u64, body: Body) -> Attempt<Receipt>;

    /// Makes a range read as zero. Returns `None` if that requires a write of zeros.
    fn zero_at(&self, range: Range<u64>) -> Attempt<Option<Receipt>>;

    /// Returns evidence for a later run that resumes, by which it can tell whether somebody else wrote in
    /// between. Empty if there is none.
    fn evidence(&self) -> Attempt<Evidence>;

    /// Makes all writes durable whose receipts were returned before.
    ///
    /// # Errors
    /// An error of a retryable kind ([`Kind::is_retryable`](crate::error::Kind::is_retryable)) means that the
    /// flush can be repeated without losing a write. After any other error, everything written since the last
    /// successful flush has to be written again.
    fn flush(&self) -> Attempt<()>;

    /// Returns the disk's local interface, if it is on this machine.
    fn local(&self) -> Option<&dyn LocalWrite>;
}

/// A disk on this machine, written by the worker threads. Calls block.
pub trait LocalWrite: Send + Sync {
    /// Writes bytes at `offset`.
    fn write(&self, offset: u64, bytes: &[u8]) -> Result<Receipt>;

    /// Makes a range read as zero.
    fn zero(&self, range: Range<u64>) -> Result<Receipt>;

    /// Returns whether writes compress. If so, several threads are worth their cost.
    fn compresses(&self) -> bool;
}

/// The encoded form of a write.
#[derive(Clone, Debug)]
pub enum Body {
    /// Plain bytes.
    Raw(Bytes),
    /// One gzip member.
    Gzip(Bytes),
    /// One zstd frame with a complete chunk, and the digest of the chunk.
    Chunk(Digest, Bytes),
}

impl Body {
    /// Returns the encoded bytes.
    pub fn bytes(&self) -> &Bytes {
        match self {
            Body::Raw(bytes) | Body::Gzip(bytes) | Body::Chunk(_, bytes) => bytes,
        }
    }
}

/// Proof that a disk acknowledged a write. Only a disk can create one, and a chunk counts as written only
/// with one.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a chunk is acknowledged with it"]
pub struct Receipt(());

impl Receipt {
    /// Creates the receipt for a write that was acknowledged as documented.
    pub(in crate::disk) fn acknowledged() -> Self {
        Self(())
    }
}
