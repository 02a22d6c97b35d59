//! An image in a store, read by its index.

use super::cache::Cache;
use super::decode::{most_packed, unpack};
use crate::backup::index::{ChunkHash, ChunkRef, Index, chunk_key};
use crate::backup::place::Place;
use crate::digest::{Algorithm, Digest, hex};
use crate::disk::file::on_a_thread;
use crate::disk::{Attempt, Buffer, DiskInfo, Evidence, Extent, Identity, LocalRead, ReadAt, Window};
use crate::error::{Error, Kind, Result};
use crate::transport::retry::Retry;
use bytes::Bytes;
use futures_util::StreamExt;
use std::ops::Range;
use std::sync::Arc;

/// The most bytes of chunks in memory at a time, compressed and decompressed together. One read is always
/// admitted.
const AT_A_TIME: u64 = 48 << 20;

/// The most small chunks of one read that are fetched concurrently.
const FETCHES: u64 = 8;

/// An image whose chunks are in a store. Each chunk is compared with its digest; chunks of zeros are not
/// fetched. Clones share the cache.
#[derive(Clone)]
pub struct IndexDisk {
    inner: Arc<Inner>,
}

struct Inner {
    info: DiskInfo,
    /// The name of the index in messages.
    name: String,
    place: Arc<dyn Place>,
    index: Index,
    /// The lengths of chunks, each with the digest of that many zeros.
    zeros: Vec<(u64, Digest)>,
    cache: Cache,
    window: Window,
}

impl IndexDisk {
    /// Opens the image of an index. `name` is used in messages.
    ///
    /// # Errors
    /// Fails if the index has no chunks.
    pub async fn open(place: &Arc<dyn Place>, name: &str, index: Index, retry: &Retry) -> Result<Self> {
        if index.is_empty() {
            return Err(Error::new(Kind::Source, format!("the image of {name} is empty")));
        }
        let place = Arc::clone(place);
        let name = format!("{name} in {}", place.name());
        let open = on_a_thread(move || Ok(Self::of(place, name, index)));
        retry.stop.unless_asked(open).await
    }

    /// Like [`IndexDisk::open`]; digests zeros, which takes a moment.
    fn of(place: Arc<dyn Place>, name: String, index: Index) -> Self {
        let validator = hex(&Algorithm::Sha256.digest(&index.to_bytes()).0);
        let last = index.len().checked_sub(1).and_then(|last| index.chunk(last));
        let mut lens = vec![index.chunk_size()];
        lens.extend(last.map(|chunk| chunk.len).filter(|len| *len != index.chunk_size()));
        let zeros = lens.into_iter().map(|len| (len, index.hash().digest_of_zeros(len))).collect();
        let info = DiskInfo {
            readers: place.requests(),
            identity: Some(Identity::Remote {
                account: place.name().to_owned(),
                object: name.clone(),
                size: index.size(),
                validator: Some(validator.clone()),
            }),
            evidence: Evidence { tag: Some(validator), ..Evidence::default() },
            ..DiskInfo::new(name.clone(), index.size())
        };
        let (cache, window) = (Cache::default(), Window::new(AT_A_TIME));
        Self { inner: Arc::new(Inner { info, name, place, index, zeros, cache, window }) }
    }

    /// Returns the index.
    pub fn index(&self) -> &Index {
        &self.inner.index
    }
}

impl Inner {
    fn is_zero(&self, chunk: &ChunkRef) -> bool {
        self.zeros.contains(&(chunk.len, chunk.digest))
    }

    /// Returns the error for a chunk.
    fn error(&self, chunk: &ChunkRef, how: &str) -> Error {
        let what = format!("chunk {} of {} {how}", chunk.digest, self.name);
        Error::new(Kind::Source, what)
            .offset(chunk.offset)
            .hint("find all damage with `diskferry backups verify STORE --read-data`, then make a new backup")
    }

    /// Fetches a chunk from the store.
    async fn fetch(&self, chunk: &ChunkRef) -> Result<Bytes> {
        match self.place.get(&chunk_key(&chunk.digest), most_packed(chunk.len)).await {
            Err(error) if error.kind() == Kind::NotFound => Err(self.error(chunk, "is missing")),
            Err(error) => Err(error
                .context(format_args!("chunk {} of {}", chunk.digest, self.name))
                .offset(chunk.offset)),
            Ok(packed) => Ok(packed),
        }
    }

    /// Decompresses a chunk into `into`, which has its length, and compares it with its digest. CPU-bound.
    fn unpack(&self, chunk: &ChunkRef, packed: &[u8], into: &mut [u8]) -> Result<()> {
        unpack(packed, into).map_err(|how| self.error(chunk, &format!("is damaged: {how}")))?;
        if self.index.hash().digest(into) != chunk.digest {
            return Err(self.error(chunk, "is damaged: its digest does not match"));
        }
        Ok(())
    }

