//! Azure page blobs, and managed disks during export or import. Both are read and written in ranges of pages
//! over HTTP, with a shared access signature as the credential.
//!
//! Source: Azure Storage REST reference, `Put Page`, `Get Blob`, `Get Page Ranges`, `Put Blob`, `Get Blob
//! Properties`.
//!
//! The size of a blob and the offset and length of every write are multiples of 512 bytes. An image of
//! another size is padded with zeros. A write that covers a page in part is merged: the page is read,
//! changed, and written on the condition that the blob is unchanged, so that a late, long abandoned attempt
//! cannot restore old bytes.

pub mod container;
mod cut;
mod pages;
mod refusal;
pub mod sas;
mod service;
mod store;
#[cfg(test)]
pub(crate) mod tests;
mod watch;
mod xml;

pub use container::{BlobContainer, BlobInfo, BlobToMake};
pub use sas::SasToken;

use super::{
    Attempt, Body, Buffer, DiskInfo, Evidence, Extent, Identity, LocalRead, LocalWrite, ReadAt, Receipt,
    WriteAt,
};
use crate::error::{Error, Kind, Result};
use crate::transport::client::text;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cut::{Cut, Edge};
use pages::Pages;
use reqwest::Method;
use reqwest::header::HeaderMap;
use service::{Request, Service};
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::RwLock;
use watch::{Last, Watch};

/// The page size of blobs (`Put Page`: ranges are aligned to 512 bytes).
const PAGE: u64 = 512;

/// The longest write (`Put Page`: up to 4 MiB for an update). Azurite accepts more, so the limit is enforced
/// here.
const LONGEST_WRITE: u64 = 4 << 20;

/// The hint if others write to the destination.
const WRITTEN_TO: &str = "once that has ended, run the same command again; it compares everything";

/// How often the merge of a page is restarted in one attempt because the blob was written meanwhile.
const MERGES: usize = 8;

/// The header with the checksum of a write's bytes, in the request and the reply.
const CRC64: &str = "x-ms-content-crc64";

/// A page blob. Clones share their state.
#[derive(Clone, Debug)]
pub struct PageBlob {
    blob: Arc<Blob>,
    info: Arc<DiskInfo>,
}

#[derive(Debug)]
struct Blob {
    service: Service,
    /// The name below the remote's URL; empty if the URL is the blob's own.
    name: String,
    /// The size of the blob, a multiple of [`PAGE`]. The disk may be up to 511 bytes shorter.
    size: u64,
    watch: Watch,
    /// Whether it is the destination of a transfer.
    is_destination: bool,
    /// Locked shared by writes of whole pages, and exclusively by the merge of a page.
    merging: RwLock<()>,
}

impl PageBlob {
    /// Creates the disk of a blob. `transfer` is the transfer that writes to it.
    fn new(service: Service, blob: &BlobInfo, transfer: Option<&str>) -> Self {
        let ours = transfer.is_some() && blob.mark.as_deref() == transfer;
        let info = DiskInfo {
            write_limit: LONGEST_WRITE,
            // Pages without data read as zero (Windows Azure Storage Team Blog, `Using Windows Azure Page
            // Blobs and How to Efficiently Upload and Download Page Blobs`). A blob of others may have been
            // written.
            fresh_is_zero: ours,
            evidence: blob.evidence(),
            ..DiskInfo::new(format!("blob {}", container::shown(&blob.name)), blob.size)
        };
        let blob = Blob {
            service,
            name: blob.name.clone(),
            size: blob.size,
            watch: Watch::new(blob.etag.clone()),
            is_destination: transfer.is_some(),
            merging: RwLock::default(),
        };
        Self { blob: Arc::new(blob), info: Arc::new(info) }
    }

    /// Sets the identity.
    #[must_use]
    pub fn known_as(mut self, identity: Identity) -> Self {
        Arc::make_mut(&mut self.info).identity = Some(identity);
        self
    }

