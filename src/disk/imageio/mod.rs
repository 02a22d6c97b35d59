//! Images on an oVirt image server (ovirt-imageio), which oVirt and Oracle OLVM use for uploads, downloads
//! and backups.
//!
//! An image is identified by a ticket, which is also the credential and expires with the transfer it was
//! created for. Documented behaviour is in ovirt-imageio, docs/images.md; behaviour that only the code shows
//! is cited by file.
//!
//! # Safe writes
//! Writes are not flushed individually, so the disk is [`DiskInfo::volatile`]. After a status of 500 "you
//! should send again all the data sent since the last flush" ("General errors"): the write may be repeated
//! successfully, but earlier ones may be lost. So the next [`flush`](WriteAt::flush) fails once, with
//! [`Kind::Io`], and a later run writes everything again since the last successful flush. A broken connection
//! says nothing about earlier writes, so only its own write is repeated. A flush whose reply is lost counts
//! as failed, because the next one would not report an error (fsync(2) reports an error once).
//!
//! # Limits
//! "Using multiple writers may fail and corrupt image data" unless `max_writers` allows them. The disk itself
//! enforces that limit, whatever its callers request. A dropped write may continue on the server for a
//! moment; its repetition writes the same bytes to the same place.
//!
//! # Zeros
//! A ticket does not distinguish a new image from one with contents (`sparse` only says what zeroing does to
//! the storage), so [`DiskInfo::fresh_is_zero`] is false. Extents do report what reads as zero.

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

/// The slowest storage that is allowed for, in bytes per second, while the server works without sending
/// anything: it zeroes by writing if the storage cannot do better, and replies with a checksum only at its
/// end.
const SLOWEST_STORAGE: u64 = 8 << 20;

/// How much longer a flush may take than other requests, whatever this run wrote, since earlier writes may be
/// unflushed.
const FLUSH: Duration = Duration::from_mins(5);

/// How much longer a list of extents may take. The server collects all of them first, which takes more than a
/// minute for a large image (comment on `timeout` in `_internal/http.py`).
const EXTENTS: Duration = Duration::from_mins(10);

/// The length of a list of extents assumed for its deadline: that of 200,000 extents.
const USUAL_LIST: u64 = 16 << 20;

/// An image on an oVirt image server. Clones are the same disk.
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
    /// What is known about zeros in the image.
    zeros: Mutex<Zeros>,
    /// Held while the list of extents is fetched.
    fetching: tokio::sync::Mutex<()>,
    /// Whether a write failed since the last flush, so that other writes since then may be lost.
    failed: AtomicBool,
    /// Held during a flush; true if an earlier one had no reply.
    flushing: tokio::sync::Mutex<bool>,
    /// Bytes written since the last flush.
    unflushed: AtomicU64,
}

/// The list of extents, if it was fetched, without the ranges written since.
#[derive(Default)]
struct Zeros {
    list: Option<Extents>,
    /// The number of writes begun, and of those known to have ended. A list that was fetched while they
    /// differed may be older than the writes.
    begun: u64,
    over: u64,
}

/// The changes since the checkpoint of an incremental backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirtyExtents {
    /// The changed ranges, in order.
    pub changed: Vec<Range<u64>>,
    /// Those among them that read as zero.
    pub zeros: Vec<Range<u64>>,
}

impl ImageioDisk {
    /// Sets the identity.
    #[must_use]
    pub fn known_as(mut self, identity: Identity) -> Self {
        Arc::make_mut(&mut self.info).identity = Some(identity);
        self
    }

    /// Returns what the server supports for this ticket.
    pub fn features(&self) -> &ServerFeatures {
        &self.inner.features
    }

    /// Returns the ranges that changed since the checkpoint of an incremental backup, in one attempt. Returns
    /// `None` if the ticket is not for one.
    pub async fn dirty_extents(&self) -> Result<Option<DirtyExtents>> {
        if !self.inner.features.extents {
            return Ok(None);
        }
        let fetched = self.fetch(Context::Dirty).await?;
        Ok(fetched.map(|list| DirtyExtents { changed: list.ranges, zeros: list.zeros }))
    }

