//! Whatever holds an image: a file, a block device, a stream, a drive, an appliance, standard output.
//!
//! The engine moves chunks from a [`ReadAt`] or a [`ReadStream`] to a [`WriteAt`] and knows nothing else of either end:
//! what a disk is and can do, it says in its [`DiskInfo`]. `conformance` runs over every disk that can be read or written at
//! offsets.
//!
//! Every method makes exactly one attempt and takes what it needs by value, so that a future may be dropped at any time:
//! a buffer belongs to whoever may still write to it. Whether to try again is decided by
//! [`Retry`](crate::transport::retry::Retry) alone.

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

/// One attempt at something; it may be dropped at any time.
pub type Attempt<T> = BoxFuture<'static, Result<T>>;

/// What a disk is and can do, as far as it was known when it was opened.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct DiskInfo {
    /// What it is called in messages.
    pub name: String,
    /// Its size in bytes; 0 where only its end will tell.
    pub size: u64,
    /// The most bytes that one read may ask for.
    pub read_limit: u64,
    /// The most bytes of one write, as they are on the disk.
    pub write_limit: u64,
    /// The most reads at a time.
    pub readers: usize,
    /// The most writes at a time.
    pub writers: usize,
    /// Whether writes have to come in the order of their offsets.
    pub in_order: bool,
    /// What its writes come as.
    pub wire: Wire,
    /// Whether what was written may be lost until the [`WriteAt::flush`] after it.
    pub volatile: bool,
    /// Whether it is documented that it reads as zero wherever nothing was written since it was made.
    pub fresh_is_zero: bool,
    /// What tells this image from another.
    pub identity: Option<Identity>,
    /// What tells whether it was written to since; empty where nothing does.
    pub evidence: Evidence,
    /// Whether its bytes are the same as long as its identity is: what an earlier run has sent need not be read again.
    pub stable: bool,
}

/// What the writes of a disk come as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// The bytes themselves.
    Plain,
    /// These, or one gzip member with them.
    Gzip,
    /// One zstd frame with the whole of a chunk, and its digest: the disk keeps chunks under their digests.
    Chunks,
}

impl DiskInfo {
    /// A disk without any limits of which nothing is known but its name and size.
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
    /// Fails if a range is not on the disk: what a server makes of such a request is anybody's guess.
    fn check_range(&self, offset: u64, len: u64) -> Result<()> {
        match offset.checked_add(len) {
            Some(end) if end <= self.size => Ok(()),
            _ => {
                let what = format!("a range outside of {} was asked for", self.name);
                Err(Error::new(Kind::Refused, what).offset(offset))
            }
        }
    }
}

/// A part of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Its bytes.
    pub range: Range<u64>,
    /// Whether it is known, without reading it, to hold nothing but zeros.
    pub zero: bool,
}

/// The extents of a disk that does not say where it has none.
fn data_everywhere(window: Range<u64>) -> Attempt<Vec<Extent>> {
    Box::pin(async move { Ok(vec![Extent { range: window, zero: false }]) })
}

/// The evidence of a disk that has none.
fn no_evidence() -> Attempt<Evidence> {
    Box::pin(async { Ok(Evidence::default()) })
}

/// A disk that can be read at any place.
///
/// # Contract
/// Reads may be made in any order and at the same time.
///
/// # Errors
/// A read outside of the disk is refused. What may be tried again is said by the error's kind.
///
/// # Cancellation
/// A read that is dropped has no effect.
pub trait ReadAt: Send + Sync {
    /// What it is.
    fn info(&self) -> &DiskInfo;

    /// Appends exactly `len` bytes from `offset` to `into`; `len` is at most [`DiskInfo::read_limit`].
    fn read_at(&self, offset: u64, len: u64, into: Buffer) -> Attempt<Buffer>;

    /// What is known of the bytes of `window` without reading them: extents that follow each other and cover it whole.
    fn extents(&self, window: Range<u64>) -> Attempt<Vec<Extent>>;

    /// How the disk has changed since it was opened, as far as it tells; `None` if it has not. May wait for a disk or a server.
    fn changed(&self) -> Attempt<Option<Error>>;

    /// The disk as one of this machine, if it is one.
    fn local(&self) -> Option<&dyn LocalRead>;
}