    /// Limits the disk to the `size` bytes that the blob was created for; its last page may be longer.
    ///
    /// # Errors
    /// Fails if a blob for an image of that size would have another size.
    pub fn sized(mut self, size: u64) -> Result<Self> {
        if size.checked_next_multiple_of(PAGE) != Some(self.blob.size) {
            let what = format!(
                "{} has {} bytes, which does not match an image of {size} bytes",
                self.info.name, self.blob.size
            );
            return Err(Error::new(Kind::Refused, what));
        }
        Arc::make_mut(&mut self.info).size = size;
        Ok(self)
    }
}

impl Blob {
    /// Appends a range of the blob to `into`. Returns the `ETag` at that time.
    async fn read(&self, range: &Range<u64>, into: &mut Vec<u8>) -> Result<String> {
        let untouched = self.watch.untouched();
        let len = range.end - range.start;
        let request = Request { expected: len, ..Request::new(Method::GET, &self.name) };
        let request = request.range(range)?.if_match(untouched.as_deref())?;
        let mut answer = self.service.ask(request, 206).await.map_err(|error| self.on_changed(error))?;
        let is = text(answer.headers(), "content-range");
        let should = format!("bytes {}-{}/{}", range.start, range.end - 1, self.size);
        if is != should {
            let is: String = is.chars().filter(char::is_ascii_graphic).take(60).collect();
            return Err(Error::new(Kind::Protocol, format!("the server sent {is:?}, expected {should:?}")));
        }
        let etag = service::etag(answer.headers())?;
        answer.exactly(len, into).await?;
        Ok(etag)
    }

    /// Converts the error of a conditional read. If the blob changed by our own write, the read may be
    /// repeated.
    fn on_changed(&self, error: Error) -> Error {
        if error.kind() == Kind::Source && self.watch.untouched().is_none() {
            return error.with_kind(Kind::Busy);
        }
        if error.kind() == Kind::Source && self.is_destination {
            // Writes of an earlier run that was killed may still have been in flight. A later run has to
            // compare them.
            return error.with_kind(Kind::Incomplete).hint(WRITTEN_TO);
        }
        error
    }

    /// Writes a range of whole pages, with these bytes or with zeros, and waits for the acknowledgement.
    async fn put(&self, range: &Range<u64>, body: Option<Bytes>, if_match: Option<&str>) -> Result<()> {
        let request = Request::new(Method::PUT, &self.name)
            .range(range)?
            .if_match(if_match)?
            .header("x-ms-page-write", if body.is_some() { "update" } else { "clear" })?;
        let checksum = body.as_deref().map(crc64);
        let request = match &checksum {
            Some(checksum) => request.header(CRC64, checksum)?,
            None => request,
        };
        let request = Request { query: &[("comp", "page")], body: body.unwrap_or_default(), ..request };
        let writing = self.watch.begin();
        let answer = match self.service.ask(request, 201).await {
            Ok(answer) => answer,
            Err(error) => {
                // With these errors the service refused the write. After any other it may have carried it
                // out.
                if matches!(error.kind(), Kind::Auth | Kind::NotFound | Kind::Refused | Kind::Source) {
                    writing.refused();
                }
                return Err(error);
            }
        };
        let etag = service::etag(answer.headers())?;
        check_echo(answer.headers(), checksum.as_deref())?;
        writing.acknowledged(etag);
        Ok(())
    }

    /// Writes a part of a page and preserves the rest.
    async fn merge(&self, edge: &Edge, bytes: &[u8]) -> Result<()> {
        let range = edge.page..edge.page + PAGE;
        for _ in 0..MERGES {
            let mut page = Vec::new();
            let etag = self.read(&range, &mut page).await?;
            page[edge.within.clone()].copy_from_slice(bytes);
            match self.put(&range, Some(page.into()), Some(&etag)).await {
                // The blob was written in between, by an abandoned attempt of ours or by somebody else.
                Err(error) if error.kind() == Kind::Source => {}
                done => return done,
            }
        }
        Err(Error::new(Kind::Busy, "the blob is constantly written to by others"))
    }

