//! Images behind the oVirt image server (ovirt-imageio), which oVirt and Oracle OLVM use for uploads,
//! downloads and backups.
//!
//! An image is named by a ticket, which is the credential too and ends with the transfer that it was made
//! for. What the server documents is in ovirt-imageio, docs/images.md; what stands in the code alone is cited
//! by its file.
//!
//! # Safe writes
//! Writes are not flushed one by one, so the disk is [`DiskInfo::volatile`]. After a status of 500 "you
//! should send again all the data sent since the last flush" ("General errors"). A write that failed like
//! that may be repeated and succeed, but others from before it may be lost. So the next
//! [`flush`](WriteAt::flush) fails once, with [`Kind::Io`], and what was written since the last one that did
//! not is written again by a later run. A connection that breaks says nothing about what was written before;
//! its write is repeated and that is all. A flush whose answer is lost is another matter: it may have failed,
//! and the next would not say so (fsync(2) reports an error once). It counts as failed.
//!
//! # Limits
//! "Using multiple writers may fail and corrupt image data" where `max_writers` does not allow them. The disk
//! itself makes no more requests at a time than that, whoever asks for them. A write that is given up may go
//! on at the server for a moment; its repeat writes the same bytes to the same place.
//!
//! # Zeros
//! A ticket does not tell a new image from one with contents (`sparse` says only what zeroing does to the
//! storage), so [`DiskInfo::fresh_is_zero`] is false. Extents do say what reads as zero.

mod checksum;
mod extents;
mod open;
mod server;
mod store;
#[cfg(test)]
mod tests;
mod transfer;

pub use checksum::{BLOCK_SIZE, BlockChecksum, ServerChecksum, checksum_of};
pub use server::ServerFeatures;
pub use store::{ImageStore, Ticket};

use super::{
    Attempt, Body, Buffer, DiskInfo, Evidence, Extent, Identity, LocalRead, LocalWrite, ReadAt, Receipt,
    WriteAt, data_everywhere, no_evidence,
};
use crate::error::{Error, Kind, Result};
use extents::{Context, Extents, Parser};
use reqwest::Method;
use serde_json::json;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use transfer::{ContentRange, Request, Transfer};

/// No storage behind a server is taken to be slower than this, in bytes a second, where the server works
/// without a sign of life: it zeroes by writing where the storage cannot, and answers for a checksum once all
/// is read.
const SLOWEST_STORAGE: u64 = 8 << 20;

/// How much longer a flush may take than other requests, whatever this run has written: there may be more
/// from before.
const FLUSH: Duration = Duration::from_mins(5);

/// The same for extents. The server collects all of them first, for more than a minute where an image is
/// large (the comment on `timeout` in `_internal/http.py`).
const EXTENTS: Duration = Duration::from_mins(10);

/// The length of a list of extents that its deadline is made for: that of 200,000 of them.
const USUAL_LIST: u64 = 16 << 20;

/// An image behind an oVirt image server. Clones are the same disk.
#[derive(Clone)]
pub struct ImageioDisk {
    inner: Arc<Inner>,
    info: Arc<DiskInfo>,
}

struct Inner {
    transfer: Transfer,
    features: ServerFeatures,
    reads: Semaphore,
    writes: Semaphore,
    /// What is known of the image's zeros.
    zeros: Mutex<Zeros>,
    /// Held while the list of extents is fetched.
    fetching: tokio::sync::Mutex<()>,
    /// Whether a write has failed since the last flush, so that what was written in between may be lost.
    failed: AtomicBool,
    /// Held by a flush; whether one before it had no answer.
    flushing: tokio::sync::Mutex<bool>,
    /// Bytes written since the last flush.
    unflushed: AtomicU64,
}

/// The list of extents, once it was asked for, less what was written since.
#[derive(Default)]
struct Zeros {
    list: Option<Extents>,
    /// Writes that were begun, and those of them that are known to be over: a list that came while they
    /// differ may be older than what they wrote.
    begun: u64,
    over: u64,
}

/// What changed since the checkpoint of an incremental backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirtyExtents {
    /// The ranges that changed, in order.
    pub changed: Vec<Range<u64>>,
    /// Those of them that read as zero.
    pub zeros: Vec<Range<u64>>,
}

impl ImageioDisk {
    /// The same, known as `identity`.
    #[must_use]
    pub fn known_as(mut self, identity: Identity) -> Self {
        Arc::make_mut(&mut self.info).identity = Some(identity);
        self
    }

    /// What the server can do for this ticket.
    pub fn features(&self) -> &ServerFeatures {
        &self.inner.features
    }

    /// The ranges that changed since the checkpoint of an incremental backup, in one attempt; `None` if the
    /// ticket is not for one.
    pub async fn dirty_extents(&self) -> Result<Option<DirtyExtents>> {
        if !self.inner.features.extents {
            return Ok(None);
        }
        let fetched = self.fetch(Context::Dirty).await?;
        Ok(fetched.map(|list| DirtyExtents { changed: list.ranges, zeros: list.zeros }))
    }