    /// Returns the server's checksum of the whole image, in one attempt. Returns `None` if the server has
    /// none, or if its checksum covers more than the image, as that of a longer file does.
    ///
    /// The server reads and hashes everything before it replies, and sends nothing meanwhile
    /// (`_internal/handlers/checksum.py`). The deadline allows for slow storage, so it ends late if the
    /// server hangs; TCP detects a lost connection. The server does not notice if the client goes away.
    pub async fn checksum(&self) -> Result<Option<ServerChecksum>> {
        self.checksum_in_blocks(BLOCK_SIZE).await
    }

    /// Like [`ImageioDisk::checksum`], over blocks of this size. If chunks have that size and SHA-256
    /// digests, [`BlockChecksum::of_digests`] computes the same checksum from the chunk digests without
    /// reading again. Also returns `None` if the server does not support the size.
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

    /// Returns the end of the image according to the server's list.
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

    /// Fetches a list of extents. Returns `None` if the server has none of that kind.
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
                    "the image has more than {} extents; the rest is treated as data",
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

    /// Makes a write or zeroing request and waits for its acknowledgement.
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
            // The server ignores Content-Encoding, so compressed data would end up on the disk.
            return Err(Error::new(Kind::Refused, "the image server does not support gzip").offset(offset));
        };
        let end = offset.saturating_add(bytes.len() as u64);
        self.info.check_range(offset, bytes.len() as u64)?;
        if bytes.is_empty() {
            // An empty range cannot be expressed.
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
            // A server without this feature flushes with every write (docs/images.md, "PUT").
            return inner.check_failed();
        }
        let mut unanswered = inner.flushing.lock().await;
        if std::mem::replace(&mut *unanswered, false) {
            return Err(lost("the server did not reply to a flush"));
        }
        inner.check_failed()?;
        // Remains set if this attempt is dropped.
        *unanswered = true;
        let bytes = inner.unflushed.load(Ordering::Relaxed);
        let work = FLUSH.saturating_add(storage_time(bytes));
        let sent = inner.transfer.send(Request::patch(&json!({"op": "flush"}), work)).await;
        *unanswered = false;
        let answer = sent.map_err(|e| lost("the server did not reply to a flush").source(e))?;
        let status = answer.status();
        let done = inner.transfer.done(answer).await;
        if status >= 500 {
            return Err(done.err().unwrap_or_else(|| lost("the image server failed")).with_kind(Kind::Io));
        }
        done?;
        inner.unflushed.fetch_sub(bytes, Ordering::Relaxed);
        // A write may have failed meanwhile, and the flush need not have covered what was lost with it.
        inner.check_failed()
    }
}

impl Inner {
    /// Returns an error, once, if a write failed since the last call.
    fn check_failed(&self) -> Result<()> {
        if self.failed.swap(false, Ordering::AcqRel) {
            Err(lost("the image server failed in a write"))
        } else {
            Ok(())
        }
    }
}

/// Returns the error of a flush after which nothing written since the last successful one counts.
fn lost(why: &str) -> Error {
    Error::new(Kind::Io, format!("{why}: what was written since the last flush may be lost"))
        .hint("run the same command again to write that part again")
}

/// Returns how long slow storage takes for `bytes`.
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

    /// Uses the server's list, which is fetched once.
    fn extents(&self, window: Range<u64>) -> Attempt<Vec<Extent>> {
        if self.inner.features.extents {
            Box::pin(self.clone().extents_once(window))
        } else {
            data_everywhere(window)
        }
    }

    /// The server does not report changes. oVirt locks a disk during its transfer, and provides a snapshot
    /// for a backup.
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

    /// Zeroes on the server, if it can. The ticket says whether that frees storage.
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