    /// Writes the part of `bytes`, which begin at `offset`, that belongs to an edge.
    async fn write_edge(&self, edge: &Edge, offset: u64, bytes: &[u8]) -> Result<()> {
        let bytes = &bytes[edge.bytes(offset)];
        if edge.is_padded {
            let mut page = [0; 512];
            page[edge.within.clone()].copy_from_slice(bytes);
            let page = Bytes::copy_from_slice(&page);
            let _shared = self.merging.read().await;
            return self.put(&(edge.page..edge.page + PAGE), Some(page), None).await;
        }
        let _alone = self.merging.write().await;
        self.merge(edge, bytes).await
    }

    async fn write(&self, offset: u64, bytes: Bytes, size: u64) -> Result<()> {
        let cut = Cut::of(offset..offset + bytes.len() as u64, size);
        if !cut.whole.is_empty() {
            let _shared = self.merging.read().await;
            let body = bytes.slice(cut.within(offset));
            self.put(&cut.whole, Some(body), None).await?;
        }
        for edge in &cut.edges {
            self.write_edge(edge, offset, &bytes).await?;
        }
        Ok(())
    }

    async fn clear(&self, range: Range<u64>, size: u64) -> Result<()> {
        let mut cut = Cut::of(range, size);
        // Padding is zero as well.
        if cut.edges.last().is_some_and(|edge| edge.is_padded) {
            cut.edges.pop();
            cut.whole.end = self.size;
        }
        if !cut.whole.is_empty() {
            let _shared = self.merging.read().await;
            self.put(&cut.whole, None, None).await?;
        }
        for edge in &cut.edges {
            let _alone = self.merging.write().await;
            self.merge(edge, &vec![0; edge.within.len()]).await?;
        }
        Ok(())
    }

    async fn extents(&self, window: Range<u64>) -> Result<Vec<Extent>> {
        let mut pages = Pages::of(window.clone());
        let mut marker: Option<String> = None;
        loop {
            let mut query = vec![("comp", "pagelist"), ("maxresults", pages::AT_A_TIME)];
            query.extend(marker.as_deref().map(|marker| ("marker", marker)));
            let untouched = self.watch.untouched();
            let request = Request { query: &query, ..Request::new(Method::GET, &self.name) };
            let request = request.range(&window)?.if_match(untouched.as_deref())?;
            let mut answer = self.service.ask(request, 200).await.map_err(|error| self.on_changed(error))?;
            let size = text(answer.headers(), "x-ms-blob-content-length");
            if size.trim().parse() != Ok(self.size) {
                let size: String = size.chars().filter(char::is_ascii_digit).take(30).collect();
                let what = format!(
                    "the server lists pages of a blob of {size:?} bytes, expected {} bytes",
                    self.size
                );
                return Err(Error::new(Kind::Protocol, what));
            }
            let body = answer.whole().await?;
            let next = pages.take(&String::from_utf8_lossy(&body))?;
            match next {
                // The list is not complete or repeats itself; the rest counts as data.
                Some(next) if pages.are_full() || marker.as_ref() == Some(&next) => {
                    return Ok(pages.into_extents(false));
                }
                Some(next) => marker = Some(next),
                None => return Ok(pages.into_extents(true)),
            }
        }
    }

    async fn changed(&self, name: &str) -> Result<Option<Error>> {
        let asked = self.watch.now();
        let now = container::info_once(&self.service, &self.name).await?;
        let how = if now.size != self.size {
            format!("its size was {} and is {}", self.size, now.size)
        } else if self.watch.judge(&now.etag, asked) == Last::Foreign {
            "it was written to".to_owned()
        } else {
            return Ok(None);
        };
        Ok(Some(
            Error::new(Kind::Source, format!("{name} changed during the transfer: {how}")).hint(
                "stop whatever writes to it, or use a snapshot of it, then start over with `--restart`",
            ),
        ))
    }
}