    /// The checksum of the whole image as the server reads it, in one attempt; `None` if the server has none,
    /// or one of something else: the server's covers all of its file, which may be longer than the image.
    ///
    /// The server reads and hashes everything before it answers, and sends nothing meanwhile
    /// (`_internal/handlers/checksum.py`). It is given the time that slow storage takes, so the wait ends
    /// late if the server hangs; a connection that is gone is noticed by TCP. The server does not notice that
    /// nobody waits any more.
    pub async fn checksum(&self) -> Result<Option<ServerChecksum>> {
        self.checksum_in_blocks(BLOCK_SIZE).await
    }

    /// The same over blocks of this size. With SHA-256 for chunk digests, and chunks of that size,
    /// [`BlockChecksum::of_digests`] has the same of the chunks, without a byte being read again. `None` also
    /// where the server takes no such size.
    pub async fn checksum_in_blocks(&self, block_size: u64) -> Result<Option<ServerChecksum>> {
        let served = checksum::BLOCK_SIZES.contains(&block_size) && block_size.is_multiple_of(4096);
        if !(self.inner.features.checksum && served) || self.end().await? != Some(self.info.size) {
            return Ok(None);
        }
        let _turn = self.inner.reads.acquire().await;
        let below = format!("/checksum?algorithm={}&block_size={block_size}", checksum::ALGORITHM);
        let work = storage_time(self.info.size);
        let request = Request { work, ..Request::new(Method::GET, &below) };
        let mut answer = self.inner.transfer.granted(self.inner.transfer.send(request).await?, 200).await?;
        let body = answer.at_most(checksum::LONGEST).await?;
        ServerChecksum::parse(&body, block_size).map(Some)
    }

    /// Where the server's own list says that the image ends.
    async fn end(&self) -> Result<Option<u64>> {
        if !self.inner.features.extents {
            return Ok(None);
        }
        let end = |zeros: &Zeros| zeros.list.as_ref().map(|list| list.end);
        if let Some(end) = end(&self.zeros()) {
            return Ok(end);
        }
        Ok(self.fetch(Context::Zero).await?.and_then(|list| list.end))
    }

    /// Asks for a list of extents; `None` where the server has none of that kind.
    async fn fetch(&self, context: Context) -> Result<Option<Extents>> {
        let _turn = self.inner.reads.acquire().await;
        let below = format!("/extents?context={}", context.name());
        let request = Request { expected: USUAL_LIST, work: EXTENTS, ..Request::new(Method::GET, &below) };
        let answer = self.inner.transfer.send(request).await?;
        if answer.status() == 404 && context == Context::Dirty {
            return Ok(None);
        }
        let mut answer = self.inner.transfer.granted(answer, 200).await?;
        let mut parser = Parser::new(context, self.info.size);
        while let Some(piece) = answer.piece().await? {
            if !parser.push(&piece)? {
                tracing::warn!(
                    "the image has more than {} extents: what is behind them is treated as data",
                    extents::MOST_ENTRIES
                );
                return Ok(Some(parser.give_up()));
            }
        }
        parser.finish().map(Some)
    }

    async fn extents_once(self, window: Range<u64>) -> Result<Vec<Extent>> {
        self.info.check_range(window.start, window.end.saturating_sub(window.start))?;
        let known = |zeros: &Zeros| zeros.list.as_ref().map(|list| list.window(window.clone()));
        let _turn = self.inner.fetching.lock().await;
        let before = {
            let zeros = self.zeros();
            if let Some(extents) = known(&zeros) {
                return Ok(extents);
            }
            (zeros.begun, zeros.over)
        };
        let list = self.fetch(Context::Zero).await?.unwrap_or_default();
        let mut zeros = self.zeros();
        if before == (zeros.begun, zeros.begun) {
            zeros.list = Some(list);
        }
        Ok(known(&zeros).unwrap_or_else(|| vec![Extent { range: window, zero: false }]))
    }

    fn zeros(&self) -> MutexGuard<'_, Zeros> {
        // A panic elsewhere cannot leave it half changed.
        self.inner.zeros.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read(self, offset: u64, len: u64, mut into: Buffer) -> Result<Buffer> {
        self.info.check_range(offset, len)?;
        let Some(last) = len.checked_sub(1).map(|last| offset + last) else { return Ok(into) };
        let _turn = self.inner.reads.acquire().await;
        let answer = self.inner.transfer.get(offset, last).await?;
        let mut answer = self.inner.transfer.granted(answer, 206).await?;
        match ContentRange::of(answer.headers()) {
            Some(range) if (range.first, range.last) == (offset, last) => {}
            _ => return Err(open::other_range(offset, last, answer.headers())),
        }
        answer.exactly(len, &mut into).await?;
        Ok(into)
    }