/// A disk of this machine, for the thread that works on its bytes. Calls return when they are done.
pub trait LocalRead: Send + Sync {
    /// Reads `len` bytes at `offset` in place of what is in `into`, which then belong to the caller alone.
    fn read_into(&self, offset: u64, len: u64, into: &mut Vec<u8>) -> Result<()>;

    /// Fails if the disk is known, without reading it, to have changed. Cheap enough to be asked for every chunk.
    fn glance(&self) -> Result<()>;

    /// Why changes of the disk cannot be noticed, where that is so.
    fn blind(&self) -> Option<String>;

    /// Who on this machine may be writing to the disk, in words; `None` if nobody is known to.
    fn users(&self) -> Option<String>;
}

/// An image that comes in order, once.
///
/// # Errors
/// A stream that ends before its size or goes on past it is an error.
///
/// # Cancellation
/// What a dropped attempt would have given is lost: nothing can be read after it.
pub trait ReadStream: Send {
    /// What it is.
    fn info(&self) -> &DiskInfo;

    /// Appends the next `len` bytes to `into`, or as many as there are before the end of a stream of unknown size. May be
    /// called again before an earlier attempt has ended; they are served one after the other.
    fn next(&mut self, len: u64, into: Buffer) -> Attempt<Buffer>;
}

/// A disk that can be written at any place, though maybe in order only ([`DiskInfo::in_order`]).
///
/// # Contract
/// A write may be repeated: the same bytes at the same place. A write is of at most [`DiskInfo::write_limit`] bytes.
///
/// # Cancellation
/// What a dropped write would have written may be there or not, or in part.
pub trait WriteAt: Send + Sync {
    /// What it is.
    fn info(&self) -> &DiskInfo;

    /// Writes at `offset`. It has succeeded only if the far end gave the answer that is documented for a write.
    fn write_at(&self, offset: u64, body: Body) -> Attempt<Receipt>;

    /// Makes a range read as zero; `None` if that takes a write of zeros.
    fn zero_at(&self, range: Range<u64>) -> Attempt<Option<Receipt>>;

    /// What may be noted for a later run that goes on from here: what tells whether somebody else has written in between;
    /// empty where nothing does.
    fn evidence(&self) -> Attempt<Evidence>;

    /// Makes safe what was written: every receipt from before is durable after it.
    ///
    /// # Errors
    /// Only an attempt that can be repeated without a receipt being lost has an error of a kind that is retried
    /// ([`Kind::is_retryable`](crate::error::Kind::is_retryable)). After any other error, whatever was written since the last
    /// flush that did not fail has to be written again.
    fn flush(&self) -> Attempt<()>;

    /// The disk as one of this machine, if it is one.
    fn local(&self) -> Option<&dyn LocalWrite>;
}

/// A disk of this machine that the working thread writes to itself.
pub trait LocalWrite: Send + Sync {
    /// Writes bytes at `offset`.
    fn write(&self, offset: u64, bytes: &[u8]) -> Result<Receipt>;

    /// Makes a range read as zero.
    fn zero(&self, range: Range<u64>) -> Result<Receipt>;

    /// Whether a write compresses: it then takes a processor, and several at a time are worth their threads.
    fn compresses(&self) -> bool;
}

/// What a chunk looks like on the wire.
#[derive(Clone, Debug)]
pub enum Body {
    /// The bytes themselves.
    Raw(Bytes),
    /// One gzip member.
    Gzip(Bytes),
    /// One zstd frame with a whole chunk, and the digest of the chunk.
    Chunk(Digest, Bytes),
}

impl Body {
    /// The bytes on the wire.
    pub fn bytes(&self) -> &Bytes {
        match self {
            Body::Raw(bytes) | Body::Gzip(bytes) | Body::Chunk(_, bytes) => bytes,
        }
    }
}

/// That a disk has acknowledged a write. Only a disk can make one, and without one no chunk counts as written.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "it is what a chunk is acknowledged with"]
pub struct Receipt(());

impl Receipt {
    /// For a write that the far end has acknowledged as it documents.
    pub(in crate::disk) fn acknowledged() -> Self {
        Self(())
    }
}