/// Returns the checksum in Azure's form: CRC-64 with the polynomial 0x9A6C9329AC4BC9B5 (reflected), also
/// known as CRC-64/NVME, in base64 of its little-endian bytes (`azure-storage-net`, `Crc64.cs`). It is many
/// times faster than MD5.
fn crc64(bytes: &[u8]) -> String {
    STANDARD.encode(crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, bytes).to_le_bytes())
}

/// Returns an error if the server computed another checksum than was sent. The reply contains the server's
/// (`Put Page`, response headers).
fn check_echo(headers: &HeaderMap, sent: Option<&str>) -> Result<()> {
    let echo = text(headers, CRC64);
    match sent {
        Some(sent) if !echo.is_empty() && echo != sent => {
            Err(Error::new(Kind::Connection, "the data was damaged on its way to the server"))
        }
        _ => Ok(()),
    }
}

impl ReadAt for PageBlob {
    fn info(&self) -> &DiskInfo {
        &self.info
    }

    fn read_at(&self, offset: u64, len: u64, mut into: Buffer) -> Attempt<Buffer> {
        let (blob, inside) = (Arc::clone(&self.blob), self.info.check_range(offset, len));
        Box::pin(async move {
            inside?;
            if len > 0 {
                blob.read(&(offset..offset + len), &mut into).await?;
            }
            Ok(into)
        })
    }

    fn extents(&self, window: Range<u64>) -> Attempt<Vec<Extent>> {
        let len = window.end.saturating_sub(window.start);
        let (blob, inside) = (Arc::clone(&self.blob), self.info.check_range(window.start, len));
        Box::pin(async move {
            inside?;
            if len == 0 { Ok(Vec::new()) } else { blob.extents(window).await }
        })
    }

    fn changed(&self) -> Attempt<Option<Error>> {
        let this = self.clone();
        Box::pin(async move { this.blob.changed(&this.info.name).await })
    }

    fn local(&self) -> Option<&dyn LocalRead> {
        None
    }
}

impl WriteAt for PageBlob {
    fn info(&self) -> &DiskInfo {
        &self.info
    }

    fn write_at(&self, offset: u64, body: Body) -> Attempt<Receipt> {
        let this = self.clone();
        Box::pin(async move {
            let Body::Raw(bytes) = body else {
                return Err(
                    Error::new(Kind::Refused, "a page blob does not take compressed data").offset(offset)
                );
            };
            let len = bytes.len() as u64;
            this.info.check_range(offset, len)?;
            if len > LONGEST_WRITE {
                let what = format!(
                    "a write of {len} bytes is longer than the limit of {LONGEST_WRITE} bytes of a page blob"
                );
                return Err(Error::new(Kind::Refused, what).offset(offset));
            }
            this.blob.write(offset, bytes, this.info.size).await?;
            Ok(Receipt::acknowledged())
        })
    }

    fn zero_at(&self, range: Range<u64>) -> Attempt<Option<Receipt>> {
        let this = self.clone();
        Box::pin(async move {
            this.info.check_range(range.start, range.end.saturating_sub(range.start))?;
            this.blob.clear(range, this.info.size).await?;
            Ok(Some(Receipt::acknowledged()))
        })
    }

    /// Returns the `ETag` if the last write was provably ours, and nothing otherwise, so that a later run
    /// compares everything.
    ///
    /// The `ETag` does not prove that nobody wrote in the middle of this run: see `watch`.
    fn evidence(&self) -> Attempt<Evidence> {
        let blob = Arc::clone(&self.blob);
        Box::pin(async move {
            let asked = blob.watch.now();
            let now = container::info_once(&blob.service, &blob.name).await?;
            Ok(match blob.watch.judge(&now.etag, asked) {
                Last::Ours if now.size == blob.size => now.evidence(),
                _ => Evidence::default(),
            })
        })
    }

    /// A write is durable once it is acknowledged.
    fn flush(&self) -> Attempt<()> {
        Box::pin(async { Ok(()) })
    }

    fn local(&self) -> Option<&dyn LocalWrite> {
        None
    }
}