    /// A write or a zeroing, from its turn to its acknowledgement.
    async fn change(&self, range: Range<u64>, request: Request<'_>) -> Result<Receipt> {
        let _turn = self.inner.writes.acquire().await;
        {
            let mut zeros = self.zeros();
            zeros.begun += 1;
            if let Some(list) = &mut zeros.list {
                list.forget(&range);
            }
        }
        let answer = self.inner.transfer.send(request).await?;
        if answer.status() >= 500 {
            self.inner.failed.store(true, Ordering::Release);
        }
        self.inner.transfer.done(answer).await?;
        self.zeros().over += 1;
        self.inner.unflushed.fetch_add(range.end - range.start, Ordering::Relaxed);
        Ok(Receipt::acknowledged())
    }

    async fn write(self, offset: u64, body: Body) -> Result<Receipt> {
        let Body::Raw(bytes) = body else {
            // The server ignores Content-Encoding, and what is compressed would land on the disk as it is.
            return Err(Error::new(Kind::Refused, "the image server takes no gzip").offset(offset));
        };
        let end = offset.saturating_add(bytes.len() as u64);
        self.info.check_range(offset, bytes.len() as u64)?;
        if bytes.is_empty() {
            // There is no range of no bytes.
            return Ok(Receipt::acknowledged());
        }
        self.change(offset..end, Request::put(offset, bytes)?).await
    }

    async fn zero(self, range: Range<u64>) -> Result<Option<Receipt>> {
        let size = range.end.saturating_sub(range.start);
        self.info.check_range(range.start, size)?;
        if !self.inner.features.zero || size == 0 {
            return Ok(None);
        }
        let message = json!({"op": "zero", "offset": range.start, "size": size, "flush": false});
        self.change(range, Request::patch(&message, storage_time(size))).await.map(Some)
    }

    async fn flush_once(self) -> Result<()> {
        let inner = &*self.inner;
        if !inner.features.flush {
            // Such a server flushes with every write (docs/images.md, "PUT").
            return inner.check_failed();
        }
        let mut unanswered = inner.flushing.lock().await;
        if std::mem::replace(&mut *unanswered, false) {
            return Err(lost("the answer to a flush did not come"));
        }
        inner.check_failed()?;
        // Stays so if this attempt is dropped.
        *unanswered = true;
        let bytes = inner.unflushed.load(Ordering::Relaxed);
        let work = FLUSH.saturating_add(storage_time(bytes));
        let sent = inner.transfer.send(Request::patch(&json!({"op": "flush"}), work)).await;
        *unanswered = false;
        let answer = sent.map_err(|e| lost("the answer to a flush did not come").source(e))?;
        let status = answer.status();
        let done = inner.transfer.done(answer).await;
        if status >= 500 {
            return Err(done.err().unwrap_or_else(|| lost("the image server failed")).with_kind(Kind::Io));
        }
        done?;
        inner.unflushed.fetch_sub(bytes, Ordering::Relaxed);
        // A write may have failed since: what it took with it need not be what this flush had.
        inner.check_failed()
    }
}

impl Inner {
    /// Fails, once, if a write has failed since this was last asked.
    fn check_failed(&self) -> Result<()> {
        if self.failed.swap(false, Ordering::AcqRel) {
            Err(lost("the image server failed in a write"))
        } else {
            Ok(())
        }
    }
}

/// The error of a flush after which nothing since the one before it counts.
fn lost(why: &str) -> Error {
    Error::new(Kind::Io, format!("{why}: what was written since the last flush may be lost"))
        .hint("run the same command again: it writes that part again")
}

/// How long slow storage takes for so many bytes.
fn storage_time(bytes: u64) -> Duration {
    Duration::from_secs(bytes / SLOWEST_STORAGE)
}

impl ReadAt for ImageioDisk {
    fn info(&self) -> &DiskInfo {
        &self.info
    }

    fn read_at(&self, offset: u64, len: u64, into: Buffer) -> Attempt<Buffer> {
        Box::pin(self.clone().read(offset, len, into))
    }

    /// By the server's list, which is asked for once.
    fn extents(&self, window: Range<u64>) -> Attempt<Vec<Extent>> {
        if self.inner.features.extents {
            Box::pin(self.clone().extents_once(window))
        } else {
            data_everywhere(window)
        }
    }

    /// The server does not tell. oVirt locks a disk for the time of its transfer, and what it gives out for a
    /// backup is a snapshot.
    fn changed(&self) -> Attempt<Option<Error>> {
        Box::pin(async { Ok(None) })
    }

    fn local(&self) -> Option<&dyn LocalRead> {
        None
    }
}

impl WriteAt for ImageioDisk {
    fn info(&self) -> &DiskInfo {
        &self.info
    }

    fn write_at(&self, offset: u64, body: Body) -> Attempt<Receipt> {
        Box::pin(self.clone().write(offset, body))
    }

    /// By the server, if it can; whether that frees storage is said by the ticket.
    fn zero_at(&self, range: Range<u64>) -> Attempt<Option<Receipt>> {
        Box::pin(self.clone().zero(range))
    }

    fn evidence(&self) -> Attempt<Evidence> {
        no_evidence()
    }

    /// Flushes the whole image (docs/images.md, "Flush operation").
    fn flush(&self) -> Attempt<()> {
        Box::pin(self.clone().flush_once())
    }

    fn local(&self) -> Option<&dyn LocalWrite> {
        None
    }
}