    /// Returns a chunk in a buffer of its own.
    async fn chunk(self: Arc<Self>, chunk: ChunkRef) -> Result<Bytes> {
        let len = usize::try_from(chunk.len).map_err(|_| self.error(&chunk, "is too large"))?;
        if self.is_zero(&chunk) {
            return Ok(Bytes::from(vec![0; len]));
        }
        let packed = self.fetch(&chunk).await?;
        on_a_thread(move || {
            let mut bytes = vec![0; len];
            self.unpack(&chunk, &packed, &mut bytes)?;
            Ok(Bytes::from(bytes))
        })
        .await
    }

    /// Returns the part of a chunk that a read needs.
    async fn part(self: Arc<Self>, chunk: ChunkRef, wanted: Range<u64>) -> Result<Bytes> {
        let inside =
            wanted.start.max(chunk.offset) - chunk.offset..wanted.end.min(chunk.range().end) - chunk.offset;
        let at =
            |at: u64| usize::try_from(at).map_err(|_| Error::usage("a chunk is too large for the memory"));
        let inside = at(inside.start)?..at(inside.end)?;
        let whole = inside.len() as u64 == chunk.len;
        let bytes = if whole || self.is_zero(&chunk) {
            self.chunk(chunk).await?
        } else {
            let this = Arc::clone(&self);
            self.cache.get_or(chunk.number, chunk.len, async move { this.chunk(chunk).await }).await?
        };
        Ok(bytes.slice(inside))
    }

    /// Reads exactly one chunk, decompressed in place.
    async fn read_one(self: Arc<Self>, chunk: ChunkRef, mut into: Buffer) -> Result<Buffer> {
        let start = into.len();
        let len = usize::try_from(chunk.len).map_err(|_| self.error(&chunk, "is too large"))?;
        if self.is_zero(&chunk) {
            into.resize(start + len, 0);
            return Ok(into);
        }
        let _permit = self.window.clone().acquire(chunk.len).await;
        let packed = self.fetch(&chunk).await?;
        on_a_thread(move || {
            into.resize(start + len, 0);
            self.unpack(&chunk, &packed, &mut into[start..])?;
            Ok(into)
        })
        .await
    }

    async fn read(self: Arc<Self>, wanted: Range<u64>, mut into: Buffer) -> Result<Buffer> {
        let touched = self.index.touching(&wanted);
        if let (1, Some(chunk)) = (touched.len(), self.index.chunk(touched.start))
            && chunk.range() == wanted
        {
            return self.read_one(chunk, into).await;
        }
        let largest = self.index.chunk_size();
        let fetches = (AT_A_TIME / 4 / largest).clamp(1, FETCHES);
        // One permit for everything that this read has in memory at a time, so that nobody waits for a second
        // one.
        let most = (touched.len() as u64).min(fetches).saturating_mul(largest).saturating_mul(2);
        let _permit = self.window.clone().acquire(most).await;
        let chunks: Vec<ChunkRef> = touched.filter_map(|number| self.index.chunk(number)).collect();
        let mut parts = futures_util::stream::iter(chunks)
            .map(|chunk| Arc::clone(&self).part(chunk, wanted.clone()))
            .buffered(usize::try_from(fetches).unwrap_or(1));
        while let Some(part) = parts.next().await {
            into.extend_from_slice(&part?);
        }
        Ok(into)
    }
}

impl ReadAt for IndexDisk {
    fn info(&self) -> &DiskInfo {
        &self.inner.info
    }

    fn read_at(&self, offset: u64, len: u64, into: Buffer) -> Attempt<Buffer> {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move {
            inner.info.check_range(offset, len)?;
            inner.read(offset..offset + len, into).await
        })
    }

    fn extents(&self, window: Range<u64>) -> Attempt<Vec<Extent>> {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move {
            inner.info.check_range(window.start, window.end.saturating_sub(window.start))?;
            let mut extents: Vec<Extent> = Vec::new();
            for chunk in inner.index.touching(&window).filter_map(|number| inner.index.chunk(number)) {
                let (zero, end) = (inner.is_zero(&chunk), chunk.range().end.min(window.end));
                match extents.last_mut() {
                    Some(last) if last.zero == zero => last.range.end = end,
                    _ => extents.push(Extent { range: chunk.offset.max(window.start)..end, zero }),
                }
            }
            Ok(extents)
        })
    }

    /// Objects of a store never change.
    fn changed(&self) -> Attempt<Option<Error>> {
        Box::pin(async { Ok(None) })
    }

    fn local(&self) -> Option<&dyn LocalRead> {
        None
    }
}

impl ChunkHash {
    /// Returns the digest of `len` zeros.
    fn digest_of_zeros(self, len: u64) -> Digest {
        self.digest(&vec![0; usize::try_from(len).unwrap_or(0)])
    }
}
